/* Average pooling. The formulas and their references are in minicnn/ops/pooling.py.
 *
 * A sum over a window is taken over rows first, where all columns of pixels are neighbours, then over columns,
 * in phases (windows.h). Windows of 2x2 at stride 2 and of 3x3 have paths of their own (pool2x2.h, pool3x3.h). */
#include "mk.h"
#include "parallel.h"
#include "pool2x2.h"
#include "pool3x3.h"
#include "windows.h"

namespace {

/* What the sums over windows are divided by: a number per row times one per column. */
struct Counts {
    mk_window w;
    int with_padding;
    float divisor; /* or 0 */

    static float extent(ptrdiff_t start, ptrdiff_t kernel, ptrdiff_t low, ptrdiff_t high)
    {
        return static_cast<float>(smaller(start + kernel, high) - larger(start, low));
    }

    float of_row(ptrdiff_t i) const
    {
        if (divisor != 0.0f)
            return divisor;
        const ptrdiff_t low = with_padding ? 0 : w.top, high = w.top + w.H + (with_padding ? w.bottom : 0);
        return extent(i * w.SH, w.KH, low, high);
    }

    void of_columns(float *counts) const
    {
        const ptrdiff_t low = with_padding ? 0 : w.left, high = w.left + w.W + (with_padding ? w.right : 0);
        for (ptrdiff_t j = 0; j < w.OW; j++)
            counts[j] = divisor != 0.0f ? 1.0f : extent(j * w.SW, w.KW, low, high);
    }

    /* Whether all windows are divided by one number, that of the first. */
    bool are_equal() const
    {
        if (divisor != 0.0f)
            return true;
        const bool is_padded = w.top > 0 || w.left > 0 || w.bottom > 0 || w.right > 0;
        return (with_padding || !is_padded) && (w.OH - 1) * w.SH + w.KH <= w.top + w.H + w.bottom &&
               (w.OW - 1) * w.SW + w.KW <= w.left + w.W + w.right;
    }

    bool is_mean_of_2x2() const { return is_2x2(w) && (divisor == 0.0f || divisor == 4.0f); }
};

/* sums = the sum over rows of n numbers, where row(k) is the start of row k; whole vectors are stored. */
template <class Row>
MK_INLINE void add_rows(float *sums, ptrdiff_t rows, ptrdiff_t n, Row row)
{
    for (ptrdiff_t s = 0; s < n; s += VL)
        store(sums + s, sum_in_chains(rows, [&](ptrdiff_t k) { return load_some(row(k) + s, n - s); }));
}

int forward(float *y, const float *x, ptrdiff_t planes, const Counts &shared)
{
    const mk_window &window = shared.w;
    const Phases phases(window);
    const size_t bytes = Parts::bytes(whole_vectors(window.W), 4) + 2 * Parts::bytes(phases.floats(), 4) +
                         Parts::bytes(whole_vectors(window.OW), 4) + Parts::bytes(window.KW, sizeof(ptrdiff_t));
    const ptrdiff_t rows = planes * window.OH, at_once = pieces_of_task(window.H * window.W / window.OH);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        const Counts counts = shared;
        const mk_window &w = counts.w;
        Parts parts{reinterpret_cast<char *>(scratch)};
        float *sums = parts.take<float>(whole_vectors(w.W));
        const Ring ring{parts.take<float>(2 * phases.floats()), 2, phases.floats()};
        float *column_counts = parts.take<float>(whole_vectors(w.OW));
        ptrdiff_t *offsets = parts.take<ptrdiff_t>(w.KW);
        ring.fill(0.0f);
        counts.of_columns(column_counts);
        for (ptrdiff_t q = 0; q < w.KW; q++)
            offsets[q] = phases.offset(q);
        ptrdiff_t staged = 0;
        const ptrdiff_t end = smaller((task + 1) * at_once, rows);
        each_row(task * at_once, end, w.OH, [&](ptrdiff_t plane, ptrdiff_t i, bool is_first) {
            for (staged = is_first ? i : staged; staged < smaller(i + 2, w.OH); staged++) {
                const Taps taps(w, staged);
                const float *from = x + (plane * w.H + taps.first + taps.begin) * w.W;
                add_rows(sums, taps.end - taps.begin, w.W, [&](ptrdiff_t p) { return from + p * w.W; });
                phases.stage(ring[staged], sums, 0.0f);
            }
            const float row_count = counts.of_row(i), *own = ring[i];
            float *to = y + (plane * w.OH + i) * w.OW;
            for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                const vec total = sum_in_chains(w.KW, [&](ptrdiff_t q) { return load(own + offsets[q] + j); });
                store_some(to + j, total / (row_count * load(column_counts + j)), w.OW - j);
            }
        });
    });
}

template <int S>
int forward_3x3(float *y, const float *x, ptrdiff_t planes, const Counts &shared)
{
    const mk_window &window = shared.w;
    const Strip<3, S> strips(window.H, window.W, window.OW, window.top, window.left);
    const ptrdiff_t at_once = pieces_of_task(window.H * window.W);
    const size_t bytes = Parts::bytes(whole_vectors(window.OW), 4);
    return parallel(ceil_div(planes, at_once), bytes, [&](ptrdiff_t task, float *column_counts) {
        const Counts counts = shared;
        const mk_window &w = counts.w;
        counts.of_columns(column_counts);
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++)
            for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                const Strip<3, S> strip = strips.at(j);
                const vec columns = load(column_counts + j);
                const float *from = x + plane * w.H * w.W;
                float *to = y + plane * w.OH * w.OW + j;
                roll<3, S, 1>(
                    w.OH,
                    [&](vec(&v)[3], ptrdiff_t row) MK_INLINE_LAMBDA {
                        if (!strip.take(v, from, row, FAR))
                            return false;
                        v[0] += v[1] + v[2];
                        return true;
                    },
                    [&](vec(&sums)[1], const vec(&v)[3], int) MK_INLINE_LAMBDA { sums[0] += v[0]; },
                    [&](ptrdiff_t i, const vec(&sums)[1]) MK_INLINE_LAMBDA {
                        strip.put(to + i * w.OW, sums[0] / (counts.of_row(i) * columns), 1);
                    });
            }
    });
}

/* What windows of 3x3, all divided by the same count, give to their pixels. */
struct Shares {
    const float *gy;
    ptrdiff_t windows; /* of a plane */
    float count;

    template <int T>
    MK_INLINE_MEMBER bool take(vec (&v)[T], const Strip<T, 1> &strip, ptrdiff_t plane, ptrdiff_t row) const
    {
        return strip.take(v, gy + plane * windows, row, FAR);
    }
    MK_INLINE_MEMBER void add(vec &sum, vec g, int, int) const { sum += g; }
    MK_INLINE_MEMBER vec finish(vec sum) const { return sum / count; }
};

/* row = what each window spreads over its pixels in this row, for any stride.   row: (W)  sums: (OW) */
void scatter(float *row, const float *sums, const mk_window &w)
{
    set_run(row, w.W, 0.0f);
    for (ptrdiff_t j = 0; j < w.OW; j++) {
        const ptrdiff_t start = j * w.SW - w.left, begin = larger(start, 0), end = smaller(start + w.KW, w.W);
        if (w.KW <= w.SW || w.OW == 1) /* windows do not overlap: nothing has to be loaded that was just stored */
            set_run(row + begin, end - begin, sums[j]);
        else
            for (ptrdiff_t s = begin; s < end; s++)
                row[s] += sums[j];
    }
}

/* The same, for strides that are vectors; THREE: as in Spread. */
template <bool THREE>
MK_INLINE void collect(float *row, const float *sums, const Spread &spread)
{
    spread.join(row, [&](ptrdiff_t phase, ptrdiff_t k) MK_INLINE_LAMBDA {
        vec g = {};
        spread.each_tap<THREE>(phase, k, [&](ptrdiff_t, ptrdiff_t from) MK_INLINE_LAMBDA { g += load(sums + from); });
        return g;
    });
}

int backward(float *gx, const float *gy, ptrdiff_t planes, const Counts &shared)
{
    const mk_window &window = shared.w;
    const Spread spread(window);
    const ptrdiff_t ring_rows = Ring::size_for(Holders::most(window) + 1), floats = spread.floats;
    const bool has_few_windows =
        window.OW == 1 || window.OW * (window.KW + 16) < (window.W / VL + 1) * window.KW / window.SW;
    const size_t bytes = Parts::bytes(ring_rows * floats, 4) + Parts::bytes(2 * floats, 4) +
                         Parts::bytes(whole_vectors(window.OW), 4);
    const ptrdiff_t rows = planes * window.H, at_once = pieces_of_task(window.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        const Counts counts = shared;
        const mk_window &w = counts.w;
        const Spread own = spread;
        Parts parts{reinterpret_cast<char *>(scratch)};
        const Ring shares{parts.take<float>(ring_rows * floats), ring_rows, floats};
        const Ring sums{parts.take<float>(2 * floats), 2, floats};
        float *column_counts = parts.take<float>(whole_vectors(w.OW));
        counts.of_columns(column_counts);
        sums.fill(0.0f);
        ptrdiff_t staged = 0, added = 0;
        const ptrdiff_t end = smaller((task + 1) * at_once, rows);
        each_row(task * at_once, end, w.H, [&](ptrdiff_t plane, ptrdiff_t r, bool is_first) {
            staged = is_first ? Holders(w, r).begin : staged;
            for (added = is_first ? r : added; added < smaller(r + 2, w.H); added++) {
                const Holders holders(w, added);
                for (staged = larger(staged, holders.begin); staged < holders.end; staged++) {
                    const float *from = gy + (plane * w.OH + staged) * w.OW;
                    float *to = shares[staged], row_count = counts.of_row(staged);
                    for (ptrdiff_t j = 0; j < w.OW; j += VL)
                        store(to + j, load_some(from + j, w.OW - j) / (row_count * load(column_counts + j)));
                }
                add_rows(sums[added] + own.before, holders.end - holders.begin, w.OW,
                         [&](ptrdiff_t i) { return shares[holders.begin + i]; });
            }
            float *row = gx + (plane * w.H + r) * w.W;
            const float *from = sums[r] + own.before;
            if (w.SW > 2 || has_few_windows)
                scatter(row, from, w);
            else if (w.KW == 3)
                collect<true>(row, from, own);
            else
                collect<false>(row, from, own);
        });
    });
}

} // namespace

/* y = the sum over each window, divided by its count.   y: (planes, OH, OW)  x: (planes, H, W) */
int MK(avg_pool2d_forward)(float *y, const float *x, ptrdiff_t planes, const mk_window *window, int with_padding,
                           float divisor)
{
    const Counts counts{*window, with_padding, divisor};
    if (rolls_forward(*window))
        return window->SW == 1 ? forward_3x3<1>(y, x, planes, counts) : forward_3x3<2>(y, x, planes, counts);
    if (!counts.is_mean_of_2x2())
        return forward(y, x, planes, counts);
    const Pairs pairs(planes, *window);
    return pool2x2_forward(x, pairs, [=](ptrdiff_t at, ptrdiff_t n, vec a, vec b, vec c, vec d) MK_INLINE_LAMBDA {
        store_some(y + at, ((a + c) + (b + d)) * 0.25f, n);
    });
}

/* dL/dx = the sum of dL/dy / count over the windows that hold a pixel.
 * gx: (planes, H, W)  gy: (planes, OH, OW) */
int MK(avg_pool2d_backward)(float *gx, const float *gy, ptrdiff_t planes, const mk_window *window, int with_padding,
                            float divisor)
{
    const Counts counts{*window, with_padding, divisor};
    if (rolls_backward(*window) && counts.are_equal())
        return spread_3x3(gx, planes, *window, Shares{gy, window->OH * window->OW, divisor != 0.0f ? divisor : 9.0f});
    if (!counts.is_mean_of_2x2())
        return backward(gx, gy, planes, counts);
    const Pairs pairs(planes, *window);
    return pool2x2_backward(gx, pairs, [=](ptrdiff_t at, ptrdiff_t n, vec(&g)[2][2]) MK_INLINE_LAMBDA {
        g[0][0] = g[0][1] = g[1][0] = g[1][1] = load_some(gy + at, n) * 0.25f;
    });
}
