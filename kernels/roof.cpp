/* The roofs: the most that registers and memory of this machine give. Nobody needs what is computed here;
 * `minicnn bench` holds the other kernels against it. Each thread works on a share of its own. */
#include "mk.h"
#include "parallel.h"
#include "simd.h"

namespace {

/* More chains than a multiply-add has cycles of latency, times the two that start in each cycle. */
enum { CHAINS = VL == 16 ? 24 : 12, STEP = 4 * VL };

MK_INLINE void stream(float *p, vec v) /* past the caches; p is aligned to a vector */
{
#if VL == 16
    _mm512_stream_ps(p, (__m512)v);
#elif VL == 8
    _mm256_stream_ps(p, (__m256)v);
#else
    *(vec *)p = v;
#endif
}

MK_INLINE void memory_is_used() { __asm__ volatile("" ::: "memory"); } /* a repetition is not left out */

/* body(begin, end), `repeats` times on the share of each thread. */
template <class Body>
MK_INLINE int each_share(ptrdiff_t n, ptrdiff_t repeats, const Body &body)
{
    ptrdiff_t threads = mk_get_threads(), share = (n / STEP + threads - 1) / threads * STEP;
    return parallel(threads, 0, [&](ptrdiff_t i, float *) {
        ptrdiff_t begin = i * share, end = begin + share < n ? begin + share : n;
        for (ptrdiff_t r = 0; r < repeats; r++) {
            body(begin, end);
            memory_is_used();
        }
    });
}

} // namespace

/* `steps` multiply-adds in each lane of CHAINS registers, on every thread; returns the operations done. */
ptrdiff_t MK(roof_fma)(ptrdiff_t steps)
{
    parallel(mk_get_threads(), 0, [=](ptrdiff_t, float *) {
        vec chains[CHAINS], factor = all(0.5f), term = all(0.25f);
        __asm__ volatile("" : "+m"(factor), "+m"(term)); /* the compiler must not know them */
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++)
            chains[i] = all(static_cast<float>(i));
        for (ptrdiff_t step = 0; step < steps; step++)
#pragma GCC unroll 32
            for (int i = 0; i < CHAINS; i++)
                chains[i] = chains[i] * factor + term;
        float result[VL];
#pragma GCC unroll 32
        for (int i = 1; i < CHAINS; i++)
            chains[0] += chains[i];
        store(result, chains[0]);
        __asm__ volatile("" ::"m"(result));
    });
    return 2 * VL * CHAINS * steps * mk_get_threads();
}

/* y = x, `repeats` times.   y, x: (n), aligned to 64 bytes; n: a multiple of 64 */
int MK(roof_copy)(float *y, const float *x, ptrdiff_t n, ptrdiff_t repeats, int streaming)
{
    if (streaming)
        return each_share(n, repeats, [=](ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t i = begin; i < end; i += STEP)
#pragma GCC unroll 4
                for (ptrdiff_t j = i; j < i + STEP; j += VL)
                    stream(y + j, load(x + j));
        });
    return each_share(n, repeats, [=](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i += STEP)
#pragma GCC unroll 4
            for (ptrdiff_t j = i; j < i + STEP; j += VL)
                store(y + j, load(x + j));
    });
}

/* The same of writing alone: y = 0. */
int MK(roof_fill)(float *y, ptrdiff_t n, ptrdiff_t repeats, int streaming)
{
    if (streaming)
        return each_share(n, repeats, [=](ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t i = begin; i < end; i += VL)
                stream(y + i, vec{});
        });
    return each_share(n, repeats, [=](ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i += VL)
            store(y + i, vec{});
    });
}

/* The same of reading alone. */
int MK(roof_read)(const float *x, ptrdiff_t n, ptrdiff_t repeats)
{
    return each_share(n, repeats, [=](ptrdiff_t begin, ptrdiff_t end) {
        vec sums[4] = {};
        for (ptrdiff_t i = begin; i < end; i += STEP)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sums[j] += load(x + i + j * VL);
        float result[VL];
        store(result, (sums[0] + sums[1]) + (sums[2] + sums[3]));
        __asm__ volatile("" ::"m"(result));
    });
}
