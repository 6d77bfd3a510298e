/* The two passes of direct convolution that correlate images with weights, and how they read the weights. */
#ifndef MK_PANELS_H
#define MK_PANELS_H

#include "conv.h"
#include "mk.h"
#include "pack.h"
#include "parallel.h"
#include "tile.h"

namespace {

/* -- the passes ---------------------------------------------------------------------------------------------- */

/* A correlation of N images with groups of `channels` inputs and `results` outputs, for each residue of the stride.
 * Weight (group, result k, channel c, tap) lies at  g * group_step + k * result_step + c * channel_step + tap. */
struct Pass {
    const mk_conv &p;
    bool backward;
    ptrdiff_t taps, channels, results, group_step, result_step, channel_step, residues_down, residues_across;

    Pass(const mk_conv &p, bool backward) : p(p), backward(backward), taps(p.KH * p.KW)
    {
        ptrdiff_t C = p.C / p.groups, K = p.K / p.groups;
        channels = backward ? K : C;
        results = backward ? C : K;
        group_step = K * C * taps;
        result_step = backward ? taps : C * taps;
        channel_step = backward ? C * taps : taps;
        residues_down = backward ? p.stride_h : 1;
        residues_across = backward ? p.stride_w : 1;
    }

    Axis down(ptrdiff_t a) const
    {
        return backward ? backward_axis(p.H, p.OH, p.KH, p.stride_h, p.pad_top, p.dilation_h, a)
                        : forward_axis(p.H, p.OH, p.KH, p.stride_h, p.pad_top, p.dilation_h);
    }

    Axis across(ptrdiff_t b) const
    {
        return backward ? backward_axis(p.W, p.OW, p.KW, p.stride_w, p.pad_left, p.dilation_w, b)
                        : forward_axis(p.W, p.OW, p.KW, p.stride_w, p.pad_left, p.dilation_w);
    }

    bool is_whole() const { return residues_down * residues_across == 1; } /* one residue: results are neighbours */
    ptrdiff_t height() const { return backward ? p.H : p.OH; }
    ptrdiff_t width() const { return backward ? p.W : p.OW; }
};

/* -- packed weights: packed[group][panel][residue][c][tap][row of the panel] ------------------------------------ */

#if VL == 16
enum { TALL = 12, MIDDLE = 8, LOW = 6, FLAT = 4 }; /* rows of panels */
constexpr int HEIGHTS[] = {0, 4, 4, 4, 4, 6, 6, 8, 8, 6, 6, 12, 12, 8, 8, 8, 8};
#else
enum { TALL = 6, MIDDLE = 4, LOW = 4, FLAT = 2 };
constexpr int HEIGHTS[] = {0, 2, 2, 4, 4, 6, 6, 4, 4};
#endif

/* Rows of the next panel, by how many are left: what wastes least, and no smaller than it must be. */
MK_INLINE int panel_height(ptrdiff_t rest)
{
    return rest < ptrdiff_t(sizeof(HEIGHTS) / sizeof(HEIGHTS[0])) ? HEIGHTS[rest] : TALL;
}

/* Vectors of a tile with M rows: its sums take 24 of 32 registers, or 12 of 16. Where the machine has no fused
 * multiply-add, products need registers as well. */
template <int M>
constexpr int vectors_of = M == FLAT ? 4 : VL == 4 ? 2 : TALL * 2 / M;

/* body(panel) for panels `begin` to `end` of so many rows. */
template <class Body>
MK_INLINE void each_of_panels(ptrdiff_t rows, ptrdiff_t begin, ptrdiff_t end, Body body)
{
    ptrdiff_t first = 0;
    for (ptrdiff_t panel = 0; panel < end && first < rows; panel++) {
        int height = panel_height(rows - first);
        if (panel < begin)
            ;
        else if (height == TALL)
            body(Panel<TALL>{first});
        else if (height == MIDDLE)
            body(Panel<MIDDLE>{first});
        else if (height == LOW)
            body(Panel<LOW>{first});
        else
            body(Panel<FLAT>{first});
        first += height;
    }
}

struct Panels {
    ptrdiff_t count = 0, rows = 0; /* rows with the padding of the last panel */

    explicit Panels(ptrdiff_t results)
    {
        for (; rows < results; count++)
            rows += panel_height(results - rows);
    }
};

template <int M>
void pack_panel(float *to, const float *w, ptrdiff_t rows, const Pass &pass, const Axis &down, const Axis &across)
{
    ptrdiff_t taps = down.taps * across.taps;
    if (!pass.backward) { /* a result's weights lie in a run, in the order of the forward pass */
        pack<M>(to, w, pass.result_step, 1, rows, pass.channels * taps);
        return;
    }
    for (ptrdiff_t c = 0; c < pass.channels; c++)
        for (ptrdiff_t r = 0; r < down.taps; r++)
            for (ptrdiff_t s = 0; s < across.taps; s++, to += M) {
                const float *from = w + c * pass.channel_step + down.weight(r) * pass.p.KW + across.weight(s);
#pragma GCC unroll 12
                for (int i = 0; i < M; i++)
                    to[i] = i < rows ? from[i * pass.result_step] : 0.0f;
            }
}

ptrdiff_t packed_size(const Pass &pass)
{
    return pass.p.groups * Panels(pass.results).rows * pass.channels * pass.taps;
}

int pack_weights(float *packed, const float *w, const Pass &pass)
{
    const Panels panels(pass.results);
    ptrdiff_t depth = pass.channels * pass.taps;
    return parallel(pass.p.groups * panels.count, 0, [&](ptrdiff_t task, float *) {
        ptrdiff_t g = task / panels.count, number = task % panels.count;
        each_of_panels(pass.results, number, number + 1, [&](auto panel) {
            constexpr int M = panel.rows;
            float *to = packed + (g * panels.rows + panel.first) * depth;
            const float *from = w + g * pass.group_step + panel.first * pass.result_step;
            for (ptrdiff_t a = 0; a < pass.residues_down; a++)
                for (ptrdiff_t b = 0; b < pass.residues_across; b++) {
                    const Axis down = pass.down(a), across = pass.across(b);
                    pack_panel<M>(to, from, pass.results - panel.first, pass, down, across);
                    to += M * pass.channels * down.taps * across.taps;
                }
        });
    });
}

} // namespace

#endif
