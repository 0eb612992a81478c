/* Quantised kernels: bytes, or pairs of 16 bits, in lanes; sums of 32 bits. */
#include "bench_elements.h"
#include "isa/quantised_types.h"

enum { Q_GROUPS = 16, Q_PIXELS = 48 /* whole tiles of interleaved kernels, whatever their size */ };

/* Numbers of a lane of x, or of w, from `at` on. */
static int lane_number(const pw_qkernels *kernels, const char *at, int i, int is_x) {
    if (kernels->lanes == PW_Q_S16) {
        int16_t wide;
        memcpy(&wide, at + 2 * i, sizeof wide);
        return wide;
    }
    return is_x && kernels->lanes == PW_Q_U8_S8 ? (uint8_t)at[i] : (int8_t)at[i];
}

static char *take_lanes(const pw_qkernels *kernels, int64_t lanes, int is_x) {
    char *at = take(lanes * PW_Q_LANE);
    for (int64_t i = 0; i < lanes * kernels->depth; i++) {
        const int number = random_below(256) - (is_x && kernels->lanes == PW_Q_U8_S8 ? 0 : 128);
        memcpy(at + i * PW_Q_LANE / kernels->depth, &number, (size_t)(PW_Q_LANE / kernels->depth));
    }
    return at;
}

/* How lanes of w lie in bytes: from group to group, from channel to channel. */
typedef struct {
    pw_qukernel kernel;
    pw_qukernel_args t;
    ptrdiff_t w_g, w_channel;
} q_call;
static void run_q(const void *argument) {
    const q_call *call = argument;
    call->kernel(&call->t);
}

/* y: bytes from channel to channel, from pixel to pixel. */
static void expect_q(const pw_qkernels *kernels, const q_call *call, ptrdiff_t y_k, ptrdiff_t y_p,
                     const output *y) {
    const pw_qukernel_args *t = &call->t;
    for (int p = 0; p < t->n; p++)
        for (int k = 0; k < t->channels; k++) {
            int32_t sum = t->bias[k];
            for (int64_t g = 0; g < t->groups; g++)
                for (int i = 0; i < kernels->depth; i++)
                    sum += lane_number(kernels, t->x + g * t->x_g + p * t->x_p, i, 1) *
                           lane_number(kernels, t->w + g * call->w_g + k * call->w_channel, i, 0);
            if (t->x_sum) sum -= t->x_sum[p] * t->w_zero[k];
            const long rounded = lrintf((float)sum * t->scale[k]) + t->output.zero;
            y->expected[k * y_k + p * y_p] = (char)(rounded < 0     ? 0
                                                    : rounded > 255 ? 255
                                                                    : rounded);
        }
}

/* x, w, their strides, n, channels and groups are given, so is what y lies like. */
static void measure_q(entry e, const pw_qkernels *kernels, q_call *call, ptrdiff_t y_k,
                      ptrdiff_t y_p) {
    static int32_t bias[PW_Q_MAX_TILE], w_zero[PW_Q_MAX_TILE], x_sum[PW_Q_MAX_TILE];
    static float scale[PW_Q_MAX_TILE];
    for (int i = 0; i < PW_Q_MAX_TILE; i++) {
        bias[i] = random_below(20000) - 10000;
        w_zero[i] = random_below(9) - 4;
        x_sum[i] = random_below(2000);
        scale[i] = (float)(1 + random_below(99)) * 0x1p-14f;
    }
    pw_qukernel_args *t = &call->t;
    const output y = take_output((int64_t)t->n * t->channels);
    t->bias = bias, t->w_zero = w_zero, t->x_sum = x_sum, t->scale = scale;
    t->y = y.at;
    t->first = t->last = 1;
    t->output = (pw_qoutput){.zero = 100, .hi = 255, .is_all = 1, .in_reach = 1};
    if (round_now == 0) expect_q(kernels, call, y_k, y_p, &y);
    e.units = (double)t->n * t->channels * (double)t->groups * kernels->depth;
    measure(&e, run_q, call, &y);
}

static void measure_q_sums(entry e, const pw_qkernels *kernels) {
    const int tile = 4 * kernels->vector;
    e.kind = "q_planar";
    for (int MR = 1; is_wanted(e.kind) && MR <= kernels->planar_mr_max; MR++) {
        next_free = workspace.start;
        q_call call = {.kernel = kernels->planar[MR]};
        call.w_g = PW_Q_LANE, call.w_channel = call.t.w_k = Q_GROUPS * PW_Q_LANE;
        call.t.x = take_lanes(kernels, Q_GROUPS * tile, 1);
        call.t.w = take_lanes(kernels, Q_GROUPS * MR, 0);
        call.t.x_g = tile * PW_Q_LANE, call.t.x_p = PW_Q_LANE;
        call.t.groups = Q_GROUPS, call.t.n = tile, call.t.channels = MR;
        call.t.y_step = tile;
        e.channels = MR, e.pixels = tile;
        measure_q(e, kernels, &call, tile, 1);
    }
    e.kind = "q_interleaved";
    e.pixels = 0;
    for (int NR = 1; is_wanted(e.kind) && NR <= kernels->interleaved_nr_max; NR++) {
        const int K = NR * kernels->vector;
        next_free = workspace.start;
        q_call call = {.kernel = kernels->interleaved[NR]};
        call.w_g = K * PW_Q_LANE, call.w_channel = PW_Q_LANE;
        call.t.x = take_lanes(kernels, Q_GROUPS * Q_PIXELS, 1);
        call.t.w = take_lanes(kernels, Q_GROUPS * K, 0);
        call.t.x_g = PW_Q_LANE, call.t.x_p = Q_GROUPS * PW_Q_LANE;
        call.t.groups = Q_GROUPS, call.t.n = Q_PIXELS, call.t.channels = K;
        call.t.y_step = K;
        e.channels = K;
        measure_q(e, kernels, &call, 1, K);
    }
    e.kind = "q_dot";
    if (!is_wanted(e.kind)) return;
    next_free = workspace.start;
    /* A tile of channels, four pixels. */
    const int64_t row = Q_GROUPS < tile ? tile : Q_GROUPS;
    q_call call = {.kernel = kernels->dot};
    call.w_g = PW_Q_LANE, call.w_channel = call.t.w_k = row * PW_Q_LANE;
    call.t.x = take_lanes(kernels, row * 4, 1);
    call.t.w = take_lanes(kernels, row * tile, 0);
    call.t.x_g = PW_Q_LANE, call.t.x_p = row * PW_Q_LANE;
    call.t.groups = row, call.t.n = 4, call.t.channels = tile;
    call.t.y_step = 4;
    e.channels = tile, e.pixels = 4;
    measure_q(e, kernels, &call, 4, 1);
}

typedef struct {
    const pw_qkernels *kernels;
    pw_qbytes bytes;
    const char *x;
    char *y;
    int is_x;
} q_elements_call;

/* DEPTH channels of a tile of pixels. */
static void run_stage(const void *argument) {
    const q_elements_call *c = argument;
    const int tile = 4 * c->kernels->vector;
    c->kernels->stage(c->bytes, c->y, tile * PW_Q_LANE, c->x, tile, DEPTH, tile, 0);
}

static void measure_stage(entry e, const pw_qkernels *kernels) {
    const int tile = 4 * kernels->vector, depth = kernels->depth, wide = depth == 2;
    q_elements_call c = {.kernels = kernels, .bytes = {.flip = 0x80, .zero = wide ? 99 : 0}};
    next_free = workspace.start;
    char *x = take(DEPTH * tile);
    const output y = take_output(DEPTH / depth * tile * PW_Q_LANE);
    for (int i = 0; i < DEPTH * tile; i++) x[i] = (char)random_below(256);
    for (int i = 0; i < DEPTH * tile; i++) {
        const int channel = i / tile, lane = channel / depth * tile + i % tile;
        const int16_t number = (int16_t)(((uint8_t)x[i] ^ 0x80) - c.bytes.zero);
        const int size = PW_Q_LANE / depth;
        memcpy(y.expected + lane * PW_Q_LANE + channel % depth * size, &number, (size_t)size);
    }
    c.x = x, c.y = y.at;
    e.kind = "q_stage";
    e.unit = "element";
    e.units = (double)DEPTH * tile;
    measure(&e, run_stage, &c, &y);
}

/* Sums of so many rows of a vector of lanes each, four times over. */
enum { SUM_ROWS = 16, SUM_VECTORS = 4 };
static void run_sum(const void *argument) {
    const q_elements_call *c = argument;
    const int64_t bytes = (int64_t)SUM_VECTORS * c->kernels->vector * PW_Q_LANE;
    (c->is_x ? c->kernels->sum_x : c->kernels->sum_w)(c->x, bytes, bytes, SUM_ROWS,
                                                      (int32_t *)c->y);
}

static void measure_q_row_sums(entry e, const pw_qkernels *kernels, int is_x) {
    const int row = SUM_VECTORS * kernels->vector;
    q_elements_call c = {.kernels = kernels, .is_x = is_x};
    next_free = workspace.start;
    c.x = take_lanes(kernels, SUM_ROWS * row, is_x);
    const output y = take_output(SUM_ROWS * sizeof(int32_t));
    for (int i = 0; i < SUM_ROWS; i++) {
        int32_t sum = 0;
        for (int j = 0; j < row * kernels->depth; j++)
            sum += lane_number(kernels, c.x + i * row * PW_Q_LANE, j, is_x);
        memcpy(y.expected + i * (int)sizeof sum, &sum, sizeof sum);
    }
    c.y = y.at;
    e.kind = is_x ? "q_sum_x" : "q_sum_w";
    e.unit = "element";
    e.units = (double)SUM_ROWS * row * kernels->depth;
    if (is_wanted(e.kind)) measure(&e, run_sum, &c, &y);
}

static void measure_quantised(entry e, const pw_qkernels *kernels) {
    static const char *const lanes[] = {
        [PW_Q_U8_S8] = "uint8 x int8", [PW_Q_S8_S8] = "int8 x int8", [PW_Q_S16] = "int16"};
    e.set = kernels->name;
    e.dtype = lanes[kernels->lanes];
    measure_q_sums(e, kernels);
    if (is_wanted("q_stage")) measure_stage(e, kernels);
    if (!kernels->sum_w) return;
    measure_q_row_sums(e, kernels, 0);
    measure_q_row_sums(e, kernels, 1);
}
