/* Softmax. The formulas and their references are in minicnn/ops/probability.py.
 * All arrays: (outer, C, inner), the classes in the middle. */
#include "lines.h"
#include "mk.h"

/* y = exp(x - max) / sum of that.  An infinite maximum makes NaN of infinity - infinity. */
int MK(softmax_forward)(float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)
{
    return each_line(outer, C, inner, y, x, nullptr, [](auto line, float *y, const float *x, const float *,
                                                        ptrdiff_t) {
        line.divide(y, line.exponentials(y, x, line.top(x)));
    });
}

/* gx = y (gy - sum of gy y) */
int MK(softmax_backward)(float *gx, const float *gy, const float *y, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)
{
    return each_line(outer, C, inner, gx, gy, y, [](auto line, float *gx, const float *gy, const float *y,
                                                    ptrdiff_t) {
        const vec total = line.sum_of([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            return load_lanes(gy + i, lanes) * load_lanes(y + i, lanes);
        });
        line.each([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            store_lanes(gx + i, load_lanes(y + i, lanes) * (load_lanes(gy + i, lanes) - total), lanes);
        });
    });
}

/* y = (x - max) - log of the sum of exp(x - max) */
int MK(log_softmax_forward)(float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)
{
    return each_line(outer, C, inner, y, x, nullptr, [](auto line, float *y, const float *x, const float *,
                                                        ptrdiff_t) {
        const vec top = line.top(x);
        const vec log_sum = vlog(line.sum_of([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            return vexp(line.get(x + i, lanes, -INF) - top);
        }));
        line.each([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes)
                      MK_INLINE_LAMBDA { store_lanes(y + i, (load_lanes(x + i, lanes) - top) - log_sum, lanes); });
    });
}

/* gx = gy - exp(y) sum of gy */
int MK(log_softmax_backward)(float *gx, const float *gy, const float *y, ptrdiff_t outer, ptrdiff_t C,
                             ptrdiff_t inner)
{
    return each_line(outer, C, inner, gx, gy, y, [](auto line, float *gx, const float *gy, const float *y,
                                                    ptrdiff_t) {
        const vec total = line.sum_of([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes)
                                          MK_INLINE_LAMBDA { return load_lanes(gy + i, lanes); });
        line.each([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            store_lanes(gx + i, load_lanes(gy + i, lanes) - vexp(load_lanes(y + i, lanes)) * total, lanes);
        });
    });
}
