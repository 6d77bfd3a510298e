/* Images from bytes to numbers. The reference is in minicnn/ops/images.py. */
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

} // namespace

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
