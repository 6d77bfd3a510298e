/* Copies of the channels of an image, in which the pixels under a tap lie at one distance from those of the results.
 *
 * Either a channel is copied once, with a border of zeros; with a stride it is taken apart into phases, in which the
 * pixels under a tap are neighbours again. Or there is a copy for each column tap: moved by it, with only the columns
 * that it meets. Then the results  p = row * count + column  are neighbours from row to row, and so are the pixels
 * under a tap: vectors need not end with a row, whatever its width. */
#ifndef MK_COPIES_H
#define MK_COPIES_H

#include "conv.h"

namespace {

struct Range {
    ptrdiff_t begin, end;
};

/* The i < count with 0 <= start + i * step < limit. */
MK_INLINE Range inside(ptrdiff_t start, ptrdiff_t step, ptrdiff_t count, ptrdiff_t limit)
{
    ptrdiff_t begin = larger(-start, 0), end = larger(limit - start, 0);
    if (step > 1) { /* divisions are slow */
        begin = ceil_div(begin, step);
        end = ceil_div(end, step);
    }
    begin = smaller(begin, count);
    return {begin, larger(begin, smaller(end, count))};
}

/* Rows are filled in the order of their addresses, so that what vectors write beyond a row is overwritten. */
MK_INLINE void clear(float *to, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j += VL)
        store(to + j, (vec){});
}

struct Copies {
    enum { SPARE = 4 * VL }; /* numbers behind the copies that vectors may touch */

    Axis across;
    bool of_taps; /* or of the phases of the stride */
    ptrdiff_t input, stride, phases, top, height; /* top: the first row of the image for results of row 0 */
    ptrdiff_t pitch, copies, copy, size;          /* floats of a row, of one copy, and from channel to channel */

    /* For `rows` rows of results, whose taps reach from row `top` to row `bottom` of the image. */
    Copies(const Axis &across, bool of_taps, ptrdiff_t rows, ptrdiff_t input, ptrdiff_t stride, ptrdiff_t phases,
           ptrdiff_t top, ptrdiff_t bottom)
        : across(across), of_taps(of_taps || across.taps == 0), input(input), stride(stride), phases(phases),
          top(top), height(rows + (bottom - top) / stride),
          pitch(across.count + (this->of_taps ? 0 : across.reach())),
          copies(this->of_taps ? across.taps : across.phases()), copy(phases * height * pitch)
    {
        ptrdiff_t vectors = ceil_div(copies * copy, VL);
        size = (vectors + 1 - vectors % 2) * VL; /* an odd number: channels share all sets of the cache */
    }

    Copies(const Axis &down, const Axis &across, bool of_taps, ptrdiff_t rows)
        : Copies(across, of_taps, rows, down.input, down.stride, down.phases(), down.first(),
                 down.first() + down.span())
    {
    }

    /* offsets[c, tap] = where the pixel under the tap lies, from p on. Returns the end of the table. */
    ptrdiff_t *find_taps(ptrdiff_t *offsets, const Axis &down, ptrdiff_t channels) const
    {
        ptrdiff_t taps = down.taps * across.taps;
        for (ptrdiff_t r = 0; r < down.taps; r++)
            for (ptrdiff_t s = 0; s < across.taps; s++) {
                ptrdiff_t y = down.at + r * down.at_step - top, x = across.moved(s);
                ptrdiff_t column = of_taps ? s * copy : x % across.stride * copy + x / across.stride;
                offsets[r * across.taps + s] = (y % stride * height + y / stride) * pitch + column;
            }
        for (ptrdiff_t i = taps; i < channels * taps; i++)
            offsets[i] = offsets[i - taps] + size;
        return offsets + channels * taps;
    }

    /* The copies of all channels, for results from row `first` on; writes SPARE floats more at most. */
    void fill(float *to, const float *x, ptrdiff_t channels, ptrdiff_t first) const
    {
        for (ptrdiff_t c = 0; c < channels; c++, x += input * across.input, to += size) {
            for (ptrdiff_t b = 0; b < copies; b++)
                for (ptrdiff_t a = 0; a < phases; a++)
                    fill_rows(to + b * copy + a * height * pitch, x, top + first * stride + a,
                              of_taps ? across.at + b * across.at_step : across.first() + b);
            clear(to + copies * copy, size - copies * copy);
        }
    }

private:
    /* What is asked for before it is needed is two channels ahead: a page further, the CPU does not foresee it. */
    ptrdiff_t ahead() const { return 2 * input * across.input; }

    void fill_rows(float *to, const float *x, ptrdiff_t y, ptrdiff_t shift) const
    {
        Range rows = inside(y, stride, height, input), columns = inside(shift, across.stride, pitch, across.input);
        clear(to, rows.begin * pitch);
        if (stride == 1 && across.stride == 1 && pitch == across.input)
            copy_run(to + rows.begin * pitch, x, (y + rows.begin) * pitch + shift, rows.end - rows.begin, columns);
        else
            copy_rows(to, x + y * across.input + shift, rows, columns);
        clear(to + rows.end * pitch, (height - rows.end) * pitch);
    }

    /* Rows that follow each other in the image too are one run. What it takes from neighbouring rows is cleared. */
    void copy_run(float *to, const float *x, ptrdiff_t start, ptrdiff_t rows, Range columns) const
    {
        ptrdiff_t n = rows * pitch, begin = -start, end = input * across.input - start;
        for (ptrdiff_t j = 0; j < n; j += VL) {
            const float *from = x + start + j;
            __builtin_prefetch(from + ahead());
            bool whole = begin <= j && j + VL <= end;
            store(to + j, whole ? load(from) : load_lanes(from, lanes_between(begin - j, end - j)));
        }
        clear_columns(to, rows, columns.begin);
        clear_columns(to + columns.end, rows, pitch - columns.end);
    }

    void clear_columns(float *to, ptrdiff_t rows, ptrdiff_t n) const
    {
        for (; n > VL; n -= VL, to += VL)
            for (ptrdiff_t i = 0; i < rows; i++)
                store(to + i * pitch, (vec){});
        if (n > 0)
            for (ptrdiff_t i = 0; i < rows; i++)
                store_first(to + i * pitch, (vec){}, n);
    }

    /* Vector by vector, the last of all rows first: so what it writes beyond its row is overwritten. */
    void copy_rows(float *to, const float *from, Range rows, Range columns) const
    {
        if (across.stride > 2)
            return copy_numbers(to, from, rows, columns);
        for (ptrdiff_t j = (pitch - 1) / VL * VL; j >= 0; j -= VL)
            if (across.stride == 1)
                copy_vectors(to + j, from + j, rows, lanes_between(columns.begin - j, columns.end - j));
            else
                copy_evens(to + j, from + 2 * j, rows, 2 * (columns.begin - j), 2 * (columns.end - j) - 1);
    }

    void copy_vectors(float *to, const float *from, Range rows, Lanes lanes) const
    {
        for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
            const float *row = from + i * stride * across.input;
            __builtin_prefetch(row + ahead());
            store(to + i * pitch, load_lanes(row, lanes));
        }
    }

    void copy_evens(float *to, const float *from, Range rows, ptrdiff_t begin, ptrdiff_t end) const
    {
        const Lanes low = lanes_between(begin, end), high = lanes_between(begin - VL, end - VL);
        for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
            const float *row = from + i * stride * across.input;
            __builtin_prefetch(row + ahead());
            __builtin_prefetch(row + VL + ahead());
            store(to + i * pitch, evens(load_lanes(row, low), load_lanes(row + VL, high)));
        }
    }

    void copy_numbers(float *to, const float *from, Range rows, Range columns) const
    {
        for (ptrdiff_t i = rows.begin; i < rows.end; i++)
            for (ptrdiff_t j = 0; j < pitch; j++) {
                bool there = j >= columns.begin && j < columns.end;
                to[i * pitch + j] = there ? from[i * stride * across.input + j * across.stride] : 0.0f;
            }
    }
};

} // namespace

#endif
