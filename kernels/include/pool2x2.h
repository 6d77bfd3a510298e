/* Windows of 2x2 pixels at stride 2 without padding: forward and backward, whatever is done to the four pixels.
 *
 * Rows are taken a vector of windows at a time. Where half of the lanes or more would be empty, a vector takes
 * several pairs of rows, which lie one behind the other in memory. */
#ifndef MK_POOL2X2_H
#define MK_POOL2X2_H

#include "parallel.h"
#include "windows.h"

namespace {

MK_INLINE bool is_2x2(const mk_window &w)
{
    return w.KH == 2 && w.KW == 2 && w.SH == 2 && w.SW == 2 && w.DH == 1 && w.DW == 1 && w.top == 0 && w.left == 0 &&
           w.OH == w.H / 2 && w.OW == w.W / 2;
}

struct Pairs { /* of rows, all with the same distance in each of `strips` */
    ptrdiff_t strips, in_strip, W, OW, strip_pixels, strip_windows;

    Pairs(ptrdiff_t planes, const mk_window &w)
        : strips(planes), in_strip(w.OH), W(w.W), OW(w.OW), strip_pixels(w.H * w.W), strip_windows(w.OH * w.OW)
    {
        if (w.H == 2 * w.OH) { /* no row is left over: all images are one strip */
            strips = 1;
            in_strip *= planes;
            strip_pixels *= planes;
        }
    }
};

/* Where lanes find their pixels. A group is 4 vectors of pixels, taken apart into 2 of those at even places
 * in memory and 2 at odd places. */
struct Short {
    ptrdiff_t pairs;         /* that fit into a vector of windows and 4 of pixels */
    int parity;              /* of W: in the lower rows the even pixels stand at even or at odd places */
    ivec upper[2], lower[2]; /* pixel q = 0, 1 of a window, among the even or odd ones */
    ivec source[2][2];       /* even and odd places of each half: in which window they are ... */
    ivec covered[2][2];      /* ... and whether in one; if W is odd, the last column is in none */

    explicit Short(const Pairs &p) : pairs(smaller(VL / p.OW, 2 * VL / p.W)), parity(p.W % 2)
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

/* body(at, from, n, rest): for each group of n pairs of rows its first window, its first pixel, and how many
 * pixels behind it are in no window: the last row, if the height is odd. */
template <class Body>
MK_INLINE int each_group(const Pairs &all_pairs, ptrdiff_t pairs, const Body &all)
{
    const ptrdiff_t groups = ceil_div(all_pairs.in_strip, pairs), at_once = pieces_of_task(pairs * 2 * all_pairs.W);
    return parallel(ceil_div(all_pairs.strips * groups, at_once), 0, [&](ptrdiff_t task, float *) {
        const Pairs p = all_pairs; /* copies, which the compiler can keep in registers */
        const Body body = all;
        const ptrdiff_t end = smaller((task + 1) * at_once, p.strips * groups);
        ptrdiff_t strip = task * at_once / groups, group = task * at_once % groups;
        for (ptrdiff_t t = task * at_once; t < end; t++) {
            const ptrdiff_t first = group * pairs, n = smaller(pairs, p.in_strip - first);
            const bool is_last = ++group == groups;
            body(strip * p.strip_windows + first * p.OW, strip * p.strip_pixels + first * 2 * p.W, n,
                 is_last ? p.strip_pixels - p.in_strip * 2 * p.W : 0);
            if (is_last) {
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
    const ptrdiff_t W = p.W, OW = p.OW;
    if (2 * OW > VL)
        return each_group(p, 1, [=](ptrdiff_t at, ptrdiff_t from, ptrdiff_t, ptrdiff_t) MK_INLINE_LAMBDA {
            const float *upper = x + from, *lower = upper + W;
            auto take = [&](ptrdiff_t j, ptrdiff_t n) MK_INLINE_LAMBDA {
                prefetch(upper + 4 * j, 4); /* both rows are read in the time that passes */
                vec a = load_some(upper + 2 * j, 2 * n), b = load_some(upper + 2 * j + VL, 2 * n - VL);
                vec c = load_some(lower + 2 * j, 2 * n), d = load_some(lower + 2 * j + VL, 2 * n - VL);
                result(at + j, n, evens(a, b), odds(a, b), evens(c, d), odds(c, d));
            };
            ptrdiff_t j = 0;
            for (; j + VL <= OW; j += VL)
                take(j, VL);
            if (j < OW)
                take(j, OW - j);
        });
    const Short s(p);
    return each_group(p, s.pairs, [=](ptrdiff_t at, ptrdiff_t from, ptrdiff_t rows, ptrdiff_t) MK_INLINE_LAMBDA {
        prefetch(x + from, 4);
        vec v[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            v[k] = load_some(x + from + k * VL, rows * 2 * W - k * VL);
        vec even[2] = {evens(v[0], v[1]), evens(v[2], v[3])}, odd[2] = {odds(v[0], v[1]), odds(v[2], v[3])};
        vec a = pick(even[0], even[1], s.upper[0]), b = pick(odd[0], odd[1], s.upper[1]);
        if (s.parity)
            result(at, rows * OW, a, b, pick(odd[0], odd[1], s.lower[0]), pick(even[0], even[1], s.lower[1]));
        else
            result(at, rows * OW, a, b, pick(even[0], even[1], s.lower[0]), pick(odd[0], odd[1], s.lower[1]));
    });
}

/* gradients(at, n, g): g[p][q] = the gradients of pixel (p, q) of n windows. gx: (planes, H, W) */
template <class Gradients>
int pool2x2_backward(float *gx, const Pairs &p, Gradients gradients)
{
    const ptrdiff_t W = p.W, OW = p.OW;
    if (2 * OW > VL)
        return each_group(p, 1, [=](ptrdiff_t at, ptrdiff_t from, ptrdiff_t, ptrdiff_t rest) MK_INLINE_LAMBDA {
            float *upper = gx + from, *lower = upper + W;
            auto give = [&](ptrdiff_t j, ptrdiff_t n) MK_INLINE_LAMBDA {
                vec g[2][2];
                gradients(at + j, n, g);
                store_some(upper + 2 * j, zip_low(g[0][0], g[0][1]), 2 * n);
                store_some(upper + 2 * j + VL, zip_high(g[0][0], g[0][1]), 2 * n - VL);
                store_some(lower + 2 * j, zip_low(g[1][0], g[1][1]), 2 * n);
                store_some(lower + 2 * j + VL, zip_high(g[1][0], g[1][1]), 2 * n - VL);
            };
            ptrdiff_t j = 0;
            for (; j + VL <= OW; j += VL)
                give(j, VL);
            if (j < OW)
                give(j, OW - j);
            if (W % 2)
                upper[W - 1] = lower[W - 1] = 0.0f;
            set_run(lower + W, rest, 0.0f);
        });
    const Short s(p);
    return each_group(p, s.pairs, [=](ptrdiff_t at, ptrdiff_t from, ptrdiff_t rows, ptrdiff_t rest) MK_INLINE_LAMBDA {
        vec g[2][2];
        gradients(at, rows * OW, g);
        vec left = s.parity ? g[1][1] : g[1][0], right = s.parity ? g[1][0] : g[1][1];
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            vec even = s.covered[0][half] ? pick(g[0][0], left, s.source[0][half]) : (vec){};
            vec odd = s.covered[1][half] ? pick(g[0][1], right, s.source[1][half]) : (vec){};
            float *to = gx + from + 2 * half * VL;
            const ptrdiff_t n = rows * 2 * W - 2 * half * VL;
            store_some(to, zip_low(even, odd), n);
            store_some(to + VL, zip_high(even, odd), n - VL);
        }
        set_run(gx + from + rows * 2 * W, rest, 0.0f);
    });
}

} // namespace

#endif
