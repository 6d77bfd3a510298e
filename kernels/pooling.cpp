/* Pooling: the largest value or the mean of each window. The formulas and their references are in
 * minicnn/ops/pooling.py.
 *
 * Windows of 2x2 at stride 2 have a path of their own (pool2x2.h). For all others, rows of pixels are taken
 * apart by the stride (windows.h), so that a tap of neighbouring windows is a vector. */
#include "mk.h"
#include "parallel.h"
#include "pool2x2.h"
#include "windows.h"

namespace {

bool is_2x2(const mk_window &w)
{
    return w.KH == 2 && w.KW == 2 && w.SH == 2 && w.SW == 2 && w.DH == 1 && w.DW == 1 && w.top == 0 && w.left == 0 &&
           2 * w.OH <= w.H && 2 * w.OW <= w.W;
}

bool has_small_index(const mk_window &w) { return w.KH * w.KW <= 256; }

ivec every(ptrdiff_t i) { return static_cast<int32_t>(i) - (ivec){}; }

/* The taps p, begin <= p < end, of windows in row i that meet the image. */
struct Taps {
    ptrdiff_t first, begin, end; /* first: the row of tap 0 */

    Taps(const mk_window &w, ptrdiff_t i) : first(i * w.SH - w.top)
    {
        begin = first < 0 ? ceil_div(-first, w.DH) : 0;
        end = smaller(w.KH, ceil_div(w.H - first, w.DH));
    }
};

/* Calls body(plane, row, is_first) for the rows of a task, of all planes' rows; is_first: no row of this plane
 * went before. */
template <class Body>
MK_INLINE void each_row(ptrdiff_t begin, ptrdiff_t end, ptrdiff_t rows, Body body)
{
    ptrdiff_t plane = begin / rows, row = begin % rows;
    for (ptrdiff_t t = begin; t < end; t++) {
        body(plane, row, t == begin || row == 0);
        if (++row == rows) {
            row = 0;
            plane++;
        }
    }
}

/* -- the largest value ------------------------------------------------------------------------------------ */

/* NaN is larger than everything, and of equals the first is kept. */
MK_INLINE void take_larger(vec &y, ivec &index, vec value, ivec tap)
{
    ivec better = ~(value <= y) & (y == y);
    y = better ? value : y;
    index = better ? tap : index;
}

/* left[j] = the first tap q of window j inside the image. */
void first_columns(int32_t *left, const mk_window &w)
{
    for (ptrdiff_t j = 0; j < w.OW; j++) {
        ptrdiff_t outside = w.left - j * w.SW;
        left[j] = static_cast<int32_t>(outside > 0 ? ceil_div(outside, w.DW) : 0);
    }
}

template <class Index>
int max_forward(float *y, Index *index, const float *x, ptrdiff_t planes, const mk_window &w)
{
    const Phases phases(w);
    const ptrdiff_t ring_rows = (w.KH - 1) * w.DH + 1;
    const float lowest = -__builtin_inff();
    size_t bytes = Parts::bytes(ring_rows * phases.floats(), 4) + Parts::bytes(whole_vectors(w.OW), 4) +
                   Parts::bytes(w.KW, sizeof(ptrdiff_t)) + Parts::bytes(w.KH, sizeof(float *));
    ptrdiff_t rows = planes * w.OH, at_once = pieces_of_task(smaller(w.SH, w.H) * w.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        Parts parts{reinterpret_cast<char *>(scratch)};
        Ring ring{parts.take<float>(ring_rows * phases.floats()), ring_rows, phases.floats()};
        int32_t *left = parts.take<int32_t>(whole_vectors(w.OW));
        ptrdiff_t *offsets = parts.take<ptrdiff_t>(w.KW);
        const float **tap_rows = parts.take<const float *>(w.KH);
        ring.fill(lowest);
        first_columns(left, w);
        for (ptrdiff_t q = 0; q < w.KW; q++)
            offsets[q] = phases.offset(q * w.DW);
        ptrdiff_t staged = 0; /* rows before this one are in the ring, if they are needed */
        each_row(task * at_once, smaller((task + 1) * at_once, rows), w.OH, [&](ptrdiff_t plane, ptrdiff_t i, bool is_first) {
            const Taps taps(w, i);
            staged = larger(is_first ? 0 : staged, taps.first);
            for (; staged <= taps.first + (taps.end - 1) * w.DH; staged++)
                phases.stage(ring[staged], x + (plane * w.H + staged) * w.W);
            for (ptrdiff_t p = taps.begin; p < taps.end; p++)
                tap_rows[p] = ring[taps.first + p * w.DH];
            const ptrdiff_t at = (plane * w.OH + i) * w.OW;
            for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                vec best = all(lowest);
                ivec tap = get_indices(left + j, VL) + every(taps.begin * w.KW);
                for (ptrdiff_t p = taps.begin; p < taps.end; p++)
                    for (ptrdiff_t q = 0; q < w.KW; q++)
                        take_larger(best, tap, load(tap_rows[p] + offsets[q] + j), every(p * w.KW + q));
                store_some(y + at + j, best, w.OW - j);
                put_indices(index + at + j, tap, w.OW - j);
            }
        });
    });
}

int max_forward_2x2(float *y, uint8_t *index, const float *x, ptrdiff_t planes, const mk_window &w)
{
    return pool2x2_forward(x, Pairs(planes, w), [=](ptrdiff_t at, ptrdiff_t n, vec a, vec b, vec c, vec d) {
        ivec tap = {};
        take_larger(a, tap, b, every(1));
        take_larger(a, tap, c, every(2));
        take_larger(a, tap, d, every(3));
        store_some(y + at, a, n);
        put_indices(index + at, tap, n);
    });
}

template <class Index>
int max_backward(float *gx, const float *gy, const Index *index, ptrdiff_t planes, const mk_window &w)
{
    Spread spread(w);
    const ptrdiff_t ring_rows = (w.KH - 1) * w.DH / w.SH + 1;
    size_t ring_bytes = Parts::bytes(ring_rows * spread.floats, 4);
    struct Meeting { /* of a row of pixels and a row of windows */
        const float *gy;
        const int32_t *index;
        ptrdiff_t tap; /* p·KW */
    };
    size_t bytes = 2 * ring_bytes + Spread::table_bytes(w) + Parts::bytes(w.KH, sizeof(Meeting));
    ptrdiff_t rows = planes * w.H, at_once = pieces_of_task(w.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        Parts parts{reinterpret_cast<char *>(scratch)};
        Ring gradients{parts.take<float>(ring_rows * spread.floats), ring_rows, spread.floats};
        Ring indices{parts.take<float>(ring_rows * spread.floats), ring_rows, spread.floats};
        Spread own = spread;
        own.make_table(parts.take<ptrdiff_t>(w.SW + 1 + w.KW), w);
        Meeting *meetings = parts.take<Meeting>(w.KH);
        gradients.fill(0.0f);
        indices.fill(0.0f);
        ptrdiff_t staged = 0;
        each_row(task * at_once, smaller((task + 1) * at_once, rows), w.H, [&](ptrdiff_t plane, ptrdiff_t r, bool is_first) {
            const ptrdiff_t reach = r + w.top - (w.KH - 1) * w.DH, begin = reach > 0 ? ceil_div(reach, w.SH) : 0;
            staged = is_first ? begin : larger(staged, begin);
            for (; staged < w.OH && staged * w.SH <= r + w.top; staged++) {
                const ptrdiff_t at = (plane * w.OH + staged) * w.OW;
                float *to = gradients[staged] + own.before;
                int32_t *index_to = reinterpret_cast<int32_t *>(indices[staged]) + own.before;
                for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                    store_some(to + j, load_some(gy + at + j, w.OW - j), w.OW - j);
                    put_indices(index_to + j, get_indices(index + at + j, w.OW - j), w.OW - j);
                }
            }
            ptrdiff_t count = 0;
            for (ptrdiff_t p = 0; p < w.KH; p++) {
                const ptrdiff_t start = r + w.top - p * w.DH, i = start / w.SH;
                if (start >= 0 && start % w.SH == 0 && i < w.OH)
                    meetings[count++] = {gradients[i] + own.before,
                                         reinterpret_cast<int32_t *>(indices[i]) + own.before, p * w.KW};
            }
            own.join(gx + (plane * w.H + r) * w.W, [&](ptrdiff_t phase, ptrdiff_t k) {
                vec g = {};
                for (ptrdiff_t m = 0; m < count; m++)
                    for (ptrdiff_t t = own.starts[phase]; t < own.starts[phase + 1]; t++) {
                        const ptrdiff_t q = own.taps[t], from = k - q * w.DW / w.SW;
                        ivec won = get_indices(meetings[m].index + from, VL) == every(meetings[m].tap + q);
                        g += won ? load(meetings[m].gy + from) : (vec){};
                    }
                return g;
            });
        });
    });
}

int max_backward_2x2(float *gx, const float *gy, const uint8_t *index, ptrdiff_t planes, const mk_window &w)
{
    return pool2x2_backward(gx, Pairs(planes, w), [=](ptrdiff_t at, ptrdiff_t n, vec(&g)[2][2]) {
        vec gradient = load_some(gy + at, n);
        ivec tap = get_indices(index + at, n);
        for (int t = 0; t < 4; t++)
            g[t / 2][t % 2] = tap == every(t) ? gradient : (vec){};
    });
}

/* -- the mean --------------------------------------------------------------------------------------------- */

/* What the sums over windows are divided by: a number per row times one per column. */
struct Counts {
    const mk_window &w;
    int with_padding;
    float divisor;

    static float extent(ptrdiff_t start, ptrdiff_t kernel, ptrdiff_t low, ptrdiff_t high)
    {
        return static_cast<float>(smaller(start + kernel, high) - larger(start, low));
    }

    float of_row(ptrdiff_t i) const
    {
        if (divisor != 0.0f)
            return divisor;
        ptrdiff_t low = with_padding ? 0 : w.top, high = w.top + w.H + (with_padding ? w.bottom : 0);
        return extent(i * w.SH, w.KH, low, high);
    }

    void of_columns(float *counts) const
    {
        ptrdiff_t low = with_padding ? 0 : w.left, high = w.left + w.W + (with_padding ? w.right : 0);
        for (ptrdiff_t j = 0; j < w.OW; j++)
            counts[j] = divisor != 0.0f ? 1.0f : extent(j * w.SW, w.KW, low, high);
    }
};

/* Sums are taken over rows first, then over columns, in the order of the reference. */
int avg_forward(float *y, const float *x, ptrdiff_t planes, const Counts &counts)
{
    const mk_window &w = counts.w;
    const Phases phases(w);
    size_t bytes = Parts::bytes(w.W, 4) + Parts::bytes(phases.floats(), 4) + Parts::bytes(whole_vectors(w.OW), 4) +
                   Parts::bytes(w.KW, sizeof(ptrdiff_t));
    ptrdiff_t rows = planes * w.OH, at_once = pieces_of_task(smaller(w.SH, w.H) * w.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        Parts parts{reinterpret_cast<char *>(scratch)};
        float *sums = parts.take<float>(w.W);
        Ring staged{parts.take<float>(phases.floats()), 1, phases.floats()};
        float *column_counts = parts.take<float>(whole_vectors(w.OW));
        ptrdiff_t *offsets = parts.take<ptrdiff_t>(w.KW);
        staged.fill(0.0f);
        counts.of_columns(column_counts);
        for (ptrdiff_t q = 0; q < w.KW; q++)
            offsets[q] = phases.offset(q);
        each_row(task * at_once, smaller((task + 1) * at_once, rows), w.OH, [&](ptrdiff_t plane, ptrdiff_t i, bool) {
            const Taps taps(w, i);
            const float *from = x + (plane * w.H + taps.first) * w.W;
            each_vector(w.W, [&](ptrdiff_t s, auto part) {
                vec total = part.get(from + taps.begin * w.W + s);
                for (ptrdiff_t p = taps.begin + 1; p < taps.end; p++)
                    total += part.get(from + p * w.W + s);
                part.put(sums + s, total);
            });
            phases.stage(staged.rows, sums);
            float *to = y + (plane * w.OH + i) * w.OW;
            for (ptrdiff_t j = 0; j < w.OW; j += VL) {
                vec total = load(staged.rows + j);
                for (ptrdiff_t q = 1; q < w.KW; q++)
                    total += load(staged.rows + offsets[q] + j);
                store_some(to + j, total / (counts.of_row(i) * load(column_counts + j)), w.OW - j);
            }
        });
    });
}

int avg_backward(float *gx, const float *gy, ptrdiff_t planes, const Counts &counts)
{
    const mk_window &w = counts.w;
    Spread spread(w);
    const ptrdiff_t ring_rows = (w.KH - 1) / w.SH + 1;
    size_t bytes = Parts::bytes(ring_rows * spread.floats, 4) + Parts::bytes(spread.floats, 4) +
                   Parts::bytes(whole_vectors(w.OW), 4) + Spread::table_bytes(w);
    ptrdiff_t rows = planes * w.H, at_once = pieces_of_task(w.W);
    return parallel(ceil_div(rows, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        Parts parts{reinterpret_cast<char *>(scratch)};
        Ring shares{parts.take<float>(ring_rows * spread.floats), ring_rows, spread.floats};
        Ring sums{parts.take<float>(spread.floats), 1, spread.floats};
        float *column_counts = parts.take<float>(whole_vectors(w.OW));
        Spread own = spread;
        own.make_table(parts.take<ptrdiff_t>(w.SW + 1 + w.KW), w);
        counts.of_columns(column_counts);
        sums.fill(0.0f);
        ptrdiff_t staged = 0;
        each_row(task * at_once, smaller((task + 1) * at_once, rows), w.H, [&](ptrdiff_t plane, ptrdiff_t r, bool is_first) {
            const ptrdiff_t reach = r + w.top - (w.KH - 1), begin = reach > 0 ? ceil_div(reach, w.SH) : 0;
            const ptrdiff_t end = smaller((r + w.top) / w.SH + 1, w.OH);
            staged = is_first ? begin : larger(staged, begin);
            for (; staged < end; staged++) {
                const float *from = gy + (plane * w.OH + staged) * w.OW;
                float *to = shares[staged], row_count = counts.of_row(staged);
                each_vector(w.OW, [&](ptrdiff_t j, auto part) {
                    part.put(to + j, part.get(from + j) / (row_count * part.get(column_counts + j)));
                });
            }
            each_vector(w.OW, [&](ptrdiff_t j, auto part) {
                vec total = {};
                for (ptrdiff_t i = begin; i < end; i++)
                    total += part.get(shares[i] + j);
                part.put(sums.rows + own.before + j, total);
            });
            own.join(gx + (plane * w.H + r) * w.W, [&](ptrdiff_t phase, ptrdiff_t k) {
                vec g = {};
                for (ptrdiff_t t = own.starts[phase]; t < own.starts[phase + 1]; t++)
                    g += load(sums.rows + own.before + k - own.taps[t] / w.SW);
                return g;
            });
        });
    });
}

bool is_mean_of_2x2(const Counts &counts)
{
    return is_2x2(counts.w) && (counts.divisor == 0.0f || counts.divisor == 4.0f);
}

} // namespace

/* y = the largest value of each window, index = its tap p·KW + q.
 * y, index: (planes, OH, OW)  x: (planes, H, W) */
int MK(max_pool2d_forward)(float *y, void *index, const float *x, ptrdiff_t planes, const mk_window *window)
{
    if (is_2x2(*window))
        return max_forward_2x2(y, static_cast<uint8_t *>(index), x, planes, *window);
    if (has_small_index(*window))
        return max_forward(y, static_cast<uint8_t *>(index), x, planes, *window);
    return max_forward(y, static_cast<int32_t *>(index), x, planes, *window);
}

/* dL/dx = the sum of dL/dy over the windows that a pixel won.
 * gx: (planes, H, W)  gy, index: (planes, OH, OW) */
int MK(max_pool2d_backward)(float *gx, const float *gy, const void *index, ptrdiff_t planes, const mk_window *window)
{
    if (is_2x2(*window))
        return max_backward_2x2(gx, gy, static_cast<const uint8_t *>(index), planes, *window);
    if (has_small_index(*window))
        return max_backward(gx, gy, static_cast<const uint8_t *>(index), planes, *window);
    return max_backward(gx, gy, static_cast<const int32_t *>(index), planes, *window);
}

/* y = the sum over each window, divided by its count.   y: (planes, OH, OW)  x: (planes, H, W) */
int MK(avg_pool2d_forward)(float *y, const float *x, ptrdiff_t planes, const mk_window *window, int with_padding,
                           float divisor)
{
    const Counts counts{*window, with_padding, divisor};
    if (!is_mean_of_2x2(counts))
        return avg_forward(y, x, planes, counts);
    return pool2x2_forward(x, Pairs(planes, *window), [=](ptrdiff_t at, ptrdiff_t n, vec a, vec b, vec c, vec d) {
        store_some(y + at, ((a + c) + (b + d)) * 0.25f, n);
    });
}

/* dL/dx = the sum of dL/dy / count over the windows that hold a pixel.
 * gx: (planes, H, W)  gy: (planes, OH, OW) */
int MK(avg_pool2d_backward)(float *gx, const float *gy, ptrdiff_t planes, const mk_window *window, int with_padding,
                            float divisor)
{
    const Counts counts{*window, with_padding, divisor};
    if (!is_mean_of_2x2(counts))
        return avg_backward(gx, gy, planes, counts);
    return pool2x2_backward(gx, Pairs(planes, *window), [=](ptrdiff_t at, ptrdiff_t n, vec(&g)[2][2]) {
        g[0][0] = g[0][1] = g[1][0] = g[1][1] = load_some(gy + at, n) * 0.25f;
    });
}
