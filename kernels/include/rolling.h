/* Correlation of planes whose rows roll through registers: each row is loaded once, added to the sums of all
 * rows of results that it has a tap of, and a row of results is stored when its last tap was there.
 *
 * A vector holds neighbouring results of one row, or two halves of two rows where rows are short. What lies
 * outside of the image is zero: lanes that are not loaded, and rows that are passed over. */
#ifndef MK_ROLLING_H
#define MK_ROLLING_H

#include "runs.h"

namespace {

enum { HALF = VL / 2, FAR = 1024 }; /* FAR: floats between what is read and what is asked for */

MK_INLINE ptrdiff_t lesser(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* Asks for the cache lines of so many vectors. */
MK_INLINE void ask_for(const float *p, int vectors)
{
#pragma GCC unroll 2
    for (int k = 0; k < vectors * VL; k += 16)
        __builtin_prefetch(p + k);
}

MK_INLINE ivec lower_halves()
{
    ivec index = {};
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        index[i] = i < HALF ? i : VL + i - HALF;
    return index;
}

/* Results j, j + 1, ... of a row:  v[s] = the pixels (j + lane)·S - left + s  of row y - top. For maxima what lies
 * outside is -infinity. */
template <int K, int S, bool OF_MAXIMA = false>
struct Strip {
    enum { ROWS = 1, LOADS = S == 1 ? K : (K + 1) / 2 * 2 };

    ptrdiff_t H, W, n, top, start, asked; /* asked: how many numbers of a later row are asked for */
    Lanes lanes[LOADS];

    Strip(ptrdiff_t H, ptrdiff_t W, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left)
        : H(H), W(W), n(n), top(top), start(-left), asked(0)
    {
    }

    /* The strip from result j on, of n. */
    MK_INLINE_MEMBER Strip at(ptrdiff_t j) const
    {
        Strip part = *this;
        part.start += j * S;
        part.n -= j;
        const bool is_large = H * W > 2 * FAR; /* then the first strip asks for the others, too: in memory's order */
        part.asked = !is_large ? S * VL : j ? 0 : W;
        for (int k = 0; k < LOADS; k++) {
            const ptrdiff_t from = part.start + offset(k), end = S == 1 ? part.n : 2 * part.n - k % 2 * VL;
            part.lanes[k] = lanes_between(-from, lesser(W - from, end));
        }
        return part;
    }

    static constexpr ptrdiff_t offset(int k) { return S == 1 ? k : k / 2 * 2 + k % 2 * VL; }

    MK_INLINE_MEMBER bool take(vec (&v)[K], const float *plane, ptrdiff_t y, ptrdiff_t ahead) const
    {
        y -= top;
        if (y < 0 || y >= H)
            return false;
        const float *row = plane + y * W + start;
        vec loaded[LOADS];
#pragma GCC unroll 6
        for (int k = 0; k < LOADS; k++)
            loaded[k] = OF_MAXIMA ? load_lanes(row + offset(k), lanes[k], all(-__builtin_inff()))
                                  : load_lanes(row + offset(k), lanes[k]);
#pragma GCC unroll 5
        for (int s = 0; s < K; s++)
            if constexpr (S == 1)
                v[s] = loaded[s];
            else
                v[s] = s % 2 ? odds(loaded[s / 2 * 2], loaded[s / 2 * 2 + 1])
                             : evens(loaded[s / 2 * 2], loaded[s / 2 * 2 + 1]);
        for (ptrdiff_t k = 0; k < asked; k += 16)
            __builtin_prefetch(row + ahead + k);
        return true;
    }

    /* Results of the rows from `row` on, as many of them as there are. */
    MK_INLINE_MEMBER vec get(const float *row, ptrdiff_t, ptrdiff_t ahead) const
    {
        ask_for(row + ahead, 1);
        return load_some(row, n);
    }
    MK_INLINE_MEMBER void put(float *row, vec v, ptrdiff_t) const
    {
        if (n < VL) /* a part of a cache line, which has to be read first */
            __builtin_prefetch(row + FAR / 2, 1);
        store_some(row, v, n);
    }

    /* Four results for each, of 2x2 pixels, n of them in rows of a picture whose rows are W wide. */
    MK_INLINE_MEMBER void put_squares(float *row, ptrdiff_t W, const vec (&v)[4], ptrdiff_t n, ptrdiff_t rows) const
    {
        for (ptrdiff_t r = 0; r < lesser(rows, 2); r++) {
            store_some(row + r * W, zip_low(v[2 * r], v[2 * r + 1]), n);
            store_some(row + r * W + VL, zip_high(v[2 * r], v[2 * r + 1]), n - VL);
        }
    }
};

/* All results of two rows, a half of the vector for each: pixels of the rows y - top and y - top + S. */
template <int K, int S>
struct Pair {
    enum { ROWS = 2 };

    ptrdiff_t H, W, n, top;
    ivec source[K]; /* where among both rows a lane's pixel is, or -1 */

    Pair(ptrdiff_t H, ptrdiff_t W, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left) : H(H), W(W), n(n), top(top)
    {
        for (int s = 0; s < K; s++)
            for (int lane = 0; lane < VL; lane++) {
                const ptrdiff_t column = lane % HALF, at = column * S - left + s;
                source[s][lane] = column < n && at >= 0 && at < W ? static_cast<int>(lane / HALF * VL + at) : -1;
            }
    }

    static bool fits(ptrdiff_t W, ptrdiff_t n) { return VL > 4 && n <= HALF && W <= VL; }

    MK_INLINE_MEMBER const Pair &at(ptrdiff_t) const { return *this; }

    MK_INLINE_MEMBER vec row(const float *plane, ptrdiff_t y) const
    {
        return y >= 0 && y < H ? load_some(plane + y * W, W) : (vec){};
    }

    MK_INLINE_MEMBER bool take(vec (&v)[K], const float *plane, ptrdiff_t y, ptrdiff_t ahead) const
    {
        y -= top;
        const vec a = row(plane, y), b = row(plane, y + S);
#pragma GCC unroll 5
        for (int s = 0; s < K; s++)
            v[s] = source[s] >= 0 ? pick(a, b, source[s]) : (vec){};
        ask_for(plane + y * W + ahead, 1);
        return true;
    }

    MK_INLINE_MEMBER vec get(const float *row, ptrdiff_t rows, ptrdiff_t ahead) const
    {
        ask_for(row + ahead, 1);
        if (n == HALF)
            return load_some(row, rows > 1 ? VL : HALF);
        const vec a = load_first(row, n), b = rows > 1 ? load_first(row + n, n) : (vec){};
        return pick(a, b, lower_halves());
    }

    MK_INLINE_MEMBER void put(float *row, vec v, ptrdiff_t rows) const
    {
        if (n == HALF) {
            store_some(row, v, rows > 1 ? VL : HALF);
            return;
        }
        store_first(row, v, n);
        if (rows > 1)
            store_first(row + n, pick(v, v, count_up(HALF, 1)), n);
    }

    MK_INLINE_MEMBER void put_squares(float *row, ptrdiff_t W, const vec (&v)[4], ptrdiff_t n, ptrdiff_t rows) const
    {
        for (ptrdiff_t r = 0; r < lesser(rows, 2); r++)
            store_some(row + r * W, zip_low(v[2 * r], v[2 * r + 1]), n);
        for (ptrdiff_t r = 0; r < lesser(rows - 2, 2); r++)
            store_some(row + (r + 2) * W, zip_high(v[2 * r], v[2 * r + 1]), n);
    }
};

/* put(g, sums) for groups of rows of results:  sums = what  add(sums, v, r)  makes of `start` for all tap rows r, v
 * the pixels of row  g·STEP + r. */
template <int K, int STEP, int RESULTS, class Take, class Add, class Put>
MK_INLINE void roll(ptrdiff_t groups, Take take, Add add, Put put, const vec (&start)[RESULTS] = {})
{
    enum { BEHIND = (K - 1) / STEP };
    vec sums[BEHIND + 1][RESULTS]; /* of the groups g, g - 1, ... */
#pragma GCC unroll 5
    for (int m = 0; m <= BEHIND; m++)
#pragma GCC unroll 4
        for (int k = 0; k < RESULTS; k++)
            sums[m][k] = start[k];
    for (ptrdiff_t g = 0; g < groups + BEHIND; g++) {
#pragma GCC unroll 5
        for (int phase = 0; phase < (STEP < K ? STEP : K); phase++) {
            vec v[K];
            if (take(v, g * STEP + phase))
#pragma GCC unroll 5
                for (int m = 0; phase + m * STEP < K; m++)
                    add(sums[m], v, phase + m * STEP);
        }
        if (g >= BEHIND)
            put(g - BEHIND, sums[BEHIND]);
#pragma GCC unroll 5
        for (int m = BEHIND; m >= 0; m--)
#pragma GCC unroll 4
            for (int k = 0; k < RESULTS; k++)
                sums[m][k] = m ? sums[m - 1][k] : start[k];
    }
}

/* totals[r·K + s] += the products of the gradients of(g) with the pixels under tap (r, s), lane by lane. */
template <int K, int STEP, class Take, class Of>
MK_INLINE void roll_back(vec *totals, ptrdiff_t groups, Take take, Of of)
{
    enum { BEHIND = (K - 1) / STEP };
    vec gradients[BEHIND + 1] = {}, sums[K * K] = {};
    for (ptrdiff_t g = 0; g < groups + BEHIND; g++) {
        gradients[0] = g < groups ? of(g) : (vec){};
#pragma GCC unroll 5
        for (int phase = 0; phase < (STEP < K ? STEP : K); phase++) {
            vec v[K];
            if (take(v, g * STEP + phase))
#pragma GCC unroll 5
                for (int m = 0; phase + m * STEP < K; m++)
#pragma GCC unroll 5
                    for (int s = 0; s < K; s++)
                        sums[(phase + m * STEP) * K + s] += gradients[m] * v[s];
        }
#pragma GCC unroll 5
        for (int m = BEHIND; m > 0; m--)
            gradients[m] = gradients[m - 1];
    }
#pragma GCC unroll 25
    for (int t = 0; t < K * K; t++)
        totals[t] += sums[t];
}

} // namespace

#endif
