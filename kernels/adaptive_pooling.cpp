/* Pooling over a grid of windows that covers the image, whatever its size; global pooling is 1 x 1. The
 * formulas and their references are in minicnn/ops/adaptive_pooling.py.
 *
 * A row of windows is taken over its rows of pixels first, whole vectors of columns at a time. */
#include "mk.h"
#include "parallel.h"
#include "windows.h"

namespace {

/* The pixels begin, ..., end - 1 of one dimension that window i holds. */
struct Span {
    ptrdiff_t begin, end;
    Span(ptrdiff_t i, ptrdiff_t size, ptrdiff_t count) : begin(i * size / count), end(ceil_div((i + 1) * size, count)) {}
    ptrdiff_t size() const { return end - begin; }
};

/* body(plane, parts) for every image of pixels numbers, with `bytes` of scratch. */
template <class Body>
int each_plane(ptrdiff_t planes, ptrdiff_t pixels, size_t bytes, const Body &body)
{
    ptrdiff_t at_once = pieces_of_task(pixels);
    return parallel(ceil_div(planes, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++)
            body(plane, Parts{reinterpret_cast<char *>(scratch)});
    });
}

MK_INLINE vec sum_of_run(const float *x, ptrdiff_t n)
{
    TwoSums<> sums;
    sums.add(n, [&](ptrdiff_t i, auto part, vec &a, vec &) { a += part.get(x + i); });
    return (sums.a[0] + sums.a[1]) + (sums.a[2] + sums.a[3]);
}

/* y: (planes)  x: (planes, n) */
int global_avg_forward(float *y, const float *x, ptrdiff_t planes, ptrdiff_t n)
{
    ptrdiff_t at_once = whole_vectors(pieces_of_task(n));
    return parallel(ceil_div(planes, at_once), 0, [&](ptrdiff_t task, float *) {
        for (ptrdiff_t first = task * at_once; first < smaller((task + 1) * at_once, planes); first += VL) {
            vec v[VL] = {};
            for (ptrdiff_t k = 0; k < smaller(VL, planes - first); k++)
                v[k] = sum_of_run(x + (first + k) * n, n);
            store_some(y + first, sums_of(v) / static_cast<float>(n), planes - first);
        }
    });
}

void set_run(float *to, ptrdiff_t n, float value)
{
    each_vector(n, [&](ptrdiff_t i, auto part) { part.put(to + i, all(value)); });
}

/* NaN is larger than everything, and of equals the one that stands first is. */
bool is_larger(float a, ptrdiff_t a_place, float b, ptrdiff_t b_place)
{
    bool a_is_nan = a != a, b_is_nan = b != b;
    if (a_is_nan != b_is_nan)
        return a_is_nan;
    return a > b || (!(a < b) && a_place < b_place);
}

/* Of each column the largest value within some rows, and its row.   best, row: (W)  x: (H, W) */
void largest_of_columns(float *best, int32_t *row, const float *x, const Span &rows, ptrdiff_t W)
{
    for (ptrdiff_t s = 0; s < W; s += VL) {
        vec y = load_some(x + rows.begin * W + s, W - s);
        ivec at = static_cast<int32_t>(rows.begin) - (ivec){};
        for (ptrdiff_t r = rows.begin + 1; r < rows.end; r++) {
            vec value = load_some(x + r * W + s, W - s);
            ivec better = ~(value <= y) & (y == y);
            y = better ? value : y;
            at = better ? static_cast<int32_t>(r) - (ivec){} : at;
        }
        store_some(best + s, y, W - s);
        store_some(reinterpret_cast<float *>(row) + s, (vec)at, W - s);
    }
}

} // namespace

/* y = the mean of each window.   y: (planes, OH, OW)  x: (planes, H, W) */
int MK(adaptive_avg_pool2d_forward)(float *y, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH,
                                    ptrdiff_t OW)
{
    if (OH == 1 && OW == 1)
        return global_avg_forward(y, x, planes, H * W);
    return each_plane(planes, H * W, Parts::bytes(W, 4), [=](ptrdiff_t plane, Parts parts) {
        float *sums = parts.take<float>(W);
        for (ptrdiff_t i = 0; i < OH; i++) {
            const Span rows(i, H, OH);
            const float *from = x + (plane * H + rows.begin) * W;
            each_vector(W, [&](ptrdiff_t s, auto part) {
                vec total = part.get(from + s);
                for (ptrdiff_t r = 1; r < rows.size(); r++)
                    total += part.get(from + r * W + s);
                part.put(sums + s, total);
            });
            for (ptrdiff_t j = 0; j < OW; j++) {
                const Span columns(j, W, OW);
                float total = 0.0f;
                for (ptrdiff_t s = columns.begin; s < columns.end; s++)
                    total += sums[s];
                y[(plane * OH + i) * OW + j] = total / static_cast<float>(rows.size() * columns.size());
            }
        }
    });
}

/* dL/dx = the sum of dL/dy / count over the windows that hold a pixel.
 * gx: (planes, H, W)  gy: (planes, OH, OW) */
int MK(adaptive_avg_pool2d_backward)(float *gx, const float *gy, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W,
                                     ptrdiff_t OH, ptrdiff_t OW)
{
    if (OH == 1 && OW == 1)
        return each_plane(planes, H * W, 0, [=](ptrdiff_t plane, Parts) {
            set_run(gx + plane * H * W, H * W, gy[plane] / static_cast<float>(H * W));
        });
    return each_plane(planes, H * W, Parts::bytes(W, 4), [=](ptrdiff_t plane, Parts parts) {
        float *sums = parts.take<float>(W);
        set_run(gx + plane * H * W, H * W, 0.0f);
        for (ptrdiff_t i = 0; i < OH; i++) {
            const Span rows(i, H, OH);
            set_run(sums, W, 0.0f);
            for (ptrdiff_t j = 0; j < OW; j++) {
                const Span columns(j, W, OW);
                float share = gy[(plane * OH + i) * OW + j] / static_cast<float>(rows.size() * columns.size());
                for (ptrdiff_t s = columns.begin; s < columns.end; s++)
                    sums[s] += share;
            }
            for (ptrdiff_t r = rows.begin; r < rows.end; r++) {
                float *to = gx + (plane * H + r) * W;
                each_vector(W, [&](ptrdiff_t s, auto part) { part.put(to + s, part.get(to + s) + part.get(sums + s)); });
            }
        }
    });
}

/* y = the largest value of each window, index = its place in the image.
 * y, index: (planes, OH, OW)  x: (planes, H, W) */
int MK(adaptive_max_pool2d_forward)(float *y, int64_t *index, const float *x, ptrdiff_t planes, ptrdiff_t H,
                                    ptrdiff_t W, ptrdiff_t OH, ptrdiff_t OW)
{
    return each_plane(planes, H * W, Parts::bytes(W, 4) * 2, [=](ptrdiff_t plane, Parts parts) {
        float *best = parts.take<float>(W);
        int32_t *row = parts.take<int32_t>(W);
        for (ptrdiff_t i = 0; i < OH; i++) {
            largest_of_columns(best, row, x + plane * H * W, Span(i, H, OH), W);
            for (ptrdiff_t j = 0; j < OW; j++) {
                const Span columns(j, W, OW);
                ptrdiff_t s = columns.begin;
                for (ptrdiff_t other = s + 1; other < columns.end; other++)
                    if (is_larger(best[other], row[other] * W + other, best[s], row[s] * W + s))
                        s = other;
                const ptrdiff_t at = (plane * OH + i) * OW + j;
                y[at] = best[s];
                index[at] = row[s] * W + s;
            }
        }
    });
}

/* dL/dx = the sum of dL/dy over the windows that a pixel won.
 * gx: (planes, pixels)  gy, index: (planes, windows) */
int MK(adaptive_max_pool2d_backward)(float *gx, const float *gy, const int64_t *index, ptrdiff_t planes,
                                     ptrdiff_t pixels, ptrdiff_t windows)
{
    return each_plane(planes, pixels, 0, [=](ptrdiff_t plane, Parts) {
        float *to = gx + plane * pixels;
        set_run(to, pixels, 0.0f);
        for (ptrdiff_t k = plane * windows; k < (plane + 1) * windows; k++)
            to[index[k]] += gy[k];
    });
}
