/* The gradients of biases: per channel, with that of the ReLU behind it in one pass, and per column. */
#include "mk.h"
#include "parallel.h"
#include "simd.h"

namespace {

constexpr ptrdiff_t RUN = 1024; /* numbers that are summed in float before the sum goes on in double */

/* The sum of n gradients; those where y is not positive count as 0 and are written so to `masked`. */
template <bool MASKED>
double sum_run(float *masked, const float *gy, const float *y, ptrdiff_t n)
{
    vec even = {}, odd = {};
    auto at = [&](ptrdiff_t i, ptrdiff_t pixels) {
        vec g = pixels < VL ? load_first(gy + i, pixels) : load(gy + i);
        if (!MASKED)
            return g;
        vec open = pixels < VL ? load_first(y + i, pixels) : load(y + i);
        g = open > 0.0f ? g : (vec){};
        if (pixels < VL)
            store_first(masked + i, g, pixels);
        else
            store(masked + i, g);
        return g;
    };
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        even += at(i, VL);
        odd += at(i + VL, VL);
    }
    for (; i < n; i += VL)
        even += at(i, n - i);
    return sum(even + odd);
}

} // namespace

/* gb[k] = sum over n and p of gy[n][k][p];  with y also masked = gy * (y > 0), and gb the sum of that.
 * gy, y, masked: (N, K, P); y and masked both or neither; gb: (K), or NULL if only masked is wanted. */
int MK(bias_gradient)(float *gb, float *masked, const float *gy, const float *y, ptrdiff_t N, ptrdiff_t K, ptrdiff_t P)
{
    return parallel(K, 0, [=](ptrdiff_t k, float *) {
        double total = 0.0;
        for (ptrdiff_t n = 0; n < N; n++)
            for (ptrdiff_t p = 0; p < P; p += RUN) {
                ptrdiff_t at = (n * K + k) * P + p, run = P - p < RUN ? P - p : RUN;
                total += y ? sum_run<true>(masked + at, gy + at, y + at, run) : sum_run<false>(nullptr, gy + at, nullptr, run);
            }
        if (gb)
            gb[k] = static_cast<float>(total);
    });
}

/* y = the sums of the columns, in double precision.   y: (columns)  x: (rows, columns) */
int MK(column_sums)(float *y, const float *x, ptrdiff_t rows, ptrdiff_t columns)
{
    constexpr ptrdiff_t WIDTH = 4 * VL;
    return parallel((columns + WIDTH - 1) / WIDTH, 0, [=](ptrdiff_t task, float *) {
        ptrdiff_t first = task * WIDTH, width = columns - first < WIDTH ? columns - first : WIDTH;
        double sums[WIDTH] = {};
        const float *row = x + first;
        for (ptrdiff_t i = 0; i < rows; i++, row += columns)
            if (width == WIDTH)
                for (ptrdiff_t j = 0; j < WIDTH; j++)
                    sums[j] += row[j];
            else
                for (ptrdiff_t j = 0; j < width; j++)
                    sums[j] += row[j];
        for (ptrdiff_t j = 0; j < width; j++)
            y[first + j] = static_cast<float>(sums[j]);
    });
}
