/* Functions of one number. The formulas and their references are in minicnn/ops/transcendental.py.
 * y, x, gx, gy: (n) */
#include "map.h"
#include "mk.h"
#include "vmath.h"

int MK(exp_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return vexp(x); });
}

int MK(exp_backward)(float *gx, const float *gy, const float *y, ptrdiff_t n, float, float)
{
    return map(gx, gy, y, n, [](vec gy, vec y) { return gy * y; });
}

int MK(log_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return vlog(x); });
}

/* The slope at 0 is infinite, but no gradient stays no gradient. */
int MK(log_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float, float)
{
    return map(gx, gy, x, n, [](vec gy, vec x) {
        vec steepest = gy > 0.0f ? all(INF) : gy < 0.0f ? all(-INF) : gy;
        return x == 0.0f ? steepest : gy / x;
    });
}
