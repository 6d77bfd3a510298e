/* Batch normalization of channels with long runs. Memory is read in its order, in pieces of some channels of some
 * samples: the statistics of the pieces stand in the workspace and are put together, in a fixed order, before a
 * second pass. */
#ifndef MK_PIECES_H
#define MK_PIECES_H

#include "columns.h"
#include "parallel.h"

namespace {

enum { LONG_RUN = 16 * VL, PIECE = 65536, MOST_CHANNELS = 128, MOST_SAMPLES = 64 };

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
template <class Then>
int normalize_pieces(float *y, const float *x, const Pieces &pieces, const Statistics &by, Then behind)
{
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Affine), [=](ptrdiff_t task, float *scratch) {
        Affine *affine = reinterpret_cast<Affine *>(scratch);
        const Piece piece = pieces.piece(pieces.count() - 1 - task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++)
            affine[c - piece.first] = {by.mean[c], by.scale(c), by.bias(c)};
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            const Affine a = affine[c];
            normalize(y + at, x + at, s.L, Same{a.mean}, Same{a.scale}, Same{1}, Same{a.bias},
                      behind.from(at));
        });
    });
}

/* found: (down, C).  to: where to write scale * g, with the channel's scale or with 1, or NULL */
template <bool SCALED, class From>
int sums_of_pieces(Sums *found, float *to, From incoming, const float *x, const Pieces &pieces, const Statistics &by)
{
    struct Channel {
        DoubleSum g, centred;
        float mean, scale, bias;
    };
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Channel), [=](ptrdiff_t task, float *scratch) {
        Channel *channels = reinterpret_cast<Channel *>(scratch);
        const Piece piece = pieces.piece(task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++)
            channels[c - piece.first] = Channel{{}, {}, by.mean[c], by.scale(c), by.bias(c)};
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            Channel &own = channels[c];
            const float mean = own.mean, scale = own.scale;
            const From arriving = incoming.of_channel(mean, scale, own.bias);
            auto add = [&](ptrdiff_t i, auto part, vec &a, vec &b) {
                vec g = arriving.at(i, part);
                a += g;
                b += g * part.keep(part.stream(x + i) - mean);
                if (to)
                    part.put(to + i, SCALED ? g * scale : g);
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

template <class From>
int gradient_of_pieces(float *gx, From incoming, const float *x, const Sums *sums, const Pieces &pieces,
                       const Statistics &by)
{
    struct Channel {
        float mean, scale, bias, mean_g, slope;
    };
    const Images s = pieces.s;
    return parallel(pieces.count(), pieces.channels * sizeof(Channel), [=](ptrdiff_t task, float *scratch) {
        Channel *channels = reinterpret_cast<Channel *>(scratch);
        const Piece piece = pieces.piece(pieces.count() - 1 - task);
        for (ptrdiff_t c = piece.first; c < piece.last; c++) {
            const Slopes slopes(sums[c], s.N * s.L, by.inverse(c));
            channels[c - piece.first] = {by.mean[c], by.scale(c), by.bias(c), slopes.mean_g, slopes.slope};
        }
        each_run(piece, s, [&](ptrdiff_t c, ptrdiff_t at) {
            const Channel k = channels[c];
            const From arriving = incoming.of_channel(k.mean, k.scale, k.bias);
            gradient(gx + at, arriving.from(at), x + at, s.L, Same{k.mean}, Same{1}, Same{k.mean_g},
                     Same{k.slope}, Same{k.scale});
        });
    });
}

} // namespace

#endif
