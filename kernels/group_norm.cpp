/* Layer and group normalization: each row, or each group of channels of each sample, by itself. The formulas
 * and their references are in minicnn/ops/normalization.py.
 *
 * What a task adds to the gradients of w and b goes into a row of the workspace of its own; the rows are then
 * added up in their order. */
#include "mk.h"
#include "moments.h"
#include "parallel.h"

namespace {

enum { TASK_NUMBERS = 16384, MOST_ROWS = 64, FEWEST_ROWS = 8, COLUMNS = 256 };

MK_INLINE ptrdiff_t pieces_of_task(ptrdiff_t numbers) { return larger(1, TASK_NUMBERS / larger(1, numbers)); }

/* -- rows: N samples of G rows of M numbers; w, b: (G, M) ------------------------------------------------ */

/* Samples whose part of the gradients of w and b is one row of the workspace, in float32. */
ptrdiff_t samples_at_once(ptrdiff_t G, ptrdiff_t M)
{
    return smaller(larger(pieces_of_task(G * M), FEWEST_ROWS), MOST_ROWS);
}

int rows_forward(float *y, float *mean, float *var, const float *x, const float *w, const float *b, ptrdiff_t N,
                 ptrdiff_t G, ptrdiff_t M, float eps)
{
    ptrdiff_t rows = N * G, at_once = pieces_of_task(M);
    return parallel(ceil_div(rows, at_once), 0, [&](ptrdiff_t task, float *) {
        for (ptrdiff_t r = task * at_once; r < smaller((task + 1) * at_once, rows); r++) {
            const Moments found = moments(x + r * M, M);
            mean[r] = static_cast<float>(found.mean);
            var[r] = found.variance();
            const ptrdiff_t at = r % G * M;
            normalize(y + r * M, x + r * M, M, Same{mean[r]}, Same{inverse_deviation(var[r], eps)},
                      EachOr{w ? w + at : nullptr, 1}, EachOr{b ? b + at : nullptr, 0});
        }
    });
}

/* One row: gx, and what it adds to gw and gb, all (M) or NULL. */
void row_backward(float *gx, float *gw, float *gb, const float *gy, const float *x, float mean, float inverse,
                  EachOr w, ptrdiff_t M)
{
    double total = 0, total_centred = 0;
    each_block(M, [&](ptrdiff_t begin, ptrdiff_t end) {
        TwoSums<> sums;
        sums.add(end - begin, [&](ptrdiff_t k, auto part, vec &a, vec &b) {
            const ptrdiff_t i = begin + k;
            vec g = part.stream(gy + i), centred = part.keep(part.stream(x + i) - mean), g_hat = g * w.at(i, part);
            a += g_hat;
            b += g_hat * centred;
            if (gw)
                part.put(gw + i, part.get(gw + i) + g * (centred * inverse));
            if (gb)
                part.put(gb + i, part.get(gb + i) + g);
        });
        total += sums.first();
        total_centred += sums.second();
    });
    if (gx)
        gradient(gx, Incoming<false>{gy, nullptr}, x, M, Same{mean}, w, Same{static_cast<float>(total / M)},
                 Same{static_cast<float>(total_centred / M * inverse * inverse)}, Same{inverse});
}

/* to[i] = the sum of rows[k][i] over k, rows[k] = rows + k * step.   to: (n) or NULL */
int add_rows(float *to, const float *rows, ptrdiff_t count, ptrdiff_t step, ptrdiff_t n)
{
    return parallel(to ? ceil_div(n, COLUMNS) : 0, COLUMNS * sizeof(double), [=](ptrdiff_t task, float *scratch) {
        double *sums = reinterpret_cast<double *>(scratch);
        const ptrdiff_t first = task * COLUMNS, width = smaller(COLUMNS, n - first);
        for (ptrdiff_t i = 0; i < width; i++)
            sums[i] = 0;
        for (ptrdiff_t k = 0; k < count; k++)
            for (ptrdiff_t i = 0; i < width; i++)
                sums[i] += rows[k * step + first + i];
        for (ptrdiff_t i = 0; i < width; i++)
            to[first + i] = static_cast<float>(sums[i]);
    });
}

int rows_backward(float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
                  const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t G, ptrdiff_t M,
                  float eps)
{
    const ptrdiff_t at_once = samples_at_once(G, M), tasks = ceil_div(N, at_once), step = 2 * G * M;
    int failed = parallel(tasks, 0, [&](ptrdiff_t task, float *) {
        float *own = workspace + task * step;
        if (gw || gb)
            each_vector(step, [&](ptrdiff_t i, auto part) { part.put(own + i, (vec){}); });
        for (ptrdiff_t r = task * at_once * G; r < smaller((task + 1) * at_once, N) * G; r++) {
            const ptrdiff_t at = r % G * M;
            row_backward(gx ? gx + r * M : nullptr, gw ? own + at : nullptr, gb ? own + G * M + at : nullptr,
                         gy + r * M, x + r * M, mean[r], inverse_deviation(var[r], eps),
                         EachOr{w ? w + at : nullptr, 1}, M);
        }
    });
    return -(failed || add_rows(gw, workspace, tasks, step, G * M) ||
             add_rows(gb, workspace + G * M, tasks, step, G * M));
}

/* -- groups of channels: N samples of G groups of K channels of L numbers; w, b: (G, K) ------------------- */

int groups_forward(float *y, float *mean, float *var, const float *x, const float *w, const float *b, ptrdiff_t N,
                   ptrdiff_t G, ptrdiff_t K, ptrdiff_t L, float eps)
{
    ptrdiff_t groups = N * G, at_once = pieces_of_task(K * L);
    return parallel(ceil_div(groups, at_once), 0, [&](ptrdiff_t task, float *) {
        for (ptrdiff_t r = task * at_once; r < smaller((task + 1) * at_once, groups); r++) {
            const Moments found = moments(x + r * K * L, K * L);
            mean[r] = static_cast<float>(found.mean);
            var[r] = found.variance();
            for (ptrdiff_t k = 0; k < K; k++) {
                const ptrdiff_t at = (r * K + k) * L, c = r % G * K + k;
                normalize(y + at, x + at, L, Same{mean[r]}, Same{inverse_deviation(var[r], eps)},
                          Same{number(w, c, 1)}, Same{number(b, c, 0)});
            }
        }
    });
}

/* Sums of a channel of a sample: of g = weight * gy, and of g * (x - mean). */
struct Sums {
    double g = 0, centred = 0;

    MK_INLINE_MEMBER Sums(const float *gy, const float *x, float mean, ptrdiff_t L, float weight)
    {
        each_block(L, [&](ptrdiff_t begin, ptrdiff_t end) {
            TwoSums<> sums;
            sums.add(end - begin, [&](ptrdiff_t i, auto part, vec &a, vec &b) {
                vec g = part.stream(gy + begin + i) * weight;
                a += g;
                b += g * part.keep(part.stream(x + begin + i) - mean);
            });
            this->g += sums.first();
            centred += sums.second();
        });
    }
};

int groups_backward(float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
                    const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t G, ptrdiff_t K,
                    ptrdiff_t L, float eps)
{
    const ptrdiff_t groups = N * G, at_once = pieces_of_task(K * L), C = G * K;
    int failed = parallel(ceil_div(groups, at_once), 0, [&](ptrdiff_t task, float *) {
        for (ptrdiff_t r = task * at_once; r < smaller((task + 1) * at_once, groups); r++) {
            const float inverse = inverse_deviation(var[r], eps);
            float *own = workspace + r / G * 2 * C; /* of this sample */
            double total = 0, total_centred = 0;
            for (ptrdiff_t k = 0; k < K; k++) {
                const ptrdiff_t at = (r * K + k) * L, c = r % G * K + k;
                const float weight = number(w, c, 1);
                const Sums sums(gy + at, x + at, mean[r], L, 1);
                total += sums.g * weight;
                total_centred += sums.centred * weight;
                if (weight - weight != 0) { /* infinite: of gradients with two signs the products make NaN */
                    const Sums weighted(gy + at, x + at, mean[r], L, weight);
                    total += weighted.g;
                    total_centred += weighted.centred;
                }
                own[c] = static_cast<float>(sums.centred * inverse);
                own[C + c] = static_cast<float>(sums.g);
            }
            const Same mean_g{static_cast<float>(total / (K * L))};
            const Same slope{static_cast<float>(total_centred / (K * L) * inverse * inverse)};
            for (ptrdiff_t k = 0; gx && k < K; k++) {
                const ptrdiff_t at = (r * K + k) * L, c = r % G * K + k;
                gradient(gx + at, Incoming<false>{gy + at, nullptr}, x + at, L, Same{mean[r]}, Same{number(w, c, 1)}, mean_g, slope,
                         Same{inverse});
            }
        }
    });
    return -(failed || add_rows(gw, workspace, N, 2 * C, C) || add_rows(gb, workspace + C, N, 2 * C, C));
}

} // namespace

/* y = w * (x - mean) / sqrt(var + eps) + b, mean and var of each group of channels of each sample.
 * y, x: (N, C, L)  mean, var: (N, G)  w, b: (C).  Layer normalization of (R, M): N = R, G = 1, C = M, L = 1 */
int MK(group_norm_forward)(float *y, float *mean, float *var, const float *x, const float *w, const float *b,
                           ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G, float eps)
{
    if (L == 1)
        return rows_forward(y, mean, var, x, w, b, N, G, C / G, eps);
    return groups_forward(y, mean, var, x, w, b, N, G, C / G, L, eps);
}

ptrdiff_t MK(group_norm_workspace)(ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G)
{
    return 2 * C * (L == 1 ? ceil_div(N, samples_at_once(G, C / G)) : N);
}

/* dL/dx as of batch_norm, with the statistics of a group; dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, w: (C)  mean, var: (N, G) */
int MK(group_norm_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
                            const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,
                            ptrdiff_t G, float eps)
{
    if (L == 1)
        return rows_backward(gx, gw, gb, gy, x, mean, var, w, workspace, N, G, C / G, eps);
    return groups_backward(gx, gw, gb, gy, x, mean, var, w, workspace, N, G, C / G, L, eps);
}
