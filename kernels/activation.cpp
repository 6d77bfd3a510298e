/* Activations. The formulas and their references are in minicnn/ops/activation.py and gates.py.
 * y, x, gx, gy, saved: (n).  saved is what forward saved: x or y, as the parameter's name says. */
#include "map.h"
#include "mk.h"
#include "vmath.h"

namespace {

MK_INLINE vec below_0(vec x) { return x > 0.0f ? (vec){} : x; } /* min(x, 0) that keeps NaN */

MK_INLINE vec above_minus_infinity(vec x) { return at_least(x, -3.40282347e38f); } /* so that 0 x = 0 */

} // namespace

/* -- piecewise linear: gradients are chosen, not multiplied by 0 and 1, as 0 times infinity is NaN ---------- */

/* y = max(x, 0), 0 for -0 */
int MK(relu_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return relu(x); });
}

int MK(relu_backward)(float *gx, const float *gy, const float *y, ptrdiff_t n, float, float)
{
    return map(gx, gy, y, n, [](vec gy, vec y) { return y > 0.0f ? gy : (vec){}; });
}

/* y = max(x, 0) + slope min(x, 0) */
int MK(leaky_relu_forward)(float *y, const float *x, ptrdiff_t n, float slope, float)
{
    return map(y, x, n, [=](vec x) { return relu(x) + slope * below_0(x); });
}

int MK(leaky_relu_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float slope, float)
{
    return map(gx, gy, x, n, [=](vec gy, vec x) { return x > 0.0f ? gy : gy * slope; });
}

/* y = min(max(x, low), high) */
int MK(hardtanh_forward)(float *y, const float *x, ptrdiff_t n, float low, float high)
{
    return map(y, x, n, [=](vec x) { return at_most(at_least(x, low), high); });
}

int MK(hardtanh_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float low, float high)
{
    return map(gx, gy, x, n, [=](vec gy, vec x) { return (x > low) & (x < high) ? gy : (vec){}; });
}

/* -- smooth ---------------------------------------------------------------------------------------------- */

/* y = max(x, 0) + alpha (exp(min(x, 0)) - 1) */
int MK(elu_forward)(float *y, const float *x, ptrdiff_t n, float alpha, float)
{
    return map(y, x, n, [=](vec x) { return relu(x) + alpha * vexpm1_of_negative(below_0(x)); });
}

int MK(elu_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float alpha, float)
{
    return map(gx, gy, x, n,
               [=](vec gy, vec x) { return gy * (x > 0.0f ? all(1.0f) : alpha * vexp(below_0(x))); });
}

/* y = 1 / (1 + exp(-x)) */
int MK(sigmoid_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return logistic(x); });
}

int MK(sigmoid_backward)(float *gx, const float *gy, const float *y, ptrdiff_t n, float, float)
{
    return map(gx, gy, y, n, [](vec gy, vec y) { return gy * (y * (1.0f - y)); });
}

int MK(tanh_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return vtanh(x); });
}

int MK(tanh_backward)(float *gx, const float *gy, const float *y, ptrdiff_t n, float, float)
{
    return map(gx, gy, y, n, [](vec gy, vec y) { return gy * ((1.0f - y) * (1.0f + y)); });
}

/* y = log(1 + exp(beta x)) / beta, or x beyond the threshold; clipped to where it matters */
int MK(softplus_forward)(float *y, const float *x, ptrdiff_t n, float beta, float threshold)
{
    float limit = threshold / beta, low = -1e4f / beta, high = limit > 0.0f ? limit : 0.0f;
    return map(y, x, n, [=](vec x) {
        return x > limit ? x : softplus(at_most(at_least(x, low), high) * beta).of_x / beta;
    });
}

int MK(softplus_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float beta, float threshold)
{
    float limit = threshold / beta, low = -1e4f / beta, high = limit > 0.0f ? limit : 0.0f;
    return map(gx, gy, x, n, [=](vec gy, vec x) {
        return gy * (x > limit ? all(1.0f) : logistic(at_most(at_least(x, low), high) * beta));
    });
}

/* -- with a gate ------------------------------------------------------------------------------------------ */

/* y = x sigmoid(x) */
int MK(silu_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return above_minus_infinity(x) * logistic(x); });
}

int MK(silu_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float, float)
{
    return map(gx, gy, x, n, [](vec gy, vec x) {
        x = at_most(at_least(x, -1e3f), 1e3f); /* flat beyond; 0 times infinity is avoided */
        Logistic s = logistic_pair(x);
        return gy * (s.of_x * (1.0f + x * s.of_minus_x));
    });
}

/* y = x Phi(x) */
int MK(gelu_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) { return above_minus_infinity(x) * normal(x).cdf; });
}

int MK(gelu_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float, float)
{
    return map(gx, gy, x, n, [](vec gy, vec x) {
        x = at_most(at_least(x, -40.0f), 40.0f);
        Normal at_x = normal(x);
        return gy * (at_x.cdf + x * at_x.density);
    });
}

/* y = x sigmoid(2 u),  2 u = sqrt(8 / pi) (x + 0.044715 x^3) */
int MK(gelu_tanh_forward)(float *y, const float *x, ptrdiff_t n, float, float)
{
    return map(y, x, n, [](vec x) {
        vec z = at_most(at_least(x, -40.0f), 40.0f);
        return above_minus_infinity(x) * logistic(1.59576912f * z * (1.0f + 0.044715f * z * z));
    });
}

int MK(gelu_tanh_backward)(float *gx, const float *gy, const float *x, ptrdiff_t n, float, float)
{
    return map(gx, gy, x, n, [](vec gy, vec x) {
        x = at_most(at_least(x, -40.0f), 40.0f);
        Logistic s = logistic_pair(1.59576912f * x * (1.0f + 0.044715f * x * x));
        vec slope = s.of_x * s.of_minus_x * (1.59576912f * (1.0f + 0.134145f * x * x));
        return gy * (s.of_x + x * slope);
    });
}
