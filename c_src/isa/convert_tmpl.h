/* Template: converts between the dtypes of arrays and T, the dtype of the sums. Loops are plain C,
 * which the compiler vectorises. They copy element by element, because arrays need not be aligned.
 *
 * Stored integers are rounded to nearest, half to even, and saturate; NaN becomes 0.
 */

#define EACH_OF(TO, FROM, TO_STEP, FROM_STEP, EXPRESSION) \
    for (int64_t j_ = 0; j_ < n_j; j_++) {                \
        FROM x;                                           \
        memcpy(&x, source + j_ * (FROM_STEP), sizeof x);  \
        const TO y = EXPRESSION;                          \
        memcpy(target + j_ * (TO_STEP), &y, sizeof y);    \
    }

/* Compilers vectorise loops whose strides they know, so three strides have loops of their own:
 * contiguous elements, every other element (components of complex numbers, every other pixel), and
 * elements in reverse (a flipped image). */
#define CONVERT(NAME, TO, FROM, EXPRESSION)                                        \
    static void FN(NAME)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j,   \
                         ptrdiff_t fetch) {                                        \
        const ptrdiff_t size = sizeof(TO), from_size = sizeof(FROM);               \
        const int contiguous = to.j == size && from.j == from_size;                \
        const int every_other = to.j == size && from.j == 2 * from_size;           \
        const int reversed = to.j == size && from.j == -from_size;                 \
        const ptrdiff_t span = n_j * from.j, least = span < 0 ? span : 0;          \
        for (int64_t i = 0; i < n_i; i++, to.at += to.i, from.at += from.i) {      \
            char *restrict target = to.at;                                         \
            const char *restrict source = from.at;                                 \
            if (fetch)                                                             \
                for (ptrdiff_t at = 0; at < span - 2 * least; at += PW_CACHE_LINE) \
                    __builtin_prefetch(source + fetch + least + at, 0, 2);         \
            if (contiguous)                                                        \
                EACH_OF(TO, FROM, size, from_size, EXPRESSION)                     \
            else if (every_other)                                                  \
                EACH_OF(TO, FROM, size, 2 * from_size, EXPRESSION)                 \
            else if (reversed)                                                     \
                EACH_OF(TO, FROM, size, -from_size, EXPRESSION)                    \
            else                                                                   \
                EACH_OF(TO, FROM, to.j, from.j, EXPRESSION)                        \
        }                                                                          \
    }

CONVERT(load_f32, T, float, (T)x)
CONVERT(load_f64, T, double, (T)x)
CONVERT(load_u8, T, uint8_t, (T)x)
CONVERT(load_i8, T, int8_t, (T)x)
CONVERT(load_u16, T, uint16_t, (T)x)
CONVERT(load_i16, T, int16_t, (T)x)
CONVERT(load_u32, T, uint32_t, (T)x)
CONVERT(load_i32, T, int32_t, (T)x)
CONVERT(load_u64, T, uint64_t, (T)x)
CONVERT(load_i64, T, int64_t, (T)x)
CONVERT(load_f16, T, uint16_t, (T)from_f16(x))
CONVERT(load_bf16, T, uint16_t, (T)from_bf16(x))

/* Change the byte order, within one dtype. */
CONVERT(swap_2, uint16_t, uint16_t, __builtin_bswap16(x))
CONVERT(swap_4, uint32_t, uint32_t, __builtin_bswap32(x))
CONVERT(swap_8, uint64_t, uint64_t, __builtin_bswap64(x))

/* Splits the pairs of row i of `from` into rows 2i and 2i + 1 of `to`. */
static void FN(split)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch) {
    for (int64_t i = 0; i < n_i; i++, to.at += 2 * to.i, from.at += from.i) {
        T *restrict first = (T *)to.at, *restrict second = (T *)(to.at + to.i);
        const char *restrict source = from.at;
        if (fetch)
            for (int64_t at = 0; at < 2 * n_j * (int64_t)sizeof(T); at += PW_CACHE_LINE)
                __builtin_prefetch(source + fetch + at, 0, 2);
        for (int64_t j = 0; j < n_j; j++) {
            T pair[2];
            memcpy(pair, source + j * (ptrdiff_t)sizeof pair, sizeof pair);
            first[j] = pair[0];
            second[j] = pair[1];
        }
    }
}

static void FN(merge)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j) {
    for (int64_t i = 0; i < n_i; i++, to.at += to.i, from.at += 2 * from.i) {
        const T *restrict first = (const T *)from.at, *restrict second =
                                                          (const T *)(from.at + from.i);
        char *restrict target = to.at;
        for (int64_t j = 0; j < n_j; j++) {
            const T pair[2] = {first[j], second[j]};
            memcpy(target + j * (ptrdiff_t)sizeof pair, pair, sizeof pair);
        }
    }
}

/* Integers as wide as T. */
typedef __typeof__(_Generic((T)0, float: (int32_t)0, double: (int64_t)0)) whole;

/* Rounds up to BLOCK elements to the nearest integers from lo to hi. `to` has room for whole
 * vectors. Numbers under 2^22 (or 2^51) appear in the last bits of their sum with 1.5 * 2^23 (or
 * 1.5 * 2^52). */
PW_INLINE void round_block(whole *to, const char *from, ptrdiff_t step, int64_t n, T lo, T hi) {
    const T magic = sizeof(T) == 4 ? (T)0x1.8p23 : (T)0x1.8p52;
    whole zero;
    memcpy(&zero, &magic, sizeof zero);
    for (int64_t j = 0; j < n; j += VW) {
        V v;
        if (step == sizeof(T) && j + VW <= n) {
            v = v_load(from + j * (ptrdiff_t)sizeof(T));
        } else {
            T some[VW] = {0};
            for (int64_t i = 0; i < VW && j + i < n; i++)
                memcpy(&some[i], from + (j + i) * step, sizeof(T));
            v = v_load((const char *)some);
        }
        v = v_where_positive(v_add(v_abs(v), v_of(1)), v, v_of(0)); /* NaN */
        v = v_add(v_min(v_set1(hi), v_max(v_set1(lo), v)), v_set1(magic));
        v_store((char *)&to[j], v);
    }
    for (int64_t j = 0; j < n; j++) to[j] -= zero;
}

#define STORE_INTEGER(NAME, TO, LO, HI)                                                     \
    static void FN(NAME)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j,            \
                         ptrdiff_t fetch) {                                                 \
        enum { BLOCK = 256 };                                                               \
        const double most = sizeof(T) == 4 ? 0x1p22 : 0x1p50;                               \
        const T lo = (T)((LO) < -most ? -most : (LO)), hi = (T)((HI) > most ? most : (HI)); \
        (void)fetch;                                                                        \
        for (int64_t i = 0; i < n_i; i++)                                                   \
            for (int64_t j = 0; j < n_j; j += BLOCK) {                                      \
                whole block[BLOCK];                                                         \
                const int64_t n = n_j - j < BLOCK ? n_j - j : BLOCK;                        \
                char *restrict target = to.at + i * to.i + j * to.j;                        \
                round_block(block, from.at + i * from.i + j * from.j, from.j, n, lo, hi);   \
                if (to.j == sizeof(TO)) {                                                   \
                    for (int64_t k = 0; k < n; k++) {                                       \
                        const TO y = (TO)block[k];                                          \
                        memcpy(target + k * (ptrdiff_t)sizeof y, &y, sizeof y);             \
                    }                                                                       \
                } else {                                                                    \
                    for (int64_t k = 0; k < n; k++) {                                       \
                        const TO y = (TO)block[k];                                          \
                        memcpy(target + k * to.j, &y, sizeof y);                            \
                    }                                                                       \
                }                                                                           \
            }                                                                               \
    }

/* Stores integers over their full range, which only fills of labels use if sums are float. */
#define STORE_WIDE(NAME, TO, LO, HI)                                                    \
    STORE_INTEGER(NAME##_near, TO, LO, HI)                                              \
    CONVERT(NAME##_far, TO, T,                                                          \
            (TO)to_i64(x < (T)(LO)    ? (double)(LO)                                    \
                       : x >= (T)(HI) ? (double)(HI)                                    \
                                      : (double)x))                                     \
    static void FN(NAME)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j,        \
                         ptrdiff_t fetch) {                                             \
        (sizeof(T) == 4 ? FN(NAME##_far) : FN(NAME##_near))(to, from, n_i, n_j, fetch); \
    }

CONVERT(store_f32, float, T, (float)x)
CONVERT(store_f64, double, T, (double)x)
CONVERT(store_f16, uint16_t, T, to_f16(sizeof(T) == 4 ? (float)x : to_odd((double)x)))
CONVERT(store_bf16, uint16_t, T, to_bf16(sizeof(T) == 4 ? (float)x : to_odd((double)x)))
STORE_INTEGER(store_u8, uint8_t, 0.0, UINT8_MAX)
STORE_INTEGER(store_i8, int8_t, INT8_MIN, INT8_MAX)
STORE_INTEGER(store_u16, uint16_t, 0.0, UINT16_MAX)
STORE_INTEGER(store_i16, int16_t, INT16_MIN, INT16_MAX)
STORE_WIDE(store_u32, uint32_t, 0.0, UINT32_MAX)
STORE_WIDE(store_i32, int32_t, INT32_MIN, INT32_MAX)
CONVERT(store_u64, uint64_t, T, to_u64((double)x))
CONVERT(store_i64, int64_t, T, to_i64((double)x))

/* Copies planes past the caches; those of `to` start at cache lines. */
static void FN(stream)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j) {
    for (int64_t i = 0; i < n_i; i++, to.at += to.i, from.at += from.i) {
        const int64_t whole = n_j / VW * VW, size = sizeof(T);
        for (int64_t j = 0; j < whole; j += VW)
            v_stream(to.at + j * size, v_load(from.at + j * size));
        memcpy(to.at + whole * size, from.at + whole * size, (size_t)((n_j - whole) * size));
    }
}

/* Replaces elements of WHOLE's size in a row where flags are set. */
#define FILL(NAME, WHOLE)                                                                      \
    static void FN(NAME)(char *restrict row, const uint8_t *restrict flags, const void *value, \
                         int64_t n) {                                                          \
        WHOLE wanted, x;                                                                       \
        memcpy(&wanted, value, sizeof wanted);                                                 \
        for (int64_t j = 0; j < n; j++) {                                                      \
            memcpy(&x, row + j * (ptrdiff_t)sizeof x, sizeof x);                               \
            x = flags[j] ? wanted : x;                                                         \
            memcpy(row + j * (ptrdiff_t)sizeof x, &x, sizeof x);                               \
        }                                                                                      \
    }
FILL(fill_1, uint8_t)
FILL(fill_2, uint16_t)
FILL(fill_4, uint32_t)
FILL(fill_8, uint64_t)

#define CONVERTERS                                                                                 \
    .load = {FN(load_f32), FN(load_f64), FN(load_u8),  FN(load_i8),  FN(load_u16), FN(load_i16),   \
             FN(load_u32), FN(load_i32), FN(load_u64), FN(load_i64), FN(load_f16), FN(load_bf16)}, \
    .store = {FN(store_f32), FN(store_f64), FN(store_u8),  FN(store_i8),                           \
              FN(store_u16), FN(store_i16), FN(store_u32), FN(store_i32),                          \
              FN(store_u64), FN(store_i64), FN(store_f16), FN(store_bf16)},                        \
    .swap = {FN(swap_4), FN(swap_8), NULL,       NULL,       FN(swap_2), FN(swap_2),               \
             FN(swap_4), FN(swap_4), FN(swap_8), FN(swap_8), FN(swap_2), FN(swap_2)}
