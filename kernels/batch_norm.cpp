/* Batch normalization: each channel over the batch, or with given statistics. The formulas and their
 * references are in minicnn/ops/normalization.py.
 *
 * x: (N, C, L). A channel is N runs of L numbers, and a task takes one. Where runs are short, a task takes
 * a block of channels as columns instead: N rows of C·L columns, cut into blocks. */
#include "mk.h"
#include "moments.h"
#include "parallel.h"

namespace {

enum {
    SHORTEST_RUN = 32,
    COLUMNS = 256, /* of a task */
    ROWS = 128     /* whose sums are float32 */
};

struct Images {
    ptrdiff_t N, C, L;
    ptrdiff_t step() const { return C * L; }
};

struct Statistics {
    const float *mean, *var, *w, *b; /* (C) each; w, b NULL: 1 and 0 */
    float eps;
    float inverse(ptrdiff_t c) const { return inverse_deviation(var[c], eps); }
    float weight(ptrdiff_t c) const { return number(w, c, 1.0f); }
    float bias(ptrdiff_t c) const { return number(b, c, 0.0f); }
};

/* What backward gives; each may be NULL. */
struct Gradients {
    float *gx, *gw, *gb;
    void set(ptrdiff_t c, double g, double gx_centred, float inverse) const
    {
        if (gw)
            gw[c] = static_cast<float>(gx_centred * inverse);
        if (gb)
            gb[c] = static_cast<float>(g);
    }
};

/* -- blocks of columns -------------------------------------------------------------------------------------- */

ptrdiff_t channels_at_once(const Images &s) { return larger(1, COLUMNS / larger(1, s.L)); }

/* The columns of a few channels, with arrays of a number per column. */
struct Columns {
    ptrdiff_t L, first, count, n; /* channels and columns */
    float *arrays[4];
    double *sums[2];

    static ptrdiff_t most(const Images &s) { return ceil_div(channels_at_once(s) * s.L, 16) * 16; }

    static size_t bytes(const Images &s)
    {
        return most(s) * (4 * sizeof(float) + 2 * sizeof(double)) + channels_at_once(s) * sizeof(Moments);
    }

    Columns(const Images &s, ptrdiff_t task, float *scratch) : L(s.L), first(task * channels_at_once(s))
    {
        count = smaller(channels_at_once(s), s.C - first);
        n = count * L;
        for (int k = 0; k < 4; k++)
            arrays[k] = scratch + k * most(s);
        for (int k = 0; k < 2; k++)
            sums[k] = reinterpret_cast<double *>(arrays[3] + most(s)) + k * most(s);
    }

    /* Room for what is known of each channel. */
    template <class Known>
    Known *channels() const { return reinterpret_cast<Known *>(sums[1] + (sums[1] - sums[0])); }

    template <class T>
    void clear(T *array) const
    {
        for (ptrdiff_t i = 0; i < n; i++)
            array[i] = 0;
    }

    /* value(c) for all columns of channel c, counted from the first of the block. */
    template <class Value>
    void spread(float *array, Value value) const
    {
        for (ptrdiff_t c = 0; c < count; c++) {
            float v = value(c);
            for (ptrdiff_t i = 0; i < L; i++)
                array[c * L + i] = v;
        }
    }

    template <class T>
    double sum(const T *array, ptrdiff_t c) const
    {
        double total = 0;
        for (ptrdiff_t i = 0; i < L; i++)
            total += array[c * L + i];
        return total;
    }
};

void add_moments(Moments *found, const Columns &k, const float *x, const Images &s)
{
    float *shift = k.arrays[0], *squares = k.arrays[1];
    double *sums = k.sums[0];
    for (ptrdiff_t c = 0; c < k.count; c++)
        found[c] = Moments{};
    for (ptrdiff_t row = 0; row < s.N && s.L; row += ROWS) {
        const ptrdiff_t rows = smaller(ROWS, s.N - row), n = rows * s.L;
        const float *from = x + row * s.step() + k.first * s.L;
        k.clear(sums);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t i = 0; i < k.n; i++)
                sums[i] += from[r * s.step() + i];
        k.spread(shift, [&](ptrdiff_t c) { return as_shift(row == 0 ? k.sum(sums, c) / n : found[c].mean); });
        k.clear(squares);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t i = 0; i < k.n; i++) {
                float distance = from[r * s.step() + i] - shift[i];
                squares[i] += distance * distance;
            }
        for (ptrdiff_t c = 0; c < k.count; c++)
            found[c].add(n, k.sum(sums, c), shift[c * s.L], k.sum(squares, c));
    }
}

void normalize_columns(float *y, const float *x, const Images &s, const Statistics &by, const Columns &k)
{
    k.spread(k.arrays[0], [&](ptrdiff_t c) { return by.mean[k.first + c]; });
    k.spread(k.arrays[1], [&](ptrdiff_t c) { return by.weight(k.first + c) * by.inverse(k.first + c); });
    k.spread(k.arrays[2], [&](ptrdiff_t c) { return by.bias(k.first + c); });
    for (ptrdiff_t r = 0; r < s.N; r++) {
        const ptrdiff_t at = r * s.step() + k.first * s.L;
        normalize(y + at, x + at, k.n, Each{k.arrays[0], 0}, Each{k.arrays[1], 0}, Same{1}, Each{k.arrays[2], 0});
    }
}

/* -- channels as runs --------------------------------------------------------------------------------------- */

/* From the last run to the first: the last are still in the cache after a pass over all. */
void normalize_runs(float *y, const float *x, const Images &s, const Statistics &by, ptrdiff_t c)
{
    const Same mean{by.mean[c]}, w{by.weight(c) * by.inverse(c)}, b{by.bias(c)};
    for (ptrdiff_t r = s.N - 1; r >= 0; r--)
        normalize(y + (r * s.C + c) * s.L, x + (r * s.C + c) * s.L, s.L, mean, w, Same{1}, b);
}

struct Sums {
    double g = 0, centred = 0; /* of gy, and of gy * (x - mean) */
};

/* also(at, part, gy) may do more with each vector of gy, which stands at gy + at. */
template <class Also>
MK_INLINE Sums sums_of_runs(const float *gy, const float *x, const Images &s, ptrdiff_t c, float mean, Also also)
{
    Sums total;
    each_block(s.N, s.L, [&](ptrdiff_t first, ptrdiff_t last, ptrdiff_t begin, ptrdiff_t end) {
        TwoSums<> sums;
        for (ptrdiff_t r = first; r < last; r++) {
            const ptrdiff_t from = (r * s.C + c) * s.L + begin;
            sums.add(end - begin, [&](ptrdiff_t i, auto part, vec &a, vec &b) {
                vec g = part.get(gy + from + i);
                a += g;
                b += g * part.keep(part.get(x + from + i) - mean);
                also(from + i, part, g);
            });
        }
        total.g += sums.first();
        total.centred += sums.second();
    });
    return total;
}

template <class Also>
MK_INLINE void sums_of_columns(Sums *total, const float *gy, const float *x, const Images &s, const Columns &k, Also also)
{
    const float *mean = k.arrays[0];
    double *g_sums = k.sums[0], *centred_sums = k.sums[1];
    k.clear(g_sums);
    k.clear(centred_sums);
    for (ptrdiff_t r = 0; r < s.N; r++) {
        const ptrdiff_t from = r * s.step() + k.first * s.L;
        for (ptrdiff_t i = 0; i < k.n; i++) {
            g_sums[i] += gy[from + i];
            centred_sums[i] += gy[from + i] * (x[from + i] - mean[i]);
        }
        also(from);
    }
    for (ptrdiff_t c = 0; c < k.count; c++) {
        total[c].g = k.sum(g_sums, c);
        total[c].centred = k.sum(centred_sums, c);
    }
}

/* The means that the gradient through the statistics of n numbers needs. */
struct Slopes {
    float mean_g, slope;
    Slopes(const Sums &sums, ptrdiff_t n, float inverse)
        : mean_g(static_cast<float>(sums.g / n)),
          slope(static_cast<float>(sums.centred / n * inverse * inverse)) {}
};

} // namespace

/* y = w * (x - mean) / sqrt(var + eps) + b, mean and var of each channel.
 * y, x: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_forward)(float *y, float *mean, float *var, const float *x, const float *w, const float *b,
                           ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    auto set = [=](ptrdiff_t c, const Moments &found) {
        mean[c] = static_cast<float>(found.mean);
        var[c] = found.variance();
    };
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Moments *found = k.channels<Moments>();
            add_moments(found, k, x, s);
            for (ptrdiff_t c = 0; c < k.count; c++)
                set(k.first + c, found[c]);
            normalize_columns(y, x, s, by, k);
        });
    return parallel(C, 0, [&](ptrdiff_t c, float *) {
        set(c, moments(x + c * L, N, s.step(), L));
        normalize_runs(y, x, s, by, c);
    });
}

/* dL/dx = w / sqrt(var + eps) * (gy - mean(gy) - x̂ * mean(gy * x̂)), dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, mean, var, w: (C) */
int MK(batch_norm_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
                            const float *var, const float *w, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, nullptr, eps};
    const Gradients result{gx, gw, gb};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Sums *sums = k.channels<Sums>();
            k.spread(k.arrays[0], [&](ptrdiff_t c) { return mean[k.first + c]; });
            sums_of_columns(sums, gy, x, s, k, [](ptrdiff_t) {});
            for (ptrdiff_t c = 0; c < k.count; c++)
                result.set(k.first + c, sums[c].g, sums[c].centred, by.inverse(k.first + c));
            if (!gx)
                return;
            auto slopes = [&](ptrdiff_t c) { return Slopes(sums[c], N * L, by.inverse(k.first + c)); };
            k.spread(k.arrays[1], [&](ptrdiff_t c) { return slopes(c).mean_g; });
            k.spread(k.arrays[2], [&](ptrdiff_t c) { return slopes(c).slope; });
            k.spread(k.arrays[3], [&](ptrdiff_t c) { return by.weight(k.first + c) * by.inverse(k.first + c); });
            for (ptrdiff_t r = 0; r < N; r++) {
                const ptrdiff_t at = r * s.step() + k.first * L;
                gradient(gx + at, gy + at, x + at, k.n, Each{k.arrays[0], 0}, Same{1}, Each{k.arrays[1], 0},
                         Each{k.arrays[2], 0}, Each{k.arrays[3], 0});
            }
        });
    return parallel(C, 0, [&](ptrdiff_t c, float *) {
        const Sums sums = sums_of_runs(gy, x, s, c, mean[c], [](ptrdiff_t, auto, vec) {});
        const Slopes slopes(sums, N * L, by.inverse(c));
        result.set(c, sums.g, sums.centred, by.inverse(c));
        for (ptrdiff_t r = N - 1; gx && r >= 0; r--) {
            const ptrdiff_t at = (r * C + c) * L;
            gradient(gx + at, gy + at, x + at, L, Same{mean[c]}, Same{1}, Same{slopes.mean_g}, Same{slopes.slope},
                     Same{by.weight(c) * by.inverse(c)});
        }
    });
}

/* The same with given mean and var.   y, x: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_inference_forward)(float *y, const float *x, const float *mean, const float *var, const float *w,
                                     const float *b, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            normalize_columns(y, x, s, by, Columns(s, task, scratch));
        });
    return parallel(C, 0, [&](ptrdiff_t c, float *) { normalize_runs(y, x, s, by, c); });
}

/* dL/dx = w / sqrt(var + eps) * gy, dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, mean, var, w: (C) */
int MK(batch_norm_inference_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x,
                                      const float *mean, const float *var, const float *w, ptrdiff_t N, ptrdiff_t C,
                                      ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, nullptr, eps};
    const Gradients result{gx, gw, gb};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Sums *sums = k.channels<Sums>();
            k.spread(k.arrays[0], [&](ptrdiff_t c) { return mean[k.first + c]; });
            k.spread(k.arrays[3], [&](ptrdiff_t c) { return by.weight(k.first + c) * by.inverse(k.first + c); });
            sums_of_columns(sums, gy, x, s, k, [&](ptrdiff_t at) {
                for (ptrdiff_t i = 0; gx && i < k.n; i++)
                    gx[at + i] = gy[at + i] * k.arrays[3][i];
            });
            for (ptrdiff_t c = 0; c < k.count; c++)
                result.set(k.first + c, sums[c].g, sums[c].centred, by.inverse(k.first + c));
        });
    return parallel(C, 0, [&](ptrdiff_t c, float *) {
        const float scale = by.weight(c) * by.inverse(c);
        const Sums sums = sums_of_runs(gy, x, s, c, mean[c], [&](ptrdiff_t at, auto part, vec g) {
            if (gx)
                part.put(gx + at, g * scale);
        });
        result.set(c, sums.g, sums.centred, by.inverse(c));
    });
}
