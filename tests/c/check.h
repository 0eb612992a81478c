/* Checks one case: its plan runs with one thread and with several, and the results are compared bit
 * by bit. Also counts what plans did. */
#include <inttypes.h>

#include "conv/path.h"
#include "case.h"

enum { MOST_PRINTED = 20, MOST_SCRATCH = 1 << 20, CONVERSIONS = 3000 };

/* What plans may do. The cases that do it are counted, because what no case does is not tested. */
typedef enum {
    BY_PLANAR,
    BY_INTERLEAVED,
    BY_TRANSPOSING,
    BY_TO_PLANES,
    BY_FEW_CHANNELS,
    MERGED,
    MERGED_PLANAR,
    MERGED_TO_PLANES,
    IN_PASSES,
    TO_PLANES_IN_PASSES,
    X_STAGED,
    Y_STAGED,
    R_STAGED,
    PREFETCHED,
    STREAMED,
    STREAMED_FEW_CHANNELS,
    AFFINE_PLANAR,
    AFFINE_TRANSPOSING,
    AFFINE_FEW_CHANNELS,
    AFFINE_STAGED,
    AFFINE_WIDE,
    HEAD_STREAMED,
    MISSING_STREAMED,
    MISSING_IN_PLACE,
    MISSING_IN_REGISTERS,
    MISSING_SOME,
    HEAD_IN_TILES,
    FEATURES
} feature;
static const char *const feature_names[] = {"planar",
                                            "interleaved",
                                            "transposing",
                                            "interleaved to planes",
                                            "few channels",
                                            "merged",
                                            "merged planar",
                                            "merged to planes",
                                            "in passes",
                                            "to planes in passes",
                                            "x staged",
                                            "y staged",
                                            "r staged",
                                            "prefetched",
                                            "streamed",
                                            "streamed few channels",
                                            "affine planar",
                                            "affine transposing",
                                            "affine few channels",
                                            "affine staged",
                                            "affine wide",
                                            "head streamed",
                                            "missing streamed",
                                            "missing in place",
                                            "missing in registers",
                                            "missing some",
                                            "head in tiles"};
static long seen[FEATURES];

static long passed, failed;
static const pw_kernel_set *set;
static int every = 1;
static const pw_plan *plan_now;
static int candidate;

static void print_case(const char *what, int threads) {
    static const char *const residuals[] = {"none", "its own", "y"};
    printf("%s: %s %s <- %s C=%" PRId64 " K=%" PRId64 " groups=%" PRId64 " P=%" PRId64
           " rows=%" PRId64 " outer=%" PRId64 " x:%s %s y:%s %s residual:%s r:%s %s bias=%d "
           "in_place=%d affine=%d activation=%d leading=%d skew=%d cache=%" PRId64
           " threads=%d candidate %d: %s\n",
           what, pw_kernel_set_name(set), now->dtype == PW_F32 ? "f32" : "f64",
           now->x_dtype == PW_F32 ? "f32" : "f64", now->C, now->K, now->groups, now->P, now->rows,
           now->outer, layout_names[now->x], row_names[now->x_rows], layout_names[now->y],
           row_names[now->y_rows], residuals[now->residual], layout_names[now->r],
           row_names[now->r_rows], now->bias, now->in_place, now->affine, now->activation,
           now->leading, now->skew, now->cache_bytes, threads, candidate,
           plan_now ? pw_plan_describe(plan_now) : "no plan");
}

static int threads_now;

static void on_crash(int signal_number) {
    print_case(signal_number == SIGSEGV ? "CRASH (SIGSEGV)" : "CRASH (SIGBUS)", threads_now);
    fflush(stdout);
    _exit(1);
}

static void run(const pw_plan *plan, const data *d, void *packed, int threads) {
    const ptrdiff_t size = size_of(now->dtype), w_k = now->C / now->groups * size;
    const char *x = d->x + d->xv.first;
    char *y = d->y + d->yv.first;
    pw_status status;
    threads_now = threads;
    if (threads == 1) { /* pw_conv packs by itself */
        status = pw_conv(plan, d->w, w_k, size, d->bias, size, x, d->r0, NULL, y, threads);
    } else {
        pw_pack(plan, d->w, w_k, size, d->bias, size, packed);
        status = pw_run(plan, packed, x, d->r0, NULL, y, threads);
    }
    if (status != PW_OK) {
        print_case("no memory", threads);
        exit(2);
    }
}

/* One plan in two is that which callers get. */
static pw_plan *new_plan(const pw_kernel_set *of, const pw_problem *problem) {
    cache_bytes = now->cache_bytes;
    candidate = random_below(2) ? 0 : random_below(pw_count_candidates(of, problem));
    pw_plan *plan = pw_plan_candidate(of, problem, candidate);
    cache_bytes = 0;
    if (!plan) exit(2);
    plan_now = plan;
    return plan;
}

static void free_plan(pw_plan *plan) {
    plan_now = NULL;
    pw_plan_free(plan);
}

static void count_features(const pw_plan *plan) {
    const int planar = !plan->path->reads_rows,
              plain = plan->path == &pw_path_interleaved || plan->path->makes_tiles;
    const int transposing = plain &&
                            plan->blocks[plan->n_blocks - 1].channels % plan->kernels->vector &&
                            plan->blocks[plan->n_blocks - 1].width % plan->kernels->vector;
    seen[BY_PLANAR] += planar;
    seen[BY_INTERLEAVED] += plain && plan->blocks[0].width % plan->kernels->vector == 0;
    seen[BY_TRANSPOSING] += transposing;
    seen[BY_TO_PLANES] += plan->path == &pw_path_interleaved_to_planes;
    seen[BY_FEW_CHANNELS] += plan->path == &pw_path_few_channels;
    seen[MERGED] += plan->row_pixels && plain;
    seen[MERGED_PLANAR] += plan->row_pixels && planar;
    seen[MERGED_TO_PLANES] += plan->row_pixels && plan->path == &pw_path_interleaved_to_planes;
    seen[IN_PASSES] += plan->c_pass < plan->C;
    seen[TO_PLANES_IN_PASSES] +=
        plan->c_pass < plan->C && plan->path == &pw_path_interleaved_to_planes;
    seen[X_STAGED] += pw_stages_x(plan);
    seen[Y_STAGED] += plan->stage_y;
    seen[R_STAGED] += plan->stage_r;
    seen[PREFETCHED] += plan->prefetch != 0;
    seen[STREAMED] += plan->stream && plan->path != &pw_path_few_channels;
    seen[STREAMED_FEW_CHANNELS] += plan->stream && plan->path == &pw_path_few_channels;
    const int in_kernels = plan->affine == PW_AFFINE_IN_KERNELS;
    seen[AFFINE_PLANAR] += in_kernels && planar;
    seen[AFFINE_TRANSPOSING] += in_kernels && transposing;
    seen[AFFINE_FEW_CHANNELS] += in_kernels && plan->path == &pw_path_few_channels;
    seen[AFFINE_STAGED] += plan->affine == PW_AFFINE_STAGED;
    seen[AFFINE_WIDE] += plan->wide != NULL;
}

static void check_features(void) {
    const pw_kernels *const *kernels = set->dtype;
    for (int i = 0; i < FEATURES; i++) {
        const int transposes = i == BY_TRANSPOSING || i == BY_TO_PLANES || i == MERGED_TO_PLANES ||
                               i == TO_PLANES_IN_PASSES || i == AFFINE_TRANSPOSING ||
                               i == HEAD_IN_TILES;
        const int few =
            i == BY_FEW_CHANNELS || i == STREAMED_FEW_CHANNELS || i == AFFINE_FEW_CHANNELS;
        if (seen[i] ||
            (transposes && !kernels[0]->transposing_mr_max && !kernels[1]->transposing_mr_max) ||
            (few && !kernels[0]->few_channels[1][1] && !kernels[1]->few_channels[1][1]))
            continue;
        printf("FAILED: no case of %s was %s\n", pw_kernel_set_name(set), feature_names[i]);
        failed++;
    }
}

static void check(const test_case *t) {
    static const int thread_counts[] = {1, 2, 5};
    data d = {0};
    now = t;
    prepare(&d);
    d.r0 = t->residual == NO_RESIDUAL ? NULL : d.r + d.rv.first;

    /* y, with its margin on the side that has no guard page. */
    char *from = t->leading ? d.y - t->skew : d.y - MARGIN;
    const size_t bytes = d.yv.bytes + MARGIN + (size_t)t->skew;
    char *before = malloc(bytes), *wanted = malloc(bytes);
    pw_plan *plan = new_plan(set, &d.problem);
    if (!before || !wanted) exit(2);
    count_features(plan);
    memset(from, 0xa5, (size_t)(d.y - from));
    memset(d.y + d.yv.bytes, 0xa5, bytes - d.yv.bytes - (size_t)(d.y - from));
    if (!t->in_place) {
        memset(d.y, 0xa5, d.yv.bytes);
        if (t->residual == RESIDUAL_IS_Y) fill(t->dtype, d.y, d.yv, t->K);
    }
    memcpy(before, from, bytes);
    memcpy(wanted, from, bytes);
    expected = wanted + (d.y - from);
    convolve(&d);

    char *packed = place(packed_arena, pw_packed_bytes(plan));
    packed -= (uintptr_t)packed % 64;
    if (packed < packed_arena.start) packed += 64;
    int same = 1;
    for (int i = 0; i < 3; i++) {
        memcpy(from, before, bytes);
        run(plan, &d, packed, thread_counts[i]);
        if (memcmp(from, wanted, bytes) != 0 && same) {
            if (failed < MOST_PRINTED) print_case("FAILED", thread_counts[i]);
            same = 0;
        }
    }
    same ? passed++ : failed++;
    free_plan(plan);
    free(before);
    free(wanted);
}

/* Checks all activations, not only the exact ones: the bits must be those of the scalar set, the
 * last one. */
static void check_activation(const test_case *t) {
    static const double special[] = {0.0,   -0.0,   INFINITY, -INFINITY, NAN,
                                     1e-40, -1e-40, 3e38,     -3e38};
    const pw_kernel_set *sets[] = {set, set};
    char *results[2];
    data d = {0};
    now = t;
    prepare(&d);
    d.r0 = t->residual == RESIDUAL ? d.r + d.rv.first : NULL;
    for (int64_t p = 0; p < t->P; p++)
        store(t->dtype, d.x + p * d.xv.p,
              random_below(5) ? random_value() * pow(10, random_below(5) - 2)
                              : special[random_below(9)]);
    for (int i = 0; pw_kernel_set_at(i); i++) sets[1] = pw_kernel_set_at(i);
    for (int s = 0; s < 2; s++) {
        pw_plan *plan = new_plan(sets[s], &d.problem);
        run(plan, &d, NULL, 1);
        if (!(results[s] = malloc(d.yv.bytes))) exit(2);
        memcpy(results[s], d.y, d.yv.bytes);
        free_plan(plan);
    }
    int same = 1;
    for (int64_t i = 0; i < t->K * t->P && same; i++) {
        const double a = load(t->dtype, results[0] + i * size_of(t->dtype));
        const double b = load(t->dtype, results[1] + i * size_of(t->dtype));
        same = memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
        if (same || failed >= MOST_PRINTED) continue;
        print_case("FAILED, differs from scalar", 1);
        printf("    output %" PRId64 ": %a, scalar %a\n", i, a, b);
    }
    same ? passed++ : failed++;
    free(results[0]);
    free(results[1]);
}
