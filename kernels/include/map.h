/* Functions of each element: their loop, cut into tasks, and its tail; and sums of them. */
#ifndef MK_MAP_H
#define MK_MAP_H

#include "parallel.h"
#include "simd.h"

namespace {

enum { CHUNK = 16384 }; /* elements a task takes: its share of three arrays stays in the second-level cache */

MK_INLINE ptrdiff_t chunks(ptrdiff_t n, ptrdiff_t size) { return (n + size - 1) / size; }

/* body(task, begin, end) for every `size` of n elements. */
template <class Body>
int each_chunk(ptrdiff_t n, ptrdiff_t size, const Body &body)
{
    return parallel(chunks(n, size), 0, [&](ptrdiff_t i, float *) {
        ptrdiff_t end = (i + 1) * size;
        body(i, i * size, end < n ? end : n);
    });
}

/* body(i, lanes) for the vectors of begin .. end-1; all but the last have VL lanes. */
template <class Body>
MK_INLINE void each_vector(ptrdiff_t begin, ptrdiff_t end, const Body &body)
{
    ptrdiff_t i = begin;
    for (; i + VL <= end; i += VL)
        body(i, ptrdiff_t(VL));
    if (i < end)
        body(i, end - i);
}

MK_INLINE vec load_lanes(const float *p, ptrdiff_t lanes) { return lanes == VL ? load(p) : load_first(p, lanes); }

MK_INLINE void store_lanes(float *p, vec v, ptrdiff_t lanes)
{
    if (lanes == VL)
        store(p, v);
    else
        store_first(p, v, lanes);
}

/* y = f: f(i, lanes) gives the vector at i. */
template <class F>
int fill(float *y, ptrdiff_t n, F f)
{
    return each_chunk(n, CHUNK, [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        each_vector(begin, end, [=](ptrdiff_t i, ptrdiff_t lanes)
                                    MK_INLINE_LAMBDA { store_lanes(y + i, f(i, lanes), lanes); });
    });
}

/* y = f(x), f of vectors. */
template <class F>
int map(float *y, const float *x, ptrdiff_t n, F f)
{
    return fill(y, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA { return f(load_lanes(x + i, lanes)); });
}

/* z = f(x, y) */
template <class F>
int map(float *z, const float *x, const float *y, ptrdiff_t n, F f)
{
    return fill(z, n, [=](ptrdiff_t i, ptrdiff_t lanes)
                          MK_INLINE_LAMBDA { return f(load_lanes(x + i, lanes), load_lanes(y + i, lanes)); });
}

} // namespace

#endif
