/* Direct convolution: the weights' gradient.
 *
 *     gw[k][c, tap] = sum over p of  gy[k][p] * x[c, p moved by tap]
 *
 * Pixels under a tap are neighbours in copies of the channels (copies.h). There are two ways to sum:
 *
 *     by numbers   a tile of (c, tap) x k: pixels of x are spread over vectors, which meet vectors of channels k,
 *                  for which gy is transposed first
 *     by lanes     vectors of neighbouring pixels of both meet, and each lane sums pixels of its own: nothing is
 *                  transposed, but for each block of rows each sum has to be collected from its lanes
 */
#include "conv.h"
#include "copies.h"
#include "mk.h"
#include "pack.h"
#include "parallel.h"
#include "tile.h"

namespace {

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

/* -- by numbers ---------------------------------------------------------------------------------------------- */

/* to[p][k] = gy[k][p], for `pixels` neighbouring pixels; zeros where there is no k. */
void pixels_first(float *to, const float *gy, ptrdiff_t pixels, ptrdiff_t K, ptrdiff_t plane, ptrdiff_t columns)
{
    for (ptrdiff_t k = 0; k < K; k += VL)
        for (ptrdiff_t p = 0; p < pixels; p += VL) {
            vec v[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                const float *from = gy + (k + i) * plane + p;
                __builtin_prefetch(from + VL * plane);
                v[i] = k + i >= K ? (vec){} : p + VL <= pixels ? load(from) : load_first(from, pixels - p);
            }
            transpose(v);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++)
                if (p + i < pixels)
                    store(to + (p + i) * columns + k, v[i]);
        }
}

/* Rows of results, and where their pixels lie in the copies. */
struct Block {
    const float *pixels;
    const ptrdiff_t *offsets;
    ptrdiff_t rows, width, pitch;
};

template <int M, int V>
MK_INLINE void add_numbers(float *to, const Block &block, ptrdiff_t tap, const float *gradients, const Sums &sums)
{
    vec tile[M][V] = {};
    for (ptrdiff_t i = 0, summed = 0; i < block.rows; i++)
        for (ptrdiff_t p = 0, end; p < block.width; p = end) {
            end = smaller(block.width, p + CHAIN - summed);
            accumulate(tile, OffsetColumns{block.pixels + i * block.pitch, block.offsets + tap},
                       EvenRows{gradients + i * block.width * sums.columns, sums.columns}, VL, p, end);
            summed += end - p;
            if (summed == CHAIN) {
                add_tile(to, sums.columns, tile);
                clear_tile(tile);
                summed = 0;
            }
        }
    add_tile(to, sums.columns, tile);
}

/* to[c, tap][k] += sum over pixels of the copies under the tap * gradients[pixel][k]. */
void add_by_numbers(float *to, Block block, const float *gradients, const Sums &sums)
{
    if (block.pitch == block.width)
        block = {block.pixels, block.offsets, 1, block.rows * block.width, 0};
    each_panel(sums.taps, [&](auto panel) {
        constexpr int M = panel.rows;
        float *first = to + panel.first * sums.columns;
        ptrdiff_t k = 0;
        for (; k + NR <= sums.columns; k += NR)
            add_numbers<M, NV>(first + k, block, panel.first, gradients + k, sums);
        for (; k < sums.columns; k += VL)
            add_numbers<M, 1>(first + k, block, panel.first, gradients + k, sums);
    });
}

/* -- by lanes ------------------------------------------------------------------------------------------------ */

enum { LANES_K = 4, LANES_TAPS = VL == 16 ? 6 : 3 }; /* of a tile */

/* M channels k meet T taps. Channels beyond the last are computed as the last, and never used. */
template <int M, int T>
void add_lanes(float *to, const Block &block, const ptrdiff_t *offsets, const float *gy, ptrdiff_t plane,
               ptrdiff_t rest, const Sums &sums)
{
    const float *gradients[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
        gradients[i] = gy + smaller(i, rest - 1) * plane;
    ptrdiff_t count = block.rows * block.width, gap = block.pitch - block.width, at = 0, column = 0, p = 0;
    vec tile[M][T] = {};
    for (; p + VL <= count; p += VL) {
        const float *pixels = block.pixels + at;
#pragma GCC unroll 4
        for (int i = 0; i < M; i++)
            __builtin_prefetch(gradients[i] + p + LANES_K * plane);
        accumulate_lanes(tile, [&](int i) MK_INLINE_LAMBDA { return load(gradients[i] + p); },
                         [&](int j) MK_INLINE_LAMBDA { return load(pixels + offsets[j]); });
        at += VL;
        column += VL;
        if (column == block.width) {
            column = 0;
            at += gap;
        }
    }
    if (p < count) {
        const float *pixels = block.pixels + at;
        accumulate_lanes(tile, [&](int i) MK_INLINE_LAMBDA { return load_first(gradients[i] + p, count - p); },
                         [&](int j) MK_INLINE_LAMBDA { return load_first(pixels + offsets[j], count - p); });
    }
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
        const vec lanes[4] = {tile[0][j], tile[1 % M][j], tile[2 % M][j], tile[3 % M][j]};
        float *sum = to + j * sums.columns;
        store_first(sum, load_first(sum, LANES_K) + sum_each(lanes), LANES_K);
    }
}

template <int M>
void add_channels(float *to, const Block &block, const float *gy, ptrdiff_t plane, ptrdiff_t rest, const Sums &sums)
{
    ptrdiff_t tap = 0;
    auto add = [&](auto taps) {
        constexpr int T = taps.rows;
        for (; tap + T <= sums.taps; tap += T)
            add_lanes<M, T>(to + tap * sums.columns, block, block.offsets + tap, gy, plane, rest, sums);
    };
    add(Panel<LANES_TAPS>{});
    add(Panel<3>{});
    add(Panel<1>{});
}

/* The same sums of the gradients as they lie. */
void add_by_lanes(float *to, const Block &block, const float *gy, ptrdiff_t K, ptrdiff_t plane, const Sums &sums)
{
    for (ptrdiff_t k = 0; k < K; k += LANES_K)
        if (K - k > 2)
            add_channels<4>(to + k, block, gy + k * plane, plane, K - k, sums);
        else
            add_channels<2>(to + k, block, gy + k * plane, plane, K - k, sums);
}

/* -- tasks --------------------------------------------------------------------------------------------------- */

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

/* Collecting the lanes pays for many pixels; transposing pays for many products of each number. Measured:
 *
 *     N, C, H x W -> K, kernel         GFLOP/s by numbers   by lanes
 *     64, 1, 28 x 28 -> 6, 5 x 5                       52        146
 *     64, 3, 32 x 32 -> 32, 3 x 3                     153        190
 *     128, 16, 32 x 32 -> 16, 3 x 3                   142        167
 *     64, 32, 32 x 32 -> 64, 1 x 1                     87        107
 *     64, 32, 32 x 32 -> 32, 3 x 3                    182        174
 *     64, 6, 14 x 14 -> 16, 5 x 5                     162        130 */
MK_INLINE bool is_for_lanes(ptrdiff_t pixels, ptrdiff_t taps, ptrdiff_t K)
{
    return pixels >= 512 && (taps <= 30 || K <= VL);
}

} // namespace

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
    ptrdiff_t row_floats = C * down.phases() * p->KW * p->OW;
    ptrdiff_t fitting = larger(1, (ptrdiff_t(96) << 10) / row_floats - down.reach());
    ptrdiff_t rows = ceil_div(p->OH, ceil_div(p->OH, fitting));
    bool lanes = is_for_lanes(rows * p->OW, sums.taps, K);
    if (lanes) /* each lane sums a block in one chain: the fewer blocks the better */
        rows = smaller(rows, larger(1, 4 * CHAIN * VL / p->OW));
    const Copies copies(down, across, lanes && p->OW % VL != 0, rows);
    ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(workspace);
    copies.find_taps(offsets, down, C);
    for (ptrdiff_t tap = sums.taps; tap < sums.rows; tap++)
        offsets[tap] = 0; /* the padding of the last panel: summed, and never used */
    float *all_sums = workspace + 2 * sums.rows;
    ptrdiff_t copies_floats = C * copies.size + Copies::SPARE;
    size_t bytes = (copies_floats + (lanes ? 0 : rows * p->OW * sums.columns)) * sizeof(float);
    int failed = parallel(sums.chunks * p->groups, bytes, [&](ptrdiff_t task, float *scratch) {
        ptrdiff_t chunk = task / p->groups, g = task % p->groups;
        float *to = all_sums + task * sums.size(), *gradients = scratch + copies_floats;
        for (ptrdiff_t i = 0; i < sums.size(); i += VL)
            store(to + i, (vec){});
        for (ptrdiff_t n = p->N * chunk / sums.chunks; n < p->N * (chunk + 1) / sums.chunks; n++)
            for (ptrdiff_t first = 0; first < p->OH; first += rows) {
                ptrdiff_t here = smaller(rows, p->OH - first), image = n * p->groups + g;
                const float *from = gy + image * K * y_plane + first * p->OW;
                const Block block = {scratch, offsets, here, p->OW, copies.pitch};
                copies.fill(scratch, x + image * C * x_plane, C, first);
                if (lanes) {
                    add_by_lanes(to, block, from, K, y_plane, sums);
                    continue;
                }
                pixels_first(gradients, from, here * p->OW, K, y_plane, sums.columns);
                add_by_numbers(to, block, gradients, sums);
            }
    });
    if (!failed)
        finish_weight_gradient(gw, all_sums, sums, *p);
    return failed;
}
