/* Steps of optimisers, in place, for all parameters of a group in one call. The formulas and their references
 * are in minicnn/ops/update.py. */
#include "mk.h"
#include "parallel.h"

namespace {

enum { CHUNK = 8192 }; /* numbers a task takes: its share of four arrays stays in the second-level cache */

/* body(parameter, begin, end) for the pieces of all parameters; lined up, they are cut into equal chunks. */
template <class Body>
int each_piece(const mk_parameter *table, ptrdiff_t count, const Body &body)
{
    ptrdiff_t numbers = count ? table[count - 1].first + table[count - 1].length : 0;
    return parallel((numbers + CHUNK - 1) / CHUNK, 0, [=](ptrdiff_t task, float *) {
        ptrdiff_t begin = task * CHUNK, end = begin + CHUNK < numbers ? begin + CHUNK : numbers;
        ptrdiff_t at = 0; /* the last parameter that starts at or before `begin` */
        for (ptrdiff_t beyond = count; beyond - at > 1;) {
            ptrdiff_t middle = (at + beyond) / 2;
            *(table[middle].first <= begin ? &at : &beyond) = middle;
        }
        for (; at < count && table[at].first < end; at++) {
            const mk_parameter &p = table[at];
            body(p, begin > p.first ? begin - p.first : 0, end - p.first < p.length ? end - p.first : p.length);
        }
    });
}

/* +-g + l2 p; without l2 there is no product, which would make NaN of infinite parameters. */
inline float direction(float g, float p, float l2, bool maximize)
{
    g = maximize ? -g : g;
    return l2 != 0 ? g + l2 * p : g;
}

} // namespace

/* b = momentum b + (1 - dampening) g, p -= lr b.   state[0]: b, or NULL: p -= lr g;  factor[0]: 1 - dampening */
int MK(sgd_update)(const mk_parameter *table, ptrdiff_t count, float lr, float momentum, float l2, int nesterov,
                   int maximize)
{
    return each_piece(table, count, [=](const mk_parameter &parameter, ptrdiff_t begin, ptrdiff_t end) {
        float *p = parameter.param, *b = parameter.state[0];
        const float *grad = parameter.grad;
        float fresh = parameter.factor[0];
        if (b)
#pragma GCC ivdep
            for (ptrdiff_t i = begin; i < end; i++) {
                float g = direction(grad[i], p[i], l2, maximize);
                b[i] = momentum * b[i] + fresh * g;
                p[i] -= lr * (nesterov ? g + momentum * b[i] : b[i]);
            }
        else
#pragma GCC ivdep
            for (ptrdiff_t i = begin; i < end; i++)
                p[i] -= lr * direction(grad[i], p[i], l2, maximize);
    });
}

/* p *= keep, m += fresh1 (g - m), v = beta2 v + fresh2 g g, p -= rate m / (root sqrt(v) + eps).
 * state: m, v;  factor: rate = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t);  fresh: 1 - beta */
int MK(adam_update)(const mk_parameter *table, ptrdiff_t count, float fresh1, float beta2, float fresh2, float eps,
                    float l2, float keep, int maximize)
{
    return each_piece(table, count, [=](const mk_parameter &parameter, ptrdiff_t begin, ptrdiff_t end) {
        float *p = parameter.param, *m = parameter.state[0], *v = parameter.state[1];
        const float *grad = parameter.grad;
        float rate = parameter.factor[0], root = parameter.factor[1];
#pragma GCC ivdep
        for (ptrdiff_t i = begin; i < end; i++) {
            float g = direction(grad[i], p[i], l2, maximize);
            m[i] += fresh1 * (g - m[i]);
            v[i] = beta2 * v[i] + fresh2 * g * g;
            p[i] = keep * p[i] - rate * m[i] / (root * __builtin_sqrtf(v[i]) + eps);
        }
    });
}
