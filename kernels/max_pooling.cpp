/* Max-pooling. The formulas and their references are in minicnn/ops/pooling.py.
 *
 * Windows of 2x2 at stride 2 have a path of their own (pool2x2.h), and so have windows of 3x3, whose rows roll
 * through registers (pool3x3.h). For all others, rows of pixels are taken apart by the stride (windows.h), so that a
 * tap of neighbouring windows is a vector. */
#include "mk.h"
#include "parallel.h"
#include "pool2x2.h"
#include "pool3x3.h"
#include "windows.h"
#include "winners.h"

namespace {

/* The larger values and their taps, of equals the first. NaN is left to `take_larger_or_nan`, if the sum of all
 * values shows that there is one: so a comparison less is on the way from tap to tap. */
MK_INLINE void take_larger(vec &y, ivec &index, vec value, ivec tap)
{
    index = value > y ? tap : index;
    y = vmax(value, y);
}

/* NaN is larger than everything, and of equals the first is kept. */
MK_INLINE void take_larger_or_nan(vec &y, ivec &index, vec value, ivec tap)
{
    ivec kept = (value <= y) | (y != y);
    y = kept ? y : value;
    index = kept ? index : tap;
}

/* -- forward ---------------------------------------------------------------------------------------------- */

/* What results are at least: 0 behind a ReLU, which turns -0 into it. NaN stays. */
MK_INLINE float floor_of(bool with_relu) { return with_relu ? 0.0f : -__builtin_inff(); }
MK_INLINE vec at_least(vec v, float floor) { return v <= floor ? all(floor) : v; }

/* left[j] = the first tap q of window j inside the image: so padding cannot win against a pixel of -infinity. */
void first_columns(int32_t *left, const mk_window &w)
{
    for (ptrdiff_t j = 0; j < w.OW; j++) {
        const ptrdiff_t outside = w.left - j * w.SW;
        left[j] = static_cast<int32_t>(outside > 0 ? ceil_div(outside, w.DW) : 0);
    }
}

/* What a row of windows is taken from: rows of pixels in phases, and where the taps of a row stand in them. */
struct Sources {
    const float **rows;       /* (KH) */
    const ptrdiff_t *offsets; /* (KW) */
    const int32_t *left;      /* (OW) */
    ptrdiff_t begin, end, KW; /* taps begin <= p < end */
};

/* take(value, tap) for the taps of the windows j, j + 1, ...; K: KH and KW if all rows are there, else 0 */
template <int K, class Take>
MK_INLINE void each_tap(const Sources &from, ptrdiff_t j, Take take)
{
    const ptrdiff_t begin = K ? 0 : from.begin, end = K ? K : from.end, KW = K ? K : from.KW;
#pragma GCC unroll 4
    for (ptrdiff_t p = begin; p < end; p++) {
        const float *row = from.rows[p] + j;
#pragma GCC unroll 4
        for (ptrdiff_t q = 0; q < KW; q++)
            take(load(row + from.offsets[q]), every(p * KW + q));
    }
}

/* y, index: (n) */
template <int K, class Index>
MK_INLINE void take_row(float *y, Index *index, ptrdiff_t n, const Sources &from, float floor)
{
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const ivec first = get_indices(from.left + j, VL) + every(from.begin * from.KW);
        vec best = all(-__builtin_inff()), total = {};
        ivec tap = first;
        each_tap<K>(from, j, [&](vec value, ivec number) MK_INLINE_LAMBDA {
            take_larger(best, tap, value, number);
            total += value;
        });
        if (__builtin_expect(has_nan(total), 0)) {
            best = all(-__builtin_inff());
            tap = first;
            each_tap<0>(from, j, [&](vec value, ivec number) { take_larger_or_nan(best, tap, value, number); });
        }
        store_some(y + j, at_least(best, floor), n - j);
        put_indices(index + j, tap, n - j);
    }
}

template <class Index>
int forward(float *y, Index *index, const float *x, ptrdiff_t planes, const mk_window &window, float floor)
{
    const Phases phases(window);
    const ptrdiff_t span = (window.KH - 1) * window.DH + 1, ahead = window.SH <= span ? window.SH : 0;
    const ptrdiff_t ring_rows = Ring::size_for(smaller(span + ahead, window.H)), floats = phases.floats();
    const size_t bytes = Parts::bytes(ring_rows * floats, 4) + Parts::bytes(whole_vectors(window.OW), 4) +
                         Parts::bytes(window.KW, sizeof(ptrdiff_t)) + Parts::bytes(window.KH, sizeof(float *));
    const ptrdiff_t rows = planes * window.OH, at_once = pieces_of_task(window.H * window.W / window.OH);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        const mk_window w = window;
        Parts parts{reinterpret_cast<char *>(scratch)};
        const Ring ring{parts.take<float>(ring_rows * floats), ring_rows, floats};
        int32_t *left = parts.take<int32_t>(whole_vectors(w.OW));
        ptrdiff_t *offsets = parts.take<ptrdiff_t>(w.KW);
        Sources from{parts.take<const float *>(w.KH), offsets, left, 0, 0, w.KW};
        ring.fill(-__builtin_inff());
        first_columns(left, w);
        for (ptrdiff_t q = 0; q < w.KW; q++)
            offsets[q] = phases.offset(q * w.DW);
        ptrdiff_t staged = 0; /* rows before this one are in the ring */
        const ptrdiff_t end = smaller((task + 1) * at_once, rows);
        each_row(task * at_once, end, w.OH, [&](ptrdiff_t plane, ptrdiff_t i, bool is_first) {
            const Taps taps(w, i);
            staged = larger(is_first ? 0 : staged, taps.first);
            const ptrdiff_t needed = smaller(taps.first + span + ahead, w.H); /* now or next time */
            for (; staged < needed; staged++)
                phases.stage(ring[staged], x + (plane * w.H + staged) * w.W, -__builtin_inff());
            from.begin = taps.begin;
            from.end = taps.end;
            for (ptrdiff_t p = taps.begin; p < taps.end; p++)
                from.rows[p] = ring[taps.first + p * w.DH];
            const ptrdiff_t at = (plane * w.OH + i) * w.OW;
            if (w.KH == 3 && w.KW == 3 && taps.end - taps.begin == 3)
                take_row<3>(y + at, index + at, w.OW, from, floor);
            else
                take_row<0>(y + at, index + at, w.OW, from, floor);
        });
    });
}

int forward_2x2(float *y, uint8_t *index, const float *x, ptrdiff_t planes, const mk_window &w, float floor)
{
    const Pairs pairs(planes, w);
    return pool2x2_forward(x, pairs, [=](ptrdiff_t at, ptrdiff_t n, vec a, vec b, vec c, vec d) MK_INLINE_LAMBDA {
        ivec tap = {};
        vec best = a;
        if (__builtin_expect(has_nan((a + b) + (c + d)), 0)) {
            take_larger_or_nan(best, tap, b, every(1));
            take_larger_or_nan(best, tap, c, every(2));
            take_larger_or_nan(best, tap, d, every(3));
        } else {
            take_larger(best, tap, b, every(1));
            take_larger(best, tap, c, every(2));
            take_larger(best, tap, d, every(3));
        }
        store_some(y + at, at_least(best, floor), n);
        put_indices(index + at, tap, n);
    });
}

/* One window by the letter, for vectors that may hold NaN. */
void take_window(float *y, uint8_t *index, const float *plane, const mk_window &w, ptrdiff_t i, ptrdiff_t j,
                 float floor)
{
    const Taps down(w, i);
    const ptrdiff_t left = j * w.SW - w.left, begin = larger(0, -left), end = smaller(3, w.W - left);
    float best = -__builtin_inff();
    ptrdiff_t tap = down.begin * 3 + begin;
    for (ptrdiff_t p = down.begin; p < down.end; p++)
        for (ptrdiff_t q = begin; q < end; q++) {
            const float value = plane[(down.first + p) * w.W + left + q];
            if (!(value <= best) && best == best) {
                best = value;
                tap = p * 3 + q;
            }
        }
    *y = best <= floor ? floor : best;
    *index = static_cast<uint8_t>(tap);
}

/* Of each row first the largest of three neighbours, then of three rows. v, results: values, taps, and a sum of
 * all values, which shows whether one is NaN. */
template <int S>
int forward_3x3(float *y, uint8_t *index, const float *x, ptrdiff_t planes, const mk_window &window, float floor)
{
    const Strip<3, S, true> strips(window.H, window.W, window.OW, window.top, window.left);
    const ptrdiff_t at_once = pieces_of_task(window.H * window.W);
    return parallel(ceil_div(planes, at_once), 0, [&](ptrdiff_t task, float *) {
        const mk_window w = window;
        const vec lowest = all(-__builtin_inff());
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++)
            for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                const Strip<3, S, true> strip = strips.at(j);
                const float *from = x + plane * w.H * w.W;
                const ivec outside = static_cast<int32_t>(w.left) - count_up(0, S) - static_cast<int32_t>(j * S);
                const ivec left = outside > 0 ? outside : (ivec){}; /* the first tap inside the image */
                roll<3, S, 3>(
                    w.OH,
                    [&](vec(&v)[3], ptrdiff_t row) MK_INLINE_LAMBDA {
                        if (!strip.take(v, from, row, FAR))
                            return false;
                        vec best = v[0];
                        ivec column = {};
                        take_larger(best, column, v[1], every(1));
                        take_larger(best, column, v[2], every(2));
                        v[2] += v[0] + v[1];
                        v[1] = (vec)column;
                        v[0] = best;
                        return true;
                    },
                    [&](vec(&results)[3], const vec(&v)[3], int r) MK_INLINE_LAMBDA {
                        ivec tap = (ivec)results[1];
                        take_larger(results[0], tap, v[0], (ivec)v[1] + every(3 * r));
                        results[1] = (vec)tap;
                        results[2] += v[2];
                    },
                    [&](ptrdiff_t i, const vec(&results)[3]) MK_INLINE_LAMBDA {
                        const ptrdiff_t at = (plane * w.OH + i) * w.OW + j, n = w.OW - j;
                        if (__builtin_expect(has_nan(results[2]), 0)) {
                            for (ptrdiff_t k = 0; k < smaller(n, VL); k++)
                                take_window(y + at + k, index + at + k, from, w, i, j + k, floor);
                            return;
                        }
                        const ivec first = left + every(3 * larger(0, w.top - i * S));
                        store_some(y + at, at_least(results[0], floor), n);
                        put_indices(index + at, results[0] == lowest ? first : (ivec)results[1], n);
                    },
                    {lowest, (vec){}, (vec){}});
            }
    });
}

/* -- backward --------------------------------------------------------------------------------------------- */

/* Each window adds to the pixel that won it: the way where there are few windows, or many taps to ask. */
template <class Index>
int scatter(float *gx, Gradient gradient, const Index *index, ptrdiff_t planes, const mk_window &w)
{
    const ptrdiff_t at_once = pieces_of_task(w.H * w.W), taps = w.KH * w.KW;
    return parallel(ceil_div(planes, at_once), taps * sizeof(ptrdiff_t), [=](ptrdiff_t task, float *scratch) {
        ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(scratch);
        for (ptrdiff_t tap = 0; tap < taps; tap++)
            offsets[tap] = (tap / w.KW * w.DH - w.top) * w.W + tap % w.KW * w.DW - w.left;
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++) {
            float *to = gx + plane * w.H * w.W;
            set_run(to, w.H * w.W, 0.0f);
            for (ptrdiff_t i = 0; i < w.OH; i++)
                for (ptrdiff_t j = 0, at = (plane * w.OH + i) * w.OW; j < w.OW; j++, at++)
                    to[i * w.SH * w.W + j * w.SW + offsets[index[at]]] += gradient(at);
        }
    });
}

/* A row of windows that meets a row of pixels. */
struct Meeting {
    const float *gy;
    const int32_t *index;
    ptrdiff_t tap; /* p·KW */
};

/* row: (W), the sum over the windows that each of its pixels won; THREE: as in Spread */
template <bool THREE>
MK_INLINE void ask(float *row, const Spread &spread, const Meeting *meetings, ptrdiff_t count)
{
    spread.join(row, [&](ptrdiff_t phase, ptrdiff_t k) MK_INLINE_LAMBDA {
        vec g = {};
        for (ptrdiff_t m = 0; m < count; m++) {
            const Meeting met = meetings[m];
            spread.each_tap<THREE>(phase, k, [&](ptrdiff_t q, ptrdiff_t from) MK_INLINE_LAMBDA {
                g += get_indices(met.index + from, VL) == every(met.tap + q) ? load(met.gy + from) : (vec){};
            });
        }
        return g;
    });
}

/* Each pixel asks the windows that hold it, a vector of pixels at a time, taps in the reference's order. */
template <class Index>
int gather(float *gx, Gradient gradient, const Index *index, ptrdiff_t planes, const mk_window &window)
{
    const Spread spread(window);
    const ptrdiff_t ring_rows = Ring::size_for(Holders::most(window) + 1), floats = spread.floats;
    const size_t bytes = 2 * Parts::bytes(ring_rows * floats, 4) + Parts::bytes(window.KH, sizeof(Meeting));
    const ptrdiff_t rows = planes * window.H, at_once = pieces_of_task(window.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        const mk_window w = window;
        const Spread own = spread;
        Parts parts{reinterpret_cast<char *>(scratch)};
        const Ring gradients{parts.take<float>(ring_rows * floats), ring_rows, floats};
        const Ring indices{parts.take<float>(ring_rows * floats), ring_rows, floats};
        Meeting *meetings = parts.take<Meeting>(w.KH);
        gradients.fill(0.0f);
        indices.fill(0.0f);
        ptrdiff_t staged = 0;
        const ptrdiff_t end = smaller((task + 1) * at_once, rows);
        each_row(task * at_once, end, w.H, [&](ptrdiff_t plane, ptrdiff_t r, bool is_first) {
            const Holders holders(w, r);
            staged = larger(is_first ? 0 : staged, holders.begin);
            for (; staged < smaller(holders.end + 1, w.OH); staged++) {
                const ptrdiff_t at = (plane * w.OH + staged) * w.OW; /* whole vectors: see Phases::stage */
                float *to = gradients[staged] + own.before;
                int32_t *index_to = reinterpret_cast<int32_t *>(indices[staged]) + own.before;
                for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                    store(to + j, gradient(at + j, w.OW - j));
                    put_indices(index_to + j, get_indices(index + at + j, w.OW - j), VL);
                }
            }
            ptrdiff_t count = 0;
            for (ptrdiff_t i = holders.end - 1; i >= holders.begin; i--) {
                const ptrdiff_t down = r + w.top - i * w.SH, p = over(down, w.DH);
                if (p * w.DH == down)
                    meetings[count++] = {gradients[i] + own.before,
                                         reinterpret_cast<int32_t *>(indices[i]) + own.before, p * w.KW};
            }
            if (w.KW == 3 && w.DW == 1)
                ask<true>(gx + (plane * w.H + r) * w.W, own, meetings, count);
            else
                ask<false>(gx + (plane * w.H + r) * w.W, own, meetings, count);
        });
    });
}

template <class Index>
int backward(float *gx, Gradient gradient, const Index *index, ptrdiff_t planes, const mk_window &w)
{
    const bool has_many_taps = w.KH * w.KW > 16 * w.SH * w.SW, has_short_rows = w.OW < 8;
    if (w.SW > 2 || has_many_taps || has_short_rows)
        return scatter(gx, gradient, index, planes, w);
    return gather(gx, gradient, index, planes, w);
}

int backward_2x2(float *gx, Gradient gradient, const uint8_t *index, ptrdiff_t planes, const mk_window &w)
{
    return pool2x2_backward(gx, Pairs(planes, w), [=](ptrdiff_t at, ptrdiff_t n, vec(&g)[2][2]) MK_INLINE_LAMBDA {
        const vec won = gradient(at, n);
        const ivec tap = get_indices(index + at, n);
#pragma GCC unroll 4
        for (int t = 0; t < 4; t++)
            g[t / 2][t % 2] = tap == every(t) ? won : (vec){};
    });
}

} // namespace

/* y = the largest value of each window, at least 0 if with_relu; index = its tap p·KW + q.
 * y, index: (planes, OH, OW)  x: (planes, H, W) */
int MK(max_pool2d_forward)(float *y, void *index, const float *x, ptrdiff_t planes, const mk_window *window,
                           int with_relu)
{
    const float floor = floor_of(with_relu);
    if (is_2x2(*window))
        return forward_2x2(y, static_cast<uint8_t *>(index), x, planes, *window, floor);
    if (rolls_forward(*window))
        return window->SW == 1
                   ? forward_3x3<1>(y, static_cast<uint8_t *>(index), x, planes, *window, floor)
                   : forward_3x3<2>(y, static_cast<uint8_t *>(index), x, planes, *window, floor);
    if (window->KH * window->KW <= 256)
        return forward(y, static_cast<uint8_t *>(index), x, planes, *window, floor);
    return forward(y, static_cast<int32_t *>(index), x, planes, *window, floor);
}

/* dL/dx = the sum of dL/dy over the windows that a pixel won, of those with y > 0 if y is given.
 * gx: (planes, H, W)  gy, y, index: (planes, OH, OW) */
int MK(max_pool2d_backward)(float *gx, const float *gy, const float *y, const void *index, ptrdiff_t planes,
                            const mk_window *window)
{
    const Gradient gradient{gy, y};
    if (is_2x2(*window))
        return backward_2x2(gx, gradient, static_cast<const uint8_t *>(index), planes, *window);
    const ptrdiff_t windows = window->OH * window->OW;
    if (rolls_backward(*window))
        return spread_3x3(
            gx, planes, *window,
            Winners{gradient, static_cast<const uint8_t *>(index), windows, planes * windows, {}});
    if (window->KH * window->KW <= 256)
        return backward(gx, gradient, static_cast<const uint8_t *>(index), planes, *window);
    return backward(gx, gradient, static_cast<const int32_t *>(index), planes, *window);
}
