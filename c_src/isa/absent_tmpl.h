/* Template: finds pixels that miss a channel, by the values of x. */

/* The bits of all elements, as in v_equal. */
enum { ALL_LANES = (1 << VW) - 1 };

/* For contiguous pixels of C channels of the sums' dtype. The steps are the same for each pixel,
 * because it cannot be predicted which ones miss a channel. */
static void FN(absent_in_rows)(uint8_t *restrict flags, const char *restrict from,
                               const pw_nodata *nodata, int64_t C, int64_t n) {
    const V wanted = v_broadcast((const char *)nodata->value);
    const unsigned turn = v_equal(wanted, wanted) ? 0 : ALL_LANES;
    const int64_t whole = C / VW * VW;
    const int left = (int)(C - whole);
    for (int64_t p = 0; p < n; p++) {
        unsigned found = 0;
        for (int64_t c = 0; c < whole; c += VW, from += VW * sizeof(T)) {
            const V v = v_load(from);
            found |= turn ? v_equal(v, v) ^ turn : v_equal(v, wanted);
        }
        if (left) {
            const V v = v_loadn(from, left);
            const unsigned some = turn ? v_equal(v, v) ^ turn : v_equal(v, wanted);
            found |= some & ((1u << left) - 1);
            from += left * (ptrdiff_t)sizeof(T);
        }
        flags[p] |= found != 0;
    }
}

/* Sets flags[p] where a channel of pixel p has its missing value; if that is NaN, where it is any
 * NaN. Some pixels are tested at once, into integers as wide as what is compared, so that compilers
 * vectorise the loops. */
#define FLAG_EACH(FROM, NUMBER, EXPRESSION, STEP, TEST) \
    for (int64_t j = 0; j < count; j++) {               \
        FROM x;                                         \
        memcpy(&x, source + j * (STEP), sizeof x);      \
        const NUMBER number = EXPRESSION;               \
        found[j] |= (TEST);                             \
    }
#define FLAG_ALL(FROM, NUMBER, EXPRESSION, TEST)                       \
    if (contiguous)                                                    \
        FLAG_EACH(FROM, NUMBER, EXPRESSION, (ptrdiff_t)sizeof x, TEST) \
    else                                                               \
        FLAG_EACH(FROM, NUMBER, EXPRESSION, x_p, TEST)
#define ABSENT_IN_ROWS(NAME, FROM, WHOLE, NUMBER, EXPRESSION)                                 \
    PW_INLINE int has_absent_##NAME(const char *restrict source, const pw_nodata *nodata,     \
                                    int64_t count) {                                          \
        FROM x;                                                                               \
        memcpy(&x, nodata->value, sizeof x);                                                  \
        const NUMBER wanted = EXPRESSION;                                                     \
        WHOLE any = 0;                                                                        \
        for (int64_t j = 0; j < count; j++) {                                                 \
            memcpy(&x, source + j * (ptrdiff_t)sizeof x, sizeof x);                           \
            const NUMBER number = EXPRESSION;                                                 \
            any |= (WHOLE)(wanted != wanted ? number != number : number == wanted);           \
        }                                                                                     \
        return any != 0;                                                                      \
    }                                                                                         \
    static void FN(absent_in_rows_##NAME)(uint8_t *restrict flags, const char *restrict from, \
                                          const pw_nodata *nodata, int64_t C, int64_t n) {    \
        const ptrdiff_t pixel = (ptrdiff_t)C * (ptrdiff_t)sizeof(FROM);                       \
        const int is_float = (NUMBER)0.5 != 0;                                                \
        if (is_float && sizeof(FROM) == sizeof(T)) {                                          \
            FN(absent_in_rows)(flags, from, nodata, C, n);                                    \
            return;                                                                           \
        }                                                                                     \
        for (int64_t p = 0, m; p < n; p += m) {                                               \
            m = n - p < PW_FLAGGED_ROWS ? n - p : PW_FLAGGED_ROWS;                            \
            if (!has_absent_##NAME(from + p * pixel, nodata, m * C)) continue;                \
            for (int64_t j = p; j < p + m; j++)                                               \
                flags[j] |= (uint8_t)has_absent_##NAME(from + j * pixel, nodata, C);          \
        }                                                                                     \
    }
#define ABSENT(NAME, FROM, WHOLE, NUMBER, EXPRESSION)                                    \
    ABSENT_IN_ROWS(NAME, FROM, WHOLE, NUMBER, EXPRESSION)                                \
    static void FN(absent_##NAME)(uint8_t *restrict flags, const char *restrict from,    \
                                  ptrdiff_t x_c, ptrdiff_t x_p, const pw_nodata *nodata, \
                                  int64_t C, int64_t n) {                                \
        const int contiguous = x_p == sizeof(FROM);                                      \
        for (int64_t p = 0; p < n; p += PW_FLAGGED) {                                    \
            const int64_t count = n - p < PW_FLAGGED ? n - p : PW_FLAGGED;               \
            WHOLE found[PW_FLAGGED];                                                     \
            memset(found, 0, (size_t)count * sizeof *found);                             \
            for (int64_t c = 0; c < C; c++) {                                            \
                const char *restrict source = from + c * x_c + p * x_p;                  \
                FROM x;                                                                  \
                memcpy(&x, nodata[c].value, sizeof x);                                   \
                const NUMBER wanted = EXPRESSION;                                        \
                if (!nodata[c].given) continue;                                          \
                if (wanted != wanted) {                                                  \
                    FLAG_ALL(FROM, NUMBER, EXPRESSION, number != number)                 \
                } else {                                                                 \
                    FLAG_ALL(FROM, NUMBER, EXPRESSION, number == wanted)                 \
                }                                                                        \
            }                                                                            \
            for (int64_t j = 0; j < count; j++) flags[p + j] |= (uint8_t)found[j];       \
        }                                                                                \
    }
ABSENT(f32, float, uint32_t, float, x)
ABSENT(f64, double, uint64_t, double, x)
ABSENT(u8, uint8_t, uint8_t, uint8_t, x)
ABSENT(i8, int8_t, uint8_t, int8_t, x)
ABSENT(u16, uint16_t, uint16_t, uint16_t, x)
ABSENT(i16, int16_t, uint16_t, int16_t, x)
ABSENT(u32, uint32_t, uint32_t, uint32_t, x)
ABSENT(i32, int32_t, uint32_t, int32_t, x)
ABSENT(u64, uint64_t, uint64_t, uint64_t, x)
ABSENT(i64, int64_t, uint64_t, int64_t, x)
ABSENT(f16, uint16_t, uint32_t, float, from_f16(x))
ABSENT(bf16, uint16_t, uint32_t, float, from_bf16(x))

#define ABSENTS_OF(NAME)                                             \
    {FN(NAME##_f32), FN(NAME##_f64), FN(NAME##_u8),  FN(NAME##_i8),  \
     FN(NAME##_u16), FN(NAME##_i16), FN(NAME##_u32), FN(NAME##_i32), \
     FN(NAME##_u64), FN(NAME##_i64), FN(NAME##_f16), FN(NAME##_bf16)}
#define ABSENTS .absent = ABSENTS_OF(absent), .absent_in_rows = ABSENTS_OF(absent_in_rows)
