/* Runs chains. */
#ifndef PW_CHAIN_RUN_H
#define PW_CHAIN_RUN_H

#include "chain/plan.h"

pw_status pw_run_chain(const pw_chain *, const void *packed, const void *x, const void *r, void *y,
                       int threads);

#endif
