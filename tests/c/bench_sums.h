/* Kernels of one layer: chains of multiply-adds, from the bias on, over the channels in order. */
#include "bench.h"
#include "isa/half.h"

/* Strides in bytes. */
typedef struct {
    pw_dtype dtype, x_dtype;
    int C, K, P;
    ptrdiff_t x_c, x_p, y_k, y_p;
} shape;

static shape planes(pw_dtype dtype, pw_dtype x_dtype, int C, int K, int P) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(dtype), x_size = (ptrdiff_t)pw_size(x_dtype);
    return (shape){dtype, x_dtype, C, K, P, P * x_size, x_size, P * size, size};
}
static shape pixels(pw_dtype dtype, int C, int K, int P) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(dtype);
    return (shape){dtype, dtype, C, K, P, size, C * size, size, K * size};
}

/* A problem, without its layout. */
static double x_of[DEPTH][MOST_PIXELS], w_of[MOST_CHANNELS][MOST_CHANNELS], bias_of[MOST_CHANNELS];

static void draw(const shape *s, int whole) {
    const pw_dtype dtype = s->dtype, x_dtype = s->x_dtype;
    for (int c = 0; c < s->C; c++)
        for (int p = 0; p < s->P; p++)
            x_of[c][p] = whole               ? random_below(17) - 8
                         : x_dtype == PW_U8  ? random_below(256)
                         : x_dtype == PW_U16 ? random_below(60000)
                         : x_dtype == PW_I16 ? random_below(60000) - 30000
                                             : random_real(dtype);
    for (int k = 0; k < MOST_CHANNELS; k++) {
        bias_of[k] = whole ? random_below(17) - 8 : random_real(dtype);
        for (int c = 0; c < MOST_CHANNELS; c++)
            w_of[k][c] = whole ? random_below(17) - 8 : random_real(dtype);
    }
}

/* K channels in blocks of `width`, each of which begins at a line: bias, then weights (conv/pack.c). */
static const char *pack_weights(pw_dtype dtype, int K, int width, int C, const double *bias,
                                double (*w)[MOST_CHANNELS]) {
    const int64_t size = (int64_t)pw_size(dtype);
    const char *packed = next_free;
    for (int first = 0; first < K; first += width) {
        char *to = take(width * (1 + C) * size);
        for (int k = first; k < first + width; k++, to += size) put(dtype, to, bias[k]);
        for (int c = 0; c < C; c++)
            for (int k = first; k < first + width; k++, to += size) put(dtype, to, w[k][c]);
    }
    return packed;
}

static const char *lay_out_x(const shape *s) {
    char *x = take(s->C * s->P * (int64_t)pw_size(s->x_dtype));
    if (s->x_p < 0) x -= (s->P - 1) * s->x_p;
    for (int c = 0; c < s->C; c++)
        for (int p = 0; p < s->P; p++) put(s->x_dtype, x + c * s->x_c + p * s->x_p, x_of[c][p]);
    return x;
}

static void expect(const shape *s, const output *y) {
    for (int p = 0; p < s->P; p++)
        for (int k = 0; k < s->K; k++) {
            double sum = bias_of[k];
            for (int c = 0; c < s->C; c++)
                sum = multiply_add(s->dtype, w_of[k][c], x_of[c][p], sum);
            put(s->dtype, y->expected + k * s->y_k + p * s->y_p, sum);
        }
}

static const pw_epilogue no_epilogue = {PW_ACT_NONE, 0, 0};

typedef struct {
    pw_ukernel kernel;
    pw_ukernel_args t;
} tile_call;
static void run_tile(const void *argument) {
    const tile_call *call = argument;
    call->kernel(&call->t);
}

static void measure_tile(entry e, const shape *s, pw_ukernel kernel, int is_planar) {
    next_free = workspace.start;
    draw(s, 0);
    tile_call call = {.kernel = kernel};
    pw_ukernel_args *t = &call.t;
    t->x = lay_out_x(s);
    t->x_c = s->x_c, t->x_p = s->x_p;
    t->bias = pack_weights(s->dtype, s->K, s->K, s->C, bias_of, w_of);
    t->w = (const char *)t->bias + s->K * (ptrdiff_t)pw_size(s->dtype);
    const output y = take_output((int64_t)s->K * s->P * (int64_t)pw_size(s->dtype));
    t->y = y.at;
    t->y_step = is_planar ? s->y_k : s->y_p;
    t->C = s->C, t->n = s->P, t->channels = s->K;
    t->first = t->last = 1;
    t->epilogue = &no_epilogue;
    if (round_now == 0) expect(s, &y);
    e.units = (double)s->C * s->K * s->P;
    measure(&e, run_tile, &call, &y);
}

/* Whole tiles of so many pixels. */
static int tiles_of(int tile, size_t size) {
    const int fit = X_BYTES / (DEPTH * (int)size);
    return fit < tile ? tile : fit / tile * tile;
}

static void measure_planar(entry e, const pw_kernels *kernels, pw_dtype dtype, pw_dtype x_dtype,
                           const pw_ukernel *by_channels, int is_reversed) {
    if (!is_wanted(e.kind)) return;
    for (int MR = 1; MR <= kernels->planar_mr_max; MR++) {
        e.channels = MR;
        e.pixels = kernels->planar_nr[MR] * kernels->vector;
        shape s = planes(dtype, x_dtype, DEPTH, MR, tiles_of(e.pixels, pw_size(dtype)));
        if (is_reversed) s.x_p = -s.x_p;
        if (by_channels[MR]) measure_tile(e, &s, by_channels[MR], 1);
    }
}

static void measure_all_planar(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    e.kind = "planar";
    measure_planar(e, kernels, dtype, dtype, kernels->planar, 0);
    e.kind = "planar_of";
    for (int x = 0; x < PW_DTYPES; x++) {
        e.from = dtype_names[x];
        measure_planar(e, kernels, dtype, (pw_dtype)x, kernels->planar_of[x], 0);
    }
    e.from = NULL;
    e.kind = "planar_reversed";
    measure_planar(e, kernels, dtype, dtype, kernels->planar_reversed, 1);
}

static void measure_interleaved(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    enum { PIXELS = 24 }; /* whole tiles, whatever their size */
    e.kind = "interleaved";
    for (int NR = 1; is_wanted(e.kind) && NR <= kernels->interleaved_nr_max; NR++) {
        const shape s = pixels(dtype, DEPTH, NR * kernels->vector, PIXELS);
        e.channels = s.K;
        measure_tile(e, &s, kernels->interleaved[NR], 0);
    }
    e.kind = "transposing";
    e.pixels = kernels->vector;
    for (int MR = 1; is_wanted(e.kind) && MR <= kernels->transposing_mr_max; MR++) {
        const shape s = pixels(dtype, DEPTH, MR, 4 * kernels->vector);
        e.channels = MR;
        measure_tile(e, &s, kernels->transposing[MR], 0);
    }
    e.kind = "few_channels";
    for (int i = 0; is_wanted(e.kind) && i < PW_MAX_FEW * PW_MAX_FEW; i++) {
        const int C = 1 + i / PW_MAX_FEW, K = 1 + i % PW_MAX_FEW;
        const int fit = X_BYTES / ((C + K) * (int)pw_size(dtype));
        const shape s = pixels(dtype, C, K, fit / kernels->vector * kernels->vector);
        e.inputs = C, e.channels = K;
        if (kernels->few_channels[C][K]) measure_tile(e, &s, kernels->few_channels[C][K], 0);
    }
}

/* Products of pairs of bfloat16, of whole numbers: these sums are the same in every order. */
static void measure_bf16_pairs(entry e, const pw_kernels *kernels, int MR) {
    const int P = tiles_of(e.pixels, sizeof(float));
    const shape s = planes(PW_F32, PW_F32, DEPTH, MR, P);
    next_free = workspace.start;
    draw(&s, 1);
    char *x = take(DEPTH / 2 * P * 4), *w = take((1 + DEPTH / 2) * MR * 4);
    for (int c = 0; c < DEPTH; c++) {
        char *plane = x + (c / 2 * P * 2 + c % 2) * 2,
             *column = w + ((1 + c / 2) * MR * 2 + c % 2) * 2;
        for (int p = 0; p < P; p++)
            memcpy(plane + 4 * p, (uint16_t[]){to_bf16((float)x_of[c][p])}, 2);
        for (int k = 0; k < MR; k++)
            memcpy(column + 4 * k, (uint16_t[]){to_bf16((float)w_of[k][c])}, 2);
    }
    for (int k = 0; k < MR; k++) put(PW_F32, w + 4 * k, bias_of[k]);
    const output y = take_output(4 * MR * P);
    tile_call call = {.kernel = kernels->bf16->planar[MR]};
    call.t = (pw_ukernel_args){.x = x,
                               .x_c = 4 * P,
                               .x_p = 4,
                               .bias = w,
                               .w = w + 4 * MR,
                               .y = y.at,
                               .y_step = 4 * P,
                               .C = DEPTH / 2,
                               .n = P,
                               .channels = MR,
                               .first = 1,
                               .last = 1,
                               .epilogue = &no_epilogue};
    if (round_now == 0) expect(&s, &y);
    e.units = (double)DEPTH * MR * P;
    measure(&e, run_tile, &call, &y);
}

static void measure_all_bf16_pairs(entry e, const pw_kernels *kernels) {
    e.kind = "bf16_pairs";
    e.from = dtype_names[PW_BF16];
    if (!is_wanted(e.kind) || !kernels->bf16 || !kernels->bf16->works()) return;
    for (int MR = 1; MR <= kernels->planar_mr_max; MR++) {
        e.channels = MR;
        e.pixels = kernels->planar_nr[MR] * kernels->vector;
        if (kernels->bf16->planar[MR]) measure_bf16_pairs(e, kernels, MR);
    }
}

typedef struct {
    pw_dots_kernel kernel;
    pw_dots t;
} dots_call;
static void run_dots(const void *argument) {
    const dots_call *call = argument;
    call->kernel(&call->t);
}

/* The numbers are whole: lanes are summed in an order of each set's own. */
static void measure_dots(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    const int64_t size = (int64_t)pw_size(dtype);
    const int n = (int)(2048 / size); /* of ten planes in level 1 */
    e.kind = "dots";
    for (int i = 0; is_wanted(e.kind) && i < kernels->dots_a * kernels->dots_b; i++) {
        const int A = 1 + i / kernels->dots_b, B = 1 + i % kernels->dots_b;
        next_free = workspace.start;
        const shape s = planes(dtype, dtype, A + B, A, n);
        draw(&s, 1);
        const char *x = lay_out_x(&s);
        dots_call call = {.kernel = kernels->dots[A][B], .t = {.n = n, .to_step = B * size}};
        for (int a = 0; a < A; a++) call.t.a[a] = x + a * s.x_c;
        for (int b = 0; b < B; b++) call.t.b[b] = x + (A + b) * s.x_c;
        const output y = take_output(A * B * size);
        call.t.to = y.at;
        for (int at = 0; at < A * B; at++) {
            double sum = 0;
            for (int p = 0; p < n; p++) sum += x_of[at / B][p] * x_of[A + at % B][p];
            put(dtype, y.expected + at * size, sum);
        }
        e.channels = A, e.inputs = B;
        e.units = (double)A * B * n;
        measure(&e, run_dots, &call, &y);
    }
}
