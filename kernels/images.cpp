/* Images of bytes: moved, and to numbers. The references are in minicnn/ops/images.py. */
#include "mk.h"
#include "parallel.h"

namespace {

enum { NUMBERS = 256, CHUNK = 16384 }; /* numbers of a table; results a task makes, about */

/* y = numbers[x], x a channel of one image: every step-th byte. */
inline void look_up_plane(float *__restrict y, const uint8_t *__restrict x, const float *__restrict numbers,
                          ptrdiff_t P, ptrdiff_t step)
{
#pragma GCC unroll 8
    for (ptrdiff_t i = 0; i < P; i++)
        y[i] = numbers[x[i * step]];
}

/* One image moved by a map m of the plane: each pixel is the nearest one of where it comes from. */
template <int CHANNELS> /* 0: as many as C says */
inline void move_image(uint8_t *__restrict y, const uint8_t *__restrict x, const int64_t *m, const uint8_t *fill,
                       ptrdiff_t H, ptrdiff_t W, ptrdiff_t C)
{
    const ptrdiff_t channels = CHANNELS ? CHANNELS : C;
    for (ptrdiff_t i = 0; i < H; i++) {
        int64_t from_x = m[2] + m[1] * i, from_y = m[5] + m[4] * i;
        for (ptrdiff_t j = 0; j < W; j++, y += channels, from_x += m[0], from_y += m[3]) {
            const uint64_t column = uint64_t(from_x >> 16), row = uint64_t(from_y >> 16); /* huge if negative */
            const bool inside = column < uint64_t(W) && row < uint64_t(H);
            const uint8_t *pixel = inside ? x + (row * W + column) * channels : fill;
            for (ptrdiff_t c = 0; c < channels; c++)
                y[c] = pixel[c];
        }
    }
}

} // namespace

int MK(move)(uint8_t *y, const uint8_t *x, const int64_t *maps, const uint8_t *fill, ptrdiff_t N, ptrdiff_t H,
             ptrdiff_t W, ptrdiff_t C)
{
    const ptrdiff_t size = H * W * C, at_once = size < CHUNK ? CHUNK / (size + 1) + 1 : 1;
    return parallel((N + at_once - 1) / at_once, 0, [=](ptrdiff_t task, float *) {
        const ptrdiff_t beyond = (task + 1) * at_once, end = beyond < N ? beyond : N;
        for (ptrdiff_t n = task * at_once; n < end; n++) {
            const auto move = C == 1 ? move_image<1> : C == 3 ? move_image<3> : move_image<0>;
            move(y + n * size, x + n * size, maps + n * 6, fill, H, W, C);
        }
    });
}

/* A byte has 256 values: what becomes of each is computed before, and looked up here.
 * y: (N, C, P)  x: (N, P, C), or (N, C, P) if planar  table: (C, 256) */
int MK(look_up)(float *y, const uint8_t *x, const float *table, ptrdiff_t N, ptrdiff_t C, ptrdiff_t P, int planar)
{
    const ptrdiff_t planes = N * C, at_once = P < CHUNK ? CHUNK / (P + 1) + 1 : 1;
    return parallel((planes + at_once - 1) / at_once, 0, [=](ptrdiff_t task, float *) {
        const ptrdiff_t beyond = (task + 1) * at_once, end = beyond < planes ? beyond : planes;
        for (ptrdiff_t plane = task * at_once; plane < end; plane++) {
            const ptrdiff_t channel = plane % C;
            const float *numbers = table + channel * NUMBERS;
            if (planar || C == 1)
                look_up_plane(y + plane * P, x + plane * P, numbers, P, 1);
            else
                look_up_plane(y + plane * P, x + (plane - channel) * P + channel, numbers, P, C);
        }
    });
}
