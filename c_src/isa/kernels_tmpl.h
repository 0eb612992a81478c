/* Template: all kernels of one dtype, and their table. Undefines what the next dtype defines. */

#include "epilogue_tmpl.h"
#include "planar_tmpl.h"

#define X_(name) FN(name)
#define X_SIZE (ptrdiff_t)sizeof(T)
#define X_LOAD(p) V_LOAD(p)
#define X_LOADN(p, n) V_LOADN(p, n)
#define X_FMA(w, x, s) V_FMA(w, x, s)
#define X_LEAST 1
#include "planar_from_tmpl.h"

/* Integers, converted in registers. */
#if defined(V_LOAD_U8)
#define X_(name) PW_PASTE(name##_u8, SUFFIX)
#define X_SIZE 1
#define X_LOAD(p) V_LOAD_U8(p)
#define X_LOADN(p, n) V_LOADN_U8(p, n)
#define X_FMA(w, x, s) V_FMA(w, x, s)
#define X_LEAST LEAST_CONVERTED
#include "planar_from_tmpl.h"

#define X_(name) PW_PASTE(name##_u16, SUFFIX)
#define X_SIZE 2
#define X_LOAD(p) V_LOAD_U16(p)
#define X_LOADN(p, n) V_LOADN_U16(p, n)
#define X_FMA(w, x, s) V_FMA(w, x, s)
#define X_LEAST LEAST_CONVERTED
#include "planar_from_tmpl.h"

#define X_(name) PW_PASTE(name##_i16, SUFFIX)
#define X_SIZE 2
#define X_LOAD(p) V_LOAD_I16(p)
#define X_LOADN(p, n) V_LOADN_I16(p, n)
#define X_FMA(w, x, s) V_FMA(w, x, s)
#define X_LEAST LEAST_CONVERTED
#include "planar_from_tmpl.h"
#endif

/* Pixels in reverse, as of a flipped image. */
#if defined(V_LOAD_REVERSED)
#define X_(name) PW_PASTE(name##_reversed, SUFFIX)
#define X_SIZE -(ptrdiff_t)sizeof(T)
#define X_LOAD(p) V_LOAD_REVERSED(p)
#define X_LOADN(p, n) V_LOADN_REVERSED(p, n)
#define X_FMA(w, x, s) V_FMA(w, x, s)
#define X_LEAST LEAST_CONVERTED
#include "planar_from_tmpl.h"
#endif

#if defined(GROUP)
#include "groups_tmpl.h"
#endif
#include "interleaved_tmpl.h"
#if defined(GROUP)
#include "rows_tmpl.h"
#endif
#if defined(D_SPLIT)
#include "dense_tmpl.h"
#endif
#include "convert_tmpl.h"
#include "absent_tmpl.h"
#include "affine_tmpl.h"
#include "finish_tmpl.h"
#include "gradient_tmpl.h"
#include "pair_tmpl.h"
#include "turn_tmpl.h"
#if defined(NARROW_MAX)
#include "narrow_tmpl.h"
#endif

static const pw_kernels FN(kernels) = {
    .vector = VW,
    CONVERTERS,
    ABSENTS,
    .affine = FN(affine),
    .split = FN(split),
    .merge = FN(merge),
    .stream = FN(stream),
    .heads = {NULL, FN(softmax), FN(log_softmax), FN(l2_normalize), FN(argmax)},
    .rescale = FN(rescale),
    .fill = {FN(fill_1), FN(fill_2), FN(fill_4), FN(fill_8)},
    .kr_max = PLANAR_KR_MAX,
    .planar =
        {
            NULL,
            FN(planar_1),
            FN(planar_2),
            FN(planar_3),
            FN(planar_4),
#if PLANAR_KR_MAX > 4
            FN(planar_5),
            FN(planar_6),
#endif
#if PLANAR_KR_MAX > 6
            FN(planar_7),
            FN(planar_8),
            FN(planar_9),
            FN(planar_10),
            FN(planar_11),
            FN(planar_12),
            FN(planar_13),
            FN(planar_14),
#endif
        },
#if defined(LEAST_CONVERTED)
#define OF_LARGE(x)                                                                        \
    FN(planar_7##x), FN(planar_8##x), FN(planar_9##x), FN(planar_10##x), FN(planar_11##x), \
        FN(planar_12##x), FN(planar_13##x), FN(planar_14##x)
#if LEAST_CONVERTED == 7
#define OF(x) {NULL, NULL, NULL, NULL, NULL, NULL, NULL, OF_LARGE(x)}
#else
#define OF(x) {NULL, NULL, NULL, FN(planar_3##x), FN(planar_4##x), FN(planar_5##x), FN(planar_6##x)}
#endif
#if defined(V_LOAD_U8)
    .planar_of = {[PW_U8] = OF(_u8), [PW_U16] = OF(_u16), [PW_I16] = OF(_i16)},
#endif
    .planar_reversed = OF(_reversed),
#undef OF
#undef OF_LARGE
#endif
    .planar_nv = {0, PLANAR_NV(1), PLANAR_NV(2), PLANAR_NV(3), PLANAR_NV(4), PLANAR_NV(5),
                  PLANAR_NV(6), PLANAR_NV(7), PLANAR_NV(8), PLANAR_NV(9), PLANAR_NV(10),
                  PLANAR_NV(11), PLANAR_NV(12), PLANAR_NV(13), PLANAR_NV(14)},
#if defined(PAIRS)
    .pairs = PAIRS,
#endif
    .nv_max = NV_MAX,
    .interleaved = {NULL, FN(interleaved_1), FN(interleaved_2), FN(interleaved_3),
                    FN(interleaved_4)},
#if defined(GROUP)
    .rows_max = ROWS_KR_MAX,
    .rows =
        {
            NULL,        FN(rows_1),  FN(rows_2),  FN(rows_3),  FN(rows_4),  FN(rows_5),
            FN(rows_6),  FN(rows_7),  FN(rows_8),
#if ROWS_KR_MAX > 8
            FN(rows_9),  FN(rows_10), FN(rows_11), FN(rows_12), FN(rows_13), FN(rows_14),
            FN(rows_15), FN(rows_16), FN(rows_17), FN(rows_18), FN(rows_19), FN(rows_20),
            FN(rows_21), FN(rows_22), FN(rows_23), FN(rows_24),
#endif
        },
#endif
#if defined(D_SPLIT)
    .dense = {{NULL},
              {NULL, FN(dense_1_1), FN(dense_1_2), FN(dense_1_3), FN(dense_1_4)},
              {NULL, FN(dense_2_1), FN(dense_2_2), FN(dense_2_3), FN(dense_2_4)},
              {NULL, FN(dense_3_1), FN(dense_3_2), FN(dense_3_3), FN(dense_3_4)},
              {NULL, FN(dense_4_1), FN(dense_4_2), FN(dense_4_3), FN(dense_4_4)}},
#endif
    .dots_a = DOTS_A,
    .dots_b = DOTS_B,
    .dots = {{NULL},
#if DOTS_A == 2
             {NULL, FN(dots_1_1), FN(dots_1_2)},
             {NULL, FN(dots_2_1), FN(dots_2_2)}},
#elif DOTS_A == 3
             {NULL, FN(dots_1_1), FN(dots_1_2), FN(dots_1_3), FN(dots_1_4)},
             {NULL, FN(dots_2_1), FN(dots_2_2), FN(dots_2_3), FN(dots_2_4)},
             {NULL, FN(dots_3_1), FN(dots_3_2), FN(dots_3_3), FN(dots_3_4)}},
#else
             {NULL, FN(dots_1_1), FN(dots_1_2), FN(dots_1_3), FN(dots_1_4), FN(dots_1_5),
              FN(dots_1_6)},
             {NULL, FN(dots_2_1), FN(dots_2_2), FN(dots_2_3), FN(dots_2_4), FN(dots_2_5),
              FN(dots_2_6)},
             {NULL, FN(dots_3_1), FN(dots_3_2), FN(dots_3_3), FN(dots_3_4), FN(dots_3_5),
              FN(dots_3_6)},
             {NULL, FN(dots_4_1), FN(dots_4_2), FN(dots_4_3), FN(dots_4_4), FN(dots_4_5),
              FN(dots_4_6)}},
#endif
    .panel_of_planes = FN(panel_of_planes),
    .panel_of_rows = FN(panel_of_rows),
    .planes_of_rows = FN(planes_of_rows),
    .rows_of_planes = FN(rows_of_planes),
    .pair_width = PAIR_U,
    .pair_planar = {NULL, FN(pair_planar_1), FN(pair_planar_2), FN(pair_planar_3),
                    FN(pair_planar_4), FN(pair_planar_5), FN(pair_planar_6), FN(pair_planar_7),
                    FN(pair_planar_8)},
#if defined(GROUP)
    .pair_rows = {NULL, FN(pair_rows_1), FN(pair_rows_2), FN(pair_rows_3), FN(pair_rows_4),
                  FN(pair_rows_5), FN(pair_rows_6), FN(pair_rows_7), FN(pair_rows_8)},
#endif
#if defined(NARROW_MAX)
    .narrow_width = NARROW_U,
    .narrow = {NULL,          NULL,          NULL,          NULL,          NULL,
               NULL,          NULL,          NULL,          NULL,          FN(narrow_9),
               FN(narrow_10), FN(narrow_11), FN(narrow_12), FN(narrow_13), FN(narrow_14),
               FN(narrow_15), FN(narrow_16), FN(narrow_17), FN(narrow_18), FN(narrow_19),
               FN(narrow_20), FN(narrow_21), FN(narrow_22), FN(narrow_23), FN(narrow_24)},
#endif
};

#undef T
#undef V
#undef VW
#undef SUFFIX
#undef V_SET1
#undef V_LOAD
#undef V_STORE
#undef V_STREAM
#undef V_LOADN
#undef V_STOREN
#undef V_FMA
#undef V_ADD
#undef V_SUB
#undef V_MUL
#undef V_DIV
#undef V_MAX
#undef V_MIN
#undef V_WHERE_POSITIVE
#undef V_WHERE_BETTER
#undef V_EQUAL
#undef V_SQRT
#undef V_ABS
#undef V_COPYSIGN
#undef V_SHIFT
#undef GROUP
#undef G_LOAD
#undef G_LOADN
#undef G_STORE
#undef G_TRANSPOSE
#undef C_
#undef CONVERTERS
#undef ABSENTS
#undef ABSENTS_OF
#undef D_LANES
#undef D_SPLIT
#undef D_MERGE
#undef PAIRS
#undef V_LOAD_U8
#undef V_LOADN_U8
#undef V_LOAD_U16
#undef V_LOADN_U16
#undef V_LOAD_I16
#undef V_LOADN_I16
#undef V_LOAD_REVERSED
#undef V_LOADN_REVERSED
#undef LEAST_CONVERTED
#undef PLANAR_NV_MAX
#undef ROWS_MAX
