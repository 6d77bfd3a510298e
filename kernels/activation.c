/* Activations. The formulas and their references are in minicnn/ops/activation.py. */
#include "mk.h"

/* y = max(0, x).   y, x: (n)
 * Written so that NaN stays NaN (no comparison with it holds) and -0 becomes +0, as in the reference. */
void mk_relu_forward_f32(float *restrict y, const float *restrict x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

/* dL/dx = dL/dy where y > 0, else 0.   gx, gy, y: (n)
 * A choice, not a product: where nothing flows, NaN or infinity from above does not matter. */
void mk_relu_backward_f32(float *restrict gx, const float *restrict gy, const float *restrict y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        gx[i] = y[i] > 0.0f ? gy[i] : 0.0f;
}
