/* Chooses the table for this CPU. */
#include "tuning/tuning.h"
#include "cpu/cpu.h"
#include "pointwise.h"

#include <stdatomic.h>
#include <string.h>

static const pw_tuning *const tables[] = {&pw_tuning_generic, &pw_tuning_zen3};

enum { TABLES = sizeof tables / sizeof *tables };

/* NULL: nothing has been chosen yet. */
static _Atomic(const pw_tuning *) chosen;

static const pw_tuning *by_name(const char *name) {
    for (int i = 0; i < TABLES; i++)
        if (strcmp(name, tables[i]->name) == 0) return tables[i];
    return NULL;
}

const pw_tuning *pw_tuning_now(void) {
    const pw_tuning *now = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (now) return now;
    const pw_tuning *own = by_name(pw_cpu_microarchitecture());
    if (!own) own = &pw_tuning_generic;
    /* Another thread may have selected one meanwhile. */
    return atomic_compare_exchange_strong(&chosen, &now, own) ? own : now;
}

const char *pw_tuning_name_at(int i) {
    return i >= 0 && i < TABLES ? tables[i]->name : NULL;
}

const char *pw_tuning_name(void) {
    return pw_tuning_now()->name;
}

int pw_tuning_select(const char *name) {
    const pw_tuning *found = by_name(name);
    if (found) atomic_store_explicit(&chosen, found, memory_order_relaxed);
    return found != NULL;
}
