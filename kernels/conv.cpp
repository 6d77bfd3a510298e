/* Direct convolution, for every kernel size, stride, padding, dilation and number of groups: the forward pass and
 * the images' gradient. The weights' gradient is in conv_gradient.cpp.
 *
 * Both are products on the micro-kernel of tile.h, without building the matrix of im2col:
 *
 *     forward            y[k][p]   = sum over (c, tap) of  w[k][c, tap] * x[c, p moved by tap]
 *     backward, data     the same with gy for x: for each residue of the stride one small forward pass
 *
 * "x moved by a tap" lies at an offset from x, in copies of the channels (copies.h). So row (c, tap) of the operand
 * is an address from a table of offsets, and neighbouring pixels fill its vectors; weights are packed (panels.h). */
#include "conv.h"
#include "copies.h"
#include "mk.h"
#include "panels.h"
#include "parallel.h"
#include "tile.h"

namespace {

/* -- tiles --------------------------------------------------------------------------------------------------- */

/* What is added to the sums: a number for each channel, and an array of y's shape; NULL: nothing. */
struct Finish {
    const float *bias, *residual;
    bool with_relu;

    Finish of(ptrdiff_t channel, ptrdiff_t offset) const
    {
        return {bias ? bias + channel : nullptr, residual ? residual + offset : nullptr, with_relu};
    }
};

template <int M, int V>
MK_INLINE void put(const vec (&sums)[M][V], float *to, ptrdiff_t plane, ptrdiff_t rows, ptrdiff_t pixels,
                   const Finish &finish)
{
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        if (i >= rows)
            return;
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) {
            bool whole = V > 1 || pixels >= VL; /* only single vectors are cut */
            ptrdiff_t at = i * plane + j * VL;
            vec v = finish.bias ? sums[i][j] + finish.bias[i] : sums[i][j];
            if (finish.residual)
                v += whole ? load(finish.residual + at) : load_first(finish.residual + at, pixels);
            v = finish.with_relu ? relu(v) : v;
            if (whole)
                store(to + at, v);
            else
                store_first(to + at, v, pixels);
        }
    }
}

/* Results that are neighbours, in vectors; `gap` numbers lie between the pixels of two rows. */
struct Run {
    ptrdiff_t count, columns, gap;
    ptrdiff_t at, column; /* of the next vector's pixels */

    MK_INLINE_MEMBER ptrdiff_t next()
    {
        ptrdiff_t now = at;
        at += VL;
        column += VL;
        if (column == columns) {
            column = 0;
            at += gap;
        }
        return now;
    }
};

/* A tile of results, at p: the weights of a panel meet pixels, at offsets that a table tells for each (c, tap). */
template <int M, int V>
MK_INLINE void multiply_tile(float *to, ptrdiff_t p, ptrdiff_t plane, const float *weights, const float *pixels,
                             Run &run, const ptrdiff_t *offsets, ptrdiff_t depth, ptrdiff_t rows,
                             const Finish &finish)
{
    ptrdiff_t places[V], first = run.next();
    places[0] = 0;
#pragma GCC unroll 4
    for (int j = 1; j < V; j++)
        places[j] = run.next() - first;
    vec sums[M][V] = {};
    accumulate_in_chains(sums, EvenColumns{weights, M, 1}, OffsetRows{pixels + first, offsets}, places, depth);
    put(sums, to + p, plane, rows, run.count - p, finish.of(0, p));
}

/* The results of the rows of a panel. */
template <int M>
void multiply_panel(float *to, ptrdiff_t plane, const float *weights, const float *pixels, Run run,
                    const ptrdiff_t *offsets, ptrdiff_t depth, ptrdiff_t rows, const Finish &finish)
{
    constexpr int V = vectors_of<M>;
    ptrdiff_t p = 0;
    for (; p + V * VL <= run.count; p += V * VL)
        multiply_tile<M, V>(to, p, plane, weights, pixels, run, offsets, depth, rows, finish);
    for (; p < run.count; p += VL)
        multiply_tile<M, 1>(to, p, plane, weights, pixels, run, offsets, depth, rows, finish);
}

/* y = the numbers of two rows in turn. */
void zip_rows(float *y, const float *even, const float *odd, ptrdiff_t width)
{
    for (ptrdiff_t j = 0; j < width; j += 2 * VL, y += 2 * VL, even += VL, odd += VL) {
        vec low = zip_low(load(even), load(odd)), high = zip_high(load(even), load(odd));
        ptrdiff_t rest = width - j;
        if (rest < VL)
            store_first(y, low, rest);
        else
            store(y, low);
        if (rest >= 2 * VL)
            store(y + VL, high);
        else if (rest > VL)
            store_first(y + VL, high, rest - VL);
    }
}

/* -- tasks --------------------------------------------------------------------------------------------------- */

/* Rows that are whole vectors are copied once. Measured, forward and data, GFLOP/s of one thread with AVX-512:
 *
 *     N, C, H x W -> K, kernel                             once    for each column tap
 *     128, 16, 32 x 32 -> 16, 3 x 3                     226 219                214 204
 *     64, 32, 32 x 32 -> 32, 3 x 3                      232 226                225 220
 *     64, 64, 16 x 16 -> 64, 3 x 3                      242 241                242 239
 *     128, 16, 32 x 32 -> 32, 3 x 3, stride 2           180 138                184 137 */
MK_INLINE bool wants_copies_of_taps(ptrdiff_t columns) { return columns % VL != 0; }

/* Floats of copies in a task, at most; tasks wanted; multiplications and results that are worth a task. */
enum { BLOCK_FLOATS = 96 << 10, TASKS = 16, TASK_WORK = 1 << 16, PART_RESULTS = 24 };

/* A pass, divided into tasks: each image and group in blocks of rows, each of these in parts of its panels. */
struct Work {
    const Pass &pass;
    const Panels panels;
    ptrdiff_t top, bottom; /* the rows of the image that results of row 0 need, whatever their residue */
    ptrdiff_t rows, blocks, parts;
    ptrdiff_t copies_floats, floats; /* of scratch: copies, results of a panel, and the table of offsets */

    explicit Work(const Pass &pass) : pass(pass), panels(pass.results), top(0), bottom(0)
    {
        ptrdiff_t most = 0, images = pass.p.N * pass.p.groups;
        bool some = false;
        for (ptrdiff_t a = 0; a < pass.residues_down; a++) {
            const Axis down = pass.down(a);
            most = larger(most, down.count);
            if (down.taps) {
                top = some ? smaller(top, down.first()) : down.first();
                bottom = some ? larger(bottom, down.first() + down.span()) : down.first() + down.span();
                some = true;
            }
        }
        divide(most, images);
        copies_floats = Copies::SPARE;
        for (ptrdiff_t b = 0; b < pass.residues_across; b++)
            copies_floats += pass.channels * copies(b).size;
        ptrdiff_t results = pass.is_whole() ? 0 : TALL * rows * pass.residues_down * pass.width() + Copies::SPARE;
        floats = ceil_div(copies_floats + results, VL) * VL;
    }

    void divide(ptrdiff_t most, ptrdiff_t images)
    {
        const Axis down = pass.down(0);
        ptrdiff_t columns = pass.backward ? pass.width() : pass.p.OW, row = pass.channels * down.phases() * columns;
        ptrdiff_t fitting = larger(1, BLOCK_FLOATS / (row * pass.p.KW) - (bottom - top) / down.stride);
        ptrdiff_t work = pass.results * pass.channels * pass.taps * pass.p.OH * pass.p.OW;
        ptrdiff_t wanted = ceil_div(smaller(TASKS, work * images / TASK_WORK + 1), images);
        blocks = larger(ceil_div(most, fitting), smaller(wanted, larger(1, most * columns / (4 * NR))));
        rows = ceil_div(most, blocks);
        blocks = ceil_div(most, rows);
        parts = smaller(larger(1, pass.results / PART_RESULTS), ceil_div(wanted, blocks));
    }

    Copies copies(ptrdiff_t b) const
    {
        const Axis down = pass.down(0);
        const Axis across = pass.across(b);
        bool of_taps = wants_copies_of_taps(across.count);
        return Copies(across, of_taps, rows, down.input, down.stride, down.phases(), top, bottom);
    }

    ptrdiff_t tasks() const { return pass.p.N * pass.p.groups * blocks * parts; }
    ptrdiff_t depth() const { return pass.channels * pass.taps; }
    size_t scratch_bytes() const { return floats * sizeof(float) + depth() * sizeof(ptrdiff_t); }

    /* Copies of the images and the table of offsets: (residue, c, tap). */
    void prepare(float *scratch, ptrdiff_t *offsets, const float *x, ptrdiff_t first) const
    {
        for (ptrdiff_t b = 0; b < pass.residues_across; b++) {
            const Copies here = copies(b);
            here.fill(scratch, x, pass.channels, first);
            scratch += pass.channels * here.size;
        }
        for (ptrdiff_t a = 0; a < pass.residues_down; a++)
            for (ptrdiff_t b = 0; b < pass.residues_across; b++)
                offsets = copies(b).find_taps(offsets, pass.down(a), pass.channels);
    }

    /* Results of one panel, of one residue after the other. */
    template <int M>
    void multiply(float *to, ptrdiff_t plane, const float *weights, const float *scratch, const ptrdiff_t *offsets,
                  ptrdiff_t results, ptrdiff_t first, const Finish &finish) const
    {
        for (ptrdiff_t a = 0; a < pass.residues_down; a++) {
            const Axis down = pass.down(a);
            const float *pixels = scratch;
            ptrdiff_t here = larger(0, smaller(rows, down.count - first));
            for (ptrdiff_t b = 0; b < pass.residues_across; b++) {
                const Copies source = copies(b);
                ptrdiff_t depth = pass.channels * down.taps * source.across.taps, count = source.across.count;
                const Run run = {here * count, count, source.pitch - count, 0, 0};
                multiply_panel<M>(to, pass.is_whole() ? plane : rows * count, weights, pixels, run, offsets, depth,
                                  results, finish);
                to += M * rows * count;
                weights += M * depth;
                offsets += depth;
                pixels += pass.channels * source.size;
            }
        }
    }

    /* y = the results of all residues, each to its place. */
    void spread(float *y, ptrdiff_t plane, const float *from, ptrdiff_t height, ptrdiff_t results,
                ptrdiff_t first) const
    {
        ptrdiff_t width = pass.width(), residue = height * rows; /* rows of results */
        const Axis across = pass.across(0);
        for (ptrdiff_t a = 0; a < pass.residues_down; a++, from += residue * width) {
            const Axis down = pass.down(a);
            for (ptrdiff_t i = 0; i < smaller(results, height); i++)
                for (ptrdiff_t r = 0; r < smaller(rows, down.count - first); r++) {
                    ptrdiff_t row = i * rows + r, other = across.count * residue + row * (width - across.count);
                    float *to = y + i * plane + (down.start + (first + r) * down.step) * width;
                    if (pass.residues_across != 2)
                        spread_row(to, from, row, residue);
                    else if (across.start == 0)
                        zip_rows(to, from + row * across.count, from + other, width);
                    else
                        zip_rows(to, from + other, from + row * across.count, width);
                }
        }
    }

    void spread_row(float *y, const float *from, ptrdiff_t row, ptrdiff_t residue) const
    {
        for (ptrdiff_t b = 0; b < pass.residues_across; b++) {
            const Axis to = pass.across(b);
            for (ptrdiff_t j = 0; j < to.count; j++)
                y[to.start + j * to.step] = from[row * to.count + j];
            from += residue * to.count;
        }
    }
};

int correlate(float *y, const float *x, const float *packed, const Finish &finish, const Pass &pass)
{
    const Work work(pass);
    const Panels &panels = work.panels;
    ptrdiff_t x_plane = pass.down(0).input * pass.across(0).input, plane = pass.height() * pass.width();
    return parallel(work.tasks(), work.scratch_bytes(), [&](ptrdiff_t task, float *scratch) {
        ptrdiff_t part = task % work.parts, first = task / work.parts % work.blocks * work.rows;
        ptrdiff_t image = task / (work.parts * work.blocks), g = image % pass.p.groups;
        ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(scratch + work.floats);
        float *buffer = scratch + work.copies_floats;
        work.prepare(scratch, offsets, x + image * pass.channels * x_plane, first);
        ptrdiff_t begin = panels.count * part / work.parts, end = panels.count * (part + 1) / work.parts;
        each_of_panels(pass.results, begin, end, [&](auto panel) {
            constexpr int M = panel.rows;
            const float *weights = packed + (g * panels.rows + panel.first) * work.depth();
            ptrdiff_t to = (image * pass.results + panel.first) * plane, rest = pass.results - panel.first;
            if (pass.is_whole()) {
                to += first * pass.width();
                return work.multiply<M>(y + to, plane, weights, scratch, offsets, rest, first,
                                        finish.of(g * pass.results + panel.first, to));
            }
            work.multiply<M>(buffer, 0, weights, scratch, offsets, rest, first, Finish{nullptr, nullptr, false});
            work.spread(y + to, plane, buffer, M, rest, first);
        });
    });
}

} // namespace

ptrdiff_t MK(conv_packed_size)(const mk_conv *p) { return packed_size(Pass(*p, false)); }

int MK(conv_pack)(float *packed, const float *w, const mk_conv *p) { return pack_weights(packed, w, Pass(*p, false)); }

int MK(conv_run)(float *y, const float *x, const float *packed, const float *bias, const float *residual,
                 const mk_conv *p, int with_relu)
{
    return correlate(y, x, packed, Finish{bias, residual, bool(with_relu)}, Pass(*p, false));
}

ptrdiff_t MK(conv_data_workspace)(const mk_conv *p) { return packed_size(Pass(*p, true)); }

int MK(conv_backward_data)(float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p)
{
    const Pass pass(*p, true);
    int failed = pack_weights(workspace, w, pass);
    return failed ? failed : correlate(gx, gy, workspace, Finish{nullptr, nullptr, false}, pass);
}
