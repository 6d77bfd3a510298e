/* Batch normalization where channels have few numbers in a row: N rows of C·L columns, cut into blocks of whole
 * channels, a block a task. */
#ifndef MK_COLUMNS_H
#define MK_COLUMNS_H

#include "moments.h"

namespace {

enum {
    COLUMNS = 256, /* of a block */
    ROWS = 128     /* whose squares are added in single precision */
};

struct Images {
    ptrdiff_t N, C, L;
    ptrdiff_t step() const { return C * L; }
};

struct Statistics {
    const float *mean, *var, *w, *b; /* (C) each; w, b NULL: 1 and 0 */
    float eps;
    float inverse(ptrdiff_t c) const { return inverse_deviation(var[c], eps); }
    float scale(ptrdiff_t c) const { return number(w, c, 1.0f) * inverse(c); }
    float bias(ptrdiff_t c) const { return number(b, c, 0.0f); }
};

struct Sums {
    double g, centred; /* of gy, and of gy * (x - mean) */
};

/* The means that the gradient through the statistics of n numbers needs. */
struct Slopes {
    float mean_g, slope;
    Slopes(const Sums &sums, ptrdiff_t n, float inverse)
        : mean_g(static_cast<float>(sums.g / n)),
          slope(static_cast<float>(sums.centred / n * inverse * inverse)) {}
};

ptrdiff_t channels_at_once(const Images &s) { return larger(1, COLUMNS / larger(1, s.L)); }

/* The columns of a few channels, with arrays of a number per column. */
struct Columns {
    ptrdiff_t L, first, count, n; /* channels and columns */
    float *arrays[4];
    double *sums;
    void *known;

    static ptrdiff_t most(const Images &s) { return ceil_div(channels_at_once(s) * s.L, 16) * 16; }

    static size_t bytes(const Images &s)
    {
        return most(s) * (4 * sizeof(float) + sizeof(double)) + channels_at_once(s) * sizeof(Moments);
    }

    Columns(const Images &s, ptrdiff_t task, float *scratch) : L(s.L), first(task * channels_at_once(s))
    {
        count = smaller(channels_at_once(s), s.C - first);
        n = count * L;
        for (int k = 0; k < 4; k++)
            arrays[k] = scratch + k * most(s);
        sums = reinterpret_cast<double *>(arrays[3] + most(s));
        known = sums + most(s);
    }

    /* Room for what is known of each channel. */
    template <class Known>
    Known *channels() const { return static_cast<Known *>(known); }

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
    double *sums = k.sums;
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

template <class Then>
void normalize_columns(float *y, const float *x, const Images &s, const Statistics &by, const Columns &k, Then behind)
{
    k.spread(k.arrays[0], [&](ptrdiff_t c) { return by.mean[k.first + c]; });
    k.spread(k.arrays[1], [&](ptrdiff_t c) { return by.scale(k.first + c); });
    k.spread(k.arrays[2], [&](ptrdiff_t c) { return by.bias(k.first + c); });
    for (ptrdiff_t r = 0; r < s.N; r++) {
        const ptrdiff_t at = r * s.step() + k.first * s.L;
        normalize(y + at, x + at, k.n, Each{k.arrays[0]}, Each{k.arrays[1]}, Same{1}, Each{k.arrays[2]},
                  behind.from(at));
    }
}

/* arrays[0]: the means, arrays[3]: the scales. also(at) may do more with each row, which stands at `at`. */
template <class From, class Also>
MK_INLINE void sums_of_columns(Sums *total, From incoming, const float *x, const Images &s, const Statistics &by,
                               const Columns &k, Also also)
{
    float *mean = k.arrays[0], *own_g = k.arrays[1], *own_centred = k.arrays[2];
    k.spread(mean, [&](ptrdiff_t c) { return by.mean[k.first + c]; });
    k.spread(k.arrays[3], [&](ptrdiff_t c) { return by.scale(k.first + c); });
    for (ptrdiff_t c = 0; c < k.count; c++)
        total[c] = Sums{};
    for (ptrdiff_t row = 0; row < s.N; row += ROWS) {
        k.clear(own_g);
        k.clear(own_centred);
        for (ptrdiff_t r = row; r < smaller(row + ROWS, s.N); r++) {
            const ptrdiff_t from = r * s.step() + k.first * s.L;
            for (ptrdiff_t i = 0; i < k.n; i++) {
                const float g = incoming[from + i];
                own_g[i] += g;
                own_centred[i] += g * (x[from + i] - mean[i]);
            }
            also(from);
        }
        for (ptrdiff_t c = 0; c < k.count; c++) {
            total[c].g += k.sum(own_g, c);
            total[c].centred += k.sum(own_centred, c);
        }
    }
}

} // namespace

#endif
