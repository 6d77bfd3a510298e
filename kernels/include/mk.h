/* The C interface: every kernel there is, once. From this list come the prototypes, the table of a CPU
 * level, and its filling (level.cpp).
 *
 * Rules: outputs first; no checks (minicnn/backends/native/ and the Cython layer made them); sizes are
 * ptrdiff_t; arrays are C-contiguous float32 and do not overlap; an optional array may be NULL. A kernel
 * that needs memory takes a workspace, whose size in floats <kernel>_workspace tells, or scratch from
 * parallel(); then it returns -1 if that could not be had and nothing was computed, else 0. */
#ifndef MK_H
#define MK_H

#include <stddef.h>
#include <stdint.h>

#define MK_KERNELS(KERNEL)                                                                                      \
    MK_ACTIVATION(KERNEL)                                                                                       \
    MK_BIAS(KERNEL)                                                                                             \
    MK_ELEMENTWISE(KERNEL)                                                                                      \
    MK_IMAGES(KERNEL)                                                                                           \
    MK_CONV(KERNEL)                                                                                             \
    MK_DEPTHWISE(KERNEL)                                                                                        \
    MK_WINOGRAD(KERNEL)                                                                                         \
    MK_ROOF(KERNEL)                                                                                             \
    MK_DENSE(KERNEL)                                                                                            \
    MK_GEMM(KERNEL)                                                                                             \
    MK_UPDATE(KERNEL)                                                                                           \
    MK_TRANSCENDENTAL(KERNEL)                                                                                   \
    MK_PROBABILITY(KERNEL)                                                                                      \
    MK_LOSS(KERNEL)                                                                                             \
    MK_DISTANCE(KERNEL)                                                                                         \
    MK_REGULARIZATION(KERNEL)                                                                                   \
    MK_POOLING(KERNEL)                                                                                          \
    MK_NORMALIZATION(KERNEL)

/* A function of each element.  All arrays: (n)  saved: x or y  a, b: the parameters of those that have some */
#define MK_MAP(KERNEL, name)                                                                                    \
    KERNEL(int, name##_forward, (float *y, const float *x, ptrdiff_t n, float a, float b))                      \
    KERNEL(int, name##_backward, (float *gx, const float *gy, const float *saved, ptrdiff_t n, float a, float b))

/* activation.cpp */
#define MK_ACTIVATION(KERNEL)                                                                                   \
    MK_MAP(KERNEL, relu)                                                                                        \
    MK_MAP(KERNEL, leaky_relu)                                                                                  \
    MK_MAP(KERNEL, hardtanh)                                                                                    \
    MK_MAP(KERNEL, elu)                                                                                         \
    MK_MAP(KERNEL, sigmoid)                                                                                     \
    MK_MAP(KERNEL, tanh)                                                                                        \
    MK_MAP(KERNEL, softplus)                                                                                    \
    MK_MAP(KERNEL, silu)                                                                                        \
    MK_MAP(KERNEL, gelu)                                                                                        \
    MK_MAP(KERNEL, gelu_tanh)

/* transcendental.cpp */
#define MK_TRANSCENDENTAL(KERNEL)                                                                               \
    MK_MAP(KERNEL, exp)                                                                                         \
    MK_MAP(KERNEL, log)

/* probability.cpp.  All arrays: (outer, C, inner), the classes in the middle */
#define MK_PROBABILITY(KERNEL)                                                                                  \
    KERNEL(int, softmax_forward, (float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner))     \
    KERNEL(int, softmax_backward,                                                                               \
           (float *gx, const float *gy, const float *y, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner))         \
    KERNEL(int, log_softmax_forward, (float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)) \
    KERNEL(int, log_softmax_backward,                                                                           \
           (float *gx, const float *gy, const float *y, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner))

/* loss.cpp: what the letters mean, and the shapes, stand there.  reduction: 0 none, 1 mean, 2 sum */
#define MK_LOSS(KERNEL)                                                                                         \
    KERNEL(int, cross_entropy_forward,                                                                          \
           (float *loss, float *total, float *losses, float *weights, float *p, const float *x,                 \
            const int64_t *target, const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner,               \
            int64_t ignore_index, float smoothing, int reduction))                                              \
    KERNEL(int, cross_entropy_backward,                                                                         \
           (float *gx, const float *gy, const float *p, const int64_t *target, const float *w, float total,     \
            ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, float smoothing,               \
            int reduction))                                                                                     \
    KERNEL(int, nll_loss_forward,                                                                               \
           (float *loss, float *total, float *losses, float *weights, const float *x, const int64_t *target,    \
            const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index,                \
            int reduction))                                                                                     \
    KERNEL(int, nll_loss_backward,                                                                              \
           (float *gx, const float *gy, const int64_t *target, const float *w, float total, ptrdiff_t outer,    \
            ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, int reduction))

/* distance.cpp.  x, target, w, pos_weight: (n)  y, gy: (n), or (1) of a mean or a sum */
#define MK_DIFFERENCE(KERNEL, name)                                                                             \
    KERNEL(int, name##_forward,                                                                                 \
           (float *y, const float *x, const float *target, ptrdiff_t n, int reduction, float delta))            \
    KERNEL(int, name##_backward,                                                                                \
           (float *gx, const float *gy, const float *x, const float *target, ptrdiff_t n, int reduction,        \
            float delta))
#define MK_DISTANCE(KERNEL)                                                                                     \
    MK_DIFFERENCE(KERNEL, l1_loss)                                                                              \
    MK_DIFFERENCE(KERNEL, mse_loss)                                                                             \
    MK_DIFFERENCE(KERNEL, huber_loss)                                                                           \
    KERNEL(int, bce_forward,                                                                                    \
           (float *y, const float *x, const float *target, const float *w, const float *pos_weight,             \
            ptrdiff_t n, int reduction))                                                                        \
    KERNEL(int, bce_backward,                                                                                   \
           (float *gx, const float *gy, const float *x, const float *target, const float *w,                    \
            const float *pos_weight, ptrdiff_t n, int reduction))                                               \
    KERNEL(int, bce_target_backward,                                                                            \
           (float *gt, const float *gy, const float *x, const float *w, const float *pos_weight, ptrdiff_t n,   \
            int reduction))

/* regularization.cpp.  y, x: (n, inner)  kept: (n)  generator: state and increment, upper half first */
#define MK_REGULARIZATION(KERNEL)                                                                               \
    KERNEL(int, dropout_mask, (uint8_t *kept, const uint64_t *generator, float p, ptrdiff_t n))                 \
    KERNEL(int, dropout_apply,                                                                                  \
           (float *y, const float *x, const uint8_t *kept, float scale, ptrdiff_t n, ptrdiff_t inner))

/* elementwise.cpp.  All arrays: (n); z may be x */
#define MK_ELEMENTWISE(KERNEL)                                                                                  \
    KERNEL(int, add, (float *z, const float *x, const float *y, ptrdiff_t n))                                   \
    KERNEL(int, sub, (float *z, const float *x, const float *y, ptrdiff_t n))                                   \
    KERNEL(int, mul, (float *z, const float *x, const float *y, ptrdiff_t n))                                   \
    KERNEL(int, add_number, (float *z, const float *x, float number, ptrdiff_t n))                              \
    KERNEL(int, sub_from_number, (float *z, const float *x, float number, ptrdiff_t n))                         \
    KERNEL(int, mul_number, (float *z, const float *x, float number, ptrdiff_t n))

/* images.cpp.  look_up: y: (N, C, P)  x: (N, P, C), or (N, C, P) if planar  table: (C, 256)
 * crop: y: (N, h, w, C)  x: (N, H, W, C)  corners: (N, 2), top and left  fill: (C)
 * warp: y, x: (N, H, W, C)  maps: (N, 6)  fill: (C) */
#define MK_IMAGES(KERNEL)                                                                                       \
    KERNEL(int, look_up,                                                                                        \
           (float *y, const uint8_t *x, const float *table, ptrdiff_t N, ptrdiff_t C, ptrdiff_t P, int planar)) \
    KERNEL(int, crop,                                                                                           \
           (uint8_t *y, const uint8_t *x, const int64_t *corners, const uint8_t *fill, ptrdiff_t N,             \
            ptrdiff_t h, ptrdiff_t w, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C))                                   \
    KERNEL(int, warp,                                                                                           \
           (uint8_t *y, const uint8_t *x, const int64_t *maps, const uint8_t *fill, ptrdiff_t N, ptrdiff_t H,   \
            ptrdiff_t W, ptrdiff_t C))

/* bias.cpp.  gy, y, masked: (N, K, P)  gb: (K)  column_sums: x: (rows, columns) */
#define MK_BIAS(KERNEL)                                                                                         \
    KERNEL(int, bias_gradient,                                                                                  \
           (float *gb, float *masked, const float *gy, const float *y, ptrdiff_t N, ptrdiff_t K, ptrdiff_t P))  \
    KERNEL(int, column_sums, (float *y, const float *x, ptrdiff_t rows, ptrdiff_t columns))

/* conv.cpp.  x: (N, C, H, W)  w: (K, C / groups, KH, KW)  bias: (K) or NULL  y: (N, K, OH, OW)
 * Padding at the bottom and the right is what OH and OW say; it may be negative, as all padding.
 * packed: the weights as conv_run reads them, conv_packed_size floats, for any N and number of threads.
 * residual: as y, or NULL.  y = convolution + bias + residual, then max(0, y) if with_relu */
typedef struct {
    ptrdiff_t N, C, H, W, K, KH, KW, OH, OW;
    ptrdiff_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
} mk_conv;

#define MK_CONV(KERNEL)                                                                                         \
    KERNEL(ptrdiff_t, conv_packed_size, (const mk_conv *p))                                                     \
    KERNEL(int, conv_pack, (float *packed, const float *w, const mk_conv *p))                                   \
    KERNEL(int, conv_run,                                                                                       \
           (float *y, const float *x, const float *packed, const float *bias, const float *residual,            \
            const mk_conv *p, int with_relu))                                                                   \
    KERNEL(ptrdiff_t, conv_data_workspace, (const mk_conv *p))                                                  \
    KERNEL(int, conv_backward_data,                                                                             \
           (float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p))                    \
    KERNEL(ptrdiff_t, conv_gradient_workspace, (const mk_conv *p))                                              \
    KERNEL(int, conv_weight_gradient,                                                                           \
           (float *gw, const float *gy, const float *x, float *workspace, const mk_conv *p))

/* depthwise.cpp.  As conv.cpp, with groups = C = K. */
#define MK_DEPTHWISE(KERNEL)                                                                                    \
    KERNEL(ptrdiff_t, depthwise_workspace, (const mk_conv *p))                                                  \
    KERNEL(int, depthwise_forward,                                                                              \
           (float *y, const float *x, const float *w, const float *bias, float *workspace, const mk_conv *p,    \
            int with_relu))                                                                                     \
    KERNEL(int, depthwise_backward_data,                                                                        \
           (float *gx, const float *gy, const float *w, float *workspace, const mk_conv *p))                    \
    KERNEL(int, depthwise_weight_gradient,                                                                      \
           (float *gw, const float *gy, const float *x, float *workspace, const mk_conv *p))

/* winograd.cpp.  x: (N, C, H, W)  w: (K, C, 3, 3), or (C, K, 3, 3) if turned  bias: (K) or NULL  y: (N, K, H, W)
 * residual: as y, added before the ReLU, or NULL */
#define MK_WINOGRAD(KERNEL)                                                                                     \
    KERNEL(ptrdiff_t, winograd_packed_size, (ptrdiff_t C, ptrdiff_t K))                                         \
    KERNEL(void, winograd_pack, (float *packed, const float *w, ptrdiff_t C, ptrdiff_t K, int turned))          \
    KERNEL(int, winograd_run,                                                                                   \
           (float *y, const float *x, const float *packed, const float *bias, const float *residual,            \
            ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K, int with_relu))                    \
    KERNEL(ptrdiff_t, winograd_gradient_workspace,                                                              \
           (ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K))                                   \
    KERNEL(int, winograd_weight_gradient,                                                                       \
           (float *gw, const float *gy, const float *x, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t H, \
            ptrdiff_t W, ptrdiff_t K))

/* roof.cpp.  All arrays: (n), aligned to 64 bytes, n a multiple of 64 */
#define MK_ROOF(KERNEL)                                                                                         \
    KERNEL(ptrdiff_t, roof_fma, (ptrdiff_t steps))                                                              \
    KERNEL(int, roof_copy, (float *y, const float *x, ptrdiff_t n, ptrdiff_t repeats, int streaming))           \
    KERNEL(int, roof_fill, (float *y, ptrdiff_t n, ptrdiff_t repeats, int streaming))                           \
    KERNEL(int, roof_read, (const float *x, ptrdiff_t n, ptrdiff_t repeats))

/* gemm.cpp.  An operand is a batch of matrices with any distances, in floats, between its numbers. */
typedef struct {
    const float *at;
    ptrdiff_t row, column, matrix;
} mk_matrix;

/* a: (batch, m, k)  b: (batch, k, n)  bias: (m) if it is one of rows, else (n), or NULL  c: (batch, m, n)
 * c = [c if add +] a b + bias, then max(0, c) if with_relu */
#define MK_GEMM(KERNEL)                                                                                         \
    KERNEL(int, gemm,                                                                                           \
           (float *c, const mk_matrix *a, const mk_matrix *b, const float *bias, ptrdiff_t batch, ptrdiff_t m,  \
            ptrdiff_t n, ptrdiff_t k, int bias_of_rows, int with_relu, int add))

/* dense.cpp.  x: (rows, inputs)  w: (outputs, inputs), packed  bias: (outputs) or NULL  y: (rows, outputs) */
#define MK_DENSE(KERNEL)                                                                                        \
    KERNEL(ptrdiff_t, dense_packed_size, (ptrdiff_t inputs, ptrdiff_t outputs))                                 \
    KERNEL(void, dense_pack, (float *packed, const float *w, ptrdiff_t inputs, ptrdiff_t outputs))              \
    KERNEL(int, dense_run,                                                                                      \
           (float *y, const float *x, const float *packed, const float *bias, ptrdiff_t rows, ptrdiff_t inputs, \
            ptrdiff_t outputs, int with_relu))

/* update.cpp.  A parameter, its gradient, and what the rule keeps of it: arrays of (length). `first` is the sum
 * of the lengths before it in the table. What state and factor are stands with each kernel. */
typedef struct {
    float *param;
    const float *grad;
    float *state[2];
    ptrdiff_t first, length;
    float factor[2];
} mk_parameter;

#define MK_UPDATE(KERNEL)                                                                                       \
    KERNEL(int, sgd_update,                                                                                     \
           (const mk_parameter *table, ptrdiff_t count, float lr, float momentum, float l2, int nesterov,       \
            int maximize))                                                                                      \
    KERNEL(int, adam_update,                                                                                    \
           (const mk_parameter *table, ptrdiff_t count, float fresh1, float beta2, float fresh2, float eps,     \
            float l2, float keep, int maximize))

/* Window (i, j) holds the pixels (i·SH + p·DH - top, j·SW + q·DW - left), p < KH, q < KW, of an image H x W. */
typedef struct {
    ptrdiff_t H, W, OH, OW, KH, KW, SH, SW, DH, DW, top, bottom, left, right;
} mk_window;

/* max_pooling.cpp, avg_pooling.cpp, adaptive_pooling.cpp.  x: (planes, H, W)  y: (planes, OH, OW); planes = N·C
 * index: of the largest values, as their operations define it; that of max_pool2d is uint8_t if KH·KW <= 256,
 * else int32_t. with_relu: of max(0, x); then the backward pass takes y, else NULL. divisor: 0 if windows are
 * divided by how many pixels they hold, padding counted or not. */
#define MK_POOLING(KERNEL)                                                                                      \
    KERNEL(int, max_pool2d_forward,                                                                             \
           (float *y, void *index, const float *x, ptrdiff_t planes, const mk_window *window, int with_relu))   \
    KERNEL(int, max_pool2d_backward,                                                                            \
           (float *gx, const float *gy, const float *y, const void *index, ptrdiff_t planes,                    \
            const mk_window *window))                                                                           \
    KERNEL(int, avg_pool2d_forward,                                                                             \
           (float *y, const float *x, ptrdiff_t planes, const mk_window *window, int with_padding,              \
            float divisor))                                                                                     \
    KERNEL(int, avg_pool2d_backward,                                                                            \
           (float *gx, const float *gy, ptrdiff_t planes, const mk_window *window, int with_padding,            \
            float divisor))                                                                                     \
    KERNEL(int, adaptive_avg_pool2d_forward,                                                                    \
           (float *y, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH, ptrdiff_t OW))  \
    KERNEL(int, adaptive_avg_pool2d_backward,                                                                   \
           (float *gx, const float *gy, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH,               \
            ptrdiff_t OW))                                                                                      \
    KERNEL(int, adaptive_max_pool2d_forward,                                                                    \
           (float *y, int64_t *index, const float *x, ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t OH, \
            ptrdiff_t OW))                                                                                      \
    KERNEL(int, adaptive_max_pool2d_backward,                                                                   \
           (float *gx, const float *gy, const int64_t *index, ptrdiff_t planes, ptrdiff_t pixels,               \
            ptrdiff_t windows))

/* batch_norm.cpp, group_norm.cpp.  x, y: (N, C, L)  w, b: (C)  mean, var: (C), of a group norm (N, G)
 * w, b NULL: 1 and 0. gx, gw, gb NULL: not wanted. Layer normalization is a group norm of (rows, M, 1). */
#define MK_NORMALIZATION(KERNEL)                                                                                \
    KERNEL(ptrdiff_t, batch_norm_workspace, (ptrdiff_t N, ptrdiff_t C, ptrdiff_t L))                            \
    KERNEL(int, batch_norm_forward,                                                                             \
           (float *y, float *mean, float *var, const float *x, const float *w, const float *b, const float *z,  \
            float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps, int with_relu))                 \
    KERNEL(int, batch_norm_backward,                                                                            \
           (float *gx, float *gw, float *gb, float *gz, const float *gy, const float *y, const float *x,        \
            const float *mean, const float *var, const float *w, const float *b, float *workspace, ptrdiff_t N, \
            ptrdiff_t C, ptrdiff_t L, float eps, int nothing_added))                                            \
    KERNEL(int, batch_norm_inference_forward,                                                                   \
           (float *y, const float *x, const float *mean, const float *var, const float *w, const float *b,      \
            ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps))                                                  \
    KERNEL(int, batch_norm_inference_backward,                                                                  \
           (float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,                \
            const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,          \
            float eps))                                                                                         \
    KERNEL(int, group_norm_forward,                                                                             \
           (float *y, float *mean, float *var, const float *x, const float *w, const float *b, ptrdiff_t N,     \
            ptrdiff_t C, ptrdiff_t L, ptrdiff_t G, float eps))                                                  \
    KERNEL(ptrdiff_t, group_norm_workspace, (ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, ptrdiff_t G))               \
    KERNEL(int, group_norm_backward,                                                                            \
           (float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,                \
            const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,          \
            ptrdiff_t G, float eps))

#ifdef __cplusplus
extern "C" {
#endif

#define MK_MEMBER(result, name, arguments) result(*name) arguments;
typedef struct {
    const char *level; /* "avx512", "avx2" or "baseline" */
    MK_KERNELS(MK_MEMBER)
} mk_table;
#undef MK_MEMBER

/* The kernels of a CPU level, the best that this CPU has if level is NULL; NULL if it does not have it. */
const mk_table *mk_choose(const char *level);

/* The kernels in use. */
extern const mk_table *mk;

/* Each family is compiled once for each level; its functions carry the level's name. */
#ifdef MK_LEVEL
#define MK_JOIN(name, level) mk_##name##_##level
#define MK_EXPAND(name, level) MK_JOIN(name, level)
#define MK(name) MK_EXPAND(name, MK_LEVEL)
#define MK_PROTOTYPE(result, name, arguments) result MK(name) arguments;
MK_KERNELS(MK_PROTOTYPE)
#undef MK_PROTOTYPE
#endif

#ifdef __cplusplus
}
#endif

#endif
