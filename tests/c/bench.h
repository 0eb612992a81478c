/* What kernels are called with, what was measured of each, and what comes of a comparison. */
#include <math.h>
#include <string.h>

#include "bench_peak.h"
#include "memory.h"

enum {
    /* Input channels: of pixels beside each other this leaves room for full tiles of all kernels in the
     * 32 KiB of a level 1. */
    DEPTH = 40,
    MOST_CHANNELS = 64,
    MOST_PIXELS = 2048,
    X_BYTES = 15 << 10, /* of x, in about as many pixels as that makes */
    SAMPLES = 60,       /* a round */
    LINE_BYTES = 64,
    GAP = 17 * LINE_BYTES,
    POISON = 0xa5,
};

static const char *const dtype_names[PW_DTYPES] = {"float32", "float64", "uint8",   "int8",
                                                   "uint16",  "int16",   "uint32",  "int32",
                                                   "uint64",  "int64",   "float16", "bfloat16"};

typedef struct {
    const char *set, *kind;
    const char *dtype; /* of sums, or the lanes of quantised kernels */
    const char *from;  /* of the array, where it has one of its own; else NULL */
    /* What a kernel was made for, or a full tile of it; 0: any, or it does not tell. */
    int inputs, hidden, channels, pixels;
    const char *unit;
    double units; /* a call */
    int is_wrong;
    double cycles, best; /* a call */
    double of_peak;      /* 0: not known */
    float *samples;
} entry;

static entry *entries;
static int n_entries, now_at; /* of this round */
static int rounds = 5, round_now, failed;
static const char *part_of_kind = "";

static int is_wanted(const char *kind) {
    return strstr(kind, part_of_kind) != NULL;
}

/* Memory for the arrays of one kernel, contiguous as far as lines allow. */
static arena workspace, spare;
static char *next_free;

static char *take(int64_t bytes) {
    char *at = next_free;
    next_free += (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    if (next_free > workspace.end) {
        fprintf(stderr, "%zd bytes too many\n", (ptrdiff_t)(next_free - workspace.end));
        exit(2);
    }
    return at;
}

/* An output, poisoned as what is expected in its place, and a line behind it. It is not 4 KiB from an
 * input: loads would seem to wait for stores. */
typedef struct {
    char *at, *expected;
    size_t bytes;
} output;

static output take_output(int64_t bytes) {
    take(GAP);
    const output y = {take(bytes + LINE_BYTES), spare.start, (size_t)bytes + LINE_BYTES};
    memset(y.at, POISON, y.bytes);
    memset(y.expected, POISON, y.bytes);
    return y;
}

/* Numbers in memory, of the dtypes that sums are made of. */
static void put(pw_dtype dtype, char *at, double value) {
    const float f32 = (float)value;
    const int32_t whole = (int32_t)value;
    const size_t size = pw_size(dtype);
    if (dtype == PW_F64)
        memcpy(at, &value, size);
    else if (dtype == PW_F32)
        memcpy(at, &f32, size);
    else /* little endian, as all CPUs with kernels are */
        memcpy(at, &whole, size);
}

/* w * x + s, rounded once to the dtype. */
static double multiply_add(pw_dtype dtype, double w, double x, double s) {
    return dtype == PW_F32 ? (double)fmaf((float)w, (float)x, (float)s) : fma(w, x, s);
}

/* From -1 to 1, as the dtype has it. */
static double random_real(pw_dtype dtype) {
    const double value = (double)(int64_t)random_bits() * 0x1p-63;
    return dtype == PW_F32 ? (double)(float)value : value;
}

static void describe(const entry *e, char *text, size_t room) {
    char inputs[16] = "", hidden[16] = "", pixels[16] = "";
    if (e->inputs) snprintf(inputs, sizeof inputs, "%d > ", e->inputs);
    if (e->hidden) snprintf(hidden, sizeof hidden, "%d > ", e->hidden);
    if (e->pixels) snprintf(pixels, sizeof pixels, " x %d", e->pixels);
    if (e->channels)
        snprintf(text, room, "%s%s%d%s", inputs, hidden, e->channels, pixels);
    else
        snprintf(text, room, "-");
}

/* The same kernels come in every round. In the first one the output of a call is compared with what is
 * expected, before anything is timed. */
static void measure(const entry *what, runner run, const void *argument, const output *y) {
    if (round_now == 0) {
        entries = realloc(entries, (size_t)(n_entries + 1) * sizeof *entries);
        float *samples = malloc((size_t)(rounds * SAMPLES + 1) * sizeof *samples);
        if (!entries || !samples) exit(2);
        entry *e = &entries[n_entries++];
        *e = *what;
        e->samples = samples;
        run(argument);
        e->is_wrong = memcmp(y->at, y->expected, y->bytes) != 0;
        if (e->is_wrong) {
            char tile[64];
            size_t i = 0;
            while (y->at[i] == y->expected[i]) i++;
            describe(e, tile, sizeof tile);
            printf("WRONG: %s %s %s %s %s, from byte %zu on\n", e->set, e->kind, e->dtype,
                   e->from ? e->from : "", tile, i);
            failed++;
        }
    }
    const entry *e = &entries[now_at++];
    if (rounds && !e->is_wrong)
        time_batches(run, argument, e->samples + round_now * SAMPLES, SAMPLES);
}
