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
    MK_WINOGRAD(KERNEL)                                                                                         \
    MK_POOLING(KERNEL)                                                                                          \
    MK_NORMALIZATION(KERNEL)

/* activation.cpp.  All arrays: (n) */
#define MK_ACTIVATION(KERNEL)                                                                                   \
    KERNEL(int, relu_forward, (float *y, const float *x, ptrdiff_t n))                                          \
    KERNEL(int, relu_backward, (float *gx, const float *gy, const float *y, ptrdiff_t n))

/* winograd.cpp.  x: (N, C, H, W)  w: (K, C, 3, 3), or (C, K, 3, 3) if turned  bias: (K) or NULL  y: (N, K, H, W) */
#define MK_WINOGRAD(KERNEL)                                                                                     \
    KERNEL(ptrdiff_t, winograd_workspace, (ptrdiff_t C, ptrdiff_t K))                                           \
    KERNEL(int, winograd_forward,                                                                               \
           (float *y, const float *x, const float *w, const float *bias, float *workspace, ptrdiff_t N,         \
            ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, ptrdiff_t K, int turned, int with_relu))

/* Window (i, j) holds the pixels (i·SH + p·DH - top, j·SW + q·DW - left), p < KH, q < KW, of an image H x W. */
typedef struct {
    ptrdiff_t H, W, OH, OW, KH, KW, SH, SW, DH, DW, top, bottom, left, right;
} mk_window;

/* max_pooling.cpp, avg_pooling.cpp, adaptive_pooling.cpp.  x: (planes, H, W)  y: (planes, OH, OW); planes = N·C
 * index: of the largest values, as their operations define it; that of max_pool2d is uint8_t if KH·KW <= 256,
 * else int32_t. divisor: 0 if windows are divided by how many pixels they hold, padding counted or not. */
#define MK_POOLING(KERNEL)                                                                                      \
    KERNEL(int, max_pool2d_forward,                                                                             \
           (float *y, void *index, const float *x, ptrdiff_t planes, const mk_window *window))                  \
    KERNEL(int, max_pool2d_backward,                                                                            \
           (float *gx, const float *gy, const void *index, ptrdiff_t planes, const mk_window *window))          \
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
           (float *y, float *mean, float *var, const float *x, const float *w, const float *b,                  \
            float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L, float eps))                                \
    KERNEL(int, batch_norm_backward,                                                                            \
           (float *gx, float *gw, float *gb, const float *gy, const float *x, const float *mean,                \
            const float *var, const float *w, float *workspace, ptrdiff_t N, ptrdiff_t C, ptrdiff_t L,          \
            float eps))                                                                                         \
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
