/* Windows of 2x2 pixels at stride 2 without padding: forward and backward, whatever is done to the four pixels.
 *
 * Rows of pixels of two vectors and more are taken a vector of windows at a time. Shorter rows would leave
 * lanes empty: of them a vector takes several pairs of rows, which lie one behind the other in memory. */
#ifndef MK_POOL2X2_H
#define MK_POOL2X2_H

#include "windows.h"

namespace {

struct Pairs { /* of rows, all with the same distance in each of `strips` */
    ptrdiff_t strips, in_strip, W, OW;
    ptrdiff_t strip_pixels, strip_windows;

    Pairs(ptrdiff_t planes, const mk_window &w)
        : strips(planes), in_strip(w.OH), W(w.W), OW(w.OW), strip_pixels(w.H * w.W), strip_windows(w.OH * w.OW)
    {
        if (w.H == 2 * w.OH) { /* no row is left over: all images are one strip */
            strips = 1;
            in_strip *= planes;
        }
    }
};

/* Where lanes find their pixels. A group is 4 vectors of pixels, taken apart into 2 of those at even places
 * in memory and 2 at odd places. */
struct Short {
    ptrdiff_t pairs; /* that fit into a vector of windows */
    int parity;      /* of W: in the lower rows the even pixels stand at even or at odd places */
    ivec upper[2], lower[2];              /* pixel q = 0, 1 of a window, among the even or odd ones */
    ivec source[2][2];                    /* even and odd places of each half: in which window they are ... */
    ivec covered[2][2];                   /* ... and whether in one; if W is odd, the last column is in none */

    explicit Short(const Pairs &p) : pairs(VL / p.OW), parity(p.W % 2)
    {
        const int W = static_cast<int>(p.W), OW = static_cast<int>(p.OW);
        for (int lane = 0; lane < VL; lane++) {
            int pixel = lane / OW % static_cast<int>(pairs) * 2 * W + lane % OW * 2;
            for (int q = 0; q < 2; q++) {
                upper[q][lane] = (pixel + q) / 2;
                lower[q][lane] = (pixel + W + q) / 2;
            }
        }
        for (int odd = 0; odd < 2; odd++)
            for (int k = 0; k < 2 * VL; k++) {
                int place = 2 * k + odd, column = place % W, row = place / W, window = row / 2 * OW + column / 2;
                bool is_covered = column < 2 * OW && window < VL;
                source[odd][k / VL][k % VL] = is_covered ? row % 2 * VL + window : 0;
                covered[odd][k / VL][k % VL] = is_covered ? -1 : 0;
            }
    }
};

/* For each group of windows: n of them from window `at`, with their pixels from pixel `from`. */
template <class Body>
MK_INLINE int each_group(const Pairs &p, ptrdiff_t pairs, const Body &body)
{
    ptrdiff_t groups = ceil_div(p.in_strip, pairs), at_once = pieces_of_task(pairs * 2 * p.W);
    return parallel(ceil_div(p.strips * groups, at_once), 0, [&](ptrdiff_t task, float *) {
        ptrdiff_t end = smaller((task + 1) * at_once, p.strips * groups);
        ptrdiff_t strip = task * at_once / groups, group = task * at_once % groups;
        for (ptrdiff_t t = task * at_once; t < end; t++) {
            ptrdiff_t first = group * pairs, rows = smaller(pairs, p.in_strip - first);
            body(strip * p.strip_windows + first * p.OW, strip * p.strip_pixels + first * 2 * p.W, rows);
            if (++group == groups) {
                group = 0;
                strip++;
            }
        }
    });
}

/* result(at, n, a, b, c, d) for every vector of windows: upper left, upper right, lower left, lower right. */
template <class Result>
int pool2x2_forward(const float *x, const Pairs &p, Result result)
{
    if (p.OW >= VL)
        return each_group(p, 1, [&](ptrdiff_t at, ptrdiff_t from, ptrdiff_t) {
            const float *upper = x + from, *lower = upper + p.W;
            for (ptrdiff_t j = 0; j < p.OW; j += VL) {
                ptrdiff_t rest = 2 * (p.OW - j);
                vec a = load_some(upper + 2 * j, rest), b = load_some(upper + 2 * j + VL, rest - VL);
                vec c = load_some(lower + 2 * j, rest), d = load_some(lower + 2 * j + VL, rest - VL);
                result(at + j, rest / 2, evens(a, b), odds(a, b), evens(c, d), odds(c, d));
            }
        });
    const Short s(p);
    return each_group(p, s.pairs, [&](ptrdiff_t at, ptrdiff_t from, ptrdiff_t rows) {
        vec v[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            v[k] = load_some(x + from + k * VL, rows * 2 * p.W - k * VL);
        vec even[2] = {evens(v[0], v[1]), evens(v[2], v[3])}, odd[2] = {odds(v[0], v[1]), odds(v[2], v[3])};
        vec *left = s.parity ? odd : even, *right = s.parity ? even : odd;
        result(at, rows * p.OW, pick(even[0], even[1], s.upper[0]), pick(odd[0], odd[1], s.upper[1]),
               pick(left[0], left[1], s.lower[0]), pick(right[0], right[1], s.lower[1]));
    });
}

/* gradients(at, n, g): g[p][q] = the gradients of pixel (p, q) of n windows. gx: (planes, H, W) */
template <class Gradients>
int pool2x2_backward(float *gx, const Pairs &p, Gradients gradients)
{
    auto finish = [&](float *from, ptrdiff_t rows) { /* zeros behind the last pair of an image of odd height */
        float *end = from + rows * 2 * p.W;
        if (p.strip_pixels > p.in_strip * 2 * p.W && (end - gx) % p.strip_pixels == p.in_strip * 2 * p.W)
            each_vector(p.W, [&](ptrdiff_t i, auto part) { part.put(end + i, (vec){}); });
    };
    if (p.OW >= VL)
        return each_group(p, 1, [&](ptrdiff_t at, ptrdiff_t from, ptrdiff_t rows) {
            float *upper = gx + from, *lower = upper + p.W;
            for (ptrdiff_t j = 0; j < p.OW; j += VL) {
                ptrdiff_t rest = 2 * (p.OW - j);
                vec g[2][2];
                gradients(at + j, rest / 2, g);
                store_some(upper + 2 * j, zip_low(g[0][0], g[0][1]), rest);
                store_some(upper + 2 * j + VL, zip_high(g[0][0], g[0][1]), rest - VL);
                store_some(lower + 2 * j, zip_low(g[1][0], g[1][1]), rest);
                store_some(lower + 2 * j + VL, zip_high(g[1][0], g[1][1]), rest - VL);
            }
            if (p.W % 2)
                upper[p.W - 1] = lower[p.W - 1] = 0.0f;
            finish(gx + from, rows);
        });
    const Short s(p);
    return each_group(p, s.pairs, [&](ptrdiff_t at, ptrdiff_t from, ptrdiff_t rows) {
        vec g[2][2];
        gradients(at, rows * p.OW, g);
        vec left = s.parity ? g[1][1] : g[1][0], right = s.parity ? g[1][0] : g[1][1];
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            vec even = s.covered[0][half] ? pick(g[0][0], left, s.source[0][half]) : (vec){};
            vec odd = s.covered[1][half] ? pick(g[0][1], right, s.source[1][half]) : (vec){};
            float *to = gx + from + 2 * half * VL;
            ptrdiff_t rest = rows * 2 * p.W - 2 * half * VL;
            store_some(to, zip_low(even, odd), rest);
            store_some(to + VL, zip_high(even, odd), rest - VL);
        }
        finish(gx + from, rows);
    });
}

} // namespace

#endif
