/* Losses element by element. The formulas and their references are in minicnn/ops/distance.py.
 * x, target, gx, gt, w, pos_weight: (n)  y, gy: (n), or (1) of a mean or a sum */
#include "mk.h"
#include "reducing.h"
#include "vmath.h"

namespace {

/* The losses f(i, lanes), or their mean or sum. */
template <class F>
int losses(float *y, ptrdiff_t n, int reduction, F f)
{
    if (reduction == NONE)
        return fill(y, n, f);
    float total = static_cast<float>(sum_in_parts(n, f));
    *y = reduction == MEAN ? total / static_cast<float>(n) : total; /* 0 / 0: the mean of nothing is NaN */
    return 0;
}

/* The losses f(x - target). */
template <class F>
int losses_of_difference(float *y, const float *x, const float *target, ptrdiff_t n, int reduction, F f)
{
    return losses(y, n, reduction, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
        return f(load_lanes(x + i, lanes) - load_lanes(target + i, lanes));
    });
}

/* gx = gy slope(x - target) */
template <class F>
int gradient_of_difference(float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n,
                           int reduction, F slope)
{
    Incoming g(gy, reduction, static_cast<float>(n));
    return fill(gx, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
        return g.at(i, lanes) * slope(load_lanes(x + i, lanes) - load_lanes(target + i, lanes));
    });
}

} // namespace

/* loss = |x - target| */
int MK(l1_loss_forward)(float *y, const float *x, const float *target, ptrdiff_t n, int reduction, float)
{
    return losses_of_difference(y, x, target, n, reduction, [](vec d) { return vabs(d); });
}

int MK(l1_loss_backward)(float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n,
                         int reduction, float)
{
    return gradient_of_difference(gx, gy, x, target, n, reduction,
                                  [](vec d) { return d > 0.0f ? all(1.0f) : d < 0.0f ? all(-1.0f) : d; });
}

/* loss = (x - target)^2 */
int MK(mse_loss_forward)(float *y, const float *x, const float *target, ptrdiff_t n, int reduction, float)
{
    return losses_of_difference(y, x, target, n, reduction, [](vec d) { return d * d; });
}

int MK(mse_loss_backward)(float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n,
                          int reduction, float)
{
    return gradient_of_difference(gx, gy, x, target, n, reduction, [](vec d) { return 2.0f * d; });
}

/* loss = m (|d| - m / 2),  d = x - target,  m = min(|d|, delta) */
int MK(huber_loss_forward)(float *y, const float *x, const float *target, ptrdiff_t n, int reduction, float delta)
{
    return losses_of_difference(y, x, target, n, reduction, [=](vec d) {
        vec distance = vabs(d), near = at_most(distance, delta);
        return near * (distance - 0.5f * near);
    });
}

int MK(huber_loss_backward)(float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n,
                            int reduction, float delta)
{
    return gradient_of_difference(gx, gy, x, target, n, reduction,
                                  [=](vec d) { return at_most(at_least(d, -delta), delta); });
}

/* -- yes or no -------------------------------------------------------------------------------------------- */

namespace {

/* The weights of log p and of log(1 - p). A missing weight is 1. */
struct Question {
    const float *target, *w, *pos_weight;

    static MK_INLINE_MEMBER vec weight(const float *of, ptrdiff_t i, ptrdiff_t lanes)
    {
        return of ? load_lanes(of + i, lanes) : all(1.0f);
    }
    MK_INLINE_MEMBER vec yes(ptrdiff_t i, ptrdiff_t lanes) const
    {
        return load_lanes(target + i, lanes) * weight(pos_weight, i, lanes) * weight(w, i, lanes);
    }
    MK_INLINE_MEMBER vec no(ptrdiff_t i, ptrdiff_t lanes) const
    {
        return (1.0f - load_lanes(target + i, lanes)) * weight(w, i, lanes);
    }
};

} // namespace

/* loss = yes softplus(-x) + no softplus(x) */
int MK(bce_forward)(float *y, const float *x, const float *target, const float *w, const float *pos_weight,
                    ptrdiff_t n, int reduction)
{
    Question q{target, w, pos_weight};
    return losses(y, n, reduction, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
        Softplus s = softplus(load_lanes(x + i, lanes));
        return share(q.yes(i, lanes), s.of_minus_x) + share(q.no(i, lanes), s.of_x);
    });
}

/* gx = gy (no sigmoid(x) - yes sigmoid(-x)) */
int MK(bce_backward)(float *gx, const float *gy, const float *x, const float *target, const float *w,
                     const float *pos_weight, ptrdiff_t n, int reduction)
{
    Question q{target, w, pos_weight};
    Incoming g(gy, reduction, static_cast<float>(n));
    return fill(gx, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
        Logistic s = logistic_pair(load_lanes(x + i, lanes));
        return g.at(i, lanes) * (q.no(i, lanes) * s.of_x - q.yes(i, lanes) * s.of_minus_x);
    });
}

/* The gradient of the target:  gt = gy w (pos_weight softplus(-x) - softplus(x)) */
int MK(bce_target_backward)(float *gt, const float *gy, const float *x, const float *w, const float *pos_weight,
                            ptrdiff_t n, int reduction)
{
    Incoming g(gy, reduction, static_cast<float>(n));
    return fill(gt, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
        Softplus s = softplus(load_lanes(x + i, lanes));
        vec slope = Question::weight(pos_weight, i, lanes) * s.of_minus_x - s.of_x;
        return g.at(i, lanes) * slope * Question::weight(w, i, lanes);
    });
}
