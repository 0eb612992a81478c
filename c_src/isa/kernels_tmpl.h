/* Template: all kernels of one dtype, and their table. */
#include "epilogue_tmpl.h"
#include "planar_tmpl.h"
#if defined(TRANSPOSE)
#include "transpose_tmpl.h"
#endif
#include "interleaved_tmpl.h"
#if defined(TRANSPOSE)
#include "transposing_tmpl.h"
#endif
#if defined(HAS_LANES)
#include "few_channels_tmpl.h"
#endif
#include "convert_tmpl.h"
#include "absent_tmpl.h"
#include "affine_tmpl.h"
#include "finish_tmpl.h"
#include "gradient_tmpl.h"
#include "fused2_tmpl.h"
#include "turn_tmpl.h"
#if defined(BOTTLENECK_TILES)
#include "bottleneck_tmpl.h"
#endif

/* These make the entries of the table below. */
#define PLANAR(MR, NR) [MR] = FN(planar_##MR),
#define PLANAR_NR(MR, NR) [MR] = NR,
#define PLANAR_U8(MR, NR) [MR] = FN(planar_##MR##_u8),
#define PLANAR_U16(MR, NR) [MR] = FN(planar_##MR##_u16),
#define PLANAR_I16(MR, NR) [MR] = FN(planar_##MR##_i16),
#define PLANAR_REVERSED(MR, NR) [MR] = FN(planar_##MR##_reversed),
#define INTERLEAVED(MR, NR) [NR] = FN(interleaved_##NR),
#define TRANSPOSING(MR) [MR] = FN(transposing_##MR),
#define FEW(C, K) [C][K] = FN(few_channels_##C##_##K),
#define DOTS(A, B) [A][B] = FN(dots_##A##_##B),
#define FUSED2_PLANAR(K, NR) [K] = FN(fused2_planar_##K),
#define FUSED2_INTERLEAVED(K, NR) [K] = FN(fused2_interleaved_##K),
#define BOTTLENECK(H) [H] = FN(bottleneck_##H),
#define COUNT(...) +1

_Static_assert((PLANAR_TILES(COUNT)) <= PW_MAX_MR && (INTERLEAVED_TILES(COUNT)) <= PW_MAX_NR,
               "more tiles than a table holds");
#if defined(TRANSPOSE)
_Static_assert((TRANSPOSING_TILES(COUNT)) == TRANSPOSING_MR_MAX &&
                   TRANSPOSING_MR_MAX <= PW_MAX_TRANSPOSING_MR,
               "transposing kernels are listed from 1 channel to TRANSPOSING_MR_MAX");
#endif
#if defined(BOTTLENECK_TILES)
_Static_assert(BOTTLENECK_MAX <= PW_MAX_BOTTLENECK, "more tiles than a table holds");
#endif

const pw_kernels PW_PASTE(pw_kernels, SUFFIX) = {
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
    .planar_mr_max = PLANAR_TILES(COUNT),
    .planar = {PLANAR_TILES(PLANAR)},
    .planar_nr = {PLANAR_TILES(PLANAR_NR)},
#if defined(CONVERTS_INTEGERS)
    .planar_of =
        {
            [PW_U8] = {CONVERTING_TILES(PLANAR_U8)},
            [PW_U16] = {CONVERTING_TILES(PLANAR_U16)},
            [PW_I16] = {CONVERTING_TILES(PLANAR_I16)},
        },
#endif
#if defined(READS_REVERSED)
    .planar_reversed = {CONVERTING_TILES(PLANAR_REVERSED)},
#endif
#if defined(BF16_KERNELS)
    .bf16 = BF16_KERNELS,
#endif
    .interleaved_nr_max = INTERLEAVED_TILES(COUNT),
    .interleaved = {INTERLEAVED_TILES(INTERLEAVED)},
#if defined(TRANSPOSE)
    .transposing_mr_max = TRANSPOSING_MR_MAX,
    .transposing = {TRANSPOSING_TILES(TRANSPOSING)},
#endif
#if defined(HAS_LANES)
    .few_channels = {FEW_CHANNELS(FEW)},
#endif
    .dots_a = DOTS_A,
    .dots_b = DOTS_B,
    .dots = {DOTS_TILES(DOTS)},
    .panel_of_planes = FN(panel_of_planes),
    .panel_of_rows = FN(panel_of_rows),
    .planes_of_rows = FN(planes_of_rows),
    .rows_of_planes = FN(rows_of_planes),
    .fused2_hidden = FUSED2_HIDDEN,
    .fused2_planar = {FUSED2_TILES(FUSED2_PLANAR)},
#if defined(TRANSPOSE)
    .fused2_interleaved = {FUSED2_TILES(FUSED2_INTERLEAVED)},
#endif
#if defined(BOTTLENECK_TILES)
    .bottleneck_out = BOTTLENECK_OUT,
    .bottleneck = {BOTTLENECK_TILES(BOTTLENECK)},
#endif
};
