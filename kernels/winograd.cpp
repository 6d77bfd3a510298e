/* Convolution 3x3, stride 1, padding 1, by Winograd's F(4x4, 3x3): Lavin & Gray, "Fast algorithms for
 * convolutional neural networks", 2016.
 *
 * An image is cut into tiles of 4x4 results. A tile needs a patch of 6x6 pixels; in the transformed domain,
 * 36 frequencies a tile, the convolution over channels is 36 small dense products:
 *
 *     forward            y  = A' [ (G w G') . (B' x B) ] A       summed over input channels
 *     backward, data     the forward pass of gy, with w turned by 180 degrees and its channels swapped
 *     backward, weights  gw = G' [ (A gy A') . (B' x B) ] G      summed over tiles and images
 *
 * 36 products stand for 144: four times less work, at the price of digits: the error is some 5 to 10 times
 * that of the direct convolution.
 *
 * Tiles lie in the lanes of vectors, so that transforms are plain arithmetic between vectors. Only taking
 * rows of pixels apart into the four columns of each tile, and putting them together again, needs shuffles.
 */
#include "memory.h"
#include "mk.h"
#include "parallel.h"
#include "tile.h"
#include "winograd.h"

namespace {

/* -- weights ---------------------------------------------------------------------------------------------- */

/* u: (36, panels of K, C, M), from w[k * k_step + c * c_step + tap]; turned: tap 8 - t stands for tap t. */
void transform_weights(float *u, const float *w, ptrdiff_t K, ptrdiff_t C, ptrdiff_t k_step, ptrdiff_t c_step, bool turned)
{
    ptrdiff_t frequency_step = panel_rows(K) * C;
    ptrdiff_t panels = 0;
    each_panel(K, [&](auto) { panels++; });
    parallel(panels, 0, [&](ptrdiff_t wanted, float *) {
        ptrdiff_t number = 0;
        each_panel(K, [&](auto panel) {
            if (number++ != wanted)
                return;
            constexpr int M = panel.rows;
            constexpr int V = (M + VL - 1) / VL;
            float lanes[9][V * VL] = {};
            for (ptrdiff_t c = 0; c < C; c++) {
                for (int i = 0; i < M && panel.first + i < K; i++)
                    for (int tap = 0; tap < 9; tap++)
                        lanes[tap][i] = w[(panel.first + i) * k_step + c * c_step + (turned ? 8 - tap : tap)];
                float *to = u + (panel.first * C + c * M);
                for (int v = 0; v < V; v++) {
                    vec rows[6][3];
                    for (int s = 0; s < 3; s++) {
                        vec g[3] = {load(lanes[s] + v * VL), load(lanes[3 + s] + v * VL), load(lanes[6 + s] + v * VL)};
                        vec t[6];
                        weight_transform(g, t);
                        for (int r = 0; r < 6; r++)
                            rows[r][s] = t[r];
                    }
                    int width = M - v * VL < VL ? M - v * VL : VL;
                    for (int r = 0; r < 6; r++) {
                        vec t[6];
                        weight_transform(rows[r], t);
                        for (int f = 0; f < 6; f++) {
                            float *place = to + (r * 6 + f) * frequency_step + v * VL;
                            if (width == VL)
                                store(place, t[f]);
                            else
                                store_first(place, t[f], width);
                        }
                    }
                }
            }
        });
    });
}

/* How many tiles a task takes at once: so that transformed pixels and products stay in the second-level cache. */
MK_INLINE ptrdiff_t block_tiles(ptrdiff_t channels) { return channels <= 64 ? 64 : 32; }
static_assert(32 % NR == 0, "blocks are filled with tiles of the micro-kernel");

/* Channels summed in a row. A sum of sums loses fewer digits: its error hardly grows with their number. */
constexpr ptrdiff_t DEPTH = 64;

enum { FEW = 128 }; /* so many tiles at most are one block, whose work is shared */

/* A distance between frequencies that does not map all of them to the same cache sets. */
MK_INLINE ptrdiff_t frequency_distance(ptrdiff_t rows, ptrdiff_t tiles) { return rows * tiles + 16; }

/* A block of tiles on its way: patches (36, C, tiles), then products (36, K, tiles). */
struct Block {
    ptrdiff_t C, K, tiles, patch_step, product_step;

    Block(ptrdiff_t C, ptrdiff_t K, ptrdiff_t tiles)
        : C(C), K(K), tiles(tiles), patch_step(frequency_distance(C, tiles)),
          product_step(frequency_distance(panel_rows(K), tiles))
    {
    }

    ptrdiff_t products() const { return FREQUENCIES * patch_step; }
    ptrdiff_t size() const { return products() + FREQUENCIES * product_step; }

    /* Channels `begin` to `end` of the patches of images x: (N, C, H, W). */
    void transform(float *block, const float *x, const Tiling &tiling, ptrdiff_t first, ptrdiff_t begin,
                   ptrdiff_t end) const
    {
        ptrdiff_t plane = tiling.H * tiling.W;
        for (ptrdiff_t j = 0; j < tiles; j += VL)
            with_group(tiling, first + j, C * plane, [&](const auto &group) {
                for (ptrdiff_t c = begin; c < end; c++) {
                    group.prefetch(x + (c + 1) * plane);
                    transform_patches(group, x + c * plane, block + c * tiles + j, patch_step);
                }
            });
    }

    /* products[f][k][tile] = sum over c of packed[f][k][c] * patches[f][c][tile], for one frequency. */
    void multiply(float *block, const float *packed, int f) const
    {
        each_panel(K, [&](auto panel) {
            const float *a = packed + (f * panel_rows(K) + panel.first) * C, *b = block + f * patch_step;
            float *to = block + products() + f * product_step + panel.first * tiles;
            ptrdiff_t j = 0;
            for (; j + NR <= tiles; j += NR)
                multiply_tile<panel.rows, NV>(to + j, a, b + j);
            if (j < tiles)
                multiply_tile<panel.rows, 1>(to + j, a, b + j);
        });
    }

    template <int M, int V>
    MK_INLINE_MEMBER void multiply_tile(float *to, const float *a, const float *b) const
    {
        vec sums[M][V] = {};
        accumulate(sums, EvenColumns{a, M, 1}, EvenRows{b, tiles}, VL, smaller(DEPTH, C));
        store_tile(to, tiles, sums);
        for (ptrdiff_t c = DEPTH; c < C; c += DEPTH) {
            vec more[M][V] = {};
            accumulate(more, EvenColumns{a + c * M, M, 1}, EvenRows{b + c * tiles, tiles}, VL, smaller(DEPTH, C - c));
            add_tile(to, tiles, more);
        }
    }

    /* Channels `begin` to `end` of the results y: (N, K, H, W). */
    void finish(float *y, const float *block, const float *bias, const float *residual, bool with_relu,
                const Tiling &tiling, ptrdiff_t first, ptrdiff_t begin, ptrdiff_t end) const
    {
        ptrdiff_t plane = tiling.H * tiling.W;
        for (ptrdiff_t j = 0; j < tiles; j += VL)
            with_group(tiling, first + j, K * plane, [&](const auto &group) {
                for (ptrdiff_t k = begin; k < end; k++)
                    transform_back(group, block + products() + k * tiles + j, product_step, bias ? bias[k] : 0.0f,
                                   residual ? residual + k * plane : nullptr, with_relu, y + k * plane);
            });
    }
};

/* Few tiles, as of an image alone, are one block that the threads share: its channels, then its frequencies. */
int run_shared(float *y, const float *x, const float *packed, const float *bias, const float *residual, bool with_relu,
               const Tiling &tiling, const Block &block)
{
    enum { CHANNELS = 8 }; /* a task takes */
    float *memory = static_cast<float *>(mk_take(block.size() * sizeof(float)));
    if (!memory)
        return -1;
    parallel(ceil_div(block.C, CHANNELS), 0, [&](ptrdiff_t task, float *) {
        block.transform(memory, x, tiling, 0, task * CHANNELS, smaller(block.C, (task + 1) * CHANNELS));
    });
    parallel(FREQUENCIES, 0, [&](ptrdiff_t f, float *) { block.multiply(memory, packed, static_cast<int>(f)); });
    parallel(ceil_div(block.K, CHANNELS), 0, [&](ptrdiff_t task, float *) {
        block.finish(y, memory, bias, residual, with_relu, tiling, 0, task * CHANNELS,
                     smaller(block.K, (task + 1) * CHANNELS));
    });
    mk_give(memory);
    return 0;
}

/* -- the weights' gradient ----------------------------------------------------------------------------- */

/* Images are summed in chunks, each into an accumulator of its own: their number depends on the shape only. */
struct Accumulators {
    ptrdiff_t rows, columns, blocks, chunks;

    Accumulators(ptrdiff_t C, ptrdiff_t K, ptrdiff_t blocks)
        : rows(panel_rows(K)), columns(ceil_div(C, VL) * VL), blocks(blocks), chunks(smaller(blocks, 8))
    {
    }

    ptrdiff_t size() const { return FREQUENCIES * rows * columns; }
};

/* to[f][tile][channel] = frequency f of the patches of VL tiles, for VL channels from c on. */
template <class Group>
void transform_patches_across(const Group &group, const float *x, ptrdiff_t plane, ptrdiff_t channels, float *square,
                              float *to, ptrdiff_t tile_step, ptrdiff_t step)
{
    for (ptrdiff_t c = 0; c < VL; c++)
        if (c < channels) {
            group.prefetch(x + (c + 1) * plane);
            transform_patches(group, x + c * plane, square + c * VL, VL * VL);
        } else
            for (int f = 0; f < FREQUENCIES; f++)
                store(square + f * VL * VL + c * VL, (vec){});
    for (int f = 0; f < FREQUENCIES; f++) {
        vec v[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            v[i] = load(square + (f * VL + i) * VL);
        transpose(v);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            store(to + f * step + i * tile_step, v[i]);
    }
}

template <int M, int V>
MK_INLINE void add_products(float *to, ptrdiff_t to_step, const float *gradients, const float *patches,
                            ptrdiff_t columns, ptrdiff_t tiles)
{
    vec sums[M][V] = {};
    accumulate(sums, EvenColumns{gradients, 1, tiles}, EvenRows{patches, columns}, VL, tiles);
    add_tile(to, to_step, sums);
}

/* sums[f][k][c] += sum over tiles of gradients[f][k][tile] * patches[f][tile][c]. */
void add_all_products(float *sums, const float *gradients, ptrdiff_t gradient_step, const float *patches,
                      ptrdiff_t patch_step, ptrdiff_t K, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t tiles)
{
    for (int f = 0; f < FREQUENCIES; f++)
        each_panel(K, [&](auto panel) {
            constexpr int M = panel.rows;
            const float *a = gradients + f * gradient_step + panel.first * tiles;
            float *to = sums + (f * rows + panel.first) * columns;
            ptrdiff_t c = 0;
            for (; c + NR <= columns; c += NR)
                add_products<M, NV>(to + c, columns, a, patches + f * patch_step + c, columns, tiles);
            for (; c < columns; c += VL)
                add_products<M, 1>(to + c, columns, a, patches + f * patch_step + c, columns, tiles);
        });
}

/* gw: (K, C, 3, 3) from the sums of all chunks. */
void finish_weight_gradient(float *gw, const float *workspace, const Accumulators &sums, ptrdiff_t C, ptrdiff_t K)
{
    parallel(K, 0, [&](ptrdiff_t k, float *) {
        for (ptrdiff_t c = 0; c < C; c += VL) {
            vec rows[3][6], taps[9];
            for (int s = 0; s < 6; s++) {
                vec u[6] = {}, g[3];
                for (int r = 0; r < 6; r++)
                    for (ptrdiff_t chunk = 0; chunk < sums.chunks; chunk++)
                        u[r] += load(workspace + chunk * sums.size() +
                                     ((r * 6 + s) * sums.rows + k) * sums.columns + c);
                weight_gradient_transform(u, g);
                for (int r = 0; r < 3; r++)
                    rows[r][s] = g[r];
            }
            for (int r = 0; r < 3; r++)
                weight_gradient_transform(rows[r], taps + 3 * r);
            float *to = gw + (k * C + c) * 9;
            for (int tap = 0; tap < 9; tap++)
                for (int lane = 0; lane < VL && c + lane < C; lane++)
                    to[lane * 9 + tap] = taps[tap][lane];
        }
    });
}

enum { GRADIENT_TILES = 64 };

} // namespace

ptrdiff_t MK(winograd_packed_size)(ptrdiff_t C, ptrdiff_t K)
{
    return FREQUENCIES * panel_rows(K) * C;
}

void MK(winograd_pack)(float *packed, const float *w, ptrdiff_t C, ptrdiff_t K, int turned)
{
    if (turned) /* w: (C, K, 3, 3) */
        transform_weights(packed, w, K, C, 9, K * 9, true);
    else /* w: (K, C, 3, 3) */
        transform_weights(packed, w, K, C, C * 9, 9, false);
}

int MK(winograd_run)(float *y, const float *x, const float *packed, const float *bias, const float *residual,
                     ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K, int with_relu)
{
    const Tiling tiling(N, H, W);
    if (tiling.count <= FEW)
        return run_shared(y, x, packed, bias, residual, with_relu, tiling, Block(C, K, ceil_div(tiling.count, VL) * VL));
    const Block block(C, K, block_tiles(C > K ? C : K));
    size_t bytes = block.size() * sizeof(float);
    return parallel(ceil_div(tiling.count, block.tiles), bytes, [&](ptrdiff_t task, float *memory) {
        ptrdiff_t first = task * block.tiles;
        block.transform(memory, x, tiling, first, 0, C);
        for (int f = 0; f < FREQUENCIES; f++)
            block.multiply(memory, packed, f);
        block.finish(y, memory, bias, residual, with_relu, tiling, first, 0, K);
    });
}

ptrdiff_t MK(winograd_gradient_workspace)(ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K)
{
    Accumulators sums(C, K, ceil_div(Tiling(N, H, W).count, GRADIENT_TILES));
    return sums.chunks * sums.size();
}

int MK(winograd_weight_gradient)(float *gw, const float *gy, const float *x, float *workspace, ptrdiff_t N, ptrdiff_t C,
                                 ptrdiff_t H, ptrdiff_t W, ptrdiff_t K)
{
    const Tiling tiling(N, H, W);
    const ptrdiff_t tiles = GRADIENT_TILES, plane = H * W;
    const Accumulators sums(C, K, ceil_div(tiling.count, tiles));
    ptrdiff_t gradient_step = frequency_distance(sums.rows, tiles), patch_step = frequency_distance(sums.columns, tiles);
    size_t bytes = FREQUENCIES * (gradient_step + patch_step + VL * VL) * sizeof(float);
    int failed = parallel(sums.chunks, bytes, [&](ptrdiff_t chunk, float *gradients) {
        float *patches = gradients + FREQUENCIES * gradient_step, *square = patches + FREQUENCIES * patch_step;
        float *to = workspace + chunk * sums.size();
        for (ptrdiff_t i = 0; i < sums.size(); i += VL)
            store(to + i, (vec){});
        for (ptrdiff_t block = sums.blocks * chunk / sums.chunks; block < sums.blocks * (chunk + 1) / sums.chunks; block++) {
            for (ptrdiff_t j = 0; j < tiles; j += VL) {
                with_group(tiling, block * tiles + j, K * plane, [&](const auto &group) {
                    for (ptrdiff_t k = 0; k < sums.rows; k++) {
                        group.prefetch(gy + smaller(k + 1, K - 1) * plane);
                        transform_gradients(group, gy + smaller(k, K - 1) * plane, gradients + k * tiles + j, gradient_step);
                    }
                });
                with_group(tiling, block * tiles + j, C * plane, [&](const auto &group) {
                    for (ptrdiff_t c = 0; c < C; c += VL)
                        transform_patches_across(group, x + c * plane, plane, C - c, square,
                                                 patches + j * sums.columns + c, sums.columns, patch_step);
                });
            }
            add_all_products(to, gradients, gradient_step, patches, patch_step, K, sums.rows, sums.columns, tiles);
        }
    });
    if (!failed)
        finish_weight_gradient(gw, workspace, sums, C, K);
    return failed;
}
