/* Windows of pooling: which pixels they hold, and rows laid out so that one tap of all windows is a vector. */
#ifndef MK_WINDOWS_H
#define MK_WINDOWS_H

#include "mk.h"
#include "runs.h"

namespace {

enum { TASK_PIXELS = 16384 }; /* that a task takes, about: its share of the arrays stays in the second-level cache */

MK_INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
MK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
MK_INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
MK_INLINE ptrdiff_t whole_vectors(ptrdiff_t n) { return ceil_div(n, VL) * VL; }

/* How many pieces of so many pixels make a task. */
MK_INLINE ptrdiff_t pieces_of_task(ptrdiff_t pixels) { return larger(1, TASK_PIXELS / larger(1, pixels)); }

/* -- vectors of indices: uint8 or int32 in memory, int32 in registers ---------------------------------- */

typedef uint8_t byte_vec __attribute__((vector_size(VL)));
typedef uint8_t loose_byte_vec __attribute__((vector_size(VL), aligned(1), may_alias));

MK_INLINE ivec get_indices(const uint8_t *p, ptrdiff_t n)
{
    if (n >= VL)
        return __builtin_convertvector((byte_vec) * (const loose_byte_vec *)p, ivec);
#if VL == 16
    return __builtin_convertvector((byte_vec)_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p), ivec);
#else
    ivec v = {};
    for (ptrdiff_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
#endif
}

MK_INLINE void put_indices(uint8_t *p, ivec v, ptrdiff_t n)
{
    byte_vec bytes = __builtin_convertvector(v, byte_vec);
    if (n >= VL)
        *(loose_byte_vec *)p = bytes;
    else
        for (ptrdiff_t i = 0; i < n; i++)
            p[i] = bytes[i];
}

MK_INLINE ivec get_indices(const int32_t *p, ptrdiff_t n) { return (ivec)load_some((const float *)p, n); }
MK_INLINE void put_indices(int32_t *p, ivec v, ptrdiff_t n) { store_some((float *)p, (vec)v, n); }

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

/* The last `size` rows of some kind: row r is in the place of row r - size. */
struct Ring {
    float *rows;
    ptrdiff_t size, floats;
    float *operator[](ptrdiff_t r) const { return rows + r % size * floats; }
    void fill(float value) const
    {
        for (ptrdiff_t i = 0; i < size * floats; i++)
            rows[i] = value;
    }
};

/* -- rows by their taps ---------------------------------------------------------------------------------- */

/* A row of pixels with its padding, taken apart by the stride S into phases:
 *
 *     staged[phase][k] = pixel[k·S + phase - left]
 *
 * Tap q of the windows j, j + 1, ... then stands at staged[offset(q) + j], + 1, ... */
struct Phases {
    ptrdiff_t W, S, left, width; /* width: of a phase, in floats */

    Phases(const mk_window &w) : W(w.W), S(w.SW), left(w.left)
    {
        ptrdiff_t read = (w.KW - 1) * w.DW / S + whole_vectors(w.OW), written = (W - 1 + left) / S + 1;
        width = ceil_div(larger(read, written), 16) * 16;
    }

    ptrdiff_t floats() const { return S * width; }
    ptrdiff_t offset(ptrdiff_t pixel) const { return pixel % S * width + pixel / S; }

    MK_INLINE_MEMBER void stage(float *staged, const float *row) const
    {
        if (S == 1)
            each_vector(W, [&](ptrdiff_t i, auto part) { part.put(staged + left + i, part.get(row + i)); });
        else if (S == 2) {
            float *even = staged + offset(left), *odd = staged + offset(left + 1);
            for (ptrdiff_t m = 0, rest = W; rest > 0; m += VL, rest -= 2 * VL) {
                vec a = load_some(row + 2 * m, rest), b = load_some(row + 2 * m + VL, rest - VL);
                store_some(even + m, evens(a, b), (rest + 1) / 2);
                store_some(odd + m, odds(a, b), rest / 2);
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

/* The adjoint. A row of gradients of windows, with zeros on both sides: the pixels of a phase meet their
 * taps q at staged[k - offset of q], k = (pixel + left) / S, so that they too are vectors. */
struct Spread {
    ptrdiff_t W, S, left, OW, before, floats;
    ptrdiff_t *starts, *taps; /* the taps of phase f: taps[starts[f]] up to taps[starts[f + 1]] */

    Spread(const mk_window &w) : W(w.W), S(w.SW), left(w.left), OW(w.OW), before((w.KW - 1) * w.DW / w.SW)
    {
        floats = whole_vectors(before + larger(OW, (W - 1 + left) / S + 1)) + VL;
    }

    static size_t table_bytes(const mk_window &w) { return Parts::bytes(w.SW + 1 + w.KW, sizeof(ptrdiff_t)); }

    void make_table(ptrdiff_t *table, const mk_window &w)
    {
        starts = table;
        taps = table + S + 1;
        ptrdiff_t count = 0;
        for (ptrdiff_t phase = 0; phase < S; phase++) {
            starts[phase] = count;
            for (ptrdiff_t q = 0; q < w.KW; q++)
                if (q * w.DW % S == phase)
                    taps[count++] = q;
        }
        starts[S] = count;
    }

    /* One row of pixels, where gradients(phase, k) tells those of the pixels k, k + 1, ... of a phase. */
    template <class Gradients>
    MK_INLINE_MEMBER void join(float *row, Gradients gradients) const
    {
        if (S == 1)
            for (ptrdiff_t m = 0; m < W; m += VL)
                store_some(row + m, gradients(0, m + left), W - m);
        else if (S == 2)
            for (ptrdiff_t m = 0, rest = W; rest > 0; m += VL, rest -= 2 * VL) {
                vec even = gradients(left % 2, m + left / 2), odd = gradients((left + 1) % 2, m + (left + 1) / 2);
                store_some(row + 2 * m, zip_low(even, odd), rest);
                store_some(row + 2 * m + VL, zip_high(even, odd), rest - VL);
            }
        else
            for (ptrdiff_t a = 0; a < smaller(S, W); a++)
                for (ptrdiff_t m = 0, s = a; s < W; m += VL) {
                    float lanes[VL];
                    store(lanes, gradients((a + left) % S, m + (a + left) / S));
                    for (int lane = 0; lane < VL && s < W; lane++, s += S)
                        row[s] = lanes[lane];
                }
    }
};

} // namespace

#endif
