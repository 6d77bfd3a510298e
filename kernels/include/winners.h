/* Max-pooling backward: what flows to the pixels that won their windows. */
#ifndef MK_WINNERS_H
#define MK_WINNERS_H

#include "rolling.h"

namespace {

MK_INLINE ivec every(ptrdiff_t i) { return static_cast<int32_t>(i) - (ivec){}; }

/* What flows back into the windows: dL/dy, or behind a ReLU 0 where its result y is not above 0. */
struct Gradient {
    const float *gy, *y; /* y: NULL without a ReLU */

    MK_INLINE_MEMBER float operator()(ptrdiff_t at) const { return !y || y[at] > 0.0f ? gy[at] : 0.0f; }
    MK_INLINE_MEMBER vec operator()(ptrdiff_t at, ptrdiff_t n) const
    {
        const vec g = load_some(gy + at, n);
        return !y ? g : load_some(y + at, n) > 0.0f ? g : (vec){};
    }
};

/* What windows of 3x3 give to the pixels that won them. */
struct Winners {
    Gradient gradient;
    const uint8_t *index;
    ptrdiff_t windows, size; /* of a plane, of all */
    ivec taps[3];

    template <int T>
    MK_INLINE_MEMBER bool take(vec (&v)[T], const Strip<T, 1> &strip, ptrdiff_t plane, ptrdiff_t row)
    {
        const ptrdiff_t from = plane * windows, at = from + (row - strip.top) * strip.W + strip.start;
        if (!strip.take(v, gradient.gy + from, row, FAR))
            return false;
        __builtin_prefetch(index + at + FAR);
#pragma GCC unroll 3
        for (int k = 0; k < T; k++) {
            taps[k] = load_bytes_lanes(index, size, at + k, strip.lanes[k]);
            if (gradient.y)
                v[k] = load_lanes(gradient.y + at + k, strip.lanes[k]) > 0.0f ? v[k] : (vec){};
        }
        return true;
    }

    /* Lanes without a window have a gradient of 0, whatever their index says. */
    MK_INLINE_MEMBER void add(vec &sum, vec g, int k, int tap) const
    {
        sum = taps[k] == every(tap) ? sum + g : sum;
    }
    MK_INLINE_MEMBER vec finish(vec sum) const { return sum; }
};

} // namespace

#endif
