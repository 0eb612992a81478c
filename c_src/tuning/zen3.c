/* AMD Zen 3, measured on an EPYC of family 25, model 1, with AVX2 and one thread. */
#include "tuning/tuning.h"

const pw_tuning pw_tuning_zen3 = {
    .name = "zen3",
    .doubt = 1.03,
    .run = 30,
    .straight = 0.25,
    .turned = 1,
    /* 48 x 160 x 160 -> 32 of interleaved bytes to planes: 3.8 ms from staged planes, 3.0 from staged
     * rows. */
    .scattered = 3,
    .turned_sums = 8,
    .scattered_sums = 4,
    /* Bytes, 50 x 600 x 600 -> 20: 16.2 ms, 21.6 staged. */
    .converted = 0.05,
    /* 1024 x 10 x 10 -> 1536 of bytes: 12.7 ms, 4.3 staged. */
    .converted_tail = 40,
    /* 512 x 14 x 14 -> 512 1.06 to 1.17 times as long as staged, 2048 x 7 x 7 -> 512 1.5, windows of
     * such planes 1.1 to 1.9. */
    .unaligned = 1.15,
    /* 224 x 512 x 614 -> 30 191 ms, 101 staged; 48 x 160 x 160 -> 32 1.24 times as long. */
    .aliased = 1.4,
    /* 3 x 1080 x 1920 -> 3: 13.6 ms by tiles of 96 bytes, 7.9 by those of 128. */
    .split_lines = 1.7,
    .short_rows = 1.6,
    .pixel = 55.0 / 16,
    .sums_to_planes = 8,
    /* 2048 x 7 x 7 -> 512 2.05 ms in place, 1.50 staged; 204 x 512 x 217 -> 16 from planes to pixels
     * 38 ms, 25 by planar kernels. */
    .far_channels = 1.4,
    .turned_pixel = 60.0 / 16,
    .odd_y = 60.0 / 16,
    .odd_x = 40.0 / 16,
    .left_over = 4,
    .turned_x = 5,
    .lanes = 2,
};
