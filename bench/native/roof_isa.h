/* Template: one instruction set's part of roof.c, which includes it once for each set.
 *
 * The macros NAME(x), TARGET (a function attribute), VEC and LANES (float32), SET1, FMA, LOAD,
 * STORE, STREAM (a non-temporal store), FENCE and KEEP (an asm operand constraint for a VEC) come
 * first. */

enum { NAME(per_line) = 64 / (4 * LANES) };

TARGET static inline __attribute__((always_inline)) void NAME(fma_chains)(int chains, int64_t n) {
    VEC sum[16];
    VEC factor = SET1(0.999f), term = SET1(0.001f);
    for (int i = 0; i < chains; i++) {
        sum[i] = SET1((float)i);
        /* Hides the value: the compiler would remove a chain that starts at its fixed point. */
        __asm__ volatile("" : "+" KEEP(sum[i]));
    }
    __asm__ volatile("" : "+" KEEP(factor), "+" KEEP(term));
    for (int64_t j = 0; j < n; j++)
        for (int i = 0; i < chains; i++) sum[i] = FMA(sum[i], factor, term);
    for (int i = 0; i < chains; i++) __asm__ volatile("" : : KEEP(sum[i]));
}

TARGET static void NAME(fma_loop)(int chains, int64_t n) {
    switch (chains) {
    case 8: NAME(fma_chains)(8, n); break;
    case 10: NAME(fma_chains)(10, n); break;
    case 12: NAME(fma_chains)(12, n); break;
    case 16: NAME(fma_chains)(16, n); break;
    }
}

TARGET static inline __attribute__((always_inline)) void NAME(read_line)(const char *p) {
    for (int i = 0; i < NAME(per_line); i++) {
        VEC v = LOAD((const float *)p + i * LANES);
        __asm__ volatile("" : : KEEP(v));
    }
}

/* Reads `lines` cache lines from p on and prefetches what is `ahead` bytes ahead; 0: nothing. A
 * prefetch past the array touches nothing. */
TARGET static inline __attribute__((always_inline)) void NAME(read)(const char *p, int64_t lines,
                                                                    int64_t ahead) {
    const char *end = p + 64 * lines;
    if (ahead) {
        for (; p < end; p += 64) {
            __builtin_prefetch(p + ahead);
            NAME(read_line)(p);
        }
        return;
    }
    for (; p + 256 <= end; p += 256) {
        NAME(read_line)(p);
        NAME(read_line)(p + 64);
        NAME(read_line)(p + 128);
        NAME(read_line)(p + 192);
    }
    for (; p < end; p += 64) NAME(read_line)(p);
}

TARGET static inline __attribute__((always_inline)) void NAME(write)(char *p, int64_t lines,
                                                                     int bypass) {
    VEC v = SET1(1.0f);
    if (bypass)
        for (char *end = p + 64 * lines; p < end; p += 64)
            for (int i = 0; i < NAME(per_line); i++) STREAM((float *)p + i * LANES, v);
    else
        for (char *end = p + 64 * lines; p < end; p += 64)
            for (int i = 0; i < NAME(per_line); i++) STORE((float *)p + i * LANES, v);
}

/* Reads x and writes y once each, in step with each other. x is cut into `streams` equal parts that
 * are read side by side, `burst` lines of each in turn. */
TARGET static void NAME(stream)(const struct traffic *t, const char *x, int64_t x_lines, char *y,
                                int64_t y_lines) {
    int64_t part = x_lines / t->streams;
    int64_t rest = x_lines - part * t->streams;
    int64_t steps = part / t->burst;
    if (steps < 1) steps = 1;
    int64_t read = 0, written = 0;
    for (int64_t i = 1; i <= steps; i++) {
        int64_t read_end = i == steps ? part : i * t->burst;
        for (int64_t s = 0; s < t->streams; s++)
            NAME(read)(x + 64 * (s * part + read), read_end - read, t->ahead);
        read = read_end;
        int64_t written_end = i == steps ? y_lines : (int64_t)((double)y_lines * i / steps);
        NAME(write)(y + 64 * written, written_end - written, t->bypass);
        written = written_end;
    }
    NAME(read)(x + 64 * part * t->streams, rest, 0);
    if (t->bypass) {
        FENCE();
    }
}

#undef NAME
#undef TARGET
#undef VEC
#undef LANES
#undef SET1
#undef FMA
#undef LOAD
#undef STORE
#undef STREAM
#undef FENCE
#undef KEEP
