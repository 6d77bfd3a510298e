/* Dense products, C = A B + bias: for any strides of A and B, so that transposes need no copies.
 *
 * Both operands are packed, A into panels of MR rows, B into panels of NR columns, in the order in which the
 * micro-kernel reads them; then tiles of C are computed. K is cut into slices, so that what is packed stays in
 * the caches. How all is cut depends on the shapes only, and each number of C is summed slice after slice: the
 * threads change nothing. Products of few rows are computed without packing.
 *
 * Goto & van de Geijn, "Anatomy of high-performance matrix multiplication", 2008. */
#include "mk.h"
#include "pack.h"
#include "parallel.h"
#include "tile.h"

namespace {

enum {
    SLICE = 512,                                     /* of K */
    PACKED_PANELS = 2,                               /* of A: what a task packs */
    TILE_PANELS = 12, TILE_COLUMNS = 4 * NR,         /* of C, at most: what a task computes */
    BLOCK_ROWS = 2160, BLOCK_COLUMNS = 2048,         /* of C, at most: what is computed at once */
    WHOLE = 1 << 20,                                 /* operands of up to so many numbers are packed as a whole */
    FEW_ROWS = 4,                                    /* of C, at most: their operands need no packing */
    SHARED_WORK = 1 << 18,                           /* multiplications; fewer are not worth a second thread */
};
static_assert(BLOCK_ROWS % MR == 0 && BLOCK_COLUMNS % NR == 0 && SLICE % VL == 0, "only last panels are padded");

MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }

/* n in equal shares of at most `most`, each a multiple of `unit`. */
MK_INLINE ptrdiff_t share(ptrdiff_t n, ptrdiff_t most, ptrdiff_t unit)
{
    return round_up(ceil_div(n, ceil_div(n, most)), unit);
}

/* body(task) for all tasks, shared with the other threads or not. */
template <class Body>
MK_INLINE void each(ptrdiff_t tasks, bool alone, const Body &body)
{
    if (alone)
        for (ptrdiff_t i = 0; i < tasks; i++)
            body(i);
    else
        parallel(tasks, 0, [&](ptrdiff_t i, float *) { body(i); });
}

/* A: (m, k), B: (k, n) */
struct Product {
    mk_matrix a, b;
    ptrdiff_t m, n, k;
};

/* -- what becomes of the sums ------------------------------------------------------------------------------- */

struct Result {
    float *c;
    ptrdiff_t step;                      /* from row to row */
    const float *row_bias, *column_bias; /* or NULL */
    bool add, with_relu;

    /* For the sums over a part of k: all but the first are added, and the last is finished. */
    Result of_slice(bool is_first, bool is_last) const
    {
        Result slice = is_last ? *this : Result{c, step, nullptr, nullptr, add, false};
        slice.add |= !is_first;
        return slice;
    }
};

MK_INLINE vec fetch(const float *p, ptrdiff_t n) { return n == VL ? load(p) : load_first(p, n); }

/* The sums of rows i and up, columns j and up; of the tile, so many rows and columns are there. */
template <int M, int V>
MK_INLINE void put(const vec (&sums)[M][V], const Result &to, ptrdiff_t i, ptrdiff_t j, ptrdiff_t rows,
                   ptrdiff_t columns)
{
    vec bias[V];
    ptrdiff_t width[V]; /* only the last vector can be a part of one */
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        width[v] = v < V - 1 ? ptrdiff_t(VL) : smaller(columns - v * VL, VL);
        bias[v] = to.column_bias ? fetch(to.column_bias + j + v * VL, width[v]) : (vec){};
    }
#pragma GCC unroll 16
    for (int r = 0; r < M; r++)
        if (r < rows)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                float *place = to.c + (i + r) * to.step + j + v * VL;
                vec sum = sums[r][v] + bias[v];
                if (to.row_bias)
                    sum += to.row_bias[i + r];
                if (to.add)
                    sum += fetch(place, width[v]);
                if (to.with_relu)
                    sum = relu(sum);
                if (width[v] == VL)
                    store(place, sum);
                else
                    store_first(place, sum, width[v]);
            }
}

/* -- packed products ------------------------------------------------------------------------------------------ */

/* The width of the panel of B from column j on: if one vector is enough for the rest of n, it is that wide. */
MK_INLINE ptrdiff_t panel_width(ptrdiff_t j, ptrdiff_t n) { return n - j > VL ? NR : VL; }
MK_INLINE ptrdiff_t padded_columns(ptrdiff_t n) { return round_up(n, VL); }

/* A product that is packed at once. Its tiles stand in bands, a band being some panels of A, and in stripes,
 * some columns of B. If there is one band only, each task packs its own panels of B: nobody else needs them. */
struct Block : Product {
    RowPanels panels;
    ptrdiff_t slice, band_panels, bands, stripe_columns, stripes;
    float *packed_a, *packed_b;

    Block(const Product &product, float *workspace)
        : Product(product), panels(m), slice(share(k, SLICE, VL)), band_panels(share(panels.count, TILE_PANELS, 1)),
          bands(ceil_div(panels.count, band_panels)), stripe_columns(smaller(TILE_COLUMNS, round_up(n, NR))),
          packed_a(workspace), packed_b(workspace + panels.first(panels.count) * k)
    {
        while (stripe_columns > NR && bands * ceil_div(n, stripe_columns) < 16)
            stripe_columns = round_up(stripe_columns / 2, NR);
        stripes = ceil_div(n, stripe_columns);
    }

    /* body(k0, depth) */
    template <class Body>
    MK_INLINE_MEMBER void each_slice(Body body) const
    {
        for (ptrdiff_t k0 = 0; k0 < k; k0 += slice)
            body(k0, smaller(slice, k - k0));
    }

    float *panel_of_a(ptrdiff_t i, ptrdiff_t k0, ptrdiff_t depth) const
    {
        return packed_a + panels.first(panels.count) * k0 + i * depth;
    }

    float *panel_of_b(ptrdiff_t j, ptrdiff_t k0, ptrdiff_t depth) const
    {
        return packed_b + padded_columns(n) * k0 + j * depth;
    }

    void pack_rows(ptrdiff_t task) const
    {
        ptrdiff_t end = smaller(panels.count, (task + 1) * PACKED_PANELS);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            panels.each(task * PACKED_PANELS, end, [&](auto panel) {
                ptrdiff_t i = panel.first;
                const float *from = a.at + i * a.row + k0 * a.column;
                pack<panel.rows>(panel_of_a(i, k0, depth), from, a.row, a.column, m - i, depth);
            });
        });
    }

    void pack_columns(float *to, ptrdiff_t j, ptrdiff_t k0, ptrdiff_t depth) const
    {
        const float *from = b.at + k0 * b.row + j * b.column;
        if (panel_width(j, n) == NR)
            pack<NR>(to, from, b.column, b.row, n - j, depth);
        else
            pack<VL>(to, from, b.column, b.row, n - j, depth);
    }

    void pack_stripe(ptrdiff_t stripe) const
    {
        ptrdiff_t end = smaller(n, (stripe + 1) * stripe_columns);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            for (ptrdiff_t j = stripe * stripe_columns; j < end; j += NR)
                pack_columns(panel_of_b(j, k0, depth), j, k0, depth);
        });
    }

    /* A slice of a panel of B meets a band of panels of A. */
    template <int V>
    MK_INLINE_MEMBER void multiply_panels(const Result &to, ptrdiff_t band, const float *columns, ptrdiff_t j,
                                          ptrdiff_t k0, ptrdiff_t depth) const
    {
        panels.each(band * band_panels, smaller(panels.count, (band + 1) * band_panels), [&](auto panel) {
            constexpr int M = panel.rows;
            ptrdiff_t i = panel.first;
            vec sums[M][V] = {};
            accumulate_in_chains(sums, EvenColumns{panel_of_a(i, k0, depth), M, 1}, EvenRows{columns, V * VL}, VL,
                                 depth);
            put(sums, to, i, j, m - i, n - j);
        });
    }

    void multiply_tile(const Result &last, ptrdiff_t band, ptrdiff_t stripe) const
    {
        float own[NR * SLICE] __attribute__((aligned(64)));
        ptrdiff_t end = smaller(n, (stripe + 1) * stripe_columns);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            const Result to = last.of_slice(k0 == 0, k0 + depth == k);
            for (ptrdiff_t j = stripe * stripe_columns; j < end; j += NR) {
                const float *columns = bands > 1 ? panel_of_b(j, k0, depth) : own;
                if (bands == 1)
                    pack_columns(own, j, k0, depth);
                if (panel_width(j, n) == NR)
                    multiply_panels<NV>(to, band, columns, j, k0, depth);
                else
                    multiply_panels<1>(to, band, columns, j, k0, depth);
            }
        });
    }

    void multiply(const Result &to, bool alone) const
    {
        ptrdiff_t row_tasks = ceil_div(panels.count, PACKED_PANELS), stripe_tasks = bands > 1 ? stripes : 0;
        each(row_tasks + stripe_tasks, alone, [&](ptrdiff_t task) {
            if (task < row_tasks)
                pack_rows(task);
            else
                pack_stripe(task - row_tasks);
        });
        each(bands * stripes, alone, [&](ptrdiff_t task) { multiply_tile(to, task % bands, task / bands); });
    }
};

MK_INLINE ptrdiff_t block_depth(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    return (m + n) * k <= WHOLE ? k : share(k, SLICE, VL);
}

MK_INLINE ptrdiff_t workspace_floats(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    ptrdiff_t rows = smaller(m, BLOCK_ROWS) + MR, columns = padded_columns(smaller(n, BLOCK_COLUMNS));
    ptrdiff_t packed = (rows + columns) * block_depth(m, n, k), strip = m <= FEW_ROWS || n == 1 ? VL * k : 0;
    return packed > strip ? packed : strip;
}

MK_INLINE mk_matrix part(mk_matrix x, ptrdiff_t i, ptrdiff_t j)
{
    return {x.at + i * x.row + j * x.column, x.row, x.column, x.matrix};
}

void multiply_packed(const Result &to, const Product &p, float *workspace, bool alone)
{
    ptrdiff_t rows = share(p.m, BLOCK_ROWS, MR), columns = share(p.n, BLOCK_COLUMNS, NR);
    ptrdiff_t depth = block_depth(p.m, p.n, p.k);
    for (ptrdiff_t j = 0; j < p.n; j += columns)
        for (ptrdiff_t l = 0; l < p.k; l += depth)
            for (ptrdiff_t i = 0; i < p.m; i += rows) {
                Result here = to.of_slice(l == 0, l + depth >= p.k);
                here.c += i * to.step + j;
                if (here.row_bias)
                    here.row_bias += i;
                if (here.column_bias)
                    here.column_bias += j;
                Product block = {part(p.a, i, l), part(p.b, l, j), smaller(p.m - i, rows), smaller(p.n - j, columns),
                                 smaller(p.k - l, depth)};
                Block(block, workspace).multiply(here, alone);
            }
}

/* -- products of few rows: nothing is worth packing ------------------------------------------------------------ */

enum { FEW_DOTS = VL == 16 ? 32 : 8, FEW_WORK = 1 << 15 }; /* rows, at most; multiplications of a task, at least */
enum { DOT_ROWS = VL == 16 ? 4 : 2, MOST_SUMS = VL == 16 ? 16 : 8 }; /* what the registers hold */

/* R x 4 numbers of C, as products of numbers that lie in runs, in rows of A and in columns of B: sums over lanes.
 * Rows and columns beyond the last are computed as the last. */
template <int R>
MK_INLINE void multiply_dots(const Result &to, const Product &p, ptrdiff_t i, ptrdiff_t j)
{
    const float *row[R], *column[4];
    for (int r = 0; r < R; r++)
        row[r] = p.a.at + smaller(i + r, p.m - 1) * p.a.row;
    for (int s = 0; s < 4; s++)
        column[s] = p.b.at + smaller(j + s, p.n - 1) * p.b.column;
    vec sums[R][4] = {}, totals[R][1];
    auto add = [&](auto at) __attribute__((always_inline)) {
        vec right[4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++)
            right[s] = at(column[s]);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            vec left = at(row[r]);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                sums[r][s] += left * right[s];
        }
    };
    ptrdiff_t l = 0;
    for (; l + VL <= p.k; l += VL)
        add([=](const float *x) { return load(x + l); });
    if (l < p.k)
        add([=](const float *x) { return load_first(x + l, p.k - l); });
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        totals[r][0] = sum_each(sums[r]);
    put(totals, to, i, j, p.m - i, smaller(p.n - j, 4));
}

void multiply_by_dots(const Result &to, const Product &p, bool alone)
{
    ptrdiff_t step = round_up(ceil_div(FEW_WORK, p.m * p.k + 1), 4);
    each(ceil_div(p.n, step), alone, [&](ptrdiff_t task) {
        ptrdiff_t end = smaller(p.n, (task + 1) * step);
        for (ptrdiff_t l = 0; l == 0 || l < p.k; l += CHAIN * VL) {
            const ptrdiff_t depth = smaller(p.k - l, CHAIN * VL);
            const Product slice = {part(p.a, 0, l), part(p.b, l, 0), p.m, p.n, depth};
            const Result here = to.of_slice(l == 0, l + depth == p.k);
            for (ptrdiff_t j = task * step; j < end; j += 4)
                for (ptrdiff_t i = 0; i < p.m; i += DOT_ROWS)
                    if (p.m - i > 1)
                        multiply_dots<DOT_ROWS>(here, slice, i, j);
                    else
                        multiply_dots<1>(here, slice, i, j);
        }
    });
}

/* M rows of C, with rows of B that lie in runs: the micro-kernel reads them where they are. */
template <int M, int V>
MK_INLINE void multiply_strip(const Result &to, const Product &p, EvenRows rows, ptrdiff_t j)
{
    vec sums[M][V] = {};
    accumulate_in_chains(sums, EvenColumns{p.a.at, p.a.column, p.a.row}, rows, VL, p.k);
    put(sums, to, 0, j, M, p.n - j);
}

template <int M>
void multiply_by_strips(const Result &to, const Product &p, float *workspace, bool alone)
{
    constexpr int V = M * 4 <= MOST_SUMS ? 4 : 2;
    each(ceil_div(p.n, V * VL), alone, [&](ptrdiff_t strip) {
        ptrdiff_t j = strip * V * VL, end = smaller(p.n, j + V * VL);
        if (end == j + V * VL)
            return multiply_strip<M, V>(to, p, EvenRows{p.b.at + j, p.b.row}, j);
        for (; j + VL <= end; j += VL)
            multiply_strip<M, 1>(to, p, EvenRows{p.b.at + j, p.b.row}, j);
        if (j < end) { /* only one strip has a part of a vector */
            pack<VL>(workspace, p.b.at + j, 1, p.b.row, end - j, p.k);
            multiply_strip<M, 1>(to, p, EvenRows{workspace, VL}, j);
        }
    });
}

/* -- the choice ------------------------------------------------------------------------------------------------ */

void multiply(const Result &to, const Product &p, float *workspace, bool alone)
{
    if (p.n == 1 && p.m > 1) { /* one column is one row of the transposed product */
        const mk_matrix row = {p.b.at, 0, p.b.row, 0}, matrix = {p.a.at, p.a.column, p.a.row, 0};
        const Result turned = {to.c, p.m, to.column_bias, to.row_bias, to.add, to.with_relu};
        return multiply(turned, {row, matrix, 1, p.m, p.k}, workspace, alone);
    }
    if (p.k == 0 || (p.m <= FEW_DOTS && p.a.column == 1 && p.b.row == 1))
        multiply_by_dots(to, p, alone);
    else if (p.m > FEW_ROWS || p.b.column != 1)
        multiply_packed(to, p, workspace, alone);
    else if (p.m == 1)
        multiply_by_strips<1>(to, p, workspace, alone);
    else if (p.m == 2)
        multiply_by_strips<2>(to, p, workspace, alone);
    else if (p.m == 3)
        multiply_by_strips<3>(to, p, workspace, alone);
    else
        multiply_by_strips<4>(to, p, workspace, alone);
}

} // namespace

int MK(gemm)(float *c, const mk_matrix *a, const mk_matrix *b, const float *bias, ptrdiff_t batch, ptrdiff_t m,
             ptrdiff_t n, ptrdiff_t k, int bias_of_rows, int with_relu, int add)
{
    if (batch * m * n == 0)
        return 0;
    const float *row_bias = bias_of_rows ? bias : nullptr, *column_bias = bias_of_rows ? nullptr : bias;
    auto one = [=](ptrdiff_t i, float *workspace, bool alone) {
        Result to = {c + i * m * n, n, row_bias, column_bias, bool(add), bool(with_relu)};
        mk_matrix left = *a, right = *b;
        left.at += i * left.matrix;
        right.at += i * right.matrix;
        multiply(to, {left, right, m, n, k}, workspace, alone);
    };
    size_t bytes = workspace_floats(m, n, k) * sizeof(float);
    if (m * n * k <= SHARED_WORK) /* one matrix a task */
        return parallel(batch, bytes, [&](ptrdiff_t i, float *workspace) { one(i, workspace, true); });
    return parallel(1, bytes, [&](ptrdiff_t, float *workspace) { /* its scratch is what all tasks within share */
        for (ptrdiff_t i = 0; i < batch; i++)
            one(i, workspace, false);
    });
}
