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
    MK_TRANSCENDENTAL(KERNEL)                                                                                   \
    MK_PROBABILITY(KERNEL)                                                                                      \
    MK_LOSS(KERNEL)                                                                                             \
    MK_DISTANCE(KERNEL)                                                                                         \
    MK_REGULARIZATION(KERNEL)                                                                                   \
    MK_WINOGRAD(KERNEL)

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

/* winograd.cpp.  x: (N, C, H, W)  w: (K, C, 3, 3), or (C, K, 3, 3) if turned  bias: (K) or NULL  y: (N, K, H, W) */
#define MK_WINOGRAD(KERNEL)                                                                                     \
    KERNEL(ptrdiff_t, winograd_workspace, (ptrdiff_t C, ptrdiff_t K))                                           \
    KERNEL(int, winograd_forward,                                                                               \
           (float *y, const float *x, const float *w, const float *bias, float *workspace, ptrdiff_t N,         \
            ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K, int turned, int with_relu))

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
