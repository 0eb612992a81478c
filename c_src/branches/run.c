/* Runs several plans on one x. A thread takes a panel of pixels through each of them before it goes
 * on to the next panel, so that x comes from memory only for the first plan. */
#include "base/layout.h"
#include "base/math.h"
#include "base/scratch.h"
#include "conv/plan.h"
#include "conv/run.h"
#include "cpu/caches.h"
#include "threads/shares.h"

enum {
    PANEL_STEP = 192,
    /* A smaller x stays in the caches from plan to plan. */
    TOGETHER_FROM_BYTES = 1 << 20,
};

typedef struct call {
    const pw_plan *const *plans;
    const void *const *packed;
    int n;
    const char *x;
    void *const *y;
    int64_t panel, panels; /* pixels of a panel; panels of one outer index */
    size_t scratch;
    pw_shares shares;
} call;

/* Runs plan i on the panel, cut as its own output is aligned: others may be aligned elsewhere. */
static void run_branch_panel(const call *call, int i, int64_t panel, int64_t outer, char *scratch) {
    const pw_plan *plan = call->plans[i];
    const pw_problem *p = &plan->problem;
    char *y = (char *)call->y[i] + pw_outer_offset(p, p->y_outer, outer);
    const int64_t unaligned = pw_unaligned_prefix(plan, y);
    const int64_t from = panel ? unaligned + panel * call->panel : 0;
    const int64_t to =
        panel + 1 == call->panels ? p->P : pw_min(p->P, unaligned + (panel + 1) * call->panel);
    if (from >= to) return;
    const pw_strip strip = {
        .packed = call->packed[i],
        .x = call->x + pw_outer_offset(p, p->x_outer, outer),
        .y = y + from * p->y_p,
        .from = from,
        .pixels = to - from,
    };
    pw_run_strip(plan, &strip, panel ? 0 : unaligned, scratch);
}

static void run_branch_items(void *argument, int number) {
    call *call = argument;
    char *scratch = NULL;
    if (call->scratch && !(scratch = pw_thread_scratch(call->scratch))) return;
    int64_t index;
    for (int turn = 0; (index = pw_next_item(&call->shares, number, &turn)) >= 0;)
        for (int i = 0; i < call->n; i++)
            run_branch_panel(call, i, index % call->panels, index / call->panels, scratch);
    for (int i = 0; i < call->n; i++) pw_end_streaming(call->plans[i]);
}

/* Whether panels pay: x is too large for the caches, all weights stay in level 2, and there are
 * enough panels for all threads. More output through the caches than input pays only in long runs:
 * 8 -> 8, 8, 8 interleaved lost 12%. */
static int together(const pw_plan *const *plans, int n, int threads) {
    const pw_problem *p = &plans[0]->problem;
    const int64_t pixels = plans[0]->outer * p->P;
    int64_t written = 0;
    size_t weights = 0;
    for (int i = 0; i < n; i++) {
        if (plans[i]->problem.P != p->P || plans[i]->outer != plans[0]->outer ||
            plans[i]->problem.C != p->C)
            return 0;
        weights += pw_packed_bytes(plans[i]);
        if (!plans[i]->stream) written += plans[i]->problem.K;
    }
    return pixels * p->C * (int64_t)pw_size(p->x_dtype) >= TOGETHER_FROM_BYTES &&
           2 * (int64_t)weights <= pw_level_2_bytes() && written <= 2 * p->C &&
           pixels >= (int64_t)threads * PW_ITEMS_PER_THREAD * PANEL_STEP / 4;
}

pw_status pw_run_branches(const pw_plan *const *plans, const void *const *packed, int n,
                          const void *x, void *const *y, int threads) {
    call call; /* not cleared: most of it is unused shares */
    call.scratch = 0;
    double multiply_adds = 0;
    for (int i = 0; i < n; i++) {
        const pw_problem *p = &plans[i]->problem;
        call.scratch = (size_t)pw_max((int64_t)call.scratch, (int64_t)plans[i]->scratch.bytes);
        multiply_adds +=
            (double)plans[i]->outer * (double)p->P * (double)p->K * (double)plans[i]->C;
    }
    if (call.scratch && !pw_thread_scratch(call.scratch)) return PW_NO_MEMORY;
    if (!together(plans, n, threads)) {
        for (int i = 0; i < n; i++) {
            const pw_status status = pw_run_conv(plans[i], packed[i], x, NULL, NULL, y[i], threads);
            if (status != PW_OK) return status;
        }
        return PW_OK;
    }
    const pw_problem *p = &plans[0]->problem;
    threads = pw_worth_threads(multiply_adds, threads);
    const int64_t pixel = p->C * (int64_t)pw_size(p->x_dtype);
    call.plans = plans, call.packed = packed, call.n = n, call.x = x, call.y = y;
    /* x of a panel stays in level 2 beside the weights. Zen 4: 128 to 512 KiB were within 3%, 16
     * KiB cost 10 to 30%. */
    call.panel = pw_max(pw_level_2_bytes() / 4 / pixel / PANEL_STEP, 1) * PANEL_STEP;
    if (threads > 1) {
        const int64_t pixels =
            pw_ceil_div(plans[0]->outer * p->P, (int64_t)threads * PW_ITEMS_PER_THREAD);
        call.panel = pw_min(call.panel, pw_round_up(pixels, plans[0]->step));
    }
    call.panels = pw_ceil_div(p->P, call.panel);
    return pw_spread(&call.shares, plans[0]->outer * call.panels, multiply_adds, threads,
                     run_branch_items, &call);
}
