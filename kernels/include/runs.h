/* Runs of numbers in memory, vector by vector: what is done to each, and sums over them. */
#ifndef MK_RUNS_H
#define MK_RUNS_H

#include "simd.h"

/* After the parameters of a lambda on a hot path: only when it is inlined do its captures become registers. */
#define MK_INLINE_LAMBDA __attribute__((always_inline))

namespace {

/* A vector of a run: a whole one, or the n < VL numbers at the run's end. */
struct Whole {
    MK_INLINE_MEMBER vec get(const float *p) const { return load(p); }
    MK_INLINE_MEMBER vec stream(const float *p) const
    {
        __builtin_prefetch(p + 512);
        return load(p);
    }
    MK_INLINE_MEMBER void put(float *p, vec v) const { store(p, v); }
    MK_INLINE_MEMBER vec keep(vec v) const { return v; }
};

struct Rest {
    ptrdiff_t n;
    MK_INLINE_MEMBER vec get(const float *p) const { return load_first(p, n); }
    MK_INLINE_MEMBER vec stream(const float *p) const { return load_first(p, n); }
    MK_INLINE_MEMBER void put(float *p, vec v) const { store_first(p, v, n); }
    MK_INLINE_MEMBER vec keep(vec v) const { return count_up(0, 1) < (int32_t)n ? v : (vec){}; }
};

/* Asks for what a stream of numbers read from p on needs 2 KiB later: as many cache lines as so many vectors
 * are. What the CPU itself fetches ahead of a simple loop gives half of the speed, and less where runs are short. */
MK_INLINE void prefetch(const float *p, int vectors)
{
#pragma GCC unroll 4
    for (int k = 0; k < vectors * VL; k += 16)
        __builtin_prefetch(p + 512 + k);
}

/* At most VL of the n numbers that are left of a run; n may be negative. Zeros stand for those that are not. */
MK_INLINE vec load_some(const float *p, ptrdiff_t n)
{
    return n >= VL ? load(p) : n > 0 ? load_first(p, n) : (vec){};
}

MK_INLINE void store_some(float *p, vec v, ptrdiff_t n)
{
    if (n >= VL)
        store(p, v);
    else if (n > 0)
        store_first(p, v, n);
}

/* The same with another number in place of the zeros. */
MK_INLINE vec load_filled(const float *p, ptrdiff_t n, float fill)
{
    return n >= VL ? load(p) : count_up(0, 1) < (int32_t)n ? load_some(p, n) : all(fill);
}

/* body(i, part) for every vector of a run of n numbers. */
template <class Body>
MK_INLINE void each_vector(ptrdiff_t n, Body body)
{
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL)
        body(i, Whole{});
    if (i < n)
        body(i, Rest{n - i});
}

MK_INLINE void set_run(float *to, ptrdiff_t n, float value)
{
    each_vector(n, [&](ptrdiff_t i, auto part) { part.put(to + i, all(value)); });
}

typedef double wide __attribute__((vector_size(4 * VL)));
typedef int64_t wide_index __attribute__((vector_size(4 * VL)));

/* The lower and the upper half of a vector in double precision. The compilers' own conversion makes four
 * pieces of it for AVX-512; the mask that keeps all lanes spares a warning about undefined ones. */
MK_INLINE void widen(vec v, wide &low, wide &high)
{
#if VL == 16
    low = (wide)_mm512_maskz_cvtps_pd(0xff, (__m256)__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7));
    high = (wide)_mm512_maskz_cvtps_pd(0xff, (__m256)__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
#elif VL == 8
    low = (wide)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
    high = (wide)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#else
    low = (wide){v[0], v[1]};
    high = (wide){v[2], v[3]};
#endif
}

/* Lane 0: the sum of the lanes, by halves. */
template <int HALF>
MK_INLINE vec fold(vec v)
{
    v += pick(v, v, count_up(HALF, 1));
    if constexpr (HALF > 1)
        return fold<HALF / 2>(v);
    return v;
}

template <int HALF>
MK_INLINE wide fold(wide v)
{
    wide_index other = {};
#pragma GCC unroll 8
    for (int i = 0; i < VL / 2; i++)
        other[i] = i ^ HALF;
    v += __builtin_shuffle(v, other);
    if constexpr (HALF > 1)
        return fold<HALF / 2>(v);
    return v;
}

/* A sum of vectors in double precision. */
struct DoubleSum {
    wide low = {}, high = {};

    MK_INLINE_MEMBER DoubleSum &operator+=(vec v)
    {
        wide v_low, v_high;
        widen(v, v_low, v_high);
        low += v_low;
        high += v_high;
        return *this;
    }

    MK_INLINE_MEMBER DoubleSum &operator+=(const DoubleSum &other)
    {
        low += other.low;
        high += other.high;
        return *this;
    }

    double total() const { return fold<VL / 4>(low + high)[0]; }
};

MK_INLINE double total(const vec (&v)[4]) { return fold<VL / 2>((v[0] + v[1]) + (v[2] + v[3]))[0]; }

MK_INLINE double total(const DoubleSum (&s)[4])
{
    DoubleSum all = s[0];
    for (int k = 1; k < 4; k++)
        all += s[k];
    return all.total();
}

/* Two sums over runs: vectors in single precision, the first one a DoubleSum if so wished. Four of each, for
 * the CPU adds faster than one sum can follow. */
template <class First = vec>
struct TwoSums {
    First a[4] = {};
    vec b[4] = {};

    /* body(i, part, a, b) adds its vector to a and b. */
    template <class Body>
    MK_INLINE_MEMBER void add(ptrdiff_t n, Body body)
    {
        ptrdiff_t i = 0;
        for (; i + 4 * VL <= n; i += 4 * VL)
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                body(i + k * VL, Whole{}, a[k], b[k]);
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++)
            if (i + VL <= n) {
                body(i, Whole{}, a[k], b[k]);
                i += VL;
            }
        if (i < n)
            body(i, Rest{n - i}, a[3], b[3]);
    }

    MK_INLINE_MEMBER double first() const { return total(a); }
    MK_INLINE_MEMBER double second() const { return total(b); }
};

/* The sum of f(begin), ..., f(end - 1). */
template <class F>
MK_INLINE auto sum_of(ptrdiff_t begin, ptrdiff_t end, F f)
{
    decltype(f(begin)) total = {};
    for (ptrdiff_t k = begin; k < end; k++)
        total += f(k);
    return total;
}

/* The sum of f(0), ..., f(n - 1): long ones in chains. */
template <class F>
MK_INLINE auto sum_in_chains(ptrdiff_t n, F f)
{
    if (__builtin_expect(n <= 2 * CHAIN, 1))
        return sum_of(0, n, f);
    decltype(f(n)) total = {};
    for (ptrdiff_t k = 0; k < n; k += CHAIN)
        total += sum_of(k, n - k < CHAIN ? n : k + CHAIN, f);
    return total;
}

/* The sums of VL vectors, one in each lane. */
MK_INLINE vec sums_of(vec *v)
{
#pragma GCC unroll 4
    for (int count = VL / 2; count; count /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            v[i] = evens(v[2 * i], v[2 * i + 1]) + odds(v[2 * i], v[2 * i + 1]);
    return v[0];
}

} // namespace

#endif
