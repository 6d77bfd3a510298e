/* The C interface of the kernels: every prototype, with the shapes of its pointers.
 *
 * Rules: outputs first; no allocation; no checks (backends/native.py and _native.pyx made them);
 * sizes are ptrdiff_t; arrays are C-contiguous and do not overlap.
 */
#ifndef MK_H
#define MK_H

#include <stddef.h>

/* activation.c */
void mk_relu_forward_f32(float *restrict y, const float *restrict x, ptrdiff_t n);
void mk_relu_backward_f32(float *restrict gx, const float *restrict gy, const float *restrict y, ptrdiff_t n);

#endif
