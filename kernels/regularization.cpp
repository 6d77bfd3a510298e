/* Dropout. The formulas and their reference are in minicnn/ops/regularization.py. */
#include "map.h"
#include "mk.h"

namespace {

typedef unsigned __int128 wide;

/* NumPy's PCG64: the state of a linear congruential generator, its halves folded and turned (XSL-RR). O'Neill,
 * "PCG: a family of simple fast space-efficient statistically good algorithms", HMC-CS-2014-0905, 2014.
 * It can start anywhere in the stream, and take every second or fourth number of it: so all tasks together
 * draw the numbers that NumPy draws in a row. */
struct Generator {
    wide state, a, b; /* a step: state -> a state + b */

    void double_step()
    {
        b = b * (a + 1);
        a = a * a;
    }

    /* As after `steps` numbers: Brown, "Random number generation with arbitrary strides", 1994. */
    void skip(uint64_t steps)
    {
        for (Generator g = *this; steps; steps >>= 1, g.double_step())
            if (steps & 1)
                state = state * g.a + g.b;
    }

    uint64_t next()
    {
        uint64_t folded = static_cast<uint64_t>(state >> 64) ^ static_cast<uint64_t>(state);
        int turn = static_cast<int>(state >> 122);
        state = state * a + b;
        return folded >> turn | folded << (-turn & 63);
    }
};

enum { STREAMS = 4 }; /* multiplications that do not wait for each other */

MK_INLINE vec ones_where(const uint8_t *kept, ptrdiff_t lanes)
{
    if (lanes == VL)
        return load_bytes(kept);
    vec v = {};
    for (ptrdiff_t i = 0; i < lanes; i++)
        v[i] = kept[i];
    return v;
}

} // namespace

/* kept = r >= p,  r in [0, 1) with 24 digits.   kept: (n)  generator: state and increment, upper half first
 * A number of 64 bits makes two of 32, the lower half first; of these the upper 24 bits count. */
int MK(dropout_mask)(uint8_t *kept, const uint64_t *generator, float p, ptrdiff_t n)
{
    const wide multiplier = static_cast<wide>(0x2360ED051FC65DA4) << 64 | 0x4385DF649FCCF645;
    const Generator seeded{static_cast<wide>(generator[0]) << 64 | generator[1], multiplier,
                           static_cast<wide>(generator[2]) << 64 | generator[3]};
    float scaled = p * 16777216.0f;
    uint32_t lowest = static_cast<uint32_t>(scaled);
    lowest += static_cast<float>(lowest) < scaled;
    return each_chunk(n, CHUNK, [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        Generator streams[STREAMS];
        for (int k = 0; k < STREAMS; k++) {
            streams[k] = seeded;
            streams[k].skip(begin / 2 + k + 1); /* the first step comes before the first number */
            streams[k].double_step();
            streams[k].double_step();
        }
        for (ptrdiff_t i = begin; i < end; i += 2 * STREAMS) {
            uint8_t drawn[2 * STREAMS];
#pragma GCC unroll 4
            for (int k = 0; k < STREAMS; k++) {
                uint64_t number = streams[k].next();
                drawn[2 * k] = (static_cast<uint32_t>(number) >> 8) >= lowest;
                drawn[2 * k + 1] = (number >> 40) >= lowest;
            }
            ptrdiff_t rest = end - i < 2 * STREAMS ? end - i : 2 * STREAMS;
            for (ptrdiff_t k = 0; k < rest; k++)
                kept[i + k] = drawn[k];
        }
    });
}

/* y = x scale where kept, else 0; 0 times NaN or infinity is NaN.   y, x: (n, inner)  kept: (n) */
int MK(dropout_apply)(float *y, const float *x, const uint8_t *kept, float scale, ptrdiff_t n, ptrdiff_t inner)
{
    if (inner == 1)
        return fill(y, n, [=](ptrdiff_t i, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            return load_lanes(x + i, lanes) * (ones_where(kept + i, lanes) * scale);
        });
    return each_chunk(n, 1 + CHUNK / (inner + 1), [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i++) {
            float factor = kept[i] * scale;
            each_vector(i * inner, (i + 1) * inner, [=](ptrdiff_t k, ptrdiff_t lanes) MK_INLINE_LAMBDA {
                store_lanes(y + k, load_lanes(x + k, lanes) * factor, lanes);
            });
        }
    });
}
