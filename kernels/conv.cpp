/* Direct convolution, for every kernel size, stride, padding, dilation and number of groups.
 *
 * All three passes are products on the micro-kernel of tile.h, without building the matrix of im2col:
 *
 *     forward            y[k][p]   = sum over (c, tap) of  w[k][c, tap] * x[c, p moved by tap]
 *     backward, data     the same with gy for x: for each residue of the stride one small forward pass
 *     backward, weights  gw[c, tap][k] = sum over p of  x[c, p moved by tap] * gy[p][k]
 *
 * "x moved by a tap" lies in memory at an offset from x. So row k of the micro-kernel's operand is an address
 * from a table of offsets, and neighbouring pixels fill its vectors. Where images need a border of zeros or
 * have a stride, their channels are first copied into planes: padded, and with a stride s taken apart into
 * s x s planes, in which the pixels under one tap are neighbours again.
 */
#include "conv.h"
#include "mk.h"
#include "parallel.h"
#include "tile.h"

namespace {

/* Weights in panels of rows k: packed[panel][c, tap][M], zeros in rows that are not there. */
void pack_weights(float *packed, const float *w, ptrdiff_t rows, ptrdiff_t row_step, ptrdiff_t channels,
                  ptrdiff_t channel_step, const Axis &down, const Axis &across, ptrdiff_t width)
{
    ptrdiff_t depth = channels * down.taps * across.taps;
    each_panel(rows, [&](auto panel) {
        float *to = packed + panel.first * depth;
        for (ptrdiff_t c = 0; c < channels; c++)
            for (ptrdiff_t r = 0; r < down.taps; r++)
                for (ptrdiff_t s = 0; s < across.taps; s++, to += panel.rows)
                    for (int i = 0; i < panel.rows; i++) {
                        ptrdiff_t k = panel.first + i;
                        ptrdiff_t tap = down.weight(r) * width + across.weight(s);
                        to[i] = k < rows ? w[k * row_step + c * channel_step + tap] : 0.0f;
                    }
    });
}

/* Where the vectors of a tile are read, and where its pixels go. */
struct Tile {
    ptrdiff_t position, gap;  /* of the first vector in the plane, and to the second */
    int runs;                 /* pieces of neighbouring pixels */
    ptrdiff_t from[NR], to[NR], length[NR];

    /* `pixels` pixels of row i, from column j on, are lanes from `lane` on. */
    MK_INLINE_MEMBER void add(ptrdiff_t lane, ptrdiff_t place, ptrdiff_t pixels)
    {
        from[runs] = lane;
        to[runs] = place;
        length[runs++] = pixels;
    }
};

/* The pixels of `rows` rows of results, as vectors of neighbours in a plane.
 *
 * Either each row is cut into vectors of its own, the last one moved to the left to end with the row; or,
 * where rows are short, vectors run through the plane from row to row and the border's pixels are dropped. */
struct Pixels {
    ptrdiff_t rows, columns, pitch, vectors, per_row, limit;
    bool by_row;

    Pixels(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t pitch) : rows(rows), columns(columns), pitch(pitch)
    {
        per_row = ceil_div(columns, ptrdiff_t(VL));
        limit = (rows - 1) * pitch + columns;
        by_row = columns >= VL && per_row * VL <= pitch + pitch / 8;
        vectors = by_row ? rows * per_row : ceil_div(limit, ptrdiff_t(VL));
    }

    MK_INLINE_MEMBER ptrdiff_t position(ptrdiff_t v) const
    {
        if (!by_row)
            return v * VL + VL <= limit ? v * VL : larger(limit - VL, 0);
        ptrdiff_t column = v % per_row * VL;
        return v / per_row * pitch + (column + VL <= columns ? column : columns - VL);
    }

    /* Vectors v and v + 1, or v alone, twice, if it is the last. */
    void tile(ptrdiff_t v, ptrdiff_t y_pitch, ptrdiff_t y_step, Tile &t) const
    {
        t.position = position(v);
        t.gap = v + 1 < vectors ? position(v + 1) - t.position : 0;
        t.runs = 0;
        for (int j = 0; j < NV; j++)
            for (ptrdiff_t lane = 0; lane < VL;) {
                ptrdiff_t place = t.position + j * t.gap + lane, row = place / pitch, column = place % pitch;
                ptrdiff_t run = smaller(VL - lane, pitch - column), inside = smaller(run, columns - column);
                if (inside > 0 && row < rows)
                    t.add(j * VL + lane, row * y_pitch + column * y_step, inside);
                lane += run;
            }
    }
};

/* What is added to the sums: a number for each channel, and an array of y's shape; NULL: nothing. */
struct Finish {
    const float *bias, *residual;
    bool with_relu;

    Finish of(ptrdiff_t channel, ptrdiff_t offset) const
    {
        return {bias ? bias + channel : nullptr, residual ? residual + offset : nullptr, with_relu};
    }
};

template <int M>
MK_INLINE void put(const vec (&sums)[M][NV], const Tile &tile, ptrdiff_t rows, const Finish &finish, float *y,
                   ptrdiff_t plane, ptrdiff_t y_step)
{
    bool whole = tile.runs == NV && tile.length[0] == VL && tile.length[1] == VL && y_step == 1;
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
        if (i >= rows)
            return;
        float lanes[NR];
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) {
            vec v = finish.bias ? sums[i][j] + finish.bias[i] : sums[i][j];
            if (whole && finish.residual)
                v += load(finish.residual + i * plane + tile.to[j]);
            v = finish.with_relu && (whole || !finish.residual) ? relu(v) : v;
            store(whole ? y + i * plane + tile.to[j] : lanes + j * VL, v);
        }
        if (!whole)
            for (int run = 0; run < tile.runs; run++) {
                const float *from = lanes + tile.from[run];
                ptrdiff_t to = i * plane + tile.to[run];
                for (ptrdiff_t k = 0; k < tile.length[run]; k++) {
                    float v = finish.residual ? from[k] + finish.residual[to + k * y_step] : from[k];
                    y[to + k * y_step] = finish.with_relu && v <= 0.0f ? 0.0f : v;
                }
            }
    }
}

/* y[k] = sum over c and taps of the planes of one image, group, and block of rows. */
void correlate_block(float *y, const float *plane, const float *packed, const ptrdiff_t *offsets,
                     const Finish &finish, const Pixels &pixels, ptrdiff_t K, ptrdiff_t depth, ptrdiff_t y_plane,
                     ptrdiff_t y_pitch, ptrdiff_t y_step)
{
    for (ptrdiff_t v = 0; v < pixels.vectors; v += NV) {
        Tile tile;
        pixels.tile(v, y_pitch, y_step, tile);
        each_panel(K, [&](auto panel) {
            constexpr int M = panel.rows;
            vec sums[M][NV] = {};
            accumulate(sums, EvenColumns{packed + panel.first * depth, M, 1},
                       OffsetRows{plane + tile.position, offsets}, tile.gap, depth);
            put(sums, tile, K - panel.first, finish.of(panel.first, panel.first * y_plane), y + panel.first * y_plane,
                y_plane, y_step);
        });
    }
}

/* How many rows of results a task takes, so that its planes stay in the second-level cache. */
ptrdiff_t block_rows(const Planes &whole, ptrdiff_t channels, ptrdiff_t tasks)
{
    ptrdiff_t rows = whole.down.count, row_floats = channels * whole.phases() * whole.pitch;
    ptrdiff_t fitting = larger(1, (ptrdiff_t(96) << 10) / larger(row_floats, 1) - whole.down.reach());
    ptrdiff_t blocks = larger(ceil_div(rows, fitting), smaller(ceil_div(16, tasks), rows));
    return ceil_div(rows, blocks);
}

ptrdiff_t packed_size(const Correlation &c)
{
    return c.groups * panel_rows(c.results) * c.channels * c.down.taps * c.across.taps;
}

int pack_weights(float *packed, const float *w, const Correlation &c)
{
    ptrdiff_t size = packed_size(c) / c.groups;
    return parallel(c.groups, 0, [&](ptrdiff_t g, float *) {
        pack_weights(packed + g * size, w + g * c.group_step, c.results, c.result_step, c.channels, c.channel_step,
                     c.down, c.across, c.width);
    });
}

/* One correlation: the forward pass, or one residue of the backward pass. */
int correlate(float *y, const float *x, const float *packed, const Finish &finish, const Correlation &c)
{
    ptrdiff_t depth = c.channels * c.down.taps * c.across.taps, size = packed_size(c) / c.groups;
    ptrdiff_t x_plane = c.down.input * c.across.input, y_plane = c.down.output * c.across.output;
    const Planes whole(c.down, c.across, c.down.count);
    ptrdiff_t rows = block_rows(whole, c.channels, c.N * c.groups), blocks = ceil_div(c.down.count, rows);
    const Planes planes(c.down, c.across, rows);
    bool in_place = planes.lies_inside((blocks - 1) * rows);
    ptrdiff_t floats = in_place ? 0 : ceil_div(c.channels * planes.size() + NR, VL) * VL;
    size_t bytes = floats * sizeof(float) + depth * sizeof(ptrdiff_t);
    return parallel(c.N * c.groups * blocks, bytes, [&](ptrdiff_t task, float *scratch) {
        ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(scratch + floats);
        planes.find_taps(offsets, c.channels, in_place ? c.across.input : planes.pitch,
                         in_place ? x_plane : planes.size());
        ptrdiff_t image = task / blocks, first = task % blocks * rows, n = image / c.groups, g = image % c.groups;
        ptrdiff_t here = smaller(rows, c.down.count - first);
        const float *from = x + image * c.channels * x_plane, *plane = scratch;
        if (in_place)
            plane = from + (c.down.first() + first) * c.across.input + c.across.first();
        else
            planes.fill(scratch, from, c.channels, first);
        const Pixels pixels(here, c.across.count, in_place ? c.across.input : planes.pitch);
        ptrdiff_t start = (c.down.start + first * c.down.step) * c.across.output + c.across.start;
        ptrdiff_t to = (n * c.groups + g) * c.results * y_plane + start;
        correlate_block(y + to, plane, packed + g * size, offsets, finish.of(g * c.results, to), pixels, c.results,
                        depth, y_plane, c.down.step * c.across.output, c.across.step);
    });
}

/* -- the weights' gradient ----------------------------------------------------------------------------- */

/* Images are summed in chunks, each into accumulators of its own: (chunk, group, (c, tap), k). */
struct Sums {
    ptrdiff_t taps, rows, columns, chunks;

    Sums(const mk_conv &p)
        : taps(p.C / p.groups * p.KH * p.KW), rows(panel_rows(taps)), columns(ceil_div(p.K / p.groups, VL) * VL)
    {
        ptrdiff_t affordable = larger(1, (ptrdiff_t(1) << 22) / (p.groups * size()));
        chunks = smaller(smaller(p.N, 8), affordable);
    }

    ptrdiff_t size() const { return rows * columns; }
};

/* to[p][k] = gy[k][p], for `pixels` neighbouring pixels; zeros where there is no k. */
void pixels_first(float *to, const float *gy, ptrdiff_t pixels, ptrdiff_t K, ptrdiff_t plane, ptrdiff_t columns)
{
    for (ptrdiff_t p = 0; p < pixels; p += VL)
        for (ptrdiff_t k = 0; k < K; k += VL) {
            vec v[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                const float *from = gy + (k + i) * plane + p;
                v[i] = k + i >= K ? (vec){} : p + VL <= pixels ? load(from) : load_first(from, pixels - p);
            }
            transpose(v);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++)
                if (p + i < pixels)
                    store(to + (p + i) * columns + k, v[i]);
        }
}

template <int M, int V>
MK_INLINE void add_rows(float *to, const float *plane, ptrdiff_t pitch, const ptrdiff_t *offsets, const float *gradients,
                        ptrdiff_t columns, ptrdiff_t rows, ptrdiff_t width)
{
    vec sums[M][V];
    load_tile(sums, to, columns);
    for (ptrdiff_t i = 0; i < rows; i++)
        accumulate(sums, OffsetColumns{plane + i * pitch, offsets}, EvenRows{gradients + i * width * columns, columns}, VL,
                   width);
    store_tile(to, columns, sums);
}

/* to[c, tap][k] += sum over pixels of the planes under the tap * gradients[pixel][k]. */
void add_block(float *to, const float *plane, ptrdiff_t pitch, const ptrdiff_t *offsets, const float *gradients,
               const Sums &sums, ptrdiff_t rows, ptrdiff_t width)
{
    each_panel(sums.taps, [&](auto panel) {
        constexpr int M = panel.rows;
        float *first = to + panel.first * sums.columns;
        const ptrdiff_t *taps = offsets + panel.first;
        ptrdiff_t k = 0;
        for (; k + NR <= sums.columns; k += NR)
            add_rows<M, NV>(first + k, plane, pitch, taps, gradients + k, sums.columns, rows, width);
        for (; k < sums.columns; k += VL)
            add_rows<M, 1>(first + k, plane, pitch, taps, gradients + k, sums.columns, rows, width);
    });
}

/* gw: (K, C / groups, KH, KW) from the sums of all chunks. */
void finish_weight_gradient(float *gw, const float *workspace, const Sums &sums, const mk_conv &p)
{
    ptrdiff_t K = p.K / p.groups;
    parallel(p.groups * sums.taps, 0, [&](ptrdiff_t task, float *) {
        ptrdiff_t g = task / sums.taps, tap = task % sums.taps;
        for (ptrdiff_t k = 0; k < K; k += VL) {
            vec total = {};
            for (ptrdiff_t chunk = 0; chunk < sums.chunks; chunk++)
                total += load(workspace + (chunk * p.groups + g) * sums.size() + tap * sums.columns + k);
            for (ptrdiff_t lane = 0; lane < smaller(VL, K - k); lane++)
                gw[(g * K + k + lane) * sums.taps + tap] = total[lane];
        }
    });
}

} // namespace

ptrdiff_t MK(conv_workspace)(const mk_conv *p)
{
    ptrdiff_t taps = p->KH * p->KW, C = p->C / p->groups, K = p->K / p->groups;
    return larger(panel_rows(K) * C, panel_rows(C) * K) * p->groups * taps;
}

ptrdiff_t MK(conv_packed_size)(const mk_conv *p) { return packed_size(forward_correlation(*p)); }

int MK(conv_pack_weights)(float *packed, const float *w, const mk_conv *p)
{
    return pack_weights(packed, w, forward_correlation(*p));
}

int MK(conv_forward_packed)(float *y, const float *x, const float *packed, const float *bias, const float *residual,
                            const mk_conv *p, int with_relu)
{
    return correlate(y, x, packed, Finish{bias, residual, bool(with_relu)}, forward_correlation(*p));
}

int MK(conv_forward)(float *y, const float *x, const float *w, const float *bias, float *workspace, const mk_conv *p,
                     int with_relu)
{
    MK(conv_pack_weights)(workspace, w, p);
    return MK(conv_forward_packed)(y, x, workspace, bias, nullptr, p, with_relu);
}

int MK(conv_backward_data)(float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p)
{
    if (!every_pixel_has_a_tap(*p))
        for (ptrdiff_t i = 0; i < p->N * p->C * p->H * p->W; i++)
            gx[i] = 0.0f;
    for (ptrdiff_t a = 0; a < p->stride_h; a++)
        for (ptrdiff_t b = 0; b < p->stride_w; b++) {
            const Correlation c = backward_correlation(*p, a, b);
            if (c.down.is_empty() || c.across.is_empty())
                continue;
            pack_weights(workspace, w, c);
            if (correlate(gx, gy, workspace, Finish{nullptr, nullptr, false}, c))
                return -1;
        }
    return 0;
}

ptrdiff_t MK(conv_gradient_workspace)(const mk_conv *p)
{
    const Sums sums(*p);
    return 2 * sums.rows + sums.chunks * p->groups * sums.size();
}

int MK(conv_weight_gradient)(float *gw, const float *gy, const float *x, float *workspace, const mk_conv *p)
{
    const Sums sums(*p);
    const Axis down = forward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h);
    const Axis across = forward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w);
    ptrdiff_t C = p->C / p->groups, K = p->K / p->groups, x_plane = p->H * p->W, y_plane = p->OH * p->OW;
    ptrdiff_t rows = block_rows(Planes(down, across, p->OH), C, 16);
    const Planes planes(down, across, rows);
    bool in_place = down.lies_inside() && across.lies_inside();
    ptrdiff_t pitch = in_place ? p->W : planes.pitch;
    ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(workspace);
    planes.find_taps(offsets, C, pitch, in_place ? x_plane : planes.size());
    for (ptrdiff_t tap = sums.taps; tap < sums.rows; tap++)
        offsets[tap] = 0; /* the padding of the last panel: summed, and never used */
    float *all_sums = workspace + 2 * sums.rows;
    ptrdiff_t planes_size = in_place ? 0 : C * planes.size();
    size_t bytes = (planes_size + rows * p->OW * sums.columns) * sizeof(float);
    int failed = parallel(sums.chunks * p->groups, bytes, [&](ptrdiff_t task, float *scratch) {
        ptrdiff_t chunk = task / p->groups, g = task % p->groups;
        float *to = all_sums + task * sums.size(), *gradients = scratch + planes_size;
        for (ptrdiff_t i = 0; i < sums.size(); i += VL)
            store(to + i, (vec){});
        for (ptrdiff_t n = p->N * chunk / sums.chunks; n < p->N * (chunk + 1) / sums.chunks; n++)
            for (ptrdiff_t first = 0; first < p->OH; first += rows) {
                ptrdiff_t here = smaller(rows, p->OH - first);
                const float *image = x + (n * p->groups + g) * C * x_plane, *plane = scratch;
                if (in_place)
                    plane = image + (down.first() + first) * p->W + across.first();
                else
                    planes.fill(scratch, image, C, first);
                pixels_first(gradients, gy + (n * p->groups + g) * K * y_plane + first * p->OW, here * p->OW, K, y_plane,
                             sums.columns);
                bool one_run = pitch == p->OW;
                add_block(to, plane, pitch, offsets, gradients, sums, one_run ? 1 : here, one_run ? here * p->OW : p->OW);
            }
    });
    if (!failed)
        finish_weight_gradient(gw, all_sums, sums, *p);
    return failed;
}
