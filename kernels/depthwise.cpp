/* Depthwise convolution: each channel has one kernel of its own, groups = C = K.
 *
 * There is no sum over channels, so no product of matrices: memory decides the speed. A channel is copied into
 * a plane with a border (conv.h), then results are summed in vectors of neighbouring pixels, four rows at once. */
#include "conv.h"
#include "mk.h"
#include "parallel.h"
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
            accumulate(sums, EvenColumns{weights, 1, 0}, OffsetRows{plane + i * pitch + j, offsets}, pitch, taps);
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
void add_taps(float *sums, const float *gy, const float *plane, const ptrdiff_t *offsets, ptrdiff_t rows, ptrdiff_t columns,
              ptrdiff_t pitch)
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

} // namespace

ptrdiff_t MK(depthwise_workspace)(const mk_conv *p) { return 2 * p->KH * p->KW; }

int MK(depthwise_forward)(float *y, const float *x, const float *w, const float *bias, float *workspace, const mk_conv *p,
                          int with_relu)
{
    return correlate(y, x, w, bias, workspace, with_relu, p->N, p->C, p->KW, p->KH * p->KW,
                     forward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h),
                     forward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w));
}

int MK(depthwise_backward_data)(float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p)
{
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
    const Axis down = forward_axis(p->H, p->OH, p->KH, p->stride_h, p->pad_top, p->dilation_h);
    const Axis across = forward_axis(p->W, p->OW, p->KW, p->stride_w, p->pad_left, p->dilation_w);
    const Planes planes(down, across, p->OH);
    ptrdiff_t *offsets = reinterpret_cast<ptrdiff_t *>(workspace), taps = p->KH * p->KW;
    planes.find_taps(offsets, 1, planes.pitch, 0);
    return parallel(p->C, plane_floats(planes) * sizeof(float), [&](ptrdiff_t c, float *scratch) {
        float *to = gw + c * taps;
        for (ptrdiff_t t = 0; t < taps; t++)
            to[t] = 0.0f;
        for (ptrdiff_t n = 0; n < p->N; n++) {
            const float *gradient = gy + (n * p->C + c) * p->OH * p->OW;
            planes.fill(scratch, x + (n * p->C + c) * p->H * p->W, 1, 0);
            ptrdiff_t t = 0;
            for (; t + 9 <= taps; t += 9)
                add_taps<9>(to + t, gradient, scratch, offsets + t, p->OH, p->OW, planes.pitch);
            for (; t < taps; t++)
                add_taps<1>(to + t, gradient, scratch, offsets + t, p->OH, p->OW, planes.pitch);
        }
    });
}
