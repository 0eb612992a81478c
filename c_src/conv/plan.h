/* How one problem will be computed. */
#ifndef PW_CONV_PLAN_H
#define PW_CONV_PLAN_H

#include "isa/types.h"

/* Output channels that one kernel call computes. */
typedef struct pw_block {
    pw_ukernel kernel;
    int64_t k;           /* first channel, within the group of channels */
    int64_t at;          /* width of the blocks before this one */
    size_t offset;       /* of its packed weights, within the group's */
    int channels, width; /* width: with padding */
} pw_block;

/* Scratch of a thread, in bytes from its start; 64-byte aligned. */
typedef struct pw_scratch_layout {
    size_t x, y, r, acc, flags, gaps, present, bytes;
} pw_scratch_layout;

/* Who computes scale * x + offset. */
typedef enum { PW_NO_AFFINE, PW_AFFINE_IN_KERNELS, PW_AFFINE_STAGED } pw_affine_step;

struct pw_plan {
    struct pw_chain *chain; /* NULL; else there is nothing here but the chain and its description */
    pw_problem problem;
    const pw_kernels *kernels;
    pw_epilogue epilogue;
    int interleaved;               /* the kernels, or planar */
    int transposed;                /* interleaved kernels that write planes */
    int transposing_to_planes;     /* transposing kernels that do */
    int planes;                    /* y and r are written and read in planes */
    int few_channels;              /* interleaved, by kernels of few channels */
    int fused2_width;              /* blocks of so many channels, for pw_fused2_kernel; 0: not */
    int stage_x, stage_y, stage_r; /* through panels in scratch */
    int has_pixel_epilogue;        /* planes in scratch that hold all channels of their pixels */
    int tiled;       /* likewise, but by transposing kernels, a vector of pixels at a time */
    int bf16_pairs;  /* planar kernels of products of bfloat16; x is staged */
    int converts;    /* planar kernels that convert x */
    int needs_all_k; /* all channels at once */
    pw_affine_step affine;
    const pw_kernels *wide;     /* of float64, in which it is computed; NULL: in the sums' dtype */
    const char *scale, *offset; /* C values each of that dtype */
    const char *slopes;         /* K of the sums' dtype, and some more to be read; NULL: none */
    void *constants;            /* owned: what these and the problem's nodata point to */
    int stream;                 /* where y turns out to be aligned to a line */
    int prefixes_differ;        /* pixels before that, from one outer index to the next */
    ptrdiff_t prefetch;         /* bytes ahead, */
    int64_t run;      /* of each plane of x the pixels of so many steps together; 0: no planes */
    int fetches_rows; /* x is staged from rows without gaps: the next panel's while this one is summed */
    int64_t row_pixels; /* pixels after which x goes on at its next row; 0: P is one row */
    ptrdiff_t x_row;    /* bytes from row to row */
    int blends;         /* flags are for planar kernels, which fill y in registers */
    int flags;          /* pixels that miss a channel are flagged, and get */
    char fill[8];       /* this, of y's dtype and byte order */
    pw_plan *present;   /* owned: of pixels that may do with some channels; NULL: none may */
    size_t present_at;  /* its packed weights, within the group's */
    int64_t channels_needed;
    int64_t C, K;        /* of a group */
    int64_t y_channels;  /* of a group, that are stored */
    int64_t outer;       /* product of the outer extents */
    int64_t c_pass;      /* channels in one pass over the sums */
    int64_t tile_pixels; /* pixels over which all blocks go before the next */
    int64_t step;        /* pixels of which threads take multiples */
    int64_t panel;       /* most pixels at once: what scratch holds */
    int64_t room;        /* pixels in scratch: a panel, with what comes before y is aligned */
    int k_splits;        /* of the blocks at least, for scratch to hold the channels of each */
    pw_scratch_layout scratch;
    size_t group_bytes; /* packed weights of a group */
    char description[224];
    int n_blocks;
    pw_block blocks[];
};

/* A plan that weights can be packed with, in blocks of `width` channels and then of one. It cannot
 * be run. */
pw_plan *pw_plan_packing(const pw_kernel_set *, const pw_problem *, int width);

/* Frees a plan that is no chain. */
void pw_conv_free(pw_plan *);

/* Before a thread that may have stored past the caches says that it has finished. */
static inline void pw_end_streaming(const pw_plan *plan) {
#if defined(__x86_64__)
    if (plan->stream) __builtin_ia32_sfence();
#else
    (void)plan;
#endif
}

#endif
