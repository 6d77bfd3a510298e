/* Exponentials, logarithms and their relatives, of vectors.
 *
 * The arguments are reduced as in Cody & Waite, "Software Manual for the Elementary Functions", 1980; on
 * the short interval that is left stands a polynomial of least relative error (Lawson's iteration, in
 * float64, then rounded). Subnormal numbers, infinities and NaN come out as IEEE 754 has them. Errors, at
 * most, in units in the last place, on every CPU level: tests/kernels/test_activation.py. */
#ifndef MK_VMATH_H
#define MK_VMATH_H

#include "simd.h"

namespace {

const float INF = __builtin_inff(), NOT_A_NUMBER = __builtin_nanf("");
const float LN2 = 0.693147181f;

MK_INLINE vec with_bits(ivec bits) { return (vec)bits; }
MK_INLINE ivec bits_of(vec v) { return (ivec)v; }
MK_INLINE vec vabs(vec x) { return with_bits(bits_of(x) & INT32_MAX); }
MK_INLINE vec with_sign_of(vec x, vec size) { return with_bits(bits_of(size) | (bits_of(x) & INT32_MIN)); }

/* min and max with a number; NaN stays NaN. */
MK_INLINE vec at_most(vec x, float high) { return all(high) < x ? all(high) : x; }
MK_INLINE vec at_least(vec x, float low) { return all(low) > x ? all(low) : x; }

template <int N>
MK_INLINE vec polynomial(vec x, const float (&c)[N]) /* c[0] + c[1] x + c[2] x^2 + ... */
{
    vec p = all(c[N - 1]);
#pragma GCC unroll 16
    for (int i = N - 2; i >= 0; i--)
        p = p * x + c[i];
    return p;
}

/* -- exponentials --------------------------------------------------------------------------------------- */

/* x = n ln 2 + r,  |r| <= ln 2 / 2 */
struct Reduced {
    vec r;
    ivec n;
};

MK_INLINE Reduced reduce(vec x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to an integer, its last bits */
    vec t = x * 1.44269504f + round, n = t - round;
    return {(x - n * 0.693359375f) + n * 2.12194440e-4f, bits_of(t) - bits_of(all(round))};
}

MK_INLINE vec exp_minus_1(vec r) /* |r| <= ln 2 / 2 */
{
    const float c[] = {0.49999997f, 0.166665435f, 0.0416672006f, 0.00836658012f, 0.00138825097f};
    return r + r * r * polynomial(r, c);
}

MK_INLINE vec two_to(ivec n) { return with_bits((n + 127) << 23); }

MK_INLINE vec exp_of(Reduced x) /* 2^n in two factors: it may lie beyond the normal numbers */
{
    ivec half = x.n >> 1;
    return (exp_minus_1(x.r) + 1.0f) * two_to(half) * two_to(x.n - half);
}

MK_INLINE vec vexp(vec x) { return exp_of(reduce(at_most(at_least(x, -104.0f), 89.0f))); }

/* exp(x) - 1 for x <= 0 */
MK_INLINE vec vexpm1_of_negative(vec x)
{
    Reduced a = reduce(at_least(x, -20.0f));
    vec s = two_to(a.n);
    return s * exp_minus_1(a.r) + (s - 1.0f);
}

/* (1 - e) / (1 + e) with e = exp(-2 |x|); where it is close to 1, as 1 less what is missing, since its slope
 * 1 - tanh^2 is made of that. */
MK_INLINE vec vtanh(vec x)
{
    vec size = vabs(x);
    Reduced a = reduce(at_least(-2.0f * size, -40.0f));
    vec s = two_to(a.n), part = s * exp_minus_1(a.r), e = part + s, missing = vabs(part + (s - 1.0f));
    return with_sign_of(x, size > 0.5f ? 1.0f - 2.0f * e / (1.0f + e) : missing / (2.0f - missing));
}

/* 1 / (1 + exp(-x)), with the digits of both tails. */
MK_INLINE vec logistic(vec x)
{
    vec e = vexp(-vabs(x));
    return (x > 0.0f ? all(1.0f) : e) / (1.0f + e);
}

/* The same of x and of -x: 1 minus the one would lose the digits of the other. */
struct Logistic {
    vec of_x, of_minus_x;
};

MK_INLINE Logistic logistic_pair(vec x)
{
    vec e = vexp(-vabs(x)), larger = 1.0f / (1.0f + e), smaller = e * larger;
    return {x > 0.0f ? larger : smaller, x > 0.0f ? smaller : larger};
}

/* -- logarithms ----------------------------------------------------------------------------------------- */

MK_INLINE vec log1p_near_0(vec f) /* ln(1 + f), |f| <= 1/3 */
{
    const float c[] = {0.333332151f,  -0.249997973f, 0.200104132f, -0.166804969f,
                       0.140057445f, -0.121841215f, 0.139851108f, -0.128923625f};
    return f + f * f * (f * polynomial(f, c) - 0.5f);
}

MK_INLINE vec vlog(vec x)
{
    ivec tiny = x < 1.17549435e-38f;
    vec y = tiny ? vabs(x) * 8388608.0f : x;               /* y = 2^n (1 + f),  2/3 <= 1 + f < 4/3 */
    ivec n = (bits_of(y) - 0x3f2aaaab) & (INT32_MIN >> 8); /* in the place of the exponent */
    vec f = with_bits(bits_of(y) - n) - 1.0f;
    vec result = __builtin_convertvector((n >> 23) + (tiny & -23), vec) * LN2 + log1p_near_0(f);
    result = x > 0.0f ? result : (x == 0.0f ? all(-INF) : all(NOT_A_NUMBER));
    return x < INF ? result : x;
}

/* ln(1 + x) for 0 <= x <= 1 */
MK_INLINE vec vlog1p_of_unit(vec x)
{
    ivec upper = x > 0.333333f; /* there 1 + x = 2 (1 + f) */
    return log1p_near_0(upper ? x * 0.5f - 0.5f : x) + (upper ? all(LN2) : (vec){});
}

/* ln(1 + exp(x)), of x and of -x. */
struct Softplus {
    vec of_x, of_minus_x;
};

MK_INLINE Softplus softplus(vec x)
{
    vec rest = vlog1p_of_unit(vexp(-vabs(x)));
    return {relu(x) + rest, relu(-x) + rest};
}

/* -- the normal distribution ---------------------------------------------------------------------------- */

struct Normal {
    vec cdf, density;
};

/* Density exp(-x^2/2) / sqrt(2 pi), and the probability to lie below x. The tail is the density times a
 * smooth function, 1 / (x + 2) times a polynomial in (x - 2) / (x + 2): Shepherd & Laframboise, "Chebyshev approximation of
 * (1 + 2x) exp(x^2) erfc x in 0 <= x < oo", Mathematics of Computation 36, 1981. */
MK_INLINE Normal normal(vec x)
{
    const float c[] = {0.672407985f,    -0.331404567f,  0.0287984088f,   0.036721915f,
                       -0.000483238313f, -0.00675365329f, -0.00189120078f, 0.000889252173f,
                       0.000726801634f,  2.66719944e-05f, -7.91784914e-05f};
    vec a = at_most(vabs(x), 15.0f); /* nothing is left beyond */
    vec head = with_bits(bits_of(a) & (INT32_MIN >> 19)); /* its square is exact */
    vec square = head * head * -0.5f, rest = (a - head) * (a + head) * -0.5f;
    vec both = square + rest;
    Reduced power = reduce(both);
    power.r += (square - both) + rest; /* what the addition lost; exp would make it large */
    vec e = exp_of(power);
    vec inverse = 1.0f / (a + 2.0f);
    vec tail = e * (inverse * polynomial((a - 2.0f) * inverse, c));
    return {x > 0.0f ? 1.0f - tail : tail, e * 0.398942280f};
}

} // namespace

#endif
