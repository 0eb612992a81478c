/* Calls every kernel by itself, compares the bits of what it makes with what is promised, and times it in
 * level 1, in cycles of the core.
 *
 *     bench_kernels [kernel set, or all] [part of the name of kernels' kinds]
 *                   [--rounds n: 0 only compares] [--json file]
 *
 * The cycles are medians over all rounds, and the best 2% of batches. What interrupts less than
 * half of them does not show. A neighbour on the same core does: it shares its multiply-adders, but not
 * the chain of additions by which cycles are counted.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "bench_quantised.h"
#include "pointwise.h"

static void measure_peak(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    static const output nothing = {"", "", 0};
    const runner run = peak_loop(e.set, dtype);
    e.kind = "peak";
    e.units = PEAK_ROUNDS * PEAK_SUMS * kernels->vector;
    if (run) measure(&e, run, NULL, &nothing);
}

static void measure_set(const pw_kernel_set *set) {
    for (int d = 0; d < 2; d++) {
        const pw_dtype dtype = d ? PW_F64 : PW_F32;
        const pw_kernels *kernels = set->dtype[d];
        const entry e = {.set = set->name, .dtype = dtype_names[dtype], .unit = "multiply-add"};
        measure_peak(e, kernels, dtype);
        measure_all_planar(e, kernels, dtype);
        measure_interleaved(e, kernels, dtype);
        measure_all_bf16_pairs(e, kernels);
        measure_dots(e, kernels, dtype);
        measure_pairs(e, kernels, dtype);
        measure_all_elements(e, kernels, dtype);
    }
    const entry e = {.unit = "multiply-add"};
    const pw_qkernels *quantised;
    for (int i = 0; (quantised = pw_qkernels_at(set, i)); i++)
        if (quantised->works()) measure_quantised(e, quantised);
}

static void measure_sets(const char *only) {
    const pw_kernel_set *set;
    for (int i = 0; (set = pw_kernel_set_at(i)); i++) {
        if (only && strcmp(only, pw_kernel_set_name(set)) != 0) continue;
        if (pw_kernel_set_works(set))
            measure_set(set);
        else if (round_now == 0)
            printf("%s: not on this CPU\n", pw_kernel_set_name(set));
    }
}

/* The peak comes first in each set and dtype. It is what the CPU can do, so the best counts. */
static void sum_up(void) {
    const entry *peak = NULL;
    for (int i = 0; i < n_entries; i++) {
        entry *e = &entries[i];
        if (rounds == 0 || e->is_wrong) continue;
        e->cycles = median(e->samples, rounds * SAMPLES); /* which sorts them */
        /* Not the very best: a frequency that rose for one batch alone goes unnoticed. */
        e->best = (double)e->samples[rounds * SAMPLES / 50];
        if (strcmp(e->kind, "peak") == 0) peak = e;
        if (peak && strcmp(e->unit, peak->unit) == 0 && strcmp(e->set, peak->set) == 0 &&
            strcmp(e->dtype, peak->dtype) == 0)
            e->of_peak = e->units / e->cycles * peak->best / peak->units;
    }
}

static void print_entry(const entry *e) {
    char tile[64], share[16] = "";
    describe(e, tile, sizeof tile);
    if (e->of_peak > 0) snprintf(share, sizeof share, "%.0f%%", 100 * e->of_peak);
    printf("  %-20s%-13s%-10s%-14s%10.4f%10.4f%8s\n", e->kind, e->dtype, e->from ? e->from : "",
           tile, e->cycles / e->units, e->best / e->units, share);
}

static void print_table(void) {
    for (int i = 0; i < n_entries; i++) {
        const entry *e = &entries[i], *before = i ? e - 1 : NULL;
        if (!before || strcmp(e->set, before->set) != 0) {
            printf("\n%s\n", e->set);
            printf("  %-20s%-13s%-10s%-14s%10s%10s%8s\n", "kind", "dtype", "from", "tile", "cycles",
                   "best", "peak");
        }
        if (!e->is_wrong) print_entry(e);
    }
}

static int are_alike(const entry *a, const entry *b) {
    return strcmp(a->set, b->set) == 0 && strcmp(a->kind, b->kind) == 0 &&
           strcmp(a->dtype, b->dtype) == 0;
}

/* The fastest kernel of each kind. */
static void print_fastest(void) {
    printf("\nThe fastest of each kind, a multiply-add or an element\n");
    for (int i = 0; i < n_entries; i++) {
        const entry *fastest = NULL;
        int is_first = 1;
        for (int j = 0; j < n_entries; j++) {
            const entry *e = &entries[j];
            if (!are_alike(e, &entries[i]) || e->is_wrong) continue;
            is_first &= j >= i;
            if (!fastest || e->cycles / e->units < fastest->cycles / fastest->units) fastest = e;
        }
        if (!is_first || !fastest) continue;
        printf("%-12s", fastest->set);
        print_entry(fastest);
    }
}

static void write_number(FILE *file, const char *name, int value) {
    if (value) fprintf(file, ", \"%s\": %d", name, value);
}

/* What Linux calls it. */
static void write_cpu(FILE *file) {
    char line[256], name[200] = "";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && !*name && fgets(line, sizeof line, info))
        sscanf(line, "model name : %199[^\"\\\n]", name);
    if (info) fclose(info);
    fprintf(file, ",\n \"cpu\": \"%s\"", name);
}

static int write_json(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return 1;
    }
    fprintf(file, "{\n \"compiler\": \"%s\"", pw_compiler());
    write_cpu(file);
    fprintf(file, ",\n \"input_channels\": %d,\n \"rounds\": %d,\n \"kernels\": [\n", DEPTH,
            rounds);
    for (int i = 0; i < n_entries; i++) {
        const entry *e = &entries[i];
        fprintf(file, "  {\"set\": \"%s\", \"kind\": \"%s\", \"dtype\": \"%s\"", e->set, e->kind,
                e->dtype);
        if (e->from) fprintf(file, ", \"from\": \"%s\"", e->from);
        write_number(file, "inputs", e->inputs);
        write_number(file, "hidden", e->hidden);
        write_number(file, "channels", e->channels);
        write_number(file, "pixels", e->pixels);
        fprintf(file, ", \"unit\": \"%s\", \"units\": %.0f", e->unit, e->units);
        fprintf(file, ", \"cycles\": %.5f, \"best\": %.5f", e->cycles / e->units,
                e->best / e->units);
        if (e->of_peak > 0) fprintf(file, ", \"of_peak\": %.3f", e->of_peak);
        fprintf(file, "}%s\n", i + 1 < n_entries ? "," : "");
    }
    fprintf(file, " ]\n}\n");
    return fclose(file) != 0;
}

int main(int argc, char **argv) {
    const char *only = NULL, *json = NULL;
    int given = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            json = argv[++i];
        else if (given++ == 0)
            only = strcmp(argv[i], "all") != 0 ? argv[i] : NULL;
        else
            part_of_kind = argv[i];
    }
    workspace = new_arena(128 << 10);
    spare = new_arena(128 << 10);
    for (round_now = 0; round_now == 0 || round_now < rounds; round_now++) {
        random_state = 1;
        now_at = 0;
        measure_sets(only);
    }
    sum_up();
    if (rounds) print_table();
    if (rounds) print_fastest();
    printf("%s%d kernels, %d wrong\n", rounds ? "\n" : "", n_entries, failed);
    if (json && write_json(json)) return 2;
    return failed || !n_entries;
}
