/* Sums of many numbers: vectors add up within blocks, the blocks in float64, so no digits are lost. */
#ifndef MK_REDUCING_H
#define MK_REDUCING_H

#include "map.h"

namespace {

enum { BLOCK = 32 * VL, MOST_PARTS = 256 };

MK_INLINE vec first_lanes(vec v, ptrdiff_t lanes) /* zeros behind them */
{
    return lanes == VL ? v : count_up(0, 1) < static_cast<int32_t>(lanes) ? v : (vec){};
}

/* The sum of f(i, lanes) over the vectors of begin .. end-1. */
template <class F>
double sum_over(ptrdiff_t begin, ptrdiff_t end, F f)
{
    double total = 0;
    for (ptrdiff_t block = begin; block < end; block += BLOCK) {
        vec part = {};
        each_vector(block, block + BLOCK < end ? block + BLOCK : end,
                    [&](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA { part += first_lanes(f(i, lanes), lanes); });
        total += sum(part);
    }
    return total;
}

MK_INLINE double sum_of(const float *a, ptrdiff_t n)
{
    return sum_over(0, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA { return load_lanes(a + i, lanes); });
}

/* The same of 0 .. n-1, shared out. The parts depend on n alone. */
template <class F>
double sum_in_parts(ptrdiff_t n, F f)
{
    double parts[MOST_PARTS], total = 0;
    ptrdiff_t size = chunks(n, MOST_PARTS) > CHUNK ? chunks(n, MOST_PARTS) : ptrdiff_t(CHUNK);
    each_chunk(n, size, [&](ptrdiff_t i, ptrdiff_t begin, ptrdiff_t end) { parts[i] = sum_over(begin, end, f); });
    for (ptrdiff_t i = 0; i < chunks(n, size); i++)
        total += parts[i];
    return total;
}

/* -- what becomes of the losses -------------------------------------------------------------------------- */

enum Reduction { NONE, MEAN, SUM }; /* minicnn/backends/native/reducing.py has the same numbers */

/* weight times loss; a weight of 0 makes 0 even of infinity */
MK_INLINE vec share(vec weight, vec loss) { return weight * (weight == 0.0f ? (vec){} : loss); }

/* dL/d(loss of one element): of each its own, or the same for all. */
struct Incoming {
    const float *gy;
    bool own;
    float shared;

    Incoming(const float *gy, int reduction, float count)
        : gy(gy), own(reduction == NONE), shared(own ? 0 : reduction == MEAN ? gy[0] / count : gy[0])
    {
    }
    MK_INLINE_MEMBER float operator[](ptrdiff_t i) const { return own ? gy[i] : shared; }
    MK_INLINE_MEMBER vec at(ptrdiff_t i, ptrdiff_t lanes) const
    {
        return own ? load_lanes(gy + i, lanes) : all(shared);
    }
};

} // namespace

#endif
