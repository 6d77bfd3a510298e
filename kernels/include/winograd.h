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

/* VL tiles that fill the lanes, in the planes of images `image_step` apart. Row r of their pixels, from -1 to 4,
 * is 4 vectors, each of one run of neighbours or, where images are narrow, of 2 or 4 shorter ones. */
alignas(64) const float nothing[VL / 2] = {};

template <int PIECES>
struct Group {
    const Tiling &tiling;
    ptrdiff_t place[4][PIECES];  /* of the upper left pixel of a run's tiles */
    int width[4][PIECES][6];     /* how many pixels of its rows are inside of the image */
    ptrdiff_t beyond;            /* pixels right of a group that is a part of a row */

    Group(const Tiling &t, ptrdiff_t first, ptrdiff_t image_step) : tiling(t)
    {
        for (int q = 0; q < 4; q++)
            for (int s = 0; s < PIECES; s++) {
                ptrdiff_t tile = first + q * QUARTER + s * (QUARTER / PIECES);
                ptrdiff_t row = tile / t.across, x = tile % t.across * 4, y = row % t.down * 4;
                place[q][s] = row / t.down * image_step + y * t.W + x;
                for (int r = -1; r < 5; r++) {
                    bool inside = tile < t.count && x < t.W && y + r >= 0 && y + r < t.H;
                    width[q][s][r + 1] = inside ? static_cast<int>(smaller(t.W - x, ptrdiff_t(VL) / PIECES)) : 0;
                }
            }
        beyond = t.W - first % t.across * 4 - 4 * VL;
    }

    /* Ask for the pixels of the patches in another channel: its rows lie too far apart to be foreseen. */
    MK_INLINE_MEMBER void prefetch(const float *x) const
    {
        for (int q = 0; q < 4; q++)
            for (int r = -1; r < 5; r++)
                __builtin_prefetch(x + place[q][0] + r * tiling.W);
    }

    template <class Pointer>
    MK_INLINE_MEMBER Pointer run(Pointer x, int q, int s, int r) const { return x + place[q][s] + r * tiling.W; }

    /* Two rows of pixels fill a vector, each whole or, outside of the image, not there. */
    MK_INLINE_MEMBER bool are_halves() const { return PIECES == 2 && tiling.W == VL / 2; }

    /* Vector q of row r of the patches' pixels; zeros outside of the image. */
    MK_INLINE_MEMBER vec fetch(const float *x, int q, int r) const
    {
        if (PIECES == 1) {
            int n = width[q][0][r + 1];
            return n == VL ? load(run(x, q, 0, r)) : load_first(run(x, q, 0, r), n);
        }
        if (are_halves())
            return load_halves(width[q][0][r + 1] ? run(x, q, 0, r) : nothing,
                               width[q][PIECES - 1][r + 1] ? run(x, q, PIECES - 1, r) : nothing);
        float lanes[VL] = {};
        for (int s = 0; s < PIECES; s++)
            for (int i = 0; i < width[q][s][r + 1]; i++)
                lanes[s * (VL / PIECES) + i] = run(x, q, s, r)[i];
        return load(lanes);
    }

    MK_INLINE_MEMBER void put(float *y, int q, int r, vec v) const
    {
        if (PIECES == 1) {
            int n = width[q][0][r + 1];
            if (n == VL)
                store(run(y, q, 0, r), v);
            else
                store_first(run(y, q, 0, r), v, n);
            return;
        }
        if (are_halves() && width[q][0][r + 1] && width[q][PIECES - 1][r + 1]) {
            store_halves(run(y, q, 0, r), run(y, q, PIECES - 1, r), v);
            return;
        }
        float lanes[VL];
        store(lanes, v);
        for (int s = 0; s < PIECES; s++)
            for (int i = 0; i < width[q][s][r + 1]; i++)
                run(y, q, s, r)[i] = lanes[s * (VL / PIECES) + i];
    }

    /* The pixels beside a group that is a part of a longer row: lane 0 left of it, lane 1 right of it. */
    MK_INLINE_MEMBER vec edges(const float *x, int r) const
    {
        vec v = {};
        if (width[0][0][r + 1] == 0)
            return v;
        if (beyond + 4 * VL < tiling.W)
            v[0] = run(x, 0, 0, r)[-1];
        if (beyond > 0)
            v[1] = run(x, 0, 0, r)[4 * VL];
        return v;
    }
};

/* body(group) for the group of VL tiles from `first` on. */
template <class Body>
MK_INLINE void with_group(const Tiling &tiling, ptrdiff_t first, ptrdiff_t image_step, const Body &body)
{
    if (tiling.pieces() == 1)
        body(Group<1>(tiling, first, image_step));
    else if (tiling.pieces() == 2)
        body(Group<2>(tiling, first, image_step));
    else
        body(Group<4>(tiling, first, image_step));
}

/* -- transforms of a channel's tiles -------------------------------------------------------------------- */

/* to[f * step] = frequency f of the patches of VL tiles, with gradients masked by where the ReLU was open. */
template <class Group>
MK_INLINE void transform_patches(const Group &group, const float *x, float *to, ptrdiff_t step)
{
    vec rows[6][5]; /* 4 vectors of pixels and the edges */
    bool has_edges = group.tiling.has_edges();
#pragma GCC unroll 6
    for (int q = 0; q < 4; q++) {
        vec d[6], t[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            d[r] = group.fetch(x, q, r - 1);
        patch_transform(d, t);
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            rows[r][q] = t[r];
    }
    vec edge[6] = {};
    if (has_edges) {
        vec d[6];
        for (int r = 0; r < 6; r++)
            d[r] = group.edges(x, r - 1);
        patch_transform(d, edge);
    }
#pragma GCC unroll 6
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
template <class Group>
MK_INLINE void transform_gradients(const Group &group, const float *gy, float *to, ptrdiff_t step)
{
    vec rows[6][4];
#pragma GCC unroll 6
    for (int q = 0; q < 4; q++) {
        vec g[4], t[6];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            g[r] = group.fetch(gy, q, r);
        gradient_transform(g, t);
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
            rows[r][q] = t[r];
    }
#pragma GCC unroll 6
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
template <class Group>
MK_INLINE void transform_back(const Group &group, const float *from, ptrdiff_t step, float bias, const float *residual,
                              bool with_relu, float *y)
{
    vec rows[6][4];
#pragma GCC unroll 6
    for (int r = 0; r < 6; r++) {
        vec m[6];
#pragma GCC unroll 6
        for (int f = 0; f < 6; f++)
            m[f] = load(from + (r * 6 + f) * step);
        result_transform(m, rows[r]);
    }
    vec columns[4][4];
#pragma GCC unroll 6
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
#pragma GCC unroll 6
    for (int r = 0; r < 4; r++) {
        vec pixels[4];
        put_together(columns[r], pixels);
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            vec v = residual ? pixels[q] + group.fetch(residual, q, r) : pixels[q];
            group.put(y, q, r, with_relu ? relu(v) : v);
        }
    }
}

} // namespace

#endif
