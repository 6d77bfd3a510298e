/* The one page of vectors: `vec`, as many floats as the CPU level's registers hold, and what kernels do to it.
 *
 * The compilers' own vector types carry the operators; what they have no operator for stands here. The
 * same code is compiled for AVX-512 (16 floats), AVX2 (8), and the baseline, SSE2 or NEON (4). */
#ifndef MK_SIMD_H
#define MK_SIMD_H

#include <stddef.h>
#include <stdint.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif

typedef float vec __attribute__((vector_size(4 * VL)));
typedef int32_t ivec __attribute__((vector_size(4 * VL)));
typedef float loose_vec __attribute__((vector_size(4 * VL), aligned(4), may_alias));

#define MK_INLINE static inline __attribute__((always_inline))
#define MK_INLINE_MEMBER inline __attribute__((always_inline))
#define MK_INLINE_LAMBDA __attribute__((always_inline))

MK_INLINE ivec count_up(int start, int step)
{
    ivec index = {};
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        index[i] = start + i * step;
    return index;
}

MK_INLINE vec load(const float *p) { return *(const loose_vec *)p; }
MK_INLINE void store(float *p, vec v) { *(loose_vec *)p = v; }
MK_INLINE vec all(float x) { return x - (vec){}; } /* x - 0 = x, also for -0 */

/* The first n < VL floats, zeros behind them; nothing beyond them is touched. */
MK_INLINE vec load_first(const float *p, ptrdiff_t n)
{
#if VL == 16
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif VL == 8
    const ivec lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return (vec)_mm256_maskload_ps(p, (__m256i)(lane < (int32_t)n));
#else
    return n > 2 ? (vec){p[0], p[1], p[2]} : n > 1 ? (vec){p[0], p[1]} : n > 0 ? (vec){p[0]} : (vec){};
#endif
}

/* Some lanes of a vector: `begin` to `end`, which may lie outside of it. */
struct Lanes {
#if VL == 16
    __mmask16 mask;
#elif VL == 8
    ivec mask;
#else
    ptrdiff_t begin, end;
#endif
};

MK_INLINE Lanes lanes_between(ptrdiff_t begin, ptrdiff_t end)
{
    begin = begin < 0 ? 0 : begin > VL ? VL : begin;
    end = end < begin ? begin : end > VL ? VL : end;
#if VL == 16
    return {(__mmask16)((1u << end) - (1u << begin))};
#elif VL == 8
    const ivec lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return {(lane >= (int32_t)begin) & (lane < (int32_t)end)};
#else
    return {begin, end};
#endif
}

/* Zeros in the other lanes; nothing of them is touched. */
MK_INLINE vec load_lanes(const float *p, Lanes lanes)
{
#if VL == 16
    return (vec)_mm512_maskz_loadu_ps(lanes.mask, p);
#elif VL == 8
    return (vec)_mm256_maskload_ps(p, (__m256i)lanes.mask);
#else
    if (lanes.begin == 0 && lanes.end == VL)
        return load(p);
    vec v = {};
#pragma GCC unroll 4
    for (int i = 0; i < VL; i++)
        if (i >= lanes.begin && i < lanes.end)
            v[i] = p[i];
    return v;
#endif
}

/* The same with other numbers in place of the zeros. */
MK_INLINE vec load_lanes(const float *p, Lanes lanes, vec others)
{
#if VL == 16
    return (vec)_mm512_mask_loadu_ps((__m512)others, lanes.mask, p);
#elif VL == 8
    return lanes.mask ? load_lanes(p, lanes) : others;
#else
    const ivec lane = count_up(0, 1);
    return (lane >= (int32_t)lanes.begin) & (lane < (int32_t)lanes.end) ? load_lanes(p, lanes) : others;
#endif
}

MK_INLINE void store_first(float *p, vec v, ptrdiff_t n)
{
#if VL == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif VL == 8
    const ivec lane = {0, 1, 2, 3, 4, 5, 6, 7};
    _mm256_maskstore_ps(p, (__m256i)(lane < (int32_t)n), (__m256)v);
#else
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = v[i];
#endif
}

/* VL / 2 floats from, and to, each of two places. */
MK_INLINE vec load_halves(const float *p, const float *q)
{
#if VL == 16
    return (vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(q), 1);
#elif VL == 8
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
#else
    return (vec){p[0], p[1], q[0], q[1]};
#endif
}

typedef float loose_half_vec __attribute__((vector_size(2 * VL), aligned(4), may_alias));

MK_INLINE void store_halves(float *p, float *q, vec v)
{
    union {
        vec whole;
        loose_half_vec half[2];
    } parts;
    parts.whole = v;
    *(loose_half_vec *)p = parts.half[0];
    *(loose_half_vec *)q = parts.half[1];
}

/* VL bytes as numbers; the compilers' own conversion goes one by one. */
MK_INLINE vec load_bytes(const uint8_t *p)
{
#if VL == 16
    ivec v = (ivec)_mm512_maskz_cvtepu8_epi32((__mmask16)-1, _mm_loadu_si128((const __m128i *)p));
    return __builtin_convertvector(v, vec);
#elif VL == 8
    ivec v = (ivec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    return __builtin_convertvector(v, vec);
#else
    vec v = {};
    for (int i = 0; i < VL; i++)
        v[i] = p[i];
    return v;
#endif
}

/* The first n <= VL bytes as integers, zeros behind them, and back. */
MK_INLINE ivec load_bytes_first(const uint8_t *p, ptrdiff_t n)
{
#if VL == 16
    return (ivec)_mm512_maskz_cvtepu8_epi32((__mmask16)-1, _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
#else
    uint64_t bits = 0;
    if (n == VL)
        __builtin_memcpy(&bits, p, VL);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            bits |= (uint64_t)p[i] << 8 * i;
#if VL == 8
    return (ivec)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bits));
#else
    const int32_t low = (int32_t)bits;
    return (ivec){low & 255, low >> 8 & 255, low >> 16 & 255, low >> 24 & 255};
#endif
#endif
}

/* Bytes of an array of `size` from `at` on, as integers; other lanes hold anything. Nothing outside is touched. */
MK_INLINE ivec load_bytes_lanes(const uint8_t *array, ptrdiff_t size, ptrdiff_t at, Lanes lanes)
{
#if VL == 16
    (void)size;
    return (ivec)_mm512_maskz_cvtepu8_epi32((__mmask16)-1, _mm_maskz_loadu_epi8(lanes.mask, array + at));
#else
    (void)lanes;
    if (__builtin_expect(at >= 0 && at + VL <= size, 1))
        return load_bytes_first(array + at, VL);
    uint8_t bytes[VL] = {};
    for (ptrdiff_t i = 0; i < VL; i++)
        if (at + i >= 0 && at + i < size)
            bytes[i] = array[at + i];
    return load_bytes_first(bytes, VL);
#endif
}

MK_INLINE void store_bytes_first(uint8_t *p, ivec v, ptrdiff_t n)
{
#if VL == 16
    const __m128i bytes = _mm512_maskz_cvtepi32_epi8((__mmask16)-1, (__m512i)v); /* its store of parts is slow */
    if (n == VL)
        _mm_storeu_si128((__m128i *)p, bytes);
    else
        _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), bytes);
#else
#if VL == 8
    const __m256i firsts = _mm256_set_epi64x(-1, 0x0c080400, -1, 0x0c080400);
    const __m256i packed = _mm256_shuffle_epi8((__m256i)v, firsts);
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
    const uint64_t bits = (uint64_t)_mm_cvtsi128_si64(both);
#else
    const uint64_t bits = (uint32_t)(v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24);
#endif
    if (n == VL)
        __builtin_memcpy(p, &bits, VL);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            p[i] = (uint8_t)(bits >> 8 * i);
#endif
}

/* max(v, 0) that keeps NaN and turns -0 into 0, as the reference does. */
MK_INLINE vec relu(vec v) { return v <= 0.0f ? (vec){} : v; }
MK_INLINE vec vmax(vec a, vec b) { return a > b ? a : b; }

/* The sum of the lanes, by halves. */
MK_INLINE float sum(vec v)
{
    float s[VL];
    store(s, v);
#pragma GCC unroll 4
    for (int half = VL / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            s[i] += s[i + half];
    return s[0];
}

/* The error of a sum in single precision grows with its length. So long ones are cut into chains of so many additions,
 * the last of up to twice as many, and the results of the chains are added up. */
enum { CHAIN = 128 };

/* -- shuffles of two vectors, seen as one row of 2 VL numbers ------------------------------------------ */

MK_INLINE vec pick(vec a, vec b, ivec index) { return __builtin_shuffle(a, b, index); }

MK_INLINE vec evens(vec a, vec b) { return pick(a, b, count_up(0, 2)); }
MK_INLINE vec odds(vec a, vec b) { return pick(a, b, count_up(1, 2)); }

/* a0 b0 a1 b1 ..., the lower and the upper half of it. */
MK_INLINE ivec zip(int start)
{
    ivec index = {};
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        index[i] = start + i / 2 + (i % 2) * VL;
    return index;
}
MK_INLINE vec zip_low(vec a, vec b) { return pick(a, b, zip(0)); }
MK_INLINE vec zip_high(vec a, vec b) { return pick(a, b, zip(VL / 2)); }

/* -- transposing VL x VL numbers -------------------------------------------------------------------------
 * Vectors are seen as blocks of 4 numbers, which is what shuffles can move about cheaply: first 4 x 4
 * numbers are transposed inside of the blocks, then the blocks among each other. */

/* Of each block, numbers `first` and up of a and b in turn, `run` at a time: a0 b0 a1 b1, or a0 a1 b0 b1. */
MK_INLINE ivec in_blocks(int first, int run)
{
    ivec index = {};
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) {
        int at = i % 4, turn = at / run;
        index[i] = i / 4 * 4 + first + turn / 2 * run + at % run + turn % 2 * VL;
    }
    return index;
}

/* Every second block of a, then of b. */
MK_INLINE ivec of_blocks(int first)
{
    ivec index = {};
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        index[i] = (i / 4 * 2 + first) * 4 + i % 4;
    return index;
}

/* Lane j of vector i becomes lane i of vector j. */
MK_INLINE void transpose(vec (&rows)[VL])
{
    vec half[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i += 4) { /* half: numbers 0, 1, 2, 3 of rows i .. i+3, in blocks */
        vec low01 = pick(rows[i], rows[i + 1], in_blocks(0, 1)), high01 = pick(rows[i], rows[i + 1], in_blocks(2, 1));
        vec low23 = pick(rows[i + 2], rows[i + 3], in_blocks(0, 1));
        vec high23 = pick(rows[i + 2], rows[i + 3], in_blocks(2, 1));
        half[i] = pick(low01, low23, in_blocks(0, 2));
        half[i + 1] = pick(low01, low23, in_blocks(2, 2));
        half[i + 2] = pick(high01, high23, in_blocks(0, 2));
        half[i + 3] = pick(high01, high23, in_blocks(2, 2));
    }
#if VL == 4
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++)
        rows[i] = half[i];
#elif VL == 8
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        rows[i] = pick(half[i], half[i + 4], of_blocks(0));
        rows[i + 4] = pick(half[i], half[i + 4], of_blocks(1));
    }
#else
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        vec even01 = pick(half[i], half[i + 4], of_blocks(0)), even23 = pick(half[i + 8], half[i + 12], of_blocks(0));
        vec odd01 = pick(half[i], half[i + 4], of_blocks(1)), odd23 = pick(half[i + 8], half[i + 12], of_blocks(1));
        rows[i] = pick(even01, even23, of_blocks(0));
        rows[i + 4] = pick(odd01, odd23, of_blocks(0));
        rows[i + 8] = pick(even01, even23, of_blocks(1));
        rows[i + 12] = pick(odd01, odd23, of_blocks(1));
    }
#endif
}

#endif
