/* Dense products, C = A B + bias: for any strides of A and B, so that transposes need no copies.
 *
 * Both operands are packed first, A into panels of MR rows, B into panels of NR columns, in the order in
 * which the micro-kernel reads them; then tiles of C are computed. K is cut into slices, such that a slice
 * of a panel of B stays in the first-level cache while it meets the panels of A. Packing and tiles are
 * tasks of their own; how they are cut depends on the shapes only, and each number of C is summed slice
 * after slice: the threads change nothing.
 *
 * Goto & van de Geijn, "Anatomy of high-performance matrix multiplication", 2008. */
#include "mk.h"
#include "pack.h"
#include "parallel.h"
#include "tile.h"

namespace {

enum {
    SLICE = 320,                                          /* of K */
    PACKED_PANELS = 2,                                    /* of A: what a task packs */
    TILE_PANELS = 12, TILE_COLUMNS = 8 * NR,              /* of C, at most: what a task computes */
    BLOCK_ROWS = 15 * TILE_PANELS * MR, BLOCK_COLUMNS = 2048, BLOCK_DEPTH = 4 * SLICE, /* what is packed at once: 16 MB */
};
enum { SHARED_WORK = 1 << 18 }; /* multiplications; fewer are not worth a second thread */

MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }
MK_INLINE ptrdiff_t share(ptrdiff_t n, ptrdiff_t most) { return ceil_div(n, ceil_div(n, most)); } /* of equal shares */

MK_INLINE ptrdiff_t panel_columns(ptrdiff_t columns) /* columns with the padding of the last panel */
{
    return round_up(columns, VL);
}

template <class Body>
MK_INLINE void each(ptrdiff_t tasks, bool alone, const Body &body)
{
    if (alone)
        for (ptrdiff_t i = 0; i < tasks; i++)
            body(i);
    else
        parallel(tasks, 0, [&](ptrdiff_t i, float *) { body(i); });
}

/* What becomes of the sums of a tile. */
struct Result {
    float *c;
    ptrdiff_t step; /* from row to row */
    const float *row_bias, *column_bias; /* or NULL */
    bool add, with_relu;
};

template <int M, int V>
MK_INLINE void put(const vec (&sums)[M][V], const Result &to, ptrdiff_t i, ptrdiff_t j, ptrdiff_t rows, ptrdiff_t columns)
{
    vec bias[V];
    ptrdiff_t width[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        width[v] = smaller(columns - v * VL, VL);
        const float *place = to.column_bias + j + v * VL;
        bias[v] = !to.column_bias ? (vec){} : width[v] == VL ? load(place) : load_first(place, width[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < M; r++)
        if (r < rows)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                float *place = to.c + (i + r) * to.step + j + v * VL;
                bool whole = v < V - 1 || width[v] == VL;
                vec sum = sums[r][v] + bias[v];
                if (to.row_bias)
                    sum += to.row_bias[i + r];
                if (to.add)
                    sum += whole ? load(place) : load_first(place, width[v]);
                if (to.with_relu)
                    sum = relu(sum);
                if (whole)
                    store(place, sum);
                else
                    store_first(place, sum, width[v]);
            }
}

/* The rows of A in panels: `whole` ones of MR rows, then up to two of MR_SMALL; see each_panel. */
struct RowPanels {
    ptrdiff_t whole = 0, count = 0;

    explicit RowPanels(ptrdiff_t rows)
    {
        each_panel(rows, [&](auto panel) {
            whole += panel.rows == MR;
            count++;
        });
    }

    MK_INLINE_MEMBER ptrdiff_t first(ptrdiff_t panel) const
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

/* One block of C, computed in tiles. The panels of A are packed as a whole, and so are those of B if several
 * bands of tiles need them; else each tile packs its own. */
struct Block {
    mk_matrix a, b;
    ptrdiff_t m, n, k;
    RowPanels panels;
    ptrdiff_t slice, tile_panels, tile_columns;
    float *packed_a, *packed_b;

    Block(mk_matrix a, mk_matrix b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float *workspace)
        : a(a), b(b), m(m), n(n), k(k), panels(m), packed_a(workspace), packed_b(workspace + panels.first(panels.count) * k)
    {
        slice = round_up(share(k, SLICE), VL);
        tile_panels = share(panels.count, TILE_PANELS);
        tile_columns = smaller(TILE_COLUMNS, round_up(n, NR));
        while (tile_columns > NR && bands() * stripes() < 16 && tile_panels * MR * tile_columns * k > SHARED_WORK)
            tile_columns = round_up(tile_columns / 2, NR);
    }

    ptrdiff_t bands() const { return ceil_div(panels.count, tile_panels); }
    ptrdiff_t stripes() const { return ceil_div(n, tile_columns); }
    const float *panel_of_a(ptrdiff_t i, ptrdiff_t k0, ptrdiff_t depth) const
    {
        return packed_a + panels.first(panels.count) * k0 + i * depth;
    }
    float *panel_of_b(ptrdiff_t j, ptrdiff_t k0, ptrdiff_t depth) const { return packed_b + panel_columns(n) * k0 + j * depth; }

    template <class Body>
    MK_INLINE_MEMBER void each_slice(Body body) const
    {
        for (ptrdiff_t k0 = 0; k0 < k; k0 += slice)
            body(k0, smaller(slice, k - k0));
    }

    void pack_rows(ptrdiff_t share) const
    {
        ptrdiff_t end = smaller(panels.count, (share + 1) * PACKED_PANELS);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            panels.each(share * PACKED_PANELS, end, [&](auto panel) {
                ptrdiff_t i = panel.first;
                pack<panel.rows>(packed_a + panels.first(panels.count) * k0 + i * depth, a.at + i * a.row + k0 * a.column, a.row,
                                 a.column, m - i, depth);
            });
        });
    }

    void pack_columns(float *to, ptrdiff_t j, ptrdiff_t k0, ptrdiff_t depth) const
    {
        const float *from = b.at + k0 * b.row + j * b.column;
        if (n - j > VL)
            pack<NR>(to, from, b.column, b.row, n - j, depth);
        else
            pack<VL>(to, from, b.column, b.row, n - j, depth);
    }

    void pack_stripe(ptrdiff_t stripe) const
    {
        ptrdiff_t end = smaller(n, (stripe + 1) * tile_columns);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            for (ptrdiff_t j = stripe * tile_columns; j < end; j += NR)
                pack_columns(panel_of_b(j, k0, depth), j, k0, depth);
        });
    }

    /* A slice of a panel of B meets a band of panels of A. */
    template <int V>
    MK_INLINE_MEMBER void multiply_panels(ptrdiff_t band, const float *columns, ptrdiff_t j, ptrdiff_t k0, ptrdiff_t depth,
                                          const Result &to) const
    {
        panels.each(band * tile_panels, smaller(panels.count, (band + 1) * tile_panels), [&](auto panel) {
            constexpr int M = panel.rows;
            ptrdiff_t i = panel.first;
            vec sums[M][V] = {};
            accumulate(sums, EvenColumns{panel_of_a(i, k0, depth), M, 1}, EvenRows{columns, V * VL}, VL, depth);
            put(sums, to, i, j, m - i, n - j);
        });
    }

    __attribute__((noinline)) void multiply_tile(ptrdiff_t band, ptrdiff_t stripe, const Result &last) const
    {
        float own[NR * SLICE] __attribute__((aligned(64)));
        ptrdiff_t end = smaller(n, (stripe + 1) * tile_columns);
        each_slice([&](ptrdiff_t k0, ptrdiff_t depth) {
            Result to = k0 + depth == k ? last : Result{last.c, last.step, nullptr, nullptr, last.add, false};
            to.add |= k0 > 0;
            for (ptrdiff_t j = stripe * tile_columns; j < end; j += NR) {
                const float *columns = bands() > 1 ? panel_of_b(j, k0, depth) : own;
                if (bands() == 1)
                    pack_columns(own, j, k0, depth);
                if (n - j > VL)
                    multiply_panels<NV>(band, columns, j, k0, depth, to);
                else
                    multiply_panels<1>(band, columns, j, k0, depth, to);
            }
        });
    }

    void multiply(const Result &to, bool alone) const
    {
        ptrdiff_t shares = ceil_div(panels.count, PACKED_PANELS);
        each(shares + (bands() > 1 ? stripes() : 0), alone,
             [&](ptrdiff_t i) { i < shares ? pack_rows(i) : pack_stripe(i - shares); });
        each(bands() * stripes(), alone, [&](ptrdiff_t i) { multiply_tile(i % bands(), i / bands(), to); });
    }
};

MK_INLINE ptrdiff_t workspace_floats(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    ptrdiff_t rows = smaller(m, BLOCK_ROWS) + MR, columns = panel_columns(smaller(n, BLOCK_COLUMNS));
    return (rows + columns) * smaller(k, BLOCK_DEPTH);
}

MK_INLINE mk_matrix part(mk_matrix x, ptrdiff_t i, ptrdiff_t j)
{
    return {x.at + i * x.row + j * x.column, x.row, x.column, x.matrix};
}

void multiply_blocks(const Result &to, mk_matrix a, mk_matrix b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float *workspace,
                     bool alone)
{
    ptrdiff_t rows = round_up(share(m, BLOCK_ROWS), MR), columns = round_up(share(n, BLOCK_COLUMNS), NR);
    ptrdiff_t depth = share(k, BLOCK_DEPTH);
    for (ptrdiff_t j = 0; j < n; j += columns)
        for (ptrdiff_t l = 0; l < k; l += depth)
            for (ptrdiff_t i = 0; i < m; i += rows) {
                bool last = l + depth >= k;
                Result here = to;
                here.c += i * to.step + j;
                here.row_bias = last && to.row_bias ? to.row_bias + i : nullptr;
                here.column_bias = last && to.column_bias ? to.column_bias + j : nullptr;
                here.with_relu = last && to.with_relu;
                here.add = to.add || l > 0;
                Block(part(a, i, l), part(b, l, j), smaller(m - i, rows), smaller(n - j, columns), smaller(k - l, depth),
                      workspace)
                    .multiply(here, alone);
            }
}

/* -- thin products: few rows of A, and nothing is worth packing ------------------------------------------- */

enum { THIN = 4, THIN_DOTS = 32, THIN_WORK = 1 << 15 }; /* rows of A, at most; multiplications a task, at least */

/* Columns of B whose numbers lie in a run: each number of C is a sum over lanes. Rows and columns beyond the
 * last are computed as the last. */
template <int R>
MK_INLINE void multiply_dots(const Result &to, mk_matrix a, mk_matrix b, ptrdiff_t i, ptrdiff_t j, ptrdiff_t m, ptrdiff_t n,
                             ptrdiff_t k)
{
    const float *left[R], *right[4];
    for (int r = 0; r < R; r++)
        left[r] = a.at + smaller(i + r, m - 1) * a.row;
    for (int s = 0; s < 4; s++)
        right[s] = b.at + smaller(j + s, n - 1) * b.column;
    vec sums[R][4] = {}, totals[R][1];
    auto add = [&](auto fetch) __attribute__((always_inline)) {
        vec column[4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++)
            column[s] = fetch(right[s]);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            vec row = fetch(left[r]);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                sums[r][s] += row * column[s];
        }
    };
    ptrdiff_t l = 0;
    for (; l + VL <= k; l += VL)
        add([=](const float *p) { return load(p + l); });
    if (l < k)
        add([=](const float *p) { return load_first(p + l, k - l); });
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        totals[r][0] = sum_each(sums[r]);
    put(totals, to, i, j, m - i, smaller(n - j, 4));
}

void multiply_by_dots(const Result &to, mk_matrix a, mk_matrix b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, bool alone)
{
    ptrdiff_t step = round_up(ceil_div(THIN_WORK, m * k + 1), 4);
    each(ceil_div(n, step), alone, [&](ptrdiff_t task) {
        ptrdiff_t end = smaller(n, (task + 1) * step);
        for (ptrdiff_t j = task * step; j < end; j += 4)
            for (ptrdiff_t i = 0; i < m; i += 4)
                if (m - i > 1)
                    multiply_dots<4>(to, a, b, i, j, m, n, k);
                else
                    multiply_dots<1>(to, a, b, i, j, m, n, k);
    });
}

/* Rows of B whose numbers lie in a run: the micro-kernel reads them where they are. */
template <int M, int V>
MK_INLINE void multiply_strip(const Result &to, mk_matrix a, const float *b, ptrdiff_t b_row, ptrdiff_t j, ptrdiff_t n, ptrdiff_t k)
{
    vec sums[M][V] = {};
    accumulate(sums, EvenColumns{a.at, a.column, a.row}, EvenRows{b, b_row}, VL, k);
    put(sums, to, 0, j, M, n - j);
}

template <int M>
void multiply_by_rows(const Result &to, mk_matrix a, mk_matrix b, ptrdiff_t n, ptrdiff_t k, float *workspace, bool alone)
{
    constexpr int V = 4;
    each(ceil_div(n, V * VL), alone, [&](ptrdiff_t strip) {
        ptrdiff_t j = strip * V * VL, end = smaller(n, j + V * VL);
        if (end == j + V * VL)
            return multiply_strip<M, V>(to, a, b.at + j, b.row, j, n, k);
        for (; j + VL <= end; j += VL)
            multiply_strip<M, 1>(to, a, b.at + j, b.row, j, n, k);
        if (j < end) {
            pack<VL>(workspace, b.at + j, 1, b.row, end - j, k);
            multiply_strip<M, 1>(to, a, workspace, VL, j, n, k);
        }
    });
}

/* -- the choice --------------------------------------------------------------------------------------------- */

void multiply_one(Result to, mk_matrix a, mk_matrix b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float *workspace, bool alone)
{
    if (n == 1 && m > 1) { /* one column: the same as one row, of the transposed product */
        const mk_matrix row = {b.at, 0, b.row, 0}, matrix = {a.at, a.column, a.row, 0};
        to = {to.c, m, to.column_bias, to.row_bias, to.add, to.with_relu};
        return multiply_one(to, row, matrix, 1, m, k, workspace, alone);
    }
    if (b.column == 1 && m == 1)
        multiply_by_rows<1>(to, a, b, n, k, workspace, alone);
    else if (b.column == 1 && m == 2)
        multiply_by_rows<2>(to, a, b, n, k, workspace, alone);
    else if (b.column == 1 && m == 3)
        multiply_by_rows<3>(to, a, b, n, k, workspace, alone);
    else if (b.column == 1 && m == 4)
        multiply_by_rows<4>(to, a, b, n, k, workspace, alone);
    else if (k == 0 || (m <= THIN_DOTS && a.column == 1 && b.row == 1))
        multiply_by_dots(to, a, b, m, n, k, alone);
    else
        multiply_blocks(to, a, b, m, n, k, workspace, alone);
}

} // namespace

int MK(gemm)(float *c, const mk_matrix *a, const mk_matrix *b, const float *bias, ptrdiff_t batch, ptrdiff_t m, ptrdiff_t n,
             ptrdiff_t k, int bias_of_rows, int with_relu, int add)
{
    if (batch * m * n == 0)
        return 0;
    auto one = [&](ptrdiff_t i, float *workspace, bool alone) {
        Result to = {c + i * m * n, n, bias_of_rows ? bias : nullptr, bias_of_rows ? nullptr : bias, bool(add), bool(with_relu)};
        multiply_one(to, {a->at + i * a->matrix, a->row, a->column, 0}, {b->at + i * b->matrix, b->row, b->column, 0}, m, n, k,
                     workspace, alone);
    };
    size_t bytes = workspace_floats(m, n, k) * sizeof(float);
    if (m * n * k <= SHARED_WORK) /* one matrix a task */
        return parallel(batch, bytes, [&](ptrdiff_t i, float *workspace) { one(i, workspace, true); });
    /* The scratch of this one task is what all tasks within share. */
    return parallel(1, bytes, [&](ptrdiff_t, float *workspace) {
        for (ptrdiff_t i = 0; i < batch; i++)
            one(i, workspace, false);
    });
}

/* y = the sums of the columns, in double precision.   y: (columns)  x: (rows, columns) */
int MK(column_sums)(float *y, const float *x, ptrdiff_t rows, ptrdiff_t columns)
{
    constexpr ptrdiff_t WIDTH = 4 * VL;
    return parallel(ceil_div(columns, WIDTH), 0, [=](ptrdiff_t task, float *) {
        ptrdiff_t first = task * WIDTH, width = smaller(WIDTH, columns - first);
        double sums[WIDTH] = {};
        const float *row = x + first;
        for (ptrdiff_t i = 0; i < rows; i++, row += columns)
            if (width == WIDTH)
                for (ptrdiff_t j = 0; j < WIDTH; j++)
                    sums[j] += row[j];
            else
                for (ptrdiff_t j = 0; j < width; j++)
                    sums[j] += row[j];
        for (ptrdiff_t j = 0; j < width; j++)
            y[first + j] = static_cast<float>(sums[j]);
    });
}
