/* Mean and variance with all their digits in one pass over memory, and what normalizations do with them. */
#ifndef MK_MOMENTS_H
#define MK_MOMENTS_H

#include "runs.h"

namespace {

enum { BLOCK = 4096 }; /* numbers whose sums are float32; all above is added in double */

MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* Count, mean, and sum of squared distances from the mean, of the numbers seen so far.
 *
 * Numbers come in blocks: their sum in double, and the squares of their distances from a shift, which is the
 * mean of what was there before. However far a block's mean lies from it, the squares lost to cancellation are
 * small against the distance between block and shift, which itself belongs to the variance: no digits are lost
 * (Chan, Golub, LeVeque 1983). */
struct Moments {
    double count = 0, mean = 0, squares = 0;

    /* n numbers x with the sums of x and of (x - shift)^2. */
    void add(ptrdiff_t n, double sum, double shift, double shifted_squares)
    {
        double own = sum / n, own_squares = shifted_squares - (own - shift) * (own - shift) * n;
        if (count == 0) { /* most runs are one block: spare them the divisions */
            *this = {static_cast<double>(n), own, own_squares};
            return;
        }
        double distance = own - mean, all = count + n;
        squares += own_squares + distance * distance * count * n / all;
        mean = (count * mean + sum) / all;
        count = all;
    }

    float variance() const
    {
        double var = count > 0 ? squares / count : 0;
        return static_cast<float>(var < 0 ? 0 : var); /* NaN stays */
    }
};

/* A shift must be finite: in infinity - infinity an overflow would look like NaN. */
MK_INLINE float as_shift(double mean)
{
    float shift = static_cast<float>(mean);
    return shift - shift == 0.0f ? shift : 0.0f;
}

MK_INLINE float inverse_deviation(float var, float eps)
{
    return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(var) + eps));
}

/* body(begin, end) for blocks of a run of n numbers. */
template <class Body>
MK_INLINE void each_block(ptrdiff_t n, Body body)
{
    for (ptrdiff_t begin = 0; begin < n; begin += BLOCK)
        body(begin, smaller(begin + BLOCK, n));
}

MK_INLINE float rough_mean(const float *x, ptrdiff_t n)
{
    TwoSums<> sums;
    sums.add(n, [&](ptrdiff_t i, auto part, vec &a, vec &) { a += part.stream(x + i); });
    return static_cast<float>(sums.first() / n);
}

/* Sums of x, and of (x - shift)^2. */
MK_INLINE TwoSums<DoubleSum> shifted_sums(const float *x, ptrdiff_t n, float shift)
{
    TwoSums<DoubleSum> sums;
    sums.add(n, [&](ptrdiff_t i, auto part, DoubleSum &a, vec &b) {
        vec v = part.stream(x + i), distance = part.keep(v - shift);
        a += v;
        b += distance * distance;
    });
    return sums;
}

/* The moments of a run. */
MK_INLINE Moments moments(const float *x, ptrdiff_t n)
{
    Moments found;
    each_block(n, [&](ptrdiff_t begin, ptrdiff_t end) {
        float shift = as_shift(found.count ? found.mean : rough_mean(x, end));
        auto sums = shifted_sums(x + begin, end - begin, shift);
        found.add(end - begin, sums.first(), shift, sums.second());
    });
    return found;
}

/* -- numbers that go with a run: the same for all of it, or one each ------------------------------------ */

struct Same {
    float value;
    template <class Part>
    MK_INLINE_MEMBER vec at(ptrdiff_t, Part) const { return all(value); }
};

struct Each {
    const float *p;
    template <class Part>
    MK_INLINE_MEMBER vec at(ptrdiff_t i, Part part) const { return part.get(p + i); }
};

struct EachOr {
    const float *p; /* or NULL */
    float otherwise;
    template <class Part>
    MK_INLINE_MEMBER vec at(ptrdiff_t i, Part part) const { return p ? part.get(p + i) : all(otherwise); }
};

MK_INLINE float number(const float *p, ptrdiff_t i, float otherwise) { return p ? p[i] : otherwise; }

/* What comes behind a normalization: nothing, the addition of another operand z, a ReLU, or both. */
template <bool ADD, bool RELU>
struct Behind {
    const float *z;
    Behind from(ptrdiff_t at) const { return {ADD ? z + at : z}; }
    template <class Part>
    MK_INLINE_MEMBER vec of(vec v, ptrdiff_t i, Part part) const
    {
        if (ADD)
            v += part.stream(z + i);
        return RELU ? relu(v) : v;
    }
};

/* The gradient that comes in from behind: all of it, or what a ReLU with the result y lets through. */
template <bool RELU>
struct Incoming {
    const float *gy, *y;
    Incoming from(ptrdiff_t at) const { return {gy + at, RELU ? y + at : y}; }
    MK_INLINE_MEMBER float operator[](ptrdiff_t i) const { return !RELU || y[i] > 0 ? gy[i] : 0; }
    template <class Part>
    MK_INLINE_MEMBER vec at(ptrdiff_t i, Part part) const
    {
        vec g = part.stream(gy + i);
        if (RELU)
            g = part.stream(y + i) > 0.0f ? g : (vec){};
        return g;
    }
    Incoming of_channel(float, float, float) const { return *this; }
};

MK_INLINE vec normalized(vec x, vec mean, vec inverse, vec w, vec b) { return (x - mean) * inverse * w + b; }

/* What a ReLU right behind the normalization lets through. Whether it was open is computed once more, as in
 * normalize(): that is cheaper than to read its result. */
struct IncomingOpen {
    const float *gy, *x;
    float mean, inverse, b;
    IncomingOpen from(ptrdiff_t at) const { return {gy + at, x + at, mean, inverse, b}; }
    IncomingOpen of_channel(float mean, float inverse, float b) const { return {gy, x, mean, inverse, b}; }
    template <class Part>
    MK_INLINE_MEMBER vec at(ptrdiff_t i, Part part) const
    {
        vec y = normalized(part.stream(x + i), all(mean), all(inverse), all(1), all(b));
        return y > 0.0f ? part.stream(gy + i) : (vec){};
    }
};

/* y = behind((x - mean) * inverse * w + b).   y, x: (n)
 * The mean goes first: in x·w + (b - mean·w) the digits of a small x - mean would be lost. */
template <class Mean, class Inverse, class Weight, class Bias, class Then = Behind<false, false>>
MK_INLINE void normalize(float *y, const float *x, ptrdiff_t n, Mean mean, Inverse inverse, Weight w, Bias b,
                         Then behind = {})
{
    each_vector(n, [&](ptrdiff_t i, auto part) {
        vec v = part.stream(x + i);
        v = normalized(v, mean.at(i, part), inverse.at(i, part), w.at(i, part), b.at(i, part));
        part.put(y + i, behind.of(v, i, part));
    });
}

/* gx = inverse * (g * w - mean_g - (x - mean) * slope), slope = mean(g · x̂) * inverse, g the gradient that comes
 * in.   gx, x: (n) */
template <class From, class Mean, class Weight, class MeanG, class Slope, class Inverse>
MK_INLINE void gradient(float *gx, From incoming, const float *x, ptrdiff_t n, Mean mean, Weight w, MeanG mean_g,
                        Slope slope, Inverse inverse)
{
    each_vector(n, [&](ptrdiff_t i, auto part) {
        vec centred = part.stream(x + i) - mean.at(i, part);
        vec g = incoming.at(i, part) * w.at(i, part) - mean_g.at(i, part) - centred * slope.at(i, part);
        part.put(gx + i, inverse.at(i, part) * g);
    });
}

} // namespace

#endif
