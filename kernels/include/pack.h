/* Packing: the numbers of a matrix in the order in which the micro-kernel of tile.h reads them. */
#ifndef MK_PACK_H
#define MK_PACK_H

#include "simd.h"

namespace {

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
