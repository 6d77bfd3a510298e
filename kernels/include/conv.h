/* The geometry of direct convolution: taps and pixels along an axis, and planes that pixels are copied to. */
#ifndef MK_CONV_H
#define MK_CONV_H

#include "mk.h"
#include "simd.h"

namespace {

MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* One axis of a correlation: result i is a sum over taps t of the input at  i * stride + at + t * at_step,
 * times the weight  weight0 + t * weight_step,  and lies at  start + i * step  of the output. */
struct Axis {
    ptrdiff_t taps, weight0, weight_step;
    ptrdiff_t at, at_step, stride, input;
    ptrdiff_t count, start, step, output;

    ptrdiff_t weight(ptrdiff_t t) const { return weight0 + t * weight_step; }
    ptrdiff_t first() const { return at + (at_step < 0 ? (taps - 1) * at_step : 0); } /* input of result 0 */
    ptrdiff_t span() const { return (taps - 1) * (at_step < 0 ? -at_step : at_step); }
    ptrdiff_t moved(ptrdiff_t t) const { return at + t * at_step - first(); }
    ptrdiff_t reach() const { return span() / stride; } /* further pixels that the last result needs */
    ptrdiff_t phases() const { return taps == 1 || at_step % stride == 0 ? 1 : stride; }
    bool is_empty() const { return taps == 0 || count == 0; }
    bool lies_inside() const { return stride == 1 && first() >= 0 && first() + count - 1 + span() < input; }
};

inline Axis forward_axis(ptrdiff_t input, ptrdiff_t output, ptrdiff_t taps, ptrdiff_t stride, ptrdiff_t padding,
                         ptrdiff_t dilation)
{
    return {taps, 0, 1, -padding, dilation, stride, input, output, 0, 1, output};
}

/* The inputs x of the forward pass whose padded position is `residue` modulo the stride. No taps: no gradient. */
inline Axis backward_axis(ptrdiff_t input, ptrdiff_t output, ptrdiff_t taps, ptrdiff_t stride, ptrdiff_t padding,
                          ptrdiff_t dilation, ptrdiff_t residue)
{
    ptrdiff_t first = 0, next; /* taps whose distance from the first pixel leaves this residue */
    while (first < taps && first * dilation % stride != residue)
        first++;
    for (next = first + 1; next < taps && next * dilation % stride != residue;)
        next++;
    ptrdiff_t weight_step = next - first;
    ptrdiff_t some = first < taps ? ceil_div(taps - first, weight_step) : 0;
    ptrdiff_t before = padding - residue; /* the padded position is m * stride + residue */
    ptrdiff_t m = before > 0 ? ceil_div(before, stride) : -(-before / stride);
    ptrdiff_t start = m * stride + residue - padding;
    ptrdiff_t count = start < input ? (input - 1 - start) / stride + 1 : 0;
    return {some,   first, weight_step, m - (first * dilation - residue) / stride, -weight_step * dilation / stride, 1,
            output, count, start,       stride,                                    input};
}

/* Whether no pixel of the images lies between the taps: else some gradients are 0 and nothing writes them. */
inline bool every_pixel_has_a_tap(const mk_conv &p)
{
    return p.KH >= p.stride_h && p.KW >= p.stride_w && p.dilation_h == 1 && p.dilation_w == 1;
}

/* Planes of a channel, for `rows` rows of results: for each phase of the stride one, with zeros at the border. */
struct Planes {
    const Axis &down, &across;
    ptrdiff_t rows, height, pitch;

    Planes(const Axis &down, const Axis &across, ptrdiff_t rows)
        : down(down), across(across), rows(rows), height(rows + down.reach()), pitch(across.count + across.reach())
    {
    }

    ptrdiff_t phases() const { return down.phases() * across.phases(); }
    ptrdiff_t size() const { return phases() * height * pitch; }

    /* Whether the images can stand for the planes: no border, no stride, and in each block of rows enough
     * pixels to fill a vector; `before` rows lie before the last block. */
    bool lies_inside(ptrdiff_t before) const
    {
        ptrdiff_t pixels = (down.count - before - 1) * across.input + across.count;
        return down.lies_inside() && across.lies_inside() && pixels >= VL;
    }

    /* offsets[c, tap] = where the pixel under the tap lies, from the pixel of the result on. */
    void find_taps(ptrdiff_t *offsets, ptrdiff_t channels, ptrdiff_t row_step, ptrdiff_t channel_step) const
    {
        for (ptrdiff_t c = 0; c < channels; c++)
            for (ptrdiff_t r = 0; r < down.taps; r++)
                for (ptrdiff_t s = 0; s < across.taps; s++) {
                    ptrdiff_t y = down.moved(r), x = across.moved(s);
                    ptrdiff_t phase = y % down.stride * across.phases() + x % across.stride;
                    *offsets++ = c * channel_step + phase * height * pitch + y / down.stride * row_step + x / across.stride;
                }
    }

    /* The planes of all channels of an image, for results from row `first` on. */
    void fill(float *to, const float *x, ptrdiff_t channels, ptrdiff_t first) const
    {
        for (ptrdiff_t c = 0; c < channels; c++, x += down.input * across.input)
            for (ptrdiff_t a = 0; a < down.phases(); a++)
                for (ptrdiff_t b = 0; b < across.phases(); b++)
                    for (ptrdiff_t i = 0; i < height; i++, to += pitch) {
                        ptrdiff_t y = down.first() + (first + i) * down.stride + a;
                        fill_row(to, y >= 0 && y < down.input ? x + y * across.input : nullptr, across.first() + b);
                    }
    }

    /* to[j] = row[start + j * stride], zero outside of the row. */
    void fill_row(float *to, const float *row, ptrdiff_t start) const
    {
        ptrdiff_t stride = across.stride, begin = start < 0 ? ceil_div(-start, stride) : 0;
        ptrdiff_t end = row && start < across.input ? smaller(pitch, (across.input - 1 - start) / stride + 1) : 0;
        ptrdiff_t j = 0;
        for (; j < smaller(begin, pitch); j++)
            to[j] = 0.0f;
        if (stride == 1)
            for (; j < end; j++)
                to[j] = row[start + j];
        else if (stride == 2)
            for (; j < end; j++)
                to[j] = row[start + j * 2];
        else
            for (; j < end; j++)
                to[j] = row[start + j * stride];
        for (; j < pitch; j++)
            to[j] = 0.0f;
    }
};

} // namespace

#endif
