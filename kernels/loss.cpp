/* Losses of classes. The formulas and their references are in minicnn/ops/loss.py.
 * x, p, gx: (outer, C, inner)  w: (C) or NULL  a position is an element of an array (outer, inner); target,
 * losses, weights: one number of each position  gy: that too, or (1) of a mean or a sum */
#include "lines.h"
#include "mk.h"

namespace {

/* The label of a position. What is ignored has class 0 and weight 0. The caller has refused labels out of
 * range; should one come through, it makes NaN, but reaches nothing beyond the arrays. */
struct Label {
    ptrdiff_t c;
    float weight, kept;

    Label(int64_t target, ptrdiff_t C, const float *w, int64_t ignore_index)
    {
        bool is_class = target >= 0 && target < C, counts = target != ignore_index;
        c = is_class && counts ? target : 0;
        kept = counts ? 1.0f : 0.0f;
        weight = !counts ? 0.0f : !is_class ? NOT_A_NUMBER : w ? w[c] : 1.0f;
    }

    /* -weight log p;  0 where the weight is 0, even if log p is infinite */
    float loss(float log_p) const { return weight == 0.0f ? 0.0f : weight * (0.0f - log_p); }
};

/* What is known of the labels. */
struct Labels {
    const int64_t *target;
    const float *w;
    ptrdiff_t C;
    int64_t ignore_index;
    MK_INLINE_MEMBER Label operator[](ptrdiff_t position) const { return {target[position], C, w, ignore_index}; }
};

/* The mean divides by the weights' total; NaN if that is 0. */
void reduce(float *loss, float *total, const float *losses, const float *weights, ptrdiff_t n, int reduction)
{
    *total = static_cast<float>(sum_of(weights, n));
    if (reduction == NONE)
        return;
    float sum = static_cast<float>(sum_of(losses, n));
    *loss = reduction == SUM ? sum : *total == 0.0f ? NOT_A_NUMBER : sum / *total;
}

float divisor(float total) { return total == 0.0f ? INF : total; } /* no gradient where the mean is NaN */

} // namespace

/* p = softmax(x),  loss = -weight log p[label];  with smoothing s: (1 - s) of that, and s / C of -sum of w log p */
int MK(cross_entropy_forward)(float *loss, float *total, float *losses, float *weights, float *p, const float *x,
                              const int64_t *target, const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner,
                              int64_t ignore_index, float smoothing, int reduction)
{
    Labels labels{target, w, C, ignore_index};
    int failed = each_line(outer, C, inner, p, x, nullptr, [=](auto line, float *p, const float *x, const float *,
                                                               ptrdiff_t position) {
        vec top = line.top(x), spread = {};
        auto e = line.exponentials(p, x, top);
        vec log_sum = vlog(e.sum);
        line.divide(p, e);
        if (smoothing != 0.0f)
            spread = line.sum_of([&](ptrdiff_t i, ptrdiff_t c, ptrdiff_t lanes) MK_INLINE_LAMBDA {
                return share(line.weights(w, c, lanes), log_sum - (load_lanes(x + i, lanes) - top));
            });
        for (ptrdiff_t j = 0; j < line.lines; j++) {
            Label label = labels[position + j];
            float log_p = (x[label.c * line.class_step + j] - top[j]) - log_sum[j], one = label.loss(log_p);
            if (smoothing != 0.0f)
                one = (smoothing < 1.0f ? (1.0f - smoothing) * one : 0.0f) + /* 0 times infinity is NaN */
                      smoothing / C * (label.kept ? spread[j] : 0.0f);
            losses[position + j] = one;
            weights[position + j] = label.weight;
        }
    });
    if (!failed)
        reduce(loss, total, losses, weights, outer * inner, reduction);
    return failed;
}

/* gx[c] = gy (p[c] sum of q - q[c]),  q[c] = (1 - s) weight [c = label] + s / C w[c];  no s / C where ignored */
int MK(cross_entropy_backward)(float *gx, const float *gy, const float *p, const int64_t *target, const float *w,
                               float total, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index,
                               float smoothing, int reduction)
{
    Labels labels{target, w, C, ignore_index};
    Incoming g(gy, reduction, divisor(total));
    float all_w = w ? static_cast<float>(sum_of(w, C)) : static_cast<float>(C);
    return each_line(outer, C, inner, gx, p, nullptr, [=](auto line, float *gx, const float *p, const float *,
                                                          ptrdiff_t position) {
        vec hot = {}, even = {};
        for (ptrdiff_t j = 0; j < line.lines; j++) {
            Label label = labels[position + j];
            float above = label.kept ? g[position + j] : 0.0f; /* of a NaN, too, nothing reaches what is ignored */
            hot[j] = (1.0f - smoothing) * label.weight * above;
            even[j] = smoothing / C * above;
        }
        vec sum_q = line.of_lines(smoothing != 0.0f ? hot + even * all_w : hot);
        vec each_q = line.of_lines(even);
        line.each([&](ptrdiff_t i, ptrdiff_t c, ptrdiff_t lanes) MK_INLINE_LAMBDA {
            vec g = load_lanes(p + i, lanes) * sum_q;
            if (smoothing != 0.0f)
                g -= each_q * line.weights(w, c, lanes);
            store_lanes(gx + i, g, lanes);
        });
        for (ptrdiff_t j = 0; j < line.lines; j++)
            gx[labels[position + j].c * line.class_step + j] -= hot[j];
    });
}

/* loss = -weight x[label] */
int MK(nll_loss_forward)(float *loss, float *total, float *losses, float *weights, const float *x,
                         const int64_t *target, const float *w, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner,
                         int64_t ignore_index, int reduction)
{
    Labels labels{target, w, C, ignore_index};
    int failed = each_chunk(outer * inner, CHUNK / 16, [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i++) {
            Label label = labels[i];
            losses[i] = label.loss(x[(i / inner * C + label.c) * inner + i % inner]);
            weights[i] = label.weight;
        }
    });
    if (!failed)
        reduce(loss, total, losses, weights, outer * inner, reduction);
    return failed;
}

/* gx[c] = -gy weight where c = label, else 0 */
int MK(nll_loss_backward)(float *gx, const float *gy, const int64_t *target, const float *w, float total,
                          ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, int reduction)
{
    Labels labels{target, w, C, ignore_index};
    Incoming g(gy, reduction, divisor(total));
    int failed = fill(gx, outer * C * inner, [](ptrdiff_t, ptrdiff_t) MK_INLINE_LAMBDA { return (vec){}; });
    if (failed)
        return failed;
    return each_chunk(outer * inner, CHUNK / 16, [=](ptrdiff_t, ptrdiff_t begin, ptrdiff_t end) {
        for (ptrdiff_t i = begin; i < end; i++) {
            Label label = labels[i];
            gx[(i / inner * C + label.c) * inner + i % inner] = label.kept ? -label.weight * g[i] : 0.0f;
        }
    });
}
