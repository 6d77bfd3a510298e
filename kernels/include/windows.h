/* Windows of pooling: which pixels they hold, and rows laid out so that one tap of all windows is a vector. */
#ifndef MK_WINDOWS_H
#define MK_WINDOWS_H

#include "mk.h"
#include "runs.h"

namespace {

enum { TASK_PIXELS = 16384 }; /* that a task takes, about: its share of the arrays stays in the second-level cache */

MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* a / b, a not negative. Most strides are 1 or 2, and the CPU's own division takes longer than a row's work. */
MK_INLINE ptrdiff_t over(ptrdiff_t a, ptrdiff_t b) { return b == 1 ? a : b == 2 ? a >> 1 : a / b; }
MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return over(a + b - 1, b); }
MK_INLINE ptrdiff_t whole_vectors(ptrdiff_t n) { return ceil_div(n, VL) * VL; }

/* How many pieces of so many pixels make a task. */
MK_INLINE ptrdiff_t pieces_of_task(ptrdiff_t pixels) { return larger(1, TASK_PIXELS / larger(1, pixels)); }

/* -- vectors of indices: uint8 or int32 in memory, int32 in registers ---------------------------------- */

MK_INLINE ivec get_indices(const uint8_t *p, ptrdiff_t n) { return load_bytes_first(p, n < VL ? n : VL); }
MK_INLINE void put_indices(uint8_t *p, ivec v, ptrdiff_t n) { store_bytes_first(p, v, n < VL ? n : VL); }
MK_INLINE ivec get_indices(const int32_t *p, ptrdiff_t n) { return (ivec)load_some((const float *)p, n); }
MK_INLINE void put_indices(int32_t *p, ivec v, ptrdiff_t n) { store_some((float *)p, (vec)v, n); }

/* Whether a lane is NaN. May say so of infinities, too. */
MK_INLINE bool has_nan(vec v)
{
#if VL == 16
    return _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q) != 0;
#elif VL == 8
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256)v, _CMP_UNORD_Q)) != 0;
#else
    const float total = sum(v);
    return total != total;
#endif
}

/* -- memory of a task ------------------------------------------------------------------------------------ */

/* Parts of a task's scratch memory, each a multiple of a cache line. */
struct Parts {
    char *next;

    static constexpr size_t bytes(ptrdiff_t items, size_t size) { return (items * size + 63) / 64 * 64; }

    template <class T>
    T *take(ptrdiff_t items)
    {
        T *part = reinterpret_cast<T *>(next);
        next += bytes(items, sizeof(T));
        return part;
    }
};

/* The last few rows of some kind: row r is in the place of row r - size. What was stored cannot be loaded at
 * another offset for a while, so rows are put here one step before they are needed. */
struct Ring {
    float *rows;
    ptrdiff_t size, floats; /* size: a power of two */

    static ptrdiff_t size_for(ptrdiff_t rows)
    {
        ptrdiff_t size = 1;
        while (size < rows)
            size *= 2;
        return size;
    }

    float *operator[](ptrdiff_t r) const { return rows + (r & (size - 1)) * floats; }
    void fill(float value) const { set_run(rows, size * floats, value); }
};

/* -- rows by their taps ---------------------------------------------------------------------------------- */

/* body(plane, row, is_first) for the rows begin .. end - 1 of all planes' rows; is_first: the one before is not
 * of this task and plane. */
template <class Body>
MK_INLINE void each_row(ptrdiff_t begin, ptrdiff_t end, ptrdiff_t rows, Body body)
{
    ptrdiff_t plane = begin / rows, row = begin % rows;
    for (ptrdiff_t t = begin; t < end; t++) {
        body(plane, row, t == begin || row == 0);
        if (++row == rows) {
            row = 0;
            plane++;
        }
    }
}

/* The taps p, begin <= p < end, of windows in row i that meet the image. */
struct Taps {
    ptrdiff_t first, begin, end; /* first: the row of tap 0 */

    Taps(const mk_window &w, ptrdiff_t i) : first(i * w.SH - w.top)
    {
        begin = first < 0 ? ceil_div(-first, w.DH) : 0;
        end = smaller(w.KH, ceil_div(w.H - first, w.DH));
    }
};

/* The rows of windows that may hold pixels of row r. */
struct Holders {
    ptrdiff_t begin, end;

    Holders(const mk_window &w, ptrdiff_t r)
    {
        const ptrdiff_t reach = r + w.top - (w.KH - 1) * w.DH;
        begin = reach > 0 ? ceil_div(reach, w.SH) : 0;
        end = smaller(over(r + w.top, w.SH) + 1, w.OH);
    }

    static ptrdiff_t most(const mk_window &w) { return smaller((w.KH - 1) * w.DH / w.SH + 1, w.OH); }
};

/* A row of pixels with its padding, taken apart by the stride S into phases:
 *
 *     staged[phase][k] = pixel[k·S + phase - left]
 *
 * Tap q of the windows j, j + 1, ... then stands at staged[offset(q) + j], + 1, ... */
struct Phases {
    ptrdiff_t W, S, left, width; /* width: of a phase, in floats */

    Phases(const mk_window &w) : W(w.W), S(w.SW), left(w.left)
    {
        const ptrdiff_t read = (w.KW - 1) * w.DW / S + whole_vectors(w.OW);
        const ptrdiff_t written = (left + S - 1) / S + whole_vectors((W + S - 1) / S);
        width = ceil_div(larger(read, written), 16) * 16;
    }

    ptrdiff_t floats() const { return S * width; }
    ptrdiff_t offset(ptrdiff_t pixel) const { return (pixel - over(pixel, S) * S) * width + over(pixel, S); }

    /* Whole vectors are stored, with `fill` behind the row's end: parts of one could not be loaded at once. */
    MK_INLINE_MEMBER void stage(float *staged, const float *row, float fill) const
    {
        if (S == 1)
            for (ptrdiff_t m = 0; m < W; m += VL) {
                prefetch(row + m, 1);
                store(staged + left + m, load_filled(row + m, W - m, fill));
            }
        else if (S == 2) {
            float *even = staged + offset(left), *odd = staged + offset(left + 1);
            for (ptrdiff_t m = 0, rest = W; rest > 0; m += VL, rest -= 2 * VL) {
                prefetch(row + 2 * m, 2);
                vec a = load_filled(row + 2 * m, rest, fill), b = load_filled(row + 2 * m + VL, rest - VL, fill);
                store(even + m, evens(a, b));
                store(odd + m, odds(a, b));
            }
        } else
            for (ptrdiff_t s = 0, phase = left % S, k = left / S; s < W; s++) {
                staged[phase * width + k] = row[s];
                if (++phase == S) {
                    phase = 0;
                    k++;
                }
            }
    }
};

/* The adjoint, for S = 1 or 2. A row of gradients of windows has zeros on both sides: the pixels of a phase
 * meet their tap q at gradients[k - q·D / S], k = (pixel + left) / S, so that they too are vectors. */
struct Spread {
    ptrdiff_t W, S, D, K, left, before, floats;

    Spread(const mk_window &w) : W(w.W), S(w.SW), D(w.DW), K(w.KW), left(w.left), before((w.KW - 1) * w.DW / w.SW)
    {
        floats = whole_vectors(before + larger(w.OW, (W - 1 + left) / S + 1)) + VL;
    }

    /* body(q, from) for the taps of a phase: where the gradients of the pixels k, k + 1, ... start.
     * THREE: K = 3 and D = 1 */
    template <bool THREE, class Body>
    MK_INLINE_MEMBER void each_tap(ptrdiff_t phase, ptrdiff_t k, Body body) const
    {
        const ptrdiff_t last = THREE ? 3 : K, step = THREE ? 1 : D;
#pragma GCC unroll 3
        for (ptrdiff_t q = 0; q < last; q++)
            if (S == 1 || (q * step & 1) == phase)
                body(q, k - (S == 1 ? q * step : q * step >> 1));
    }

    /* One row of pixels, where of(phase, k) tells the gradients of the pixels k, k + 1, ... of a phase. */
    template <class Of>
    MK_INLINE_MEMBER void join(float *row, Of of) const
    {
        if (S == 1)
            for (ptrdiff_t m = 0; m < W; m += VL)
                store_some(row + m, of(0, m + left), W - m);
        else
            for (ptrdiff_t m = 0, rest = W; rest > 0; m += VL, rest -= 2 * VL) {
                vec even = of(left & 1, m + (left >> 1)), odd = of((left + 1) & 1, m + ((left + 1) >> 1));
                store_some(row + 2 * m, zip_low(even, odd), rest);
                store_some(row + 2 * m + VL, zip_high(even, odd), rest - VL);
            }
    }
};

} // namespace

#endif
