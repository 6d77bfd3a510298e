/* Winograd's transforms F(4x4, 3x3): of a column of numbers, and of the tiles of a channel; see winograd.cpp. */
#ifndef MK_WINOGRAD_H
#define MK_WINOGRAD_H

#include "simd.h"

namespace {

enum { FREQUENCIES = 36, QUARTER = VL / 4 }; /* a vector of pixels spans QUARTER tiles */

MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* -- transforms of one column of numbers ------------------------------------------------------------- */

MK_INLINE void patch_transform(const vec *d, vec *t) /* B': 6 pixels -> 6 */
{
    vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    vec c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

MK_INLINE void result_transform(const vec *m, vec *y) /* A': 6 -> 4 results */
{
    vec s1 = m[1] + m[2], d1 = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    y[0] = m[0] + s1 + s2;
    y[1] = d1 + 2.0f * d2;
    y[2] = s1 + 4.0f * s2;
    y[3] = d1 + 8.0f * d2 + m[5];
}

MK_INLINE void gradient_transform(const vec *g, vec *t) /* A: 4 gradients of results -> 6 */
{
    vec even = g[0] + g[2], odd = g[1] + g[3];
    vec even4 = g[0] + 4.0f * g[2], odd4 = 2.0f * g[1] + 8.0f * g[3];
    t[0] = g[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even4 + odd4;
    t[4] = even4 - odd4;
    t[5] = g[3];
}

MK_INLINE void weight_transform(const vec *g, vec *t) /* G: 3 weights -> 6 */
{
    vec ends = g[0] + g[2], ends4 = g[0] + 4.0f * g[2];
    t[0] = g[0] * 0.25f;
    t[1] = (ends + g[1]) * (-1.0f / 6);
    t[2] = (ends - g[1]) * (-1.0f / 6);
    t[3] = (ends4 + 2.0f * g[1]) * (1.0f / 24);
    t[4] = (ends4 - 2.0f * g[1]) * (1.0f / 24);
    t[5] = g[2];
}

MK_INLINE void weight_gradient_transform(const vec *u, vec *g) /* G': 6 -> 3 gradients of weights */
{
    vec s1 = (u[1] + u[2]) * (-1.0f / 6), d1 = (u[2] - u[1]) * (1.0f / 6);
    vec s2 = (u[3] + u[4]) * (1.0f / 24), d2 = (u[3] - u[4]) * (1.0f / 12);
    g[0] = u[0] * 0.25f + s1 + s2;
    g[1] = d1 + d2;
    g[2] = s1 + 4.0f * s2 + u[5];
}

/* -- pixels <-> the columns of tiles ------------------------------------------------------------------- */

MK_INLINE void take_apart(const vec *pixels, vec *column) /* 4 vectors of pixels -> 4 columns of VL tiles */
{
    vec even01 = evens(pixels[0], pixels[1]), odd01 = odds(pixels[0], pixels[1]);
    vec even23 = evens(pixels[2], pixels[3]), odd23 = odds(pixels[2], pixels[3]);
    column[0] = evens(even01, even23);
    column[1] = evens(odd01, odd23);
    column[2] = odds(even01, even23);
    column[3] = odds(odd01, odd23);
}

MK_INLINE void put_together(const vec *column, vec *pixels)
{
    vec even_low = zip_low(column[0], column[2]), even_high = zip_high(column[0], column[2]);
    vec odd_low = zip_low(column[1], column[3]), odd_high = zip_high(column[1], column[3]);
    pixels[0] = zip_low(even_low, odd_low);
    pixels[1] = zip_high(even_low, odd_low);
    pixels[2] = zip_low(even_high, odd_high);
    pixels[3] = zip_high(even_high, odd_high);
}

/* -- where tiles lie ------------------------------------------------------------------------------------ */

/* N images of H x W, cut into tiles. A row has `across` tiles, rounded up so that VL tiles in a group are
 * either whole rows or a part of one. Tiles are numbered across, then down, then from image to image. */
struct Tiling {
    ptrdiff_t N, H, W, down, across, count;
    ivec left, right; /* where the lanes find the column left and right of their tile: a lane of the
                       * neighbours' columns, or VL + 0, 1, 2: left edge, right edge, zero */

    Tiling(ptrdiff_t N, ptrdiff_t H, ptrdiff_t W) : N(N), H(H), W(W), down(ceil_div(H, 4)), across(1)
    {
        ptrdiff_t needed = ceil_div(W, 4);
        while (across < needed && across < VL)
            across *= 2;
        if (across < needed)
            across = ceil_div(needed, VL) * VL;
        count = N * down * across;
        ptrdiff_t run = smaller(across, ptrdiff_t(VL));
        left = count_up(-1, 1);
        right = count_up(1, 1);
        for (int lane = 0; lane < VL; lane++) {
            if (lane % run == 0)
                left[lane] = across > VL ? VL : VL + 2;
            if (lane % run == run - 1)
                right[lane] = across > VL ? VL + 1 : VL + 2;
        }
    }

    bool has_edges() const { return across > VL; }
    int pieces() const { return across < QUARTER ? QUARTER / static_cast<int>(across) : 1; }
};

/* A run of pixels within one row of tiles that belongs into one vector. */
struct Piece {
    ptrdiff_t image, y, x, width; /* y, x: of the upper left pixel; width 0: nothing is there */
};

/* VL tiles that fill the lanes. Row r of their pixels is 4 vectors of 1, 2 or 4 pieces. */
struct Group {
    const Tiling &tiling;
    int pieces;
    Piece piece[4][4];

    Group(const Tiling &t, ptrdiff_t first) : tiling(t), pieces(t.pieces())
    {
        for (int q = 0; q < 4; q++)
            for (int s = 0; s < pieces; s++) {
                ptrdiff_t tile = first + q * QUARTER + s * (QUARTER / pieces);
                ptrdiff_t row = tile / t.across, x = tile % t.across * 4;
                ptrdiff_t width = tile < t.count ? smaller(t.W - x, ptrdiff_t(VL) / pieces) : 0;
                piece[q][s] = {row / t.down, row % t.down * 4, x, width > 0 ? width : 0};
            }
    }

    /* Ask for the pixels of the patches in another channel: its rows lie too far apart to be foreseen. */
    MK_INLINE_MEMBER void prefetch(const float *x, ptrdiff_t image_step) const
    {
        for (int q = 0; q < 4; q++) {
            const Piece &p = piece[q][0];
            const float *row = x + p.image * image_step + (p.y - 1) * tiling.W + p.x;
            for (int r = 0; r < 6; r++)
                __builtin_prefetch(row + r * tiling.W);
        }
    }

    /* Vector q of row r of the patch's or tile's pixels; zeros outside of the image. */
    MK_INLINE_MEMBER vec fetch(const float *x, ptrdiff_t image_step, int q, int r) const
    {
        if (pieces == 1) {
            const Piece &p = piece[q][0];
            const float *row = x + p.image * image_step + (p.y + r) * tiling.W + p.x;
            if (p.width <= 0 || p.y + r < 0 || p.y + r >= tiling.H)
                return (vec){};
            return p.width == VL ? load(row) : load_first(row, p.width);
        }
        float lanes[VL] = {};
        for (int s = 0; s < pieces; s++) {
            const Piece &p = piece[q][s];
            const float *row = x + p.image * image_step + (p.y + r) * tiling.W + p.x;
            if (p.y + r >= 0 && p.y + r < tiling.H)
                for (ptrdiff_t i = 0; i < p.width; i++)
                    lanes[s * (VL / pieces) + i] = row[i];
        }
        return load(lanes);
    }

    MK_INLINE_MEMBER void put(float *y, ptrdiff_t image_step, int q, int r, vec v) const
    {
        float lanes[VL];
        if (pieces > 1)
            store(lanes, v);
        for (int s = 0; s < pieces; s++) {
            const Piece &p = piece[q][s];
            float *row = y + p.image * image_step + (p.y + r) * tiling.W + p.x;
            if (p.width <= 0 || p.y + r >= tiling.H)
                continue;
            if (pieces > 1)
                for (ptrdiff_t i = 0; i < p.width; i++)
                    row[i] = lanes[s * (VL / pieces) + i];
            else if (p.width == VL)
                store(row, v);
            else
                store_first(row, v, p.width);
        }
    }

    /* The pixels beside a group that is a part of a longer row: lane 0 left of it, lane 1 right of it. */
    MK_INLINE_MEMBER vec edges(const float *x, ptrdiff_t image_step, int r) const
    {
        const Piece &first = piece[0][0];
        vec v = {};
        if (first.width <= 0 || first.y + r < 0 || first.y + r >= tiling.H)
            return v;
        const float *row = x + first.image * image_step + (first.y + r) * tiling.W;
        if (first.x > 0)
            v[0] = row[first.x - 1];
        if (first.x + 4 * VL < tiling.W)
            v[1] = row[first.x + 4 * VL];
        return v;
    }
};

/* -- transforms of a channel's tiles -------------------------------------------------------------------- */

/* to[f * step] = frequency f of the patches of VL tiles, with gradients masked by where the ReLU was open. */
MK_INLINE void transform_patches(const Group &group, const float *x, ptrdiff_t image_step, float *to, ptrdiff_t step)
{
    vec rows[6][5]; /* 4 vectors of pixels and the edges */
    bool has_edges = group.tiling.has_edges();
    for (int q = 0; q < 4; q++) {
        vec d[6], t[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            d[r] = group.fetch(x, image_step, q, r - 1);
        patch_transform(d, t);
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            rows[r][q] = t[r];
    }
    vec edge[6] = {};
    if (has_edges) {
        vec d[6];
        for (int r = 0; r < 6; r++)
            d[r] = group.edges(x, image_step, r - 1);
        patch_transform(d, edge);
    }
    for (int r = 0; r < 6; r++) {
        vec d[6], t[6];
        take_apart(rows[r], d + 1);
        d[0] = pick(d[4], edge[r], group.tiling.left);
        d[5] = pick(d[1], edge[r], group.tiling.right);
        patch_transform(d, t);
#pragma GCC unroll 6
        for (int f = 0; f < 6; f++)
            store(to + (r * 6 + f) * step, t[f]);
    }
}

/* The same of gradients of results, 4x4 a tile. */
MK_INLINE void transform_gradients(const Group &group, const float *gy, ptrdiff_t image_step, float *to, ptrdiff_t step)
{
    vec rows[6][4];
    for (int q = 0; q < 4; q++) {
        vec g[4], t[6];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            g[r] = group.fetch(gy, image_step, q, r);
        gradient_transform(g, t);
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            rows[r][q] = t[r];
    }
    for (int r = 0; r < 6; r++) {
        vec g[4], t[6];
        take_apart(rows[r], g);
        gradient_transform(g, t);
#pragma GCC unroll 6
        for (int f = 0; f < 6; f++)
            store(to + (r * 6 + f) * step, t[f]);
    }
}

/* The pixels of VL tiles from their frequencies, from[f * step]; plus those of the residual, if there is one. */
MK_INLINE void transform_back(const Group &group, const float *from, ptrdiff_t step, float bias, const float *residual,
                              bool with_relu, float *y, ptrdiff_t image_step)
{
    vec rows[6][4];
    for (int r = 0; r < 6; r++) {
        vec m[6];
#pragma GCC unroll 6
        for (int f = 0; f < 6; f++)
            m[f] = load(from + (r * 6 + f) * step);
        result_transform(m, rows[r]);
    }
    vec columns[4][4];
    for (int c = 0; c < 4; c++) {
        vec m[6], t[4];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            m[r] = rows[r][c];
        result_transform(m, t);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            columns[r][c] = t[r] + bias;
    }
    for (int r = 0; r < 4; r++) {
        vec pixels[4];
        put_together(columns[r], pixels);
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            vec v = residual ? pixels[q] + group.fetch(residual, image_step, q, r) : pixels[q];
            group.put(y, image_step, q, r, with_relu ? relu(v) : v);
        }
    }
}

} // namespace

#endif
