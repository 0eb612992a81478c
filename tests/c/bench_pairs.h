/* Kernels of two layers at once, the first of which is followed by ReLU. */
#include "bench_sums.h"

enum { PAIR_HIDDEN = 16 };

static const pw_epilogue relu = {PW_ACT_CLIP, 0, INFINITY};

typedef struct {
    pw_fused2_kernel kernel;
    pw_fused2 p;
} pair_call;
static void run_pair(const void *argument) {
    const pair_call *call = argument;
    call->kernel(&call->p);
}

/* The second layer's weights and bias. */
static double second_w[MOST_CHANNELS][MOST_CHANNELS], second_bias[MOST_CHANNELS];

static void draw_both(const shape *s) {
    draw(s, 0);
    memcpy(second_w, w_of, sizeof w_of);
    memcpy(second_bias, bias_of, sizeof bias_of);
    draw(s, 0);
}

static void expect_pair(const shape *s, int hidden, const output *y) {
    for (int p = 0; p < s->P; p++) {
        double h[MOST_CHANNELS];
        for (int i = 0; i < hidden; i++) {
            h[i] = bias_of[i];
            for (int c = 0; c < s->C; c++)
                h[i] = multiply_add(s->dtype, w_of[i][c], x_of[c][p], h[i]);
            if (h[i] < 0) h[i] = 0;
        }
        for (int k = 0; k < s->K; k++) {
            double sum = second_bias[k];
            for (int i = 0; i < hidden; i++)
                sum = multiply_add(s->dtype, second_w[k][i], h[i], sum);
            put(s->dtype, y->expected + k * s->y_k + p * s->y_p, sum);
        }
    }
}

/* first, second: channels in a block of packed weights. */
static void measure_pair(entry e, const shape *s, pw_fused2_kernel kernel, int hidden, int first,
                         int second, int is_planar, int dense) {
    next_free = workspace.start;
    draw_both(s);
    pair_call call = {.kernel = kernel, .p = {.hidden = hidden, .few_channels = dense}};
    pw_ukernel_args *t = &call.p.t;
    t->x = lay_out_x(s);
    t->x_c = s->x_c, t->x_p = s->x_p;
    call.p.first = pack_weights(s->dtype, hidden, first, s->C, bias_of, w_of);
    call.p.first_epilogue = &relu;
    t->bias = pack_weights(s->dtype, s->K, second, hidden, second_bias, second_w);
    t->w = (const char *)t->bias + second * (ptrdiff_t)pw_size(s->dtype);
    const output y = take_output((int64_t)s->K * s->P * (int64_t)pw_size(s->dtype));
    t->y = y.at;
    t->y_step = is_planar ? s->y_k : s->y_p;
    t->C = s->C, t->n = s->P, t->channels = s->K;
    t->first = t->last = 1;
    t->epilogue = &no_epilogue;
    if (round_now == 0) expect_pair(s, hidden, &y);
    e.inputs = s->C, e.hidden = hidden, e.channels = s->K;
    e.units = (double)hidden * s->P * (s->C + s->K);
    measure(&e, run_pair, &call, &y);
}

static void measure_pairs(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    /* Whole tiles, whatever their size. */
    const int P = 12 * kernels->vector, C = PW_FUSED2_CHANNELS, first = kernels->fused2_hidden;
    for (int K = 1; K <= PW_MAX_FUSED2; K++) {
        const shape s = planes(dtype, dtype, C, K, P);
        e.kind = "fused2_planar";
        if (is_wanted(e.kind) && kernels->fused2_planar[K])
            measure_pair(e, &s, kernels->fused2_planar[K], PAIR_HIDDEN, first, K, 1, 0);
    }
    for (int K = 1; K <= PW_MAX_FUSED2; K++) {
        const shape s = pixels(dtype, C, K, P);
        e.kind = "fused2_interleaved";
        if (is_wanted(e.kind) && kernels->fused2_interleaved[K])
            measure_pair(e, &s, kernels->fused2_interleaved[K], PAIR_HIDDEN, first, K, 0, 0);
    }
    for (int K = 1; K <= PW_MAX_FEW; K++) {
        const shape s = pixels(dtype, PW_MAX_FEW, K, P);
        e.kind = "fused2_few_channels";
        if (is_wanted(e.kind) && kernels->fused2_interleaved[K] && kernels->few_channels[1][1])
            measure_pair(e, &s, kernels->fused2_interleaved[K], PAIR_HIDDEN, first, K, 0, 1);
    }
    for (int H = 1; H <= PW_MAX_BOTTLENECK; H++) {
        const int width = kernels->bottleneck_out;
        const shape s = planes(dtype, dtype, DEPTH, 4 * width, 4 * kernels->vector);
        e.kind = "bottleneck";
        if (is_wanted(e.kind) && kernels->bottleneck[H])
            measure_pair(e, &s, kernels->bottleneck[H], H, H, width, 1, 0);
    }
}
