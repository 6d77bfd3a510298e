/* Dense layers whose weights are packed once and used many times: y = relu(x w' + b).
 *
 * Weights stand in panels of WIDE vectors of columns, in the order in which the micro-kernel reads them; rows
 * of x are read where they are. An image alone is a product of one row: then reading the weights is all there
 * is to do, and the threads share the panels. */
#include "map.h"
#include "mk.h"
#include "tile.h"

namespace {

#if VL == 16 /* 32 registers: 24 sums, 4 of weights, 1 of x */
enum { WIDE = 4, ROWS = 6 };
#else        /* 16 registers: 12 sums, 2 of weights, 1 of x */
enum { WIDE = 2, ROWS = 6 };
#endif
enum { COLUMNS = WIDE * VL, TASK_ROWS = 4 * ROWS, SHARED_WORK = 1 << 15 /* fewer products: one thread alone */ };

MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

struct Layer {
    const float *packed, *bias;
    ptrdiff_t inputs, outputs;
    bool with_relu;
};

/* Rows of y under one panel: `columns` of its V vectors' columns are there. */
template <int M, int V>
MK_INLINE void multiply(float *y, const float *x, const Layer &layer, ptrdiff_t first, ptrdiff_t columns)
{
    vec sums[M][V] = {};
    accumulate_in_chains(sums, EvenColumns{x, 1, layer.inputs}, EvenRows{layer.packed + first * layer.inputs, V * VL},
                         VL, layer.inputs);
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        ptrdiff_t width = smaller(columns - v * VL, VL);
        vec bias = layer.bias ? load_lanes(layer.bias + first + v * VL, width) : (vec){};
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            vec sum = sums[i][v] + bias;
            store_lanes(y + i * layer.outputs + first + v * VL, layer.with_relu ? relu(sum) : sum, width);
        }
    }
}

template <int V>
MK_INLINE void multiply_rows(float *y, const float *x, const Layer &layer, ptrdiff_t first, ptrdiff_t columns,
                             ptrdiff_t rows)
{
    for (; rows >= ROWS; rows -= ROWS, x += ROWS * layer.inputs, y += ROWS * layer.outputs)
        multiply<ROWS, V>(y, x, layer, first, columns);
    for (; rows >= 2; rows -= 2, x += 2 * layer.inputs, y += 2 * layer.outputs)
        multiply<2, V>(y, x, layer, first, columns);
    if (rows)
        multiply<1, V>(y, x, layer, first, columns);
}

void multiply_panel(float *y, const float *x, const Layer &layer, ptrdiff_t first, ptrdiff_t rows)
{
    ptrdiff_t columns = smaller(layer.outputs - first, COLUMNS), vectors = ceil_div(columns, VL);
    if (vectors == 1)
        multiply_rows<1>(y, x, layer, first, columns, rows);
    else if (vectors == 2)
        multiply_rows<2>(y, x, layer, first, columns, rows);
    else if (vectors == 3)
        multiply_rows<WIDE == 4 ? 3 : 2>(y, x, layer, first, columns, rows); /* never so wide if WIDE is 2 */
    else
        multiply_rows<WIDE>(y, x, layer, first, columns, rows);
}

} // namespace

ptrdiff_t MK(dense_packed_size)(ptrdiff_t inputs, ptrdiff_t outputs)
{
    return inputs * ceil_div(outputs, VL) * VL;
}

void MK(dense_pack)(float *packed, const float *w, ptrdiff_t inputs, ptrdiff_t outputs)
{
    for (ptrdiff_t first = 0; first < outputs; first += COLUMNS) {
        ptrdiff_t width = smaller(ceil_div(outputs - first, VL) * VL, COLUMNS);
        for (ptrdiff_t k = 0; k < inputs; k++)
            for (ptrdiff_t j = 0; j < width; j++)
                *packed++ = first + j < outputs ? w[(first + j) * inputs + k] : 0.0f;
    }
}

int MK(dense_run)(float *y, const float *x, const float *packed, const float *bias, ptrdiff_t rows, ptrdiff_t inputs,
                  ptrdiff_t outputs, int with_relu)
{
    const Layer layer = {packed, bias, inputs, outputs, with_relu != 0};
    ptrdiff_t panels = ceil_div(outputs, COLUMNS), blocks = ceil_div(rows, TASK_ROWS);
    auto task = [&](ptrdiff_t i, float *) {
        ptrdiff_t row = i % blocks * TASK_ROWS;
        multiply_panel(y + row * outputs, x + row * inputs, layer, i / blocks * COLUMNS, smaller(rows - row, TASK_ROWS));
    };
    if (rows * inputs * outputs >= SHARED_WORK)
        return parallel(panels * blocks, 0, task);
    for (ptrdiff_t i = 0; i < panels * blocks; i++)
        task(i, nullptr);
    return 0;
}
