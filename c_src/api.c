/* A pw_plan is one convolution or a chain of them. Only this file tells them apart: the functions
 * that it calls are for one or the other. */
#include "chain/plan.h"
#include "chain/run.h"
#include "conv/planner.h"
#include "conv/run.h"

pw_status pw_run(const pw_plan *plan, const void *packed, const void *x, const void *r,
                 const void *mask, void *y, int threads) {
    return plan->chain ? pw_run_chain(plan->chain, packed, x, r, y, threads)
                       : pw_run_conv(plan, packed, x, r, mask, y, threads);
}

void pw_plan_free(pw_plan *plan) {
    if (plan && plan->chain) pw_chain_free(plan->chain);
    pw_conv_free(plan);
}
