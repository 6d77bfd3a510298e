/* Windows of 3x3 pixels at stride 1 or 2, whose rows roll through registers (rolling.h): what forward and backward
 * share. */
#ifndef MK_POOL3X3_H
#define MK_POOL3X3_H

#include "parallel.h"
#include "rolling.h"
#include "windows.h"

namespace {

enum { LARGEST_PLANE = 4096 }; /* pixels that the first-level cache holds while strip after strip of them is read */

MK_INLINE bool is_3x3(const mk_window &w)
{
    return w.KH == 3 && w.KW == 3 && w.SH == w.SW && w.SW <= 2 && w.DH == 1 && w.DW == 1;
}

MK_INLINE bool rolls_forward(const mk_window &w) { return is_3x3(w) && w.H * w.W <= LARGEST_PLANE; }

MK_INLINE bool rolls_backward(const mk_window &w)
{
    return is_3x3(w) && w.OH * w.OW <= LARGEST_PLANE && (w.SW == 1 || w.top % 2 == w.left % 2);
}

/* The adjoint. Each square of S x S pixels meets the same T x T windows: pixel (a, b) takes the taps r, s whose
 * r + ODD and s + ODD leave a and b modulo S; ODD: whether the padding is, at stride 2.
 * gx = finish(sum), where  take(v, strip, plane, row)  loads T vectors of a row of windows, and
 * add(sum, v[k], k, tap)  gives a pixel its share of them. */
template <int S, int ODD, class Source>
int spread_3x3(float *gx, ptrdiff_t planes, const mk_window &window, const Source &shared)
{
    enum { T = S == 1 ? 3 : 2 };
    typedef Strip<T, 1> Windows;
    const Windows strips(window.OH, window.OW, ceil_div(window.W, S), T - 1 - over(window.top + ODD, S),
                         T - 1 - over(window.left + ODD, S));
    const ptrdiff_t at_once = pieces_of_task(window.H * window.W);
    return parallel(ceil_div(planes, at_once), 0, [&](ptrdiff_t task, float *) {
        const ptrdiff_t H = window.H, W = window.W;
        Source source = shared;
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++)
            for (ptrdiff_t j = 0; S * j < W; j += VL) {
                const Windows strip = strips.at(j);
                float *to = gx + plane * H * W + S * j;
                roll<T, 1, S * S>(
                    ceil_div(H, S),
                    [&](vec(&v)[T], ptrdiff_t row) MK_INLINE_LAMBDA { return source.take(v, strip, plane, row); },
                    [&](vec(&sums)[S * S], const vec(&v)[T], int row) MK_INLINE_LAMBDA {
#pragma GCC unroll 9
                        for (int t = 0; t < 9; t++) {
                            const int r = t / 3 + ODD, s = t % 3 + ODD; /* from the square's first pixel on */
                            if (r / S == T - 1 - row)
                                source.add(sums[r % S * S + s % S], v[T - 1 - s / S], T - 1 - s / S, t);
                        }
                    },
                    [&](ptrdiff_t g, const vec(&sums)[S * S]) MK_INLINE_LAMBDA {
                        vec pixels[4] = {};
#pragma GCC unroll 4
                        for (int k = 0; k < S * S; k++)
                            pixels[k] = source.finish(sums[k]);
                        if (S == 1)
                            strip.put(to + g * W, pixels[0], 1);
                        else
                            strip.put_squares(to + g * 2 * W, W, pixels, W - 2 * j, H - 2 * g);
                    });
            }
    });
}

/* spread_3x3 for the window's stride and padding. */
template <class Source>
int spread_3x3(float *gx, ptrdiff_t planes, const mk_window &w, const Source &source)
{
    if (w.SW == 1)
        return spread_3x3<1, 0>(gx, planes, w, source);
    return w.top % 2 ? spread_3x3<2, 1>(gx, planes, w, source) : spread_3x3<2, 0>(gx, planes, w, source);
}

} // namespace

#endif
