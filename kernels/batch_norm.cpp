/* Batch normalization: each channel over the batch, or with given statistics. The formulas and their
 * references are in minicnn/ops/normalization.py.
 *
 * x: (N, C, L). Channels go one of two ways, by the length L of their runs: see pieces.h and columns.h. */
#include "columns.h"
#include "mk.h"
#include "pieces.h"

namespace {

enum { SHORTEST_RUN = 2 * VL };

/* What backward gives; each may be NULL. gz: of what was added before the ReLU. */
struct Gradients {
    float *gx, *gw, *gb, *gz;
    void set(ptrdiff_t c, const Sums &sums, float inverse) const
    {
        if (gw)
            gw[c] = static_cast<float>(sums.centred * inverse);
        if (gb)
            gb[c] = static_cast<float>(sums.g);
    }
};

void set_parameters(const Gradients &result, const Sums *sums, const Images &s, const Statistics &by)
{
    for (ptrdiff_t c = 0; c < s.C; c++)
        result.set(c, s.N ? sums[c] : Sums{}, by.inverse(c));
}

template <class Then>
int forward(float *y, float *mean, float *var, const float *x, float *workspace, const Images &s, const Statistics &by,
            Then behind)
{
    if (s.L < SHORTEST_RUN)
        return parallel(ceil_div(s.C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Moments *found = k.channels<Moments>();
            add_moments(found, k, x, s);
            for (ptrdiff_t c = 0; c < k.count; c++) {
                mean[k.first + c] = static_cast<float>(found[c].mean);
                var[k.first + c] = found[c].variance();
            }
            normalize_columns(y, x, s, by, k, behind);
        });
    const Pieces pieces(s);
    Moment *found = reinterpret_cast<Moment *>(workspace);
    return -(moments_of_pieces(found, x, pieces) || put_together(mean, var, found, pieces) ||
             normalize_pieces(y, x, pieces, by, behind));
}

template <class From>
int backward_of_columns(const Gradients &to, From incoming, const float *x, const Images &s, const Statistics &by)
{
    return parallel(ceil_div(s.C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
        const Columns k(s, task, scratch);
        Sums *sums = k.channels<Sums>();
        sums_of_columns(sums, incoming, x, s, by, k, [&](ptrdiff_t at) {
            for (ptrdiff_t i = 0; to.gz && i < k.n; i++)
                to.gz[at + i] = incoming[at + i];
        });
        for (ptrdiff_t c = 0; c < k.count; c++)
            to.set(k.first + c, sums[c], by.inverse(k.first + c));
        if (!to.gx)
            return;
        auto slopes = [&](ptrdiff_t c) { return Slopes(sums[c], s.N * s.L, by.inverse(k.first + c)); };
        k.spread(k.arrays[1], [&](ptrdiff_t c) { return slopes(c).mean_g; });
        k.spread(k.arrays[2], [&](ptrdiff_t c) { return slopes(c).slope; });
        for (ptrdiff_t r = 0; r < s.N; r++) {
            const ptrdiff_t at = r * s.step() + k.first * s.L;
            gradient(to.gx + at, incoming.from(at), x + at, k.n, Each{k.arrays[0]}, Same{1},
                     Each{k.arrays[1]}, Each{k.arrays[2]}, Each{k.arrays[3]});
        }
    });
}

template <class From>
int backward(const Gradients &to, From incoming, const float *x, float *workspace, const Images &s,
             const Statistics &by)
{
    const Pieces pieces(s);
    Sums *sums = reinterpret_cast<Sums *>(workspace);
    if (sums_of_pieces<false>(sums, to.gz, incoming, x, pieces, by) || add_up(sums, pieces))
        return -1;
    set_parameters(to, sums, s, by);
    if (!to.gx)
        return 0;
    if (to.gz) /* what the ReLU let through */
        return gradient_of_pieces(to.gx, Incoming<false>{to.gz, nullptr}, x, sums, pieces, by);
    return gradient_of_pieces(to.gx, incoming, x, sums, pieces, by);
}

} // namespace

/* In floats: what the kernels below need for the statistics of pieces. */
ptrdiff_t MK(batch_norm_workspace)(ptrdiff_t N, ptrdiff_t C, ptrdiff_t L)
{
    const Images s{N, C, L};
    return L < SHORTEST_RUN ? 0 : Pieces(s).down * C * static_cast<ptrdiff_t>(sizeof(Sums) / sizeof(float));
}

/* y = w * (x - mean) / sqrt(var + eps) + b [+ z], mean and var of each channel, then max(0, y) if with_relu.
 * y, x, z: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_forward)(float *y, float *mean, float *var, const float *x, const float *w, const float *b,
                           const float *z, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps,
                           int with_relu)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    auto run = [&](auto behind) { return forward(y, mean, var, x, workspace, s, by, behind); };
    if (z)
        return with_relu ? run(Behind<true, true>{z}) : run(Behind<true, false>{z});
    return with_relu ? run(Behind<false, true>{}) : run(Behind<false, false>{});
}

/* With g = gy, or gy where y > 0 and else 0 if y is given; nothing_added: y = max(0, the normalization of x):
 * dL/dx = w / sqrt(var + eps) * (g - mean(g) - x̂ * mean(g * x̂)), dL/dw = Σ g * x̂, dL/db = Σ g, dL/dz = g.
 * gx, gz, gy, y, x: (N, C, L)  gw, gb, mean, var, w, b: (C) */
int MK(batch_norm_backward)(float *gx, float *gw, float *gb, float *gz, const float *gy, const float *y,
                            const float *x, const float *mean, const float *var, const float *w, const float *b,
                            float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps, int nothing_added)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    const Gradients to{gx, gw, gb, gz};
    if (L < SHORTEST_RUN)
        return y ? backward_of_columns(to, Incoming<true>{gy, y}, x, s, by)
                 : backward_of_columns(to, Incoming<false>{gy, nullptr}, x, s, by);
    if (y && nothing_added)
        return backward(to, IncomingOpen{gy, x, 0, 0, 0}, x, workspace, s, by);
    return y ? backward(to, Incoming<true>{gy, y}, x, workspace, s, by)
             : backward(to, Incoming<false>{gy, nullptr}, x, workspace, s, by);
}

/* The same with given mean and var.   y, x: (N, C, L)  mean, var, w, b: (C) */
int MK(batch_norm_inference_forward)(float *y, const float *x, const float *mean, const float *var, const float *w,
                                     const float *b, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, b, eps};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            normalize_columns(y, x, s, by, Columns(s, task, scratch), Behind<false, false>{});
        });
    return normalize_pieces(y, x, Pieces(s), by, Behind<false, false>{});
}

/* dL/dx = w / sqrt(var + eps) * gy, dL/dw = Σ gy * x̂, dL/db = Σ gy.
 * gx, gy, x: (N, C, L)  gw, gb, mean, var, w: (C) */
int MK(batch_norm_inference_backward)(float *gx, float *gw, float *gb, const float *gy, const float *x,
                                      const float *mean, const float *var, const float *w, float *workspace,
                                      ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps)
{
    const Images s{N, C, L};
    const Statistics by{mean, var, w, nullptr, eps};
    const Gradients result{gx, gw, gb, nullptr};
    const Incoming<false> incoming{gy, nullptr};
    if (L < SHORTEST_RUN)
        return parallel(ceil_div(C, channels_at_once(s)), Columns::bytes(s), [&](ptrdiff_t task, float *scratch) {
            const Columns k(s, task, scratch);
            Sums *sums = k.channels<Sums>();
            sums_of_columns(sums, incoming, x, s, by, k, [&](ptrdiff_t at) {
                for (ptrdiff_t i = 0; gx && i < k.n; i++)
                    gx[at + i] = gy[at + i] * k.arrays[3][i];
            });
            for (ptrdiff_t c = 0; c < k.count; c++)
                result.set(k.first + c, sums[c], by.inverse(k.first + c));
        });
    const Pieces pieces(s);
    Sums *sums = reinterpret_cast<Sums *>(workspace);
    if (sums_of_pieces<true>(sums, gx, incoming, x, pieces, by) || add_up(sums, pieces))
        return -1;
    set_parameters(result, sums, s, by);
    return 0;
}
