/* Compares chains of two and three layers with their layers run one after another, on every kernel
 * set of this CPU: every number of output channels that fused2 kernels have, every tail, planar and
 * interleaved, with and without gaps. Outputs are poisoned first and compared together with
 * everything around them.
 *
 *     chains [seed] [n: runs every nth case, drawn at random]
 */
#define _POSIX_C_SOURCE 200809L /* posix_memalign */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pointwise.h"

enum { MOST_LAYERS = 3, ROOM = 1 << 18, POISON = 0xff };

static uint64_t state;
static int random_below(int n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

/* Which layers have a bias. */
static int has_bias[MOST_LAYERS];

/* Each case draws a cache size, so that layers are fused or not and outputs streamed or not. */
static int64_t cache_bytes;
int64_t __wrap_pw_cache_bytes(int level);
int64_t __wrap_pw_cache_bytes(int level) {
    return level == 3 ? cache_bytes / 4 : cache_bytes;
}

/* Writes small values, none of which has the bytes of the poison. */
static void fill(char *to, int64_t n, pw_dtype dtype) {
    for (int64_t i = 0; i < n; i++) {
        const double value = (random_below(2001) - 1000) / 1024.0;
        const float narrow = (float)value;
        if (dtype == PW_F32)
            memcpy(to + 4 * i, &narrow, 4);
        else
            memcpy(to + 8 * i, &value, 8);
    }
}

static char x[ROOM], r[ROOM], y[ROOM], expected[ROOM], hidden[2][ROOM];
static char weights[MOST_LAYERS][ROOM], biases[MOST_LAYERS][1024];
static double scales[MOST_LAYERS][64], offsets[MOST_LAYERS][64];

/* Puts channels, or interleaved pixels, `gap` elements further apart than necessary. */
static void lay_out(int interleaved, int64_t n, int64_t P, ptrdiff_t size, int gap,
                    ptrdiff_t *channel, ptrdiff_t *pixel) {
    *channel = interleaved ? size : (ptrdiff_t)(P + gap) * size;
    *pixel = interleaved ? (ptrdiff_t)(n + gap) * size : size;
}

/* Packs the weights of all layers into one block of exactly their size, which the caller frees. */
static void *pack_layers(const pw_plan *chain, const pw_problem *layers, int n) {
    size_t bytes = 0;
    void *packed;
    for (int i = 0; i < n; i++) bytes += pw_packed_bytes(pw_chain_layer(chain, i));
    if (posix_memalign(&packed, 64, bytes)) exit(2);
    char *to = packed;
    for (int i = 0; i < n; i++) {
        const pw_plan *plan = pw_chain_layer(chain, i);
        const ptrdiff_t size = layers[i].dtype == PW_F32 ? 4 : 8;
        pw_pack(plan, weights[i], (ptrdiff_t)layers[i].C * size, size,
                has_bias[i] ? biases[i] : NULL, size, to);
        to += pw_packed_bytes(plan);
    }
    return packed;
}

/* Runs the layers one after another, each with a plan of its own. */
static void run_layers(const pw_kernel_set *set, const pw_problem *layers, int n, void *to) {
    for (int i = 0; i < n; i++) {
        pw_problem p = layers[i];
        const ptrdiff_t size = p.dtype == PW_F32 ? 4 : 8;
        if (i > 0) p.x_c = (ptrdiff_t)p.P * size, p.x_p = size;
        if (i + 1 < n) p.y_k = (ptrdiff_t)p.P * size, p.y_p = size, p.has_residual = 0;
        pw_plan *plan = pw_plan_new(set, &p);
        pw_conv(plan, weights[i], (ptrdiff_t)p.C * size, size, has_bias[i] ? biases[i] : NULL, size,
                i ? hidden[(i - 1) % 2] : x, p.has_residual ? r : NULL, NULL,
                i + 1 < n ? hidden[i % 2] : to, 1);
        pw_plan_free(plan);
    }
}

static int check(const pw_kernel_set *set, pw_dtype dtype, int n, const int64_t *channels,
                 int64_t P, int x_interleaved, int y_interleaved) {
    static const pw_activation activations[] = {PW_ACT_NONE, PW_ACT_RELU, PW_ACT_LEAKY_RELU,
                                                PW_ACT_TANH, PW_ACT_GELU};
    const ptrdiff_t size = dtype == PW_F32 ? 4 : 8;
    pw_problem layers[MOST_LAYERS] = {{.dtype = dtype}};
    const pw_problem *pointers[MOST_LAYERS];
    const int gap = random_below(2) * random_below(4), residual = random_below(2);
    for (int i = 0; i < n; i++) {
        pw_problem *p = &layers[i];
        *p = (pw_problem){.dtype = dtype,
                          .x_dtype = dtype,
                          .y_dtype = dtype,
                          .components = 1,
                          .groups = 1,
                          .P = P};
        p->C = channels[i], p->K = channels[i + 1];
        has_bias[i] = random_below(2);
        p->activation = activations[random_below(5)];
        p->a = 0.1;
        if (random_below(4) == 0) {
            fill((char *)scales[i], p->C, PW_F64);
            fill((char *)offsets[i], p->C, PW_F64);
            p->scale = scales[i], p->offset = offsets[i];
        }
        pointers[i] = p;
        fill(weights[i], p->C * p->K, dtype);
        fill(biases[i], p->K, dtype);
    }
    pw_problem *first = &layers[0], *last = &layers[n - 1];
    lay_out(x_interleaved, channels[0], P, size, gap, &first->x_c, &first->x_p);
    lay_out(y_interleaved, channels[n], P, size, gap, &last->y_k, &last->y_p);
    last->has_residual = residual;
    last->r_k = last->y_k, last->r_p = last->y_p;
    fill(x, ROOM / size, dtype);
    fill(r, ROOM / size, dtype);
    memset(y, POISON, sizeof y);
    memset(expected, POISON, sizeof expected);
    run_layers(set, layers, n, expected);
    cache_bytes = random_below(2) ? 1 << 20 : 1 << (10 + random_below(8));
    pw_plan *chain = pw_chain_new(set, pointers, n);
    void *packed = pack_layers(chain, layers, n);
    pw_run(chain, packed, x, residual ? r : NULL, NULL, y, 1 + random_below(3));
    free(packed);
    const int same = !memcmp(y, expected, sizeof y);
    if (!same)
        printf("differs: %s, %d bytes, C %lld K %lld P %lld, x %d y %d gap %d residual %d\n",
               pw_plan_describe(chain), (int)size, (long long)channels[0], (long long)channels[n],
               (long long)P, x_interleaved, y_interleaved, gap, residual);
    pw_plan_free(chain);
    return same;
}

int main(int argc, char **argv) {
    const unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    const int every = argc > 2 && atoi(argv[2]) > 0 ? atoi(argv[2]) : 1;
    state = seed;
    long cases = 0, wrong = 0;
    const pw_kernel_set *set;
    for (int s = 0; (set = pw_kernel_set_at(s)); s++)
        for (int dtype = 0; pw_kernel_set_works(set) && dtype < 2; dtype++)
            for (int64_t K = 1; K <= 10; K++)
                for (int64_t P = 1; P <= 150; P += every * (1 + random_below(4)))
                    for (int kind = 0; kind < 4; kind++, cases++) {
                        const int n = 2 + (random_below(8) == 0);
                        int64_t channels[MOST_LAYERS + 1];
                        for (int i = 0; i < n; i++) channels[i] = 1 + random_below(i ? 26 : 18);
                        channels[n] = K;
                        if (random_below(3) == 0) channels[0] = 1 + random_below(4);
                        wrong += !check(set, (pw_dtype)dtype, n, channels, P, kind % 2, kind / 2);
                    }
    printf("seed %llu: %ld cases, %ld differ\n", seed, cases, wrong);
    return wrong || !cases;
}
