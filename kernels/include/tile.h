/* The micro-kernel: a tile of M rows x V vectors of a product, held in registers and summed over k.
 *
 *     c[i][j] += sum over k of  a[k][i] * b[k][j]
 *
 * One number of a is spread over a register and meets V vectors of row k of b. Dense products, Winograd's
 * products and direct convolution are this one loop: they differ in where the numbers of a and b lie. */
#ifndef MK_TILE_H
#define MK_TILE_H

#include "simd.h"

#if VL == 16 /* 32 registers: 24 sums, 2 of b, 1 of a */
enum { MR = 12, MR_SMALL = 8 };
#else        /* 16 registers: 12 sums, 2 of b, 1 of a */
enum { MR = 6, MR_SMALL = 4 };
#endif
enum { NV = 2, NR = NV * VL };

enum { AHEAD = 1024 }; /* how many numbers of a are asked for ahead of their use: the next panel's, in the end */

/* Where a[k][i] and row k of b lie: at fixed distances, or where a table of offsets says. */
struct EvenColumns {
    const float *a;
    ptrdiff_t k_step, i_step;
    MK_INLINE_MEMBER float operator()(ptrdiff_t k, int i) const { return a[k * k_step + i * i_step]; }
    MK_INLINE_MEMBER void prefetch(ptrdiff_t k) const { __builtin_prefetch(a + k * k_step + AHEAD); }
};

struct OffsetColumns {
    const float *a;
    const ptrdiff_t *offsets;
    MK_INLINE_MEMBER float operator()(ptrdiff_t k, int i) const { return a[k + offsets[i]]; }
    MK_INLINE_MEMBER void prefetch(ptrdiff_t) const {} /* neighbours: the processor sees for itself */
};

struct EvenRows {
    const float *b;
    ptrdiff_t step;
    MK_INLINE_MEMBER const float *operator()(ptrdiff_t k) const { return b + k * step; }
};

struct OffsetRows {
    const float *b;
    const ptrdiff_t *offsets;
    MK_INLINE_MEMBER const float *operator()(ptrdiff_t k) const { return b + offsets[k]; }
};

/* Where vector j of a row of b lies: `gap` numbers behind vector j - 1, or at a place of its own. */
MK_INLINE ptrdiff_t place(ptrdiff_t gap, int j) { return j * gap; }

template <int V>
MK_INLINE ptrdiff_t place(const ptrdiff_t (&places)[V], int j)
{
    return places[j];
}

/* sums += the products of k = begin, ..., end - 1. */
template <int M, int V, class Columns, class Rows, class Places>
MK_INLINE void accumulate(vec (&sums)[M][V], Columns a, Rows rows, const Places &places, ptrdiff_t begin,
                          ptrdiff_t end)
{
    for (ptrdiff_t k = begin; k < end; k++) {
        const float *row = rows(k);
        a.prefetch(k);
        vec b[V];
#pragma GCC unroll 4
        for (int j = 0; j < V; j++)
            b[j] = load(row + place(places, j));
#pragma GCC unroll 16
        for (int i = 0; i < M; i++)
#pragma GCC unroll 4
            for (int j = 0; j < V; j++)
                sums[i][j] += all(a(k, i)) * b[j];
    }
}

template <int M, int V, class Columns, class Rows, class Places>
MK_INLINE void accumulate(vec (&sums)[M][V], Columns a, Rows rows, const Places &places, ptrdiff_t K)
{
    accumulate(sums, a, rows, places, 0, K);
}

/* Products of two vectors: the sum over k is then the sum over the lanes of sums[i][j]. */
template <int M, int V, class Rows, class Columns>
MK_INLINE void accumulate_lanes(vec (&sums)[M][V], Rows a, Columns b)
{
    vec left[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
        left[i] = a(i);
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
        vec right = b(j);
#pragma GCC unroll 4
        for (int i = 0; i < M; i++)
            sums[i][j] += left[i] * right;
    }
}

template <int M, int V>
MK_INLINE void clear_tile(vec (&sums)[M][V])
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++)
            sums[i][j] = (vec){};
}

/* c[i][j] at to + i * step + j * VL. */
template <int M, int V>
MK_INLINE void load_tile(vec (&sums)[M][V], const float *from, ptrdiff_t step)
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++)
            sums[i][j] = load(from + i * step + j * VL);
}

template <int M, int V>
MK_INLINE void store_tile(float *to, ptrdiff_t step, const vec (&sums)[M][V])
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++)
            store(to + i * step + j * VL, sums[i][j]);
}

template <int M, int V>
MK_INLINE void add_tile(float *to, ptrdiff_t step, const vec (&sums)[M][V])
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) {
            float *place = to + i * step + j * VL;
            store(place, load(place) + sums[i][j]);
        }
}

/* The same for any K: long sums are cut into chains. */
template <int M, int V, class Columns, class Rows, class Places>
MK_INLINE void accumulate_in_chains(vec (&sums)[M][V], Columns a, Rows rows, const Places &places, ptrdiff_t K)
{
    if (__builtin_expect(K <= 2 * CHAIN, 1))
        return accumulate(sums, a, rows, places, 0, K);
    float total[M * V * VL];
    store_tile(total, V * VL, sums);
    for (ptrdiff_t k = 0, end; k < K; k = end) {
        end = K - k > 2 * CHAIN ? k + CHAIN : K;
        vec chain[M][V] = {};
        accumulate(chain, a, rows, places, k, end);
        add_tile(total, V * VL, chain);
    }
    load_tile(sums, total, V * VL);
}

/* The rows of a product in panels of MR, or MR_SMALL where that wastes less; the last may be padded. */
template <int M>
struct Panel {
    static constexpr int rows = M;
    ptrdiff_t first;
};

MK_INLINE bool small_panel(ptrdiff_t rest) { return rest <= MR_SMALL || rest == 2 * MR_SMALL; }

template <class Body>
MK_INLINE void each_panel(ptrdiff_t rows, Body body)
{
    for (ptrdiff_t i = 0; i < rows;)
        if (small_panel(rows - i)) {
            body(Panel<MR_SMALL>{i});
            i += MR_SMALL;
        } else {
            body(Panel<MR>{i});
            i += MR;
        }
}

MK_INLINE ptrdiff_t panel_rows(ptrdiff_t rows) /* rows with the padding of the last panel */
{
    ptrdiff_t i = 0;
    while (i < rows)
        i += small_panel(rows - i) ? MR_SMALL : MR;
    return i;
}

/* The same panels by their numbers: `whole` ones of MR rows, then up to two of MR_SMALL. */
struct RowPanels {
    ptrdiff_t whole = 0, count = 0;

    explicit RowPanels(ptrdiff_t rows)
    {
        each_panel(rows, [&](auto panel) {
            whole += panel.rows == MR;
            count++;
        });
    }

    ptrdiff_t first(ptrdiff_t panel) const /* row; of panel `count`: all rows with the padding */
    {
        return panel <= whole ? panel * MR : whole * MR + (panel - whole) * MR_SMALL;
    }

    template <class Body>
    MK_INLINE_MEMBER void each(ptrdiff_t begin, ptrdiff_t end, Body body) const
    {
        for (ptrdiff_t panel = begin; panel < end; panel++)
            if (panel < whole)
                body(Panel<MR>{first(panel)});
            else
                body(Panel<MR_SMALL>{first(panel)});
    }
};

#endif
