/* Arithmetic of two arrays of one shape, or of an array and a number. The references are in
 * minicnn/ops/elementwise.py.   z, x, y: (n); z may be x. */
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

int MK(add_number)(float *z, const float *x, float number, ptrdiff_t n)
{
    return map(z, x, n, [=](vec x) { return x + all(number); });
}

int MK(sub_from_number)(float *z, const float *x, float number, ptrdiff_t n)
{
    return map(z, x, n, [=](vec x) { return all(number) - x; });
}

int MK(mul_number)(float *z, const float *x, float number, ptrdiff_t n)
{
    return map(z, x, n, [=](vec x) { return x * all(number); });
}
