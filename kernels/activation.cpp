/* Activations. The formulas and their references are in minicnn/ops/activation.py. */
#include "mk.h"
#include "parallel.h"

namespace {

enum { CHUNK = 16384 }; /* elements a task takes: its share of three arrays stays in the second-level cache */

/* body(begin, end) for every chunk of n elements. */
template <class Body>
int each_chunk(ptrdiff_t n, const Body &body)
{
    return parallel((n + CHUNK - 1) / CHUNK, 0, [&](ptrdiff_t i, float *) {
        ptrdiff_t end = (i + 1) * CHUNK;
        body(i * CHUNK, end < n ? end : n);
    });
}

} // namespace

/* y = max(0, x).   y, x: (n)
 * Written so that NaN stays NaN (no comparison with it holds) and -0 becomes +0, as in the reference. */
int MK(relu_forward)(float *__restrict y, const float *__restrict x, ptrdiff_t n)
{
    return each_chunk(n, [=](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i++)
            y[i] = x[i] <= 0.0f ? 0.0f : x[i];
    });
}

/* dL/dx = dL/dy where y > 0, else 0.   gx, gy, y: (n)
 * A product, not a choice: 0 times NaN or infinity is NaN, as in the reference. */
int MK(relu_backward)(float *__restrict gx, const float *__restrict gy, const float *__restrict y, ptrdiff_t n)
{
    return each_chunk(n, [=](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i++)
            gx[i] = gy[i] * (y[i] > 0.0f ? 1.0f : 0.0f);
    });
}
