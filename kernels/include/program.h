/* A program: kernels called one after another on images, for a network whose weights do not change any more.
 *
 * Images are computed in chunks. The results within a chunk lie in buffers of one arena, small enough for the
 * second-level cache; the threads take chunks, or share the kernels where there is one chunk only. */
#ifndef MK_PROGRAM_H
#define MK_PROGRAM_H

#include "mk.h"

typedef enum {
    MK_DO_CONV,         /* x: (C, H, W)  z: the residual  w: packed */
    MK_DO_WINOGRAD,     /* the same */
    MK_DO_DEPTHWISE,    /* spare: its workspace */
    MK_DO_DENSE,        /* x: (size[2], size[0])  y: (size[2], size[1])  w: packed */
    MK_DO_MAX_POOL,     /* x: (size[0], H, W)  spare: the index */
    MK_DO_AVG_POOL,     /* x: (size[0], H, W)  size[1]: with padding?  number[0]: divisor */
    MK_DO_MEAN_POOL,    /* x: (size[0], H, W), adaptive */
    MK_DO_LARGEST_POOL, /* the same; spare: the index */
    MK_DO_BATCH_NORM,   /* x: (size[2], size[0], size[1])  weight: w, b, mean, var  number[0]: eps */
    MK_DO_GROUP_NORM,   /* x: (size[3], size[0], size[1])  size[2]: groups  weight: w, b  spare: mean, var */
    MK_DO_MAP,          /* x: (size[0])  map; number: its parameters */
    MK_DO_NUMBER,       /* x: (size[0])  with_number; number[0]: the number */
    MK_DO_TWO,          /* x, z: (size[0])  of_two */
    MK_DO_SCALE,        /* x: (size[0], size[1])  z: (size[0]), a factor for each row */
    MK_DO_COPY,         /* y[to + i . to_step] = x[from + i . from_step], i: (size); first zeros if zeros_around */
    MK_DO_LINES,        /* lines: (size[0], size[1], size[2]) */
} mk_operation;

typedef struct {
    mk_operation operation;
    int y, x, z, spare; /* buffers: of the result, the operand, the second one, and working memory; or -1 */
    const float *weight[4];
    float number[2];
    int with_relu, zeros_around;
    mk_conv conv;
    mk_window window;
    ptrdiff_t size[4], from, from_step[4], to, to_step[4], x_floats, y_floats; /* floats: of an image */
    int (*map)(float *y, const float *x, ptrdiff_t n, float a, float b);
    int (*with_number)(float *y, const float *x, float number, ptrdiff_t n);
    int (*of_two)(float *y, const float *x, const float *z, ptrdiff_t n);
    int (*lines)(float *y, const float *x, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner);
} mk_instruction;

typedef struct {
    const mk_table *kernels; /* the level whose layout packed weights have */
    mk_instruction *instructions;
    ptrdiff_t count;
    const ptrdiff_t *places; /* of the buffers, in floats from the arena on; buffer 0 is x, buffer 1 is y */
    ptrdiff_t buffers, arena, chunk, x_floats, y_floats; /* sizes: of an arena, a chunk in images at most, an image */
} mk_program;

#ifdef __cplusplus
extern "C"
#endif
int mk_execute(const mk_program *program, float *y, const float *x, ptrdiff_t images);

#endif
