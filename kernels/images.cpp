/* Images of bytes: cropped, warped, and to numbers. The references are in minicnn/ops/images.py. */
#include "map.h"
#include "mk.h"

namespace {

enum { NUMBERS = 256 }; /* of a table */

/* body(n) for all n < N; each makes so many numbers, and a task about CHUNK of them. */
template <class Body>
inline int each(ptrdiff_t N, ptrdiff_t numbers, const Body &body)
{
    return each_chunk(N, 1 + CHUNK / (numbers + 1), [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t n = begin; n < end; n++)
            body(n);
    });
}

/* y = numbers[x], x a channel of one image: every step-th byte. */
inline void look_up_plane(float *__restrict y, const uint8_t *__restrict x, const float *__restrict numbers,
                          ptrdiff_t P, ptrdiff_t step)
{
#pragma GCC unroll 8
    for (ptrdiff_t i = 0; i < P; i++)
        y[i] = numbers[x[i * step]];
}

inline uint8_t *paint(uint8_t *__restrict y, const uint8_t *fill, ptrdiff_t pixels, ptrdiff_t C)
{
    for (ptrdiff_t j = 0; j < pixels; j++, y += C)
        for (ptrdiff_t c = 0; c < C; c++)
            y[c] = fill[c];
    return y;
}

/* The part of [corner, corner + places) that lies in [0, side): begin and end counted from corner, first in the side. */
struct Inside {
    ptrdiff_t begin, end, first;
    Inside(int64_t corner, ptrdiff_t places, ptrdiff_t side)
    {
        const ptrdiff_t at = corner < -places ? -places : corner > side ? side : ptrdiff_t(corner);
        begin = at < 0 ? -at : 0;
        end = side - at < places ? side - at : places;
        first = at + begin;
    }
};

/* y: (h, w, C)  x: (H, W, C)  corner: top and left of y in x  fill: (C), the colour outside of x */
inline void crop_image(uint8_t *__restrict y, const uint8_t *__restrict x, const int64_t *corner, const uint8_t *fill,
                       ptrdiff_t h, ptrdiff_t w, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C)
{
    const Inside rows(corner[0], h, H), columns(corner[1], w, W);
    y = paint(y, fill, rows.begin * w, C);
    for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
        const ptrdiff_t kept = (columns.end - columns.begin) * C, row = rows.first + i - rows.begin;
        const uint8_t *__restrict from = x + (row * W + columns.first) * C;
        y = paint(y, fill, columns.begin, C);
        for (ptrdiff_t k = 0; k < kept; k++)
            y[k] = from[k];
        y = paint(y + kept, fill, w - columns.end, C);
    }
    paint(y, fill, (h - rows.end) * w, C);
}

/* y, x: (H, W, C)  map: (6), y[i, j] = x[(m5 + m3 j + m4 i) >> 16, (m2 + m0 j + m1 i) >> 16]  fill: (C), outside of x
 * Without a sign, because then they may overflow: no map is refused. */
template <int CHANNELS> /* 0: as many as C says */
inline void warp_image(uint8_t *__restrict y, const uint8_t *__restrict x, const int64_t *map, const uint8_t *fill,
                       ptrdiff_t H, ptrdiff_t W, ptrdiff_t C)
{
    const ptrdiff_t channels = CHANNELS ? CHANNELS : C;
    uint64_t m[6];
    for (int k = 0; k < 6; k++)
        m[k] = uint64_t(map[k]);
    for (ptrdiff_t i = 0; i < H; i++) {
        uint64_t from_x = m[2] + m[1] * uint64_t(i), from_y = m[5] + m[4] * uint64_t(i);
        for (ptrdiff_t j = 0; j < W; j++, y += channels, from_x += m[0], from_y += m[3]) {
            const uint64_t column = uint64_t(int64_t(from_x) >> 16), row = uint64_t(int64_t(from_y) >> 16);
            const bool inside = column < uint64_t(W) && row < uint64_t(H); /* what is negative is huge here */
            const uint8_t *pixel = inside ? x + (row * W + column) * channels : fill;
            for (ptrdiff_t c = 0; c < channels; c++)
                y[c] = pixel[c];
        }
    }
}

} // namespace

/* y: (N, h, w, C)  x: (N, H, W, C)  corners: (N, 2), top and left of each y in its x  fill: (C) */
int MK(crop)(uint8_t *y, const uint8_t *x, const int64_t *corners, const uint8_t *fill, ptrdiff_t N, ptrdiff_t h,
             ptrdiff_t w, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C)
{
    const ptrdiff_t size = h * w * C;
    return each(N, size, [=](ptrdiff_t n) {
        crop_image(y + n * size, x + n * H * W * C, corners + n * 2, fill, h, w, H, W, C);
    });
}

/* y, x: (N, H, W, C)  maps: (N, 6)  fill: (C) */
int MK(warp)(uint8_t *y, const uint8_t *x, const int64_t *maps, const uint8_t *fill, ptrdiff_t N, ptrdiff_t H,
             ptrdiff_t W, ptrdiff_t C)
{
    const ptrdiff_t size = H * W * C;
    const auto warp = C == 1 ? warp_image<1> : C == 3 ? warp_image<3> : warp_image<0>;
    return each(N, size, [=](ptrdiff_t n) { warp(y + n * size, x + n * size, maps + n * 6, fill, H, W, C); });
}

/* A byte has 256 values: what becomes of each is computed before, and looked up here.
 * y: (N, C, P)  x: (N, P, C), or (N, C, P) if planar  table: (C, 256) */
int MK(look_up)(float *y, const uint8_t *x, const float *table, ptrdiff_t N, ptrdiff_t C, ptrdiff_t P, int planar)
{
    return each(N * C, P, [=](ptrdiff_t plane) {
        const ptrdiff_t channel = plane % C;
        const float *numbers = table + channel * NUMBERS;
        if (planar || C == 1)
            look_up_plane(y + plane * P, x + plane * P, numbers, P, 1);
        else
            look_up_plane(y + plane * P, x + (plane - channel) * P + channel, numbers, P, C);
    });
}
