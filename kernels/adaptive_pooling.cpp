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
    Span(ptrdiff_t i, ptrdiff_t size, ptrdiff_t count)
        : begin(i * size / count), end(ceil_div((i + 1) * size, count)) {}
    ptrdiff_t size() const { return end - begin; }
};

/* The spans of all rows or columns of windows: a division for each would take longer than its sum. */
struct Spans {
    Span *all;
    ptrdiff_t count;

    Spans(Parts &parts, ptrdiff_t size, ptrdiff_t count) : all(parts.take<Span>(count)), count(count)
    {
        for (ptrdiff_t i = 0; i < count; i++)
            all[i] = Span(i, size, count);
    }

    static size_t bytes(ptrdiff_t count) { return Parts::bytes(count, sizeof(Span)); }
    const Span &operator[](ptrdiff_t i) const { return all[i]; }
};

/* body(first, last, parts) for the planes of each task, with so many bytes of scratch. */
template <class Body>
int each_planes(ptrdiff_t planes, ptrdiff_t pixels, size_t bytes, const Body &body)
{
    const ptrdiff_t at_once = pieces_of_task(pixels);
    return parallel(ceil_div(planes, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        body(task * at_once, smaller((task + 1) * at_once, planes), Parts{reinterpret_cast<char *>(scratch)});
    });
}

MK_INLINE vec sum_of_run(const float *x, ptrdiff_t n)
{
    TwoSums<> sums;
    sums.add(n, [&](ptrdiff_t i, auto part, vec &a, vec &) { a += part.stream(x + i); });
    return (sums.a[0] + sums.a[1]) + (sums.a[2] + sums.a[3]);
}

enum { BLOCK = 4 * VL * CHAIN }; /* of a run: a chain in each lane of four sums */

vec sum_of_long_run(const float *x, ptrdiff_t n)
{
    vec total = {};
    for (ptrdiff_t begin = 0; begin < n; begin += BLOCK)
        total += sum_of_run(x + begin, smaller(n - begin, BLOCK));
    return total;
}

/* y: (planes)  x: (planes, n) */
template <class Sum>
int global_avg(float *y, const float *x, ptrdiff_t planes, ptrdiff_t n, Sum sum_of)
{
    ptrdiff_t at_once = whole_vectors(pieces_of_task(n));
    return parallel(ceil_div(planes, at_once), 0, [&](ptrdiff_t task, float *) {
        for (ptrdiff_t first = task * at_once; first < smaller((task + 1) * at_once, planes); first += VL) {
            vec v[VL] = {};
            for (ptrdiff_t k = 0; k < smaller(VL, planes - first); k++)
                v[k] = sum_of(x + (first + k) * n, n);
            store_some(y + first, sums_of(v) / static_cast<float>(n), planes - first);
        }
    });
}

int global_avg_forward(float *y, const float *x, ptrdiff_t planes, ptrdiff_t n)
{
    if (n > BLOCK)
        return global_avg(y, x, planes, n, sum_of_long_run);
    return global_avg(y, x, planes, n, [](const float *run, ptrdiff_t n) { return sum_of_run(run, n); });
}

/* An integer for each float, in the same order; NaN is larger than everything, and the two zeros are equal. */
MK_INLINE ivec keys_of(vec v)
{
    ivec bits = (ivec)(v + 0.0f); /* -0 + 0 = +0 */
    return v == v ? bits ^ ((bits >> 31) & INT32_MAX) : INT32_MAX - (ivec){};
}

/* Of each column within some rows the key of its largest value, and the value's place in the image.
 * key, place: (W)  x: (H, W) */
void largest_of_columns(int32_t *key, int32_t *place, const float *x, const Span &rows, ptrdiff_t W)
{
    for (ptrdiff_t s = 0; s < W; s += VL) {
        const ptrdiff_t first = rows.begin * W + s, n = W - s;
        ivec best = keys_of(load_some(x + first, n)), at = count_up(0, 1) + static_cast<int32_t>(first), best_at = at;
        for (ptrdiff_t r = rows.begin + 1; r < rows.end; r++) {
            const ivec other = keys_of(load_some(x + r * W + s, n));
            at += static_cast<int32_t>(W);
            best_at = other > best ? at : best_at;
            best = other > best ? other : best;
        }
        put_indices(key + s, best, VL); /* whole vectors, for masked stores cannot be loaded at once */
        put_indices(place + s, best_at, VL);
    }
}

/* The place of the largest value of a window: by key, and of equal keys the one that stands first. */
ptrdiff_t largest_of_window(const int32_t *key, const int32_t *place, const Span &columns)
{
    int64_t best = INT64_MIN;
    for (ptrdiff_t s = columns.begin; s < columns.end; s++) {
        const int64_t ranked = (static_cast<int64_t>(key[s]) << 32) + (INT32_MAX - place[s]);
        best = ranked > best ? ranked : best;
    }
    return INT32_MAX - static_cast<int32_t>(best & INT32_MAX);
}

/* Lane 0: the largest of the lanes' keys; of equal ones the place that comes first. */
template <int HALF>
MK_INLINE int32_t first_of_largest(ivec key, ivec place)
{
    const ivec other = (ivec)pick((vec)key, (vec)key, count_up(HALF, 1));
    const ivec other_place = (ivec)pick((vec)place, (vec)place, count_up(HALF, 1));
    const ivec is_better = (other > key) | ((other == key) & (other_place < place));
    place = is_better ? other_place : place;
    key = is_better ? other : key;
    if constexpr (HALF > 1)
        return first_of_largest<HALF / 2>(key, place);
    return place[0];
}

/* The place of the largest of n numbers that stand at `begin` and behind. */
MK_INLINE int32_t largest_of_run(const float *image, ptrdiff_t begin, ptrdiff_t n)
{
    ivec best = INT32_MIN - (ivec){}, place = count_up(0, 1) + static_cast<int32_t>(begin), best_place = place;
    auto take = [&](ivec key) MK_INLINE_LAMBDA {
        best_place = key > best ? place : best_place;
        best = key > best ? key : best;
        place += VL;
    };
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) {
        prefetch(image + begin + i, 1);
        take(keys_of(load(image + begin + i)));
    }
    if (i < n)
        take(count_up(0, 1) < static_cast<int32_t>(n - i) ? keys_of(load_first(image + begin + i, n - i))
                                                          : INT32_MIN - (ivec){});
    return first_of_largest<VL / 2>(best, best_place);
}

/* Adaptive pooling whose windows are all of one size, as windows with a stride. */
mk_window as_window(ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH, ptrdiff_t OW)
{
    return {H, W, OH, OW, H / OH, W / OW, H / OH, W / OW, 1, 1, 0, 0, 0, 0};
}

bool is_even_grid(ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH, ptrdiff_t OW) { return H % OH == 0 && W % OW == 0; }

} // namespace

/* y = the mean of each window.   y: (planes, OH, OW)  x: (planes, H, W) */
int MK(adaptive_avg_pool2d_forward)(float *y, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W,
                                    ptrdiff_t OH, ptrdiff_t OW)
{
    if (OH == 1 && OW == 1)
        return global_avg_forward(y, x, planes, H * W);
    if (is_even_grid(H, W, OH, OW)) {
        const mk_window window = as_window(H, W, OH, OW);
        return MK(avg_pool2d_forward)(y, x, planes, &window, 1, 0.0f);
    }
    const size_t bytes = Parts::bytes(whole_vectors(W), 4) + Spans::bytes(OH) + Spans::bytes(OW);
    return each_planes(planes, H * W, bytes, [=](ptrdiff_t first, ptrdiff_t last, Parts parts) {
        float *sums = parts.take<float>(whole_vectors(W));
        const Spans rows(parts, H, OH), columns(parts, W, OW);
        for (ptrdiff_t plane = first; plane < last; plane++)
            for (ptrdiff_t i = 0; i < OH; i++) {
                const float *from = x + (plane * H + rows[i].begin) * W;
                const ptrdiff_t height = rows[i].size();
                for (ptrdiff_t s = 0; s < W; s += VL) {
                    auto row = [&](ptrdiff_t r) { return load_some(from + r * W + s, W - s); };
                    store(sums + s, sum_in_chains(height, row));
                }
                for (ptrdiff_t j = 0; j < OW; j++) {
                    const float *own = sums + columns[j].begin;
                    const float total = sum_in_chains(columns[j].size(), [&](ptrdiff_t s) { return own[s]; });
                    y[(plane * OH + i) * OW + j] = total / static_cast<float>(height * columns[j].size());
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
        return each_planes(planes, H * W, 0, [=](ptrdiff_t first, ptrdiff_t last, Parts) {
            for (ptrdiff_t plane = first; plane < last; plane++)
                set_run(gx + plane * H * W, H * W, gy[plane] / static_cast<float>(H * W));
        });
    if (is_even_grid(H, W, OH, OW)) {
        const mk_window window = as_window(H, W, OH, OW);
        return MK(avg_pool2d_backward)(gx, gy, planes, &window, 1, 0.0f);
    }
    const size_t bytes = Parts::bytes(whole_vectors(W), 4) + Spans::bytes(OH) + Spans::bytes(OW);
    return each_planes(planes, H * W, bytes, [=](ptrdiff_t first, ptrdiff_t last, Parts parts) {
        float *sums = parts.take<float>(whole_vectors(W));
        const Spans rows(parts, H, OH), columns(parts, W, OW);
        set_run(gx + first * H * W, (last - first) * H * W, 0.0f);
        for (ptrdiff_t plane = first; plane < last; plane++)
            for (ptrdiff_t i = 0; i < OH; i++) {
                set_run(sums, W, 0.0f);
                for (ptrdiff_t j = 0; j < OW; j++) {
                    const float count = static_cast<float>(rows[i].size() * columns[j].size());
                    const float share = gy[(plane * OH + i) * OW + j] / count;
                    for (ptrdiff_t s = columns[j].begin; s < columns[j].end; s++)
                        sums[s] += share;
                }
                for (ptrdiff_t r = rows[i].begin; r < rows[i].end; r++) {
                    float *to = gx + (plane * H + r) * W;
                    each_vector(W, [&](ptrdiff_t s, auto part) {
                        part.put(to + s, part.get(to + s) + part.get(sums + s));
                    });
                }
            }
    });
}

/* y = the largest value of each window, index = its place in the image, below 2^31.
 * y, index: (planes, OH, OW)  x: (planes, H, W) */
int MK(adaptive_max_pool2d_forward)(float *y, int64_t *index, const float *x, ptrdiff_t planes, ptrdiff_t H,
                                    ptrdiff_t W, ptrdiff_t OH, ptrdiff_t OW)
{
    const size_t bytes = 2 * Parts::bytes(whole_vectors(W), 4) + Spans::bytes(OH) + Spans::bytes(OW);
    return each_planes(planes, H * W, bytes, [=](ptrdiff_t first, ptrdiff_t last, Parts parts) {
        int32_t *key = parts.take<int32_t>(whole_vectors(W)), *place = parts.take<int32_t>(whole_vectors(W));
        const Spans rows(parts, H, OH), columns(parts, W, OW);
        for (ptrdiff_t plane = first; plane < last; plane++) {
            const float *image = x + plane * H * W;
            for (ptrdiff_t i = 0; i < OH && OW == 1; i++) { /* windows of whole rows: runs in memory */
                index[plane * OH + i] = largest_of_run(image, rows[i].begin * W, rows[i].size() * W);
                y[plane * OH + i] = image[index[plane * OH + i]];
            }
            for (ptrdiff_t i = 0; i < OH && OW > 1; i++) {
                largest_of_columns(key, place, image, rows[i], W);
                for (ptrdiff_t j = 0; j < OW; j++) {
                    const ptrdiff_t from = largest_of_window(key, place, columns[j]);
                    const ptrdiff_t to = (plane * OH + i) * OW + j;
                    y[to] = image[from];
                    index[to] = from;
                }
            }
        }
    });
}

/* dL/dx = the sum of dL/dy over the windows that a pixel won.
 * gx: (planes, pixels)  gy, index: (planes, windows) */
int MK(adaptive_max_pool2d_backward)(float *gx, const float *gy, const int64_t *index, ptrdiff_t planes,
                                     ptrdiff_t pixels, ptrdiff_t windows)
{
    return each_planes(planes, pixels, 0, [=](ptrdiff_t first, ptrdiff_t last, Parts) {
        for (ptrdiff_t plane = first; plane < last; plane++) {
            float *to = gx + plane * pixels;
            set_run(to, pixels, 0.0f);
            for (ptrdiff_t k = plane * windows; k < (plane + 1) * windows; k++)
                to[index[k]] += gy[k];
        }
    });
}
