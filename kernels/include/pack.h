/* Packing: the numbers of a matrix in the order in which the micro-kernel of tile.h reads them. */
#ifndef MK_PACK_H
#define MK_PACK_H

#include "simd.h"

namespace {

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

/* The sums of the lanes of four vectors, in lanes 0 to 3. */
MK_INLINE vec sum_each(const vec (&v)[4])
{
    vec v02 = pick(v[0], v[2], in_blocks(0, 1)) + pick(v[0], v[2], in_blocks(2, 1));
    vec v13 = pick(v[1], v[3], in_blocks(0, 1)) + pick(v[1], v[3], in_blocks(2, 1));
    vec sums = pick(v02, v13, in_blocks(0, 1)) + pick(v02, v13, in_blocks(2, 1));
#if VL == 16
    sums += pick(sums, sums, count_up(8, 1));
#endif
#if VL >= 8
    sums += pick(sums, sums, count_up(4, 1));
#endif
    return sums;
}

/* -- panels ----------------------------------------------------------------------------------------------
 * Each: to[k * W + i] = from[i * i_step + k * k_step] for i < count, zeros for the rest of W. */

enum { ROWS_AHEAD = 32, NUMBERS_AHEAD = 64 }; /* what is asked for before it is needed: strides hide it from the CPU */

template <int W>
MK_INLINE void pack_copying(float *to, const float *from, ptrdiff_t k_step, ptrdiff_t count, ptrdiff_t K)
{
    for (ptrdiff_t k = 0; k < K; k++, from += k_step, to += W)
#pragma GCC unroll 16
        for (int i = 0; i < W; i += VL) {
            __builtin_prefetch(from + ROWS_AHEAD * k_step + i);
            ptrdiff_t there = count - i < VL ? count - i : VL;
            vec v = there == VL ? load(from + i) : there > 0 ? load_first(from + i, there) : (vec){};
            if (W - i >= VL)
                store(to + i, v);
            else
                store_first(to + i, v, W % VL);
        }
}

template <int W>
MK_INLINE void pack_transposing(float *to, const float *from, ptrdiff_t i_step, ptrdiff_t count, ptrdiff_t K)
{
    for (int i = 0; i < W; i += VL)
        for (ptrdiff_t k = 0; k < K; k += VL) {
            ptrdiff_t depth = K - k < VL ? K - k : VL;
            vec rows[VL];
#pragma GCC unroll 16
            for (int r = 0; r < VL; r++) {
                if (i + r >= W || i + r >= count) {
                    rows[r] = (vec){};
                    continue;
                }
                const float *row = from + (i + r) * i_step + k;
                __builtin_prefetch(row + NUMBERS_AHEAD);
                rows[r] = depth == VL ? load(row) : load_first(row, depth);
            }
            transpose(rows);
#pragma GCC unroll 16
            for (int r = 0; r < VL; r++)
                if (r < depth) {
                    if (W - i >= VL)
                        store(to + (k + r) * W + i, rows[r]);
                    else
                        store_first(to + (k + r) * W + i, rows[r], W % VL);
                }
        }
}

template <int W>
MK_INLINE void pack(float *to, const float *from, ptrdiff_t i_step, ptrdiff_t k_step, ptrdiff_t count, ptrdiff_t K)
{
    if (i_step == 1)
        pack_copying<W>(to, from, k_step, count, K);
    else if (k_step == 1)
        pack_transposing<W>(to, from, i_step, count, K);
    else
        for (ptrdiff_t k = 0; k < K; k++)
            for (int i = 0; i < W; i++)
                to[k * W + i] = i < count ? from[i * i_step + k * k_step] : 0.0f;
}

} // namespace

#endif
