/* Executes programs; see program.h. */
#include "program.h"

#include "memory.h"
#include "parallel.h"

#include <string.h>

namespace {

inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/* y: (size)  x: (size), any distances between their numbers */
void copy_strided(float *y, const float *x, const mk_instruction &i)
{
    y += i.to;
    x += i.from;
    for (ptrdiff_t a = 0; a < i.size[0]; a++)
        for (ptrdiff_t b = 0; b < i.size[1]; b++)
            for (ptrdiff_t c = 0; c < i.size[2]; c++) {
                float *to = y + a * i.to_step[0] + b * i.to_step[1] + c * i.to_step[2];
                const float *from = x + a * i.from_step[0] + b * i.from_step[1] + c * i.from_step[2];
                if (i.to_step[3] == 1 && i.from_step[3] == 1) {
                    memcpy(to, from, i.size[3] * sizeof(float));
                    continue;
                }
                for (ptrdiff_t d = 0; d < i.size[3]; d++)
                    to[d * i.to_step[3]] = from[d * i.from_step[3]];
            }
}

void copy_images(float *y, const float *x, const mk_instruction &i, ptrdiff_t n)
{
    for (ptrdiff_t image = 0; image < n; image++, y += i.y_floats, x += i.x_floats) {
        if (i.zeros_around)
            memset(y, 0, i.y_floats * sizeof(float));
        copy_strided(y, x, i);
    }
}

/* y[r] = x[r] z[r].   y, x: (rows, n)  z: (rows) */
int scale_rows(const mk_table &k, float *y, const float *x, const float *z, ptrdiff_t rows, ptrdiff_t n)
{
    int failed = 0;
    for (ptrdiff_t r = 0; r < rows && !failed; r++)
        failed = k.mul_number(y + r * n, x + r * n, z[r], n);
    return failed;
}

int run(const mk_table &k, const mk_instruction &i, float *const *at, ptrdiff_t n)
{
    float *y = at[i.y], *spare = i.spare < 0 ? nullptr : at[i.spare];
    const float *x = at[i.x], *z = i.z < 0 ? nullptr : at[i.z], *const *w = i.weight;
    mk_conv conv = i.conv;
    conv.N = n;
    switch (i.operation) {
    case MK_DO_CONV:
        return k.conv_run(y, x, w[0], w[1], z, &conv, i.with_relu);
    case MK_DO_WINOGRAD:
        return k.winograd_run(y, x, w[0], w[1], z, n, conv.C, conv.H, conv.W, conv.K, i.with_relu);
    case MK_DO_DEPTHWISE:
        return k.depthwise_forward(y, x, w[0], w[1], spare, &conv, i.with_relu);
    case MK_DO_DENSE:
        return k.dense_run(y, x, w[0], w[1], n * i.size[2], i.size[0], i.size[1], i.with_relu);
    case MK_DO_MAX_POOL:
        return k.max_pool2d_forward(y, spare, x, n * i.size[0], &i.window, i.with_relu);
    case MK_DO_AVG_POOL:
        return k.avg_pool2d_forward(y, x, n * i.size[0], &i.window, static_cast<int>(i.size[1]), i.number[0]);
    case MK_DO_MEAN_POOL:
        return k.adaptive_avg_pool2d_forward(y, x, n * i.size[0], i.window.H, i.window.W, i.window.OH, i.window.OW);
    case MK_DO_LARGEST_POOL:
        return k.adaptive_max_pool2d_forward(y, reinterpret_cast<int64_t *>(spare), x, n * i.size[0], i.window.H,
                                             i.window.W, i.window.OH, i.window.OW);
    case MK_DO_BATCH_NORM:
        return k.batch_norm_inference_forward(y, x, w[2], w[3], w[0], w[1], n * i.size[2], i.size[0], i.size[1],
                                              i.number[0]);
    case MK_DO_GROUP_NORM:
        return k.group_norm_forward(y, spare, spare + n * i.size[3] * i.size[2], x, w[0], w[1], n * i.size[3],
                                    i.size[0], i.size[1], i.size[2], i.number[0]);
    case MK_DO_MAP:
        return i.map(y, x, n * i.size[0], i.number[0], i.number[1]);
    case MK_DO_NUMBER:
        return i.with_number(y, x, i.number[0], n * i.size[0]);
    case MK_DO_TWO:
        return i.of_two(y, x, z, n * i.size[0]);
    case MK_DO_SCALE:
        return scale_rows(k, y, x, z, n * i.size[0], i.size[1]);
    case MK_DO_LINES:
        return i.lines(y, x, n * i.size[0], i.size[1], i.size[2]);
    case MK_DO_COPY:
        copy_images(y, x, i, n);
        return 0;
    }
    return -1;
}

/* All instructions on one chunk. */
int run_chunk(const mk_program &p, float *y, const float *x, ptrdiff_t n)
{
    float *arena = static_cast<float *>(mk_take(p.arena * sizeof(float)));
    if (!arena)
        return -1;
    float **at = reinterpret_cast<float **>(arena); /* the table of buffers stands in front of them */
    for (ptrdiff_t b = 2; b < p.buffers; b++)
        at[b] = arena + p.places[b];
    at[0] = const_cast<float *>(x); /* no instruction writes buffer 0 */
    at[1] = y;
    int failed = 0;
    for (ptrdiff_t i = 0; i < p.count && !failed; i++)
        failed = run(*p.kernels, p.instructions[i], at, n);
    mk_give(arena);
    return failed;
}

} // namespace

/* The threads get equal shares: that is no change to the results, as each image is computed on its own. */
int mk_execute(const mk_program *p, float *y, const float *x, ptrdiff_t images)
{
    if (images <= p->chunk)
        return run_chunk(*p, y, x, images);
    bool failed = false; /* any thread may set it, none clears it */
    ptrdiff_t threads = mk_get_threads(), rounds = ceil_div(ceil_div(images, p->chunk), threads);
    ptrdiff_t share = ceil_div(images, rounds * threads);
    int refused = parallel(ceil_div(images, share), 0, [&](ptrdiff_t chunk, float *) {
        ptrdiff_t first = chunk * share, rest = images - first;
        if (run_chunk(*p, y + first * p->y_floats, x + first * p->x_floats, rest < share ? rest : share))
            __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    });
    return refused || failed ? -1 : 0;
}
