/* Depthwise convolution: each channel has one kernel of its own, groups = C = K.
 *
 * There is no sum over channels, so no product of matrices: memory decides the speed. With the usual kernels, 3x3
 * and 5x5 at stride 1 and 2, rows roll through registers (rolling.h). For all others a channel is copied into a
 * plane with a border (conv.h), then results are summed in vectors of neighbouring pixels, four rows at once. */
#include "conv.h"
#include "mk.h"
#include "parallel.h"
#include "rolling.h"
#include "tile.h"

namespace {

enum { ROWS = 4, SPARE = VL }; /* rows at once; numbers that vectors at the end of a plane may touch */

/* A plane with as many rows more as the last vectors of results may touch. */
MK_INLINE ptrdiff_t plane_floats(const Planes &planes) { return planes.size() + (ROWS - 1) * planes.pitch + SPARE; }

MK_INLINE void put_row(float *y, ptrdiff_t step, vec v, ptrdiff_t pixels)
{
    if (step == 1 && pixels >= VL) {
        store(y, v);
        return;
    }
    if (step == 1) {
        store_first(y, v, pixels);
        return;
    }
    float lanes[VL];
    store(lanes, v);
    for (ptrdiff_t i = 0; i < smaller(pixels, VL); i++)
        y[i * step] = lanes[i];
}

/* y = the correlation of one plane with the taps' weights. */
void correlate_plane(float *y, const float *plane, const float *weights, const ptrdiff_t *offsets, const Axis &down,
                     const Axis &across, ptrdiff_t pitch, float bias, bool with_relu)
{
    ptrdiff_t taps = down.taps * across.taps;
    for (ptrdiff_t i = 0; i < down.count; i += ROWS)
        for (ptrdiff_t j = 0; j < across.count; j += VL) {
            vec sums[1][ROWS] = {};
            accumulate_in_chains(sums, EvenColumns{weights, 1, 0}, OffsetRows{plane + i * pitch + j, offsets}, pitch,
                                 taps);
            for (ptrdiff_t r = 0; r < ROWS && i + r < down.count; r++) {
                vec v = sums[0][r] + bias;
                float *to = y + (down.start + (i + r) * down.step) * across.output + across.start + j * across.step;
                put_row(to, across.step, with_relu ? relu(v) : v, across.count - j);
            }
        }
}

int correlate(float *y, const float *x, const float *w, const float *bias, float *workspace, bool with_relu, ptrdiff_t N,
              ptrdiff_t C, ptrdiff_t width, ptrdiff_t size, const Axis &down, const Axis &across)
{
    const Planes planes(down, across, down.count);
    ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(workspace);
    planes.find_taps(offsets, 1, planes.pitch, 0);
    ptrdiff_t taps = down.taps * across.taps, floats = plane_floats(planes);
    return parallel(N * C, (floats + taps) * sizeof(float), [&](ptrdiff_t plane, float *scratch) {
        ptrdiff_t c = plane % C;
        float *weights = scratch + floats;
        for (ptrdiff_t r = 0; r < down.taps; r++)
            for (ptrdiff_t s = 0; s < across.taps; s++)
                weights[r * across.taps + s] = w[c * size + down.weight(r) * width + across.weight(s)];
        planes.fill(scratch, x + plane * down.input * across.input, 1, 0);
        correlate_plane(y + plane * down.output * across.output, scratch, weights, offsets, down, across, planes.pitch,
                        bias ? bias[c] : 0.0f, with_relu);
    });
}

/* sums[t] += the products of gy with the plane under tap t, for T taps. */
template <int T>
void add_taps(double *sums, const float *gy, const float *plane, const ptrdiff_t *offsets, ptrdiff_t rows,
              ptrdiff_t columns, ptrdiff_t pitch)
{
    vec total[T] = {};
    for (ptrdiff_t i = 0; i < rows; i++, gy += columns, plane += pitch) {
        ptrdiff_t j = 0;
        for (; j + VL <= columns; j += VL) {
            vec g = load(gy + j);
#pragma GCC unroll 16
            for (int t = 0; t < T; t++)
                total[t] += g * load(plane + j + offsets[t]);
        }
        if (j < columns) {
            vec g = load_first(gy + j, columns - j);
#pragma GCC unroll 16
            for (int t = 0; t < T; t++)
                total[t] += g * load_first(plane + j + offsets[t], columns - j);
        }
    }
    for (int t = 0; t < T; t++)
        sums[t] += sum(total[t]);
}

/* -- rows that roll --------------------------------------------------------------------------------------- */

enum { TASK_PIXELS = 16384, TASK_CHANNELS = 32 }; /* that a task takes, about, and at most */

MK_INLINE bool rolls(const mk_conv &p)
{
    return p.KH == p.KW && (p.KW == 3 || p.KW == 5) && p.stride_h == p.stride_w && p.stride_w <= 2 &&
           p.dilation_h == 1 && p.dilation_w == 1;
}

/* body(plane) for all planes. */
template <class Body>
int each_plane(ptrdiff_t planes, ptrdiff_t pixels, const Body &body)
{
    const ptrdiff_t at_once = larger(1, TASK_PIXELS / larger(1, pixels));
    return parallel(ceil_div(planes, at_once), 0, [&](ptrdiff_t task, float *) {
        const Body own = body; /* a copy, which the compiler can keep in registers */
        for (ptrdiff_t plane = task * at_once; plane < smaller((task + 1) * at_once, planes); plane++)
            own(plane);
    });
}

/* From planes of inputs to planes of results: what is read begins `top` rows and `left` columns before them. */
struct Pass {
    ptrdiff_t N, C, H, W, OH, OW, top, left;
};

template <int K>
MK_INLINE void load_weights(vec (&weights)[K * K], const float *w, bool turned)
{
#pragma GCC unroll 25
    for (int t = 0; t < K * K; t++)
        weights[t] = all(w[turned ? K * K - 1 - t : t]);
}

/* y = the correlation with the weights of each channel, `turned` by half a turn for the adjoint. */
template <int K, int S, class Layout>
int correlate(float *y, const float *x, const float *w, const float *bias, bool turned, bool with_relu,
              const Pass &pass)
{
    const Layout layout(pass.H, pass.W, pass.OW, pass.top, pass.left);
    return each_plane(pass.N * pass.C, pass.H * pass.W, [=](ptrdiff_t plane) MK_INLINE_LAMBDA {
        const ptrdiff_t c = plane % pass.C, H = pass.OH, W = pass.OW;
        const float *from = x + plane * pass.H * pass.W;
        float *to = y + plane * H * W;
        const vec plus = all(bias ? bias[c] : 0.0f);
        vec weights[K * K];
        load_weights<K>(weights, w + c * K * K, turned);
        for (ptrdiff_t j = 0; j < W; j += VL) {
            const Layout part = layout.at(j);
            roll<K, S * Layout::ROWS, 1>(
                ceil_div(H, Layout::ROWS),
                [&](vec(&v)[K], ptrdiff_t row) MK_INLINE_LAMBDA { return part.take(v, from, row, FAR); },
                [&](vec(&sums)[1], const vec(&v)[K], int r) MK_INLINE_LAMBDA {
#pragma GCC unroll 5
                    for (int s = 0; s < K; s++)
                        sums[0] += weights[r * K + s] * v[s];
                },
                [&](ptrdiff_t g, const vec(&sums)[1]) MK_INLINE_LAMBDA {
                    const vec v = sums[0] + plus;
                    part.put(to + g * Layout::ROWS * W + j, with_relu ? relu(v) : v, H - g * Layout::ROWS);
                });
        }
    });
}

/* The adjoint at stride 2. Of each square of 2x2 pixels, pixel (a, b) takes the taps r, s whose r + ODD and s + ODD
 * leave a and b modulo 2, from the T x T gradients that the square meets; ODD: whether the padding is. */
template <int K, int ODD, class Layout>
int spread(float *gx, const float *gy, const float *w, const Pass &pass)
{
    enum { T = (K + 1) / 2 };
    const Layout layout(pass.H, pass.W, ceil_div(pass.OW, 2), pass.top, pass.left);
    return each_plane(pass.N * pass.C, pass.OH * pass.OW, [=](ptrdiff_t plane) MK_INLINE_LAMBDA {
        const ptrdiff_t H = pass.OH, W = pass.OW;
        const float *from = gy + plane * pass.H * pass.W;
        float *to = gx + plane * H * W;
        vec weights[K * K];
        load_weights<K>(weights, w + plane % pass.C * K * K, false);
        for (ptrdiff_t j = 0; 2 * j < W; j += VL) {
            const Layout part = layout.at(j);
            roll<T, Layout::ROWS, 4>(
                ceil_div(H, 2 * Layout::ROWS),
                [&](vec(&v)[T], ptrdiff_t row) MK_INLINE_LAMBDA { return part.take(v, from, row, FAR); },
                [&](vec(&sums)[4], const vec(&v)[T], int row) MK_INLINE_LAMBDA {
#pragma GCC unroll 25
                    for (int t = 0; t < K * K; t++) {
                        const int r = t / K + ODD, s = t % K + ODD; /* from the square's first pixel on */
                        if (r / 2 == T - 1 - row)
                            sums[r % 2 * 2 + s % 2] += weights[t] * v[T - 1 - s / 2];
                    }
                },
                [&](ptrdiff_t g, const vec(&sums)[4]) MK_INLINE_LAMBDA {
                    const ptrdiff_t row = g * 2 * Layout::ROWS;
                    part.put_squares(to + row * W + 2 * j, W, sums, W - 2 * j, H - row);
                });
        }
    });
}

/* gw = the sum of the products of gy with what lies under each tap. */
template <int K, int S, class Layout>
int gradient(float *gw, const float *gy, const float *x, const Pass &pass)
{
    const Layout layout(pass.H, pass.W, pass.OW, pass.top, pass.left);
    const ptrdiff_t at_once = larger(1, smaller(TASK_CHANNELS, pass.C / 8));
    const size_t bytes = at_once * K * K * (sizeof(vec) + sizeof(double));
    return parallel(ceil_div(pass.C, at_once), bytes, [&](ptrdiff_t task, float *scratch) {
        const Pass p = pass;
        const Layout own = layout;
        const ptrdiff_t first = task * at_once, last = smaller(first + at_once, p.C), taps = (last - first) * K * K;
        const ptrdiff_t images = larger(1, CHAIN * VL / larger(1, p.OW)); /* whose sums a lane adds up */
        vec *totals = reinterpret_cast<vec *>(scratch);
        double *sums = reinterpret_cast<double *>(totals + taps);
        for (ptrdiff_t t = 0; t < taps; t++) {
            totals[t] = (vec){};
            sums[t] = 0.0;
        }
        const ptrdiff_t ahead = ceil_div(FAR, larger(1, p.H * p.W)); /* planes */
        for (ptrdiff_t chain = 0; chain < p.N; chain += images) {
            for (ptrdiff_t n = chain; n < smaller(chain + images, p.N); n++)
                for (ptrdiff_t c = first; c < last; c++) { /* planes in the order of memory */
                    const ptrdiff_t step = ahead + (c + ahead < last ? 0 : p.C - (last - first));
                    const float *from = x + (n * p.C + c) * p.H * p.W, *of = gy + (n * p.C + c) * p.OH * p.OW;
                    for (ptrdiff_t j = 0; j < p.OW; j += VL) {
                        const Layout part = own.at(j);
                        roll_back<K, S * Layout::ROWS>(
                            totals + (c - first) * K * K, ceil_div(p.OH, Layout::ROWS),
                            [&](vec(&v)[K], ptrdiff_t row) MK_INLINE_LAMBDA {
                                return part.take(v, from, row, step * p.H * p.W);
                            },
                            [&](ptrdiff_t g) MK_INLINE_LAMBDA {
                                const ptrdiff_t row = g * Layout::ROWS;
                                return part.get(of + row * p.OW + j, p.OH - row, step * p.OH * p.OW);
                            });
                    }
                }
            for (ptrdiff_t t = 0; t < taps; t++) {
                sums[t] += sum(totals[t]);
                totals[t] = (vec){};
            }
        }
        for (ptrdiff_t t = 0; t < taps; t++)
            gw[first * K * K + t] = static_cast<float>(sums[t]);
    });
}

template <int N>
struct Number {
    constexpr operator int() const { return N; }
};

/* call(K, S) with constants: the size of the kernel, 3 or 5, and the stride, 1 or 2. */
template <class Call>
int with_constants(ptrdiff_t K, ptrdiff_t S, Call call)
{
    if (K == 3)
        return S == 1 ? call(Number<3>{}, Number<1>{}) : call(Number<3>{}, Number<2>{});
    return S == 1 ? call(Number<5>{}, Number<1>{}) : call(Number<5>{}, Number<2>{});
}

template <int K, int S>
int correlate(float *y, const float *x, const float *w, const float *bias, bool turned, bool with_relu, const Pass &p)
{
    if (Pair<K, S>::fits(p.W, p.OW))
        return correlate<K, S, Pair<K, S>>(y, x, w, bias, turned, with_relu, p);
    return correlate<K, S, Strip<K, S>>(y, x, w, bias, turned, with_relu, p);
}

template <int K, int ODD>
int spread(float *gx, const float *gy, const float *w, const Pass &p)
{
    enum { T = (K + 1) / 2 };
    if (Pair<T, 1>::fits(p.W, ceil_div(p.OW, 2)))
        return spread<K, ODD, Pair<T, 1>>(gx, gy, w, p);
    return spread<K, ODD, Strip<T, 1>>(gx, gy, w, p);
}

int rolling_forward(float *y, const float *x, const float *w, const float *bias, bool with_relu, const mk_conv &p)
{
    const Pass pass{p.N, p.C, p.H, p.W, p.OH, p.OW, p.pad_top, p.pad_left};
    return with_constants(p.KW, p.stride_w, [&](auto K, auto S) {
        return correlate<K, S>(y, x, w, bias, false, with_relu, pass);
    });
}

int rolling_backward_data(float *gx, const float *gy, const float *w, const mk_conv &p)
{
    return with_constants(p.KW, p.stride_w, [&](auto K, auto S) {
        if constexpr (S == 1)
            return correlate<K, S>(gx, gy, w, nullptr, true, false,
                                   {p.N, p.C, p.OH, p.OW, p.H, p.W, K - 1 - p.pad_top, K - 1 - p.pad_left});
        const ptrdiff_t odd = p.pad_left & 1, before = (K - 1) / 2 - odd;
        const Pass pass{p.N,    p.C, p.OH, p.OW, p.H, p.W, before - (p.pad_top - odd) / 2,
                        before - (p.pad_left - odd) / 2};
        return odd ? spread<K, 1>(gx, gy, w, pass) : spread<K, 0>(gx, gy, w, pass);
    });
}

int rolling_weight_gradient(float *gw, const float *gy, const float *x, const mk_conv &p)
{
    const Pass pass{p.N, p.C, p.H, p.W, p.OH, p.OW, p.pad_top, p.pad_left};
    return with_constants(p.KW, p.stride_w, [&](auto K, auto S) {
        if (Pair<K, S>::fits(p.W, p.OW))
            return gradient<K, S, Pair<K, S>>(gw, gy, x, pass);
        return gradient<K, S, Strip<K, S>>(gw, gy, x, pass);
    });
}

} // namespace

ptrdiff_t MK(depthwise_workspace)(const mk_conv *p) { return 2 * p->KH * p->KW; }

int MK(depthwise_forward)(float *y, const float *x, const float *w, const float *bias, float *workspace, const mk_conv *p,
                          int with_relu)
{
    if (rolls(*p))
        return rolling_forward(y, x, w, bias, with_relu, *p);
    return correlate(y, x, w, bias, workspace, with_relu, p->N, p->C, p->KW, p->KH * p->KW,
                     forward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h),
                     forward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w));
}

int MK(depthwise_backward_data)(float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p)
{
    if (rolls(*p) && (p->stride_w == 1 || (p->pad_top - p->pad_left) % 2 == 0))
        return rolling_backward_data(gx, gy, w, *p);
    if (!every_pixel_has_a_tap(*p))
        for (ptrdiff_t i = 0; i < p->N * p->C * p->H * p->W; i++)
            gx[i] = 0.0f;
    for (ptrdiff_t a = 0; a < p->stride_h; a++)
        for (ptrdiff_t b = 0; b < p->stride_w; b++) {
            const Axis down = backward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h, a);
            const Axis across = backward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w, b);
            if (down.is_empty() || across.is_empty())
                continue;
            if (correlate(gx, gy, w, nullptr, workspace, false, p->N, p->C, p->KW, p->KH * p->KW, down, across))
                return -1;
        }
    return 0;
}

int MK(depthwise_weight_gradient)(float *gw, const float *gy, const float *x, float *workspace, const mk_conv *p)
{
    if (rolls(*p) && p->OH <= 4 * CHAIN) /* there a lane adds up a column */
        return rolling_weight_gradient(gw, gy, x, *p);
    const Axis down = forward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h);
    const Axis across = forward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w);
    const Planes planes(down, across, p->OH);
    ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(workspace), taps = p->KH * p->KW;
    planes.find_taps(offsets, 1, planes.pitch, 0);
    ptrdiff_t floats = ceil_div(plane_floats(planes), 2) * 2, rows = larger(1, CHAIN * VL / larger(1, p->OW));
    return parallel(p->C, floats * sizeof(float) + taps * sizeof(double), [&](ptrdiff_t c, float *scratch) {
        double *sums = reinterpret_cast<double *>(scratch + floats);
        for (ptrdiff_t t = 0; t < taps; t++)
            sums[t] = 0.0;
        for (ptrdiff_t n = 0; n < p->N; n++) {
            planes.fill(scratch, x + (n * p->C + c) * p->H * p->W, 1, 0);
            for (ptrdiff_t i = 0; i < p->OH; i += rows) {
                const float *gradient = gy + ((n * p->C + c) * p->OH + i) * p->OW;
                const float *plane = scratch + i * planes.pitch;
                ptrdiff_t t = 0, here = smaller(rows, p->OH - i);
                for (; t + 9 <= taps; t += 9)
                    add_taps<9>(sums + t, gradient, plane, offsets + t, here, p->OW, planes.pitch);
                for (; t < taps; t++)
                    add_taps<1>(sums + t, gradient, plane, offsets + t, here, p->OW, planes.pitch);
            }
        }
        for (ptrdiff_t t = 0; t < taps; t++)
            gw[c * taps + t] = static_cast<float>(sums[t]);
    });
}
