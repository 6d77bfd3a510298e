/* Arithmetic of two arrays of one shape. The references are in minicnn/ops/elementwise.py.
 * z, x, y: (n); z may be x. */
#include "map.h"
#include "mk.h"

int MK(add)(float *z, const float *x, const float *y, ptrdiff_t n)
{
    return map(z, x, y, n, [](vec x, vec y) { return x + y; });
}

int MK(sub)(float *z, const float *x, const float *y, ptrdiff_t n)
{
    return map(z, x, y, n, [](vec x, vec y) { return x - y; });
}

int MK(mul)(float *z, const float *x, const float *y, ptrdiff_t n)
{
    return map(z, x, y, n, [](vec x, vec y) { return x * y; });
}
