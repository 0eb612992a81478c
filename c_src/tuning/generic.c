/* The table for CPUs that have none of their own. */
#include "tuning/tuning.h"

const pw_tuning pw_tuning_generic = {
    .name = "generic",
    .doubt = 1.03,
    .run = 30,
    .straight = 0.25,
    .turned = 1,
    .scattered = 3,
    .turned_sums = 8,
    .scattered_sums = 4,
    .converted = 0.5,
    .converted_tail = 40,
    .unaligned = 1,
    .aliased = 1,
    .split_lines = 1,
    /* A window of 600 x 600 of 50 planes, to 20, went from 29.6 to 18.5 ms on a Cascade Lake. */
    .short_rows = 1.6,
    /* Transposing kernels: within 5% for AVX-512 on Zen 4, from 13 to 224 channels. */
    .pixel = 55.0 / 16,
    .sums_to_planes = 8,
    .far_channels = 1,
    .turned_pixel = 60.0 / 16,
    .odd_y = 60.0 / 16,
    .odd_x = 40.0 / 16,
    .left_over = 4,
    /* Compared with panels of x that are turned into planes first, 50 x 600 x 600 -> 20 from
     * interleaved pixels to planes went from 16.4 to 12.2 ms on a Cascade Lake, from 12.1 to 8.8 on
     * an Emerald Rapids. */
    .turned_x = 5,
    .lanes = 2,
};
