/* Lines of classes: sums, maxima and exponentials over one dimension of an array.
 *
 * An array (outer, C, inner) has outer * inner lines of C numbers; the position of a line is its place in an
 * array (outer, inner). Long lines whose numbers lie beside each other are walked along, a vector at a time.
 * All others are fetched into a tile, VL of them side by side, and nothing is ever added up across a vector;
 * fetched, also, because numbers that are a power of two apart push each other out of the cache. Both walks
 * are a Line here, and the kernels are written once. */
#ifndef MK_LINES_H
#define MK_LINES_H

#include "reducing.h"
#include "vmath.h"

namespace {

/* The lanes of both, moved on by half, by a quarter, ...: all lanes get the same result. */
template <class Op>
MK_INLINE vec across(vec v, Op op)
{
#pragma GCC unroll 4
    for (int half = VL / 2; half; half /= 2)
        v = op(v, pick(v, v, count_up(half, 1)));
    return v;
}

/* One line whose numbers fill the lanes (Along), or `lines` lines side by side, of which lane j holds line j. */
template <bool Along>
struct Line {
    ptrdiff_t C, lines;
    static constexpr ptrdiff_t class_step = Along ? 1 : VL;

    /* body(i, c, lanes): the vector at i has numbers of class c, or of c and those that follow. */
    template <class Body>
    static MK_INLINE_MEMBER void each(ptrdiff_t begin, ptrdiff_t end, const Body &body)
    {
        if (Along)
            each_vector(begin, end, [&](ptrdiff_t c, ptrdiff_t lanes) MK_INLINE_LAMBDA { body(c, c, lanes); });
        else
            for (ptrdiff_t c = begin; c < end; c++)
                body(c * VL, c, ptrdiff_t(VL));
    }

    template <class Body>
    MK_INLINE_MEMBER void each(const Body &body) const
    {
        each(0, C, body);
    }

    template <class F>
    static MK_INLINE_MEMBER vec chain(ptrdiff_t begin, ptrdiff_t end, const F &f)
    {
        vec total = {};
        each(begin, end, [&](ptrdiff_t i, ptrdiff_t c, ptrdiff_t lanes)
                             MK_INLINE_LAMBDA { total += f(i, c, lanes); });
        return total;
    }

    /* The sum of f(i, c, lanes) over classes 0 to end - 1; of vectors, their lanes are not added up. */
    template <class F>
    static MK_INLINE_MEMBER vec sum_of_vectors(ptrdiff_t end, const F &f)
    {
        const ptrdiff_t most = Along ? CHAIN * VL : CHAIN;
        if (__builtin_expect(end <= 2 * most, 1))
            return chain(0, end, f);
        vec total = {};
        for (ptrdiff_t begin = 0; begin < end; begin += most)
            total += chain(begin, end - begin < most ? end : begin + most, f);
        return total;
    }

    template <class F>
    MK_INLINE_MEMBER vec sum_of(const F &f) const
    {
        return sum(sum_of_vectors(C, f));
    }

    /* Numbers for the sum or the maximum over the lanes: `missing` beyond the line's end. */
    static MK_INLINE_MEMBER vec get(const float *p, ptrdiff_t lanes, float missing)
    {
        vec v = load_lanes(p, lanes);
        return lanes == VL ? v : count_up(0, 1) < static_cast<int32_t>(lanes) ? v : all(missing);
    }

    /* The classes' weights, 1 if there are none; 0 beyond the line's end. */
    static MK_INLINE_MEMBER vec weights(const float *w, ptrdiff_t c, ptrdiff_t lanes)
    {
        if (Along)
            return w ? load_lanes(w + c, lanes) : first_lanes(all(1.0f), lanes);
        return all(w ? w[c] : 1.0f);
    }

    /* Lane j is a number of line j: the same, in all lanes that hold numbers of the line. */
    static MK_INLINE_MEMBER vec of_lines(vec v) { return Along ? all(v[0]) : v; }

    static MK_INLINE_MEMBER vec sum(vec v)
    {
        return Along ? across(v, [](vec a, vec b) { return a + b; }) : v;
    }

    static MK_INLINE_MEMBER vec largest(vec v)
    {
        return Along ? across(v, [](vec a, vec b) { return vmax(a, b); }) : v;
    }

    /* The largest number; NaN may get lost, it shows up in the sum of exponentials. */
    MK_INLINE_MEMBER vec top(const float *x) const
    {
        vec top = all(-INF);
        each([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes)
                 MK_INLINE_LAMBDA { top = vmax(get(x + i, lanes, -INF), top); });
        return largest(top);
    }

    struct Exponentials {
        vec sum, tail; /* the vector at the end of the line, if it is not full: too fresh in memory to be read */
    };

    /* y = exp(x - top), and the sum of them. */
    MK_INLINE_MEMBER Exponentials exponentials(float *y, const float *x, vec top) const
    {
        const ptrdiff_t rest = Along ? C % VL : 0;
        const vec total = sum_of_vectors(C - rest, [&](ptrdiff_t i, ptrdiff_t, ptrdiff_t) MK_INLINE_LAMBDA {
            const vec e = vexp(load(x + i) - top);
            store(y + i, e);
            return e;
        });
        const vec tail = rest ? vexp(get(x + C - rest, rest, -INF) - top) : (vec){};
        return {sum(total + tail), tail};
    }

    /* y = softmax(x), the exponentials in y already. */
    MK_INLINE_MEMBER void divide(float *y, const Exponentials &e) const
    {
        vec factor = 1.0f / e.sum;
        each([&](ptrdiff_t i, ptrdiff_t, ptrdiff_t lanes)
                 MK_INLINE_LAMBDA { store_lanes(y + i, (lanes == VL ? load(y + i) : e.tail) * factor, lanes); });
    }
};

/* `count` lines in memory, and as tiles: VL lines are C vectors, one after the other. */
struct Tiles {
    ptrdiff_t C, count, class_step, line_step;

    void fetch(float *tiles, const float *from) const
    {
        if (line_step == 1)
            for (ptrdiff_t c = 0; c < C; c++)
                each_vector(0, count, [&](ptrdiff_t j, ptrdiff_t lanes) MK_INLINE_LAMBDA {
                    store(tiles + j * C + c * VL, load_lanes(from + c * class_step + j, lanes));
                });
        else
            for (ptrdiff_t j = 0; j < count; j++)
                for (ptrdiff_t c = 0; c < C; c++)
                    tiles[(j - j % VL) * C + c * VL + j % VL] = from[j * line_step + c * class_step];
    }

    void put(float *to, const float *tiles) const
    {
        if (line_step == 1)
            for (ptrdiff_t c = 0; c < C; c++)
                each_vector(0, count, [&](ptrdiff_t j, ptrdiff_t lanes) MK_INLINE_LAMBDA {
                    store_lanes(to + c * class_step + j, load(tiles + j * C + c * VL), lanes);
                });
        else
            for (ptrdiff_t j = 0; j < count; j++)
                for (ptrdiff_t c = 0; c < C; c++)
                    to[j * line_step + c * class_step] = tiles[(j - j % VL) * C + c * VL + j % VL];
    }
};

/* body(line, y, a, b, position) for all lines of arrays (outer, C, inner): y is made of a and b, or of a
 * alone if b is NULL. */
template <class Body>
int each_line(ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, float *y, const float *a, const float *b,
              const Body &body)
{
    ptrdiff_t numbers = C > 0 ? C : 1;
    if (inner == 1 && C > 2 * VL)
        return each_chunk(outer, 1 + CHUNK / numbers, [&](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
            for (ptrdiff_t i = begin; i < end; i++)
                body(Line<true>{C, 1}, y + i * C, a + i * C, b ? b + i * C : nullptr, i);
        });
    ptrdiff_t images = inner == 1 ? 1 : outer, lines = inner == 1 ? outer : inner; /* rows are one image's lines */
    ptrdiff_t class_step = inner, line_step = inner == 1 ? C : 1;
    ptrdiff_t together = numbers < CHUNK / (8 * VL) ? 8 * VL : VL; /* lines at a time: what fits into the cache */
    ptrdiff_t groups = chunks(lines, together), size = together * C;
    ptrdiff_t per_task = 1 + CHUNK / (together * numbers);
    auto take_group = [&](ptrdiff_t i, float *scratch) {
        ptrdiff_t first = i % groups * together, rest = lines - first, image = i / groups;
        ptrdiff_t at = image * C * inner + first * line_step;
        Tiles tiles{C, rest < together ? rest : together, class_step, line_step};
        tiles.fetch(scratch + size, a + at);
        if (b)
            tiles.fetch(scratch + 2 * size, b + at);
        for (ptrdiff_t j = 0; j < tiles.count; j += VL) {
            float *tile = scratch + j * C;
            Line<false> line{C, tiles.count - j < VL ? tiles.count - j : VL};
            body(line, tile, tile + size, tile + 2 * size, image * lines + first + j);
        }
        tiles.put(y + at, scratch);
    };
    return parallel(chunks(images * groups, per_task), 3 * size * sizeof(float), [&](ptrdiff_t task, float *scratch) {
        for (ptrdiff_t i = task * per_task; i < (task + 1) * per_task && i < images * groups; i++)
            take_group(i, scratch);
    });
}

} // namespace

#endif
