/* The one place that starts threads (frame/parallel.cpp), seen from the kernels. */
#ifndef MK_PARALLEL_H
#define MK_PARALLEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs task(context, i, scratch) for all i in 0 .. tasks-1 on the pool, and returns when all are done.
 * Each call gets `scratch_bytes` of memory of its own thread, aligned to 64 bytes, its contents undefined.
 * Returns 0, or -1 if the scratch memory could not be had; then no task has run. Without scratch it cannot fail, and
 * nothing has to be looked at. */
typedef void (*mk_task)(const void *context, ptrdiff_t i, void *scratch);
int mk_run(ptrdiff_t tasks, size_t scratch_bytes, mk_task task, const void *context);

/* The number of threads that share a call, the caller's own included. */
void mk_set_threads(int threads);
int mk_get_threads(void);

/* From now on the calling thread computes alone, and leaves the pool to others. */
void mk_compute_alone(void);

/* The most scratch memory that one call used since this was last asked, all threads together, in bytes. */
size_t mk_most_scratch(void);

#ifdef __cplusplus
}

/* The same for a C++ function object: parallel(tasks, bytes, [&](ptrdiff_t i, float *scratch) { ... }).
 *
 * What a task computes may depend on i only, never on the thread or the number of threads: so results
 * are the same, bit for bit, for any number of threads. */
template <class Body>
static inline int parallel(ptrdiff_t tasks, size_t scratch_bytes, const Body &body)
{
    return mk_run(tasks, scratch_bytes,
                  [](const void *b, ptrdiff_t i, void *scratch) {
                      (*static_cast<const Body *>(b))(i, static_cast<float *>(scratch));
                  },
                  &body);
}
#endif

#endif
