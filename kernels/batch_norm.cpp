/* Batch normalization: each channel over the batch, or with given statistics. The formulas and their
 * references are in minicnn/ops/normalization.py.
 *
 * x: (N, C, L). Memory is read in its order, in pieces of some channels of some samples: the statistics of the
 * pieces stand in the workspace and are put together, in a fixed order, before a second pass. Channels whose
 * runs of L numbers are short go another way, see columns.h. */
#include "columns.h"
#include "mk.h"
#include "moments.h"
#include "parallel.h"

namespace {

enum { SHORTEST_RUN = 2 * VL, LONG_RUN = 16 * VL, PIECE = 65536, MOST_CHANNELS = 128, MOST_SAMPLES = 64 };

/* What backward gives; each may be NULL. */
struct Gradients {
    float *gx, *gw, *gb;
    void set(ptrdiff_t c, const Sums &sums, float inverse) const
    {
        if (gw)
            gw[c] = static_cast<float>(sums.centred * inverse);
        if (gb)
            gb[c] = static_cast<float>(sums.g);
    }
};

/* The means that the gradient through the statistics of n numbers needs. */
struct Slopes {
    float mean_g, slope;
    Slopes(const Sums &sums, ptrdiff_t n, float inverse)
        : mean_g(static_cast<float>(sums.g / n)),
          slope(static_cast<float>(sums.centred / n * inverse * inverse)) {}
};

/* -- pieces ------------------------------------------------------------------------------------------------- */

struct Piece {
    ptrdiff_t number_down, first, last, first_sample, last_sample; /* first .. last - 1: channels */
};

struct Pieces {
    Images s;
    ptrdiff_t channels, samples, across, down;

    explicit Pieces(const Images &images) : s(images)
    {
        channels = smaller(smaller(s.C, MOST_CHANNELS), larger(1, PIECE / s.L));
        samples = smaller(MOST_SAMPLES, larger(1, PIECE / larger(1, channels * s.L)));
        across = ceil_div(s.C, larger(1, channels));
        down = ceil_div(s.N, samples);
    }

    ptrdiff_t count() const { return across * down; }
    ptrdiff_t samples_of(ptrdiff_t k) const { return smaller(samples, s.N - k * samples); }

    Piece piece(ptrdiff_t task) const
    {
        const ptrdiff_t k = task / across, first = task % across * channels;
        return {k, first, smaller(first + channels, s.C), k * samples, k * samples + samples_of(k)};
    }
};

/* body(c, at): the runs of a piece in their order in memory; c counts from the piece's first channel. */
template <class Body>
MK_INLINE void each_run(const Piece &piece, const Images &s, Body body)
{
    for (ptrdiff_t n = piece.first_sample; n < piece.last_sample; n++)
        for (ptrdiff_t c = piece.first; c < piece.last; c++)
            body(c - piece.first, (n * s.C + c) * s.L);
}

/* Of a channel of a piece. */
struct Moment {
    double mean, squares;
};

/* The sums of a channel of a piece. A long run is added up in more sums than one; in a short one, to add up
 * four sums would be more work than the run itself. */
struct Adding {
    DoubleSum sum, squares;
    float shift;

    MK_INLINE_MEMBER void add(const float *x, ptrdiff_t n)
    {
        if (n < LONG_RUN) {
            DoubleSum own = sum; /* the compiler keeps only what is ours in registers */
            vec own_squares = {};
            each_vector(n, [&](ptrdiff_t i, auto part) {
                vec v = part.stream(x + i), distance = part.keep(v - shift);
                own += v;
                own_squares += distance * distance;
            });
            sum = own;
            squares += own_squares;
            return;
        }
        each_block(n, [&](ptrdiff_t begin, ptrdiff_t end) {
            const auto own = shifted_sums(x + begin, end - begin, shift);
            for (int k = 0; k < 4; k++)
                sum += own.a[k];
            squares += (own.b[0] + own.b[1]) + (own.b[2] + own.b[3]);
        });
    }

    Moments moments(ptrdiff_t n) const
    {
        Moments found;
        found.add(n, sum.total(), shift, squares.total());
        return found;
    }
};

/* found: (down, C) */
int moments_of_pieces(Moment *found, const float *x, const Pieces &pieces)
{
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Adding), [=](ptrdiff_t task, float *scratch) {
        Adding *sums = reinterpret_cast<Adding *>(scratch);
        const Piece piece = pieces.piece(task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++) {
            const float *run = x + (piece.first_sample * s.C + c) * s.L;
            sums[c - piece.first] = Adding{{}, {}, as_shift(rough_mean(run, smaller(s.L, BLOCK)))};
        }
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            sums[c].add(x + at, s.L);
        });
        const ptrdiff_t n = (piece.last_sample - piece.first_sample) * s.L;
        for (ptrdiff_t c = 0; c < piece.last - piece.first; c++) {
            const Moments own = sums[c].moments(n);
            found[piece.number_down * s.C + piece.first + c] = {own.mean, own.squares};
        }
    });
}

/* mean, var: (C)  found: (down, C) */
int put_together(float *mean, float *var, const Moment *found, const Pieces &pieces)
{
    const Images s = pieces.s;
    return parallel(ceil_div(s.C, 64), 0, [=](ptrdiff_t task, float *) {
        for (ptrdiff_t c = task * 64; c < smaller((task + 1) * 64, s.C); c++) {
            double sum = 0, squares = 0;
            for (ptrdiff_t k = 0; k < pieces.down; k++)
                sum += found[k * s.C + c].mean * pieces.samples_of(k);
            const double total = s.N ? sum / s.N : 0;
            for (ptrdiff_t k = 0; k < pieces.down; k++) {
                const Moment own = found[k * s.C + c];
                squares += own.squares + (own.mean - total) * (own.mean - total) * pieces.samples_of(k) * s.L;
            }
            mean[c] = static_cast<float>(total);
            var[c] = static_cast<float>(squares < 0 ? 0 : s.N ? squares / (s.N * s.L) : 0);
        }
    });
}

struct Affine {
    float mean, scale, bias;
};

/* From the last piece to the first: after a pass over all, the last are still in the cache. */
int normalize_pieces(float *y, const float *x, const Pieces &pieces, const Statistics &by)
{
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Affine), [=](ptrdiff_t task, float *scratch) {
        Affine *affine = reinterpret_cast<Affine *>(scratch);
        const Piece piece = pieces.piece(pieces.count() - 1 - task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++)
            affine[c - piece.first] = {by.mean[c], by.scale(c), by.bias(c)};
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            const Affine a = affine[c];
            normalize(y + at, x + at, s.L, Same{a.mean}, Same{a.scale}, Same{1}, Same{a.bias});
        });
    });
}

/* found: (down, C).  gx: gy * scale, or NULL */
int sums_of_pieces(Sums *found, float *gx, const float *gy, const float *x, const Pieces &pieces,
                   const Statistics &by)
{
    struct Channel {
        DoubleSum g, centred;
        float mean, scale;
    };
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Channel), [=](ptrdiff_t task, float *scratch) {
        Channel *channels = reinterpret_cast<Channel *>(scratch);
        const Piece piece = pieces.piece(task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++)
            channels[c - piece.first] = Channel{{}, {}, by.mean[c], by.scale(c)};
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            Channel &own = channels[c];
            const float mean = own.mean, scale = own.scale;
            auto add = [&](ptrdiff_t i, auto part, vec &a, vec &b) {
                vec g = part.stream(gy + i);
                a += g;
                b += g * part.keep(part.stream(x + i) - mean);
                if (gx)
                    part.put(gx + i, g * scale);
            };
            if (s.L < LONG_RUN) {
                vec a = {}, b = {};
                each_vector(s.L, [&](ptrdiff_t i, auto part) { add(at + i, part, a, b); });
                own.g += a;
                own.centred += b;
            } else
                each_block(s.L, [&](ptrdiff_t begin, ptrdiff_t end) {
                    TwoSums<> sums;
                    sums.add(end - begin, [&](ptrdiff_t i, auto part, vec &a, vec &b) {
                        add(at + begin + i, part, a, b);
                    });
                    own.g += (sums.a[0] + sums.a[1]) + (sums.a[2] + sums.a[3]);
                    own.centred += (sums.b[0] + sums.b[1]) + (sums.b[2] + sums.b[3]);
                });
        });
        for (ptrdiff_t c = piece.first; c < piece.last; c++) {
            const Channel &own = channels[c - piece.first];
            found[piece.number_down * s.C + c] = {own.g.total(), own.centred.total()};
        }
    });
}

/* The sums of a channel over all pieces, left in the place of the first.   found: (down, C) */
int add_up(Sums *found, const Pieces &pieces)
{
    const Images s = pieces.s;
    return parallel(ceil_div(s.C, 64), 0, [=](ptrdiff_t task, float *) {
        for (ptrdiff_t k = 1; k < pieces.down; k++)
            for (ptrdiff_t c = task * 64; c < smaller((task + 1) * 64, s.C); c++) {
                found[c].g += found[k * s.C + c].g;
                found[c].centred += found[k * s.C + c].centred;
            }
    });
}

int gradient_of_pieces(float *gx, const float *gy, const float *x, const Sums *sums, const Pieces &pieces,
                       const Statistics &by)
{
    struct Channel {
        float mean, scale, mean_g, slope;
    };
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Channel), [=](ptrdiff_t task, float *scratch) {
        Channel *channels = reinterpret_cast<Channel *>(scratch);
        const Piece piece = pieces.piece(pieces.count() - 1 - task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++) {
            const Slopes slopes(sums[c], s.N * s.L, by.inverse(c));
            channels[c - piece.first] = {by.mean[c], by.scale(c), slopes.mean_g, slopes.slope};
        }
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            const Channel k = channels[c];
            gradient(gx + at, gy + at, x + at, s.L, Same{k.mean}, Same{1}, Same{k.mean_g}, Same{k.slope},
                     Same{k.scale});
        });
    });
}

void set_parameters(const Gradients &result, const Sums *sums, const Images &s, const Statistics &by)
{
    for (ptrdiff_t c = 0; c < s.C; c++)
        result.set(c, s.N ? sums[c] : Sums{}, by.inverse(c));
}

} // namespace

/* In floats: what the kernels below need for the statistics of pieces. */
ptrdiff_t MK(batch_norm_workspace)(ptrdiff_t N, ptrdiff_t C, ptrdiff_t L)
{
    const Images s{N, C, L};
    return L < SHORTEST_RUN ? 0 : Pieces(s).down * C * static_cast<ptrdiff_t>(sizeof(Sums) / sizeof(float));
}

/* y = w * (x - mean) / sqrt(var + eps) + b, mean and var of each channel.
 * y, x: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_forward)(float *y, float *mean, float *var, const float *x, const float *w, const float *b,
                           float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Moments *found = k.channels<Moments>();
            add_moments(found, k, x, s);
            for (ptrdiff_t c = 0; c < k.count; c++) {
                mean[k.first + c] = static_cast<float>(found[c].mean);
                var[k.first + c] = found[c].variance();
            }
            normalize_columns(y, x, s, by, k);
        });
    const Pieces pieces(s);
    Moment *found = reinterpret_cast<Moment *>(workspace);
    return -(moments_of_pieces(found, x, pieces) || put_together(mean, var, found, pieces) ||
             normalize_pieces(y, x, pieces, by));
}

/* dL/dx = w / sqrt(var + eps) * (gy - mean(gy) - x̂ * mean(gy * x̂)), dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, mean, var, w: (C) */
int MK(batch_norm_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,
                            const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,
                            float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, nullptr, eps};
    const Gradients result{gx, gw, gb};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Sums *sums = k.channels<Sums>();
            sums_of_columns(sums, gy, x, s, by, k, [](ptrdiff_t) {});
            for (ptrdiff_t c = 0; c < k.count; c++)
                result.set(k.first + c, sums[c], by.inverse(k.first + c));
            if (!gx)
                return;
            auto slopes = [&](ptrdiff_t c) { return Slopes(sums[c], N * L, by.inverse(k.first + c)); };
            k.spread(k.arrays[1], [&](ptrdiff_t c) { return slopes(c).mean_g; });
            k.spread(k.arrays[2], [&](ptrdiff_t c) { return slopes(c).slope; });
            for (ptrdiff_t r = 0; r < N; r++) {
                const ptrdiff_t at = r * s.step() + k.first * L;
                gradient(gx + at, gy + at, x + at, k.n, Each{k.arrays[0], 0}, Same{1}, Each{k.arrays[1], 0},
                         Each{k.arrays[2], 0}, Each{k.arrays[3], 0});
            }
        });
    const Pieces pieces(s);
    Sums *sums = reinterpret_cast<Sums *>(workspace);
    if (sums_of_pieces(sums, nullptr, gy, x, pieces, by) || add_up(sums, pieces))
        return -1;
    set_parameters(result, sums, s, by);
    return gx ? gradient_of_pieces(gx, gy, x, sums, pieces, by) : 0;
}

/* The same with given mean and var.   y, x: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_inference_forward)(float *y, const float *x, const float *mean, const float *var, const float *w,
                                     const float *b, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            normalize_columns(y, x, s, by, Columns(s, task, scratch));
        });
    return normalize_pieces(y, x, Pieces(s), by);
}

/* dL/dx = w / sqrt(var + eps) * gy, dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, mean, var, w: (C) */
int MK(batch_norm_inference_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x,
                                      const float *mean, const float *var, const float *w, float *workspace,
                                      ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, nullptr, eps};
    const Gradients result{gx, gw, gb};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Sums *sums = k.channels<Sums>();
            sums_of_columns(sums, gy, x, s, by, k, [&](ptrdiff_t at) {
                for (ptrdiff_t i = 0; gx && i < k.n; i++)
                    gx[at + i] = gy[at + i] * k.arrays[3][i];
            });
            for (ptrdiff_t c = 0; c < k.count; c++)
                result.set(k.first + c, sums[c], by.inverse(k.first + c));
        });
    const Pieces pieces(s);
    Sums *sums = reinterpret_cast<Sums *>(workspace);
    if (sums_of_pieces(sums, gx, gy, x, pieces, by) || add_up(sums, pieces))
        return -1;
    set_parameters(result, sums, s, by);
    return 0;
}
