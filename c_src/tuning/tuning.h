/* What steps of a convolution cost on a microarchitecture. The planner chooses by these numbers, and
 * no result depends on them.
 *
 * The unit is the time of a multiply-add of a vector, where such multiply-adds are all there is. */
#ifndef PW_TUNING_TUNING_H
#define PW_TUNING_TUNING_H

typedef struct pw_tuning {
    const char *name;
    /* A gain that is not more than this factor is not worth leaving x and y where they are. */
    double doubt;
    /* A run of pixels, beside its pixels. */
    double run;

    /* Staging an element of x: pixels or channels are contiguous in x and in the panel; they change
     * places; they change places and are converted, one by one. */
    double straight, turned, scattered;
    /* Storing sums from planes in scratch as rows: a vector that is transposed, an element. */
    double turned_sums, scattered_sums;

    /* Planar kernels that convert x, for each block: a vector of x, and a channel's last vector where
     * it is not whole and there are no masked loads of bytes. */
    double converted, converted_tail;
    /* How much longer planes take in place where rows of x are not whole vectors long, or where the
     * planes fall into the same sets of level 1 and are more than it has ways. */
    double unaligned, aliased;
    /* How much longer tiles take that store parts of lines past the caches. */
    double split_lines;
    /* How much longer short rows of many planes take than long runs, if they come from memory. */
    double short_rows;

    /* Interleaved kernels, beside their multiply-adds: a pixel, and a vector of sums that is
     * transposed to planes. */
    double pixel, sums_to_planes;
    /* How much longer they take where each channel of a pixel lies in a cache line of its own, and
     * there are many. */
    double far_channels;
    /* Transposing kernels: a pixel; a pixel where TRANSPOSE does not divide the channels of y, or of
     * x. */
    double turned_pixel, odd_y, odd_x;
    /* Transposing a vector of x, for channels left over from whole vectors, and for planes. */
    double left_over, turned_x;
    /* Kernels for few channels: a vector of x or y that is split or merged. */
    double lanes;
} pw_tuning;

extern const pw_tuning pw_tuning_generic, pw_tuning_zen3;

/* The table for this CPU. */
const pw_tuning *pw_tuning_now(void);

#endif
