/* How one problem will be computed. */
#ifndef PW_CONV_PLAN_H
#define PW_CONV_PLAN_H

#include "isa/types.h"
#include "pointwise.h"
#include "tuning/tuning.h"

/* Output channels that one kernel call computes. */
typedef struct pw_block {
    pw_ukernel kernel;
    int64_t k;           /* first channel, within the group */
    int64_t at;          /* width of the blocks before this one */
    size_t offset;       /* of its packed weights, within the group's */
    int channels, width; /* width: with padding */
} pw_block;

/* Where regions of a thread's scratch begin, in bytes, 64-byte aligned; and the bytes of all. */
typedef struct pw_scratch_layout {
    size_t x, y, r, acc, flags, gaps, present, bytes;
} pw_scratch_layout;

/* Where kernels read x: in place; in place, with a conversion in registers; or from a panel in
 * scratch. */
typedef enum { PW_X_IN_PLACE, PW_X_CONVERTED, PW_X_STAGED } pw_source;

/* See conv/path.h. */
typedef struct pw_path pw_path;

/* Where scale * x + offset is computed. */
typedef enum { PW_NO_AFFINE, PW_AFFINE_IN_KERNELS, PW_AFFINE_STAGED } pw_affine_step;

struct pw_plan {
    struct pw_chain *chain; /* NULL; else only this and the description are set */
    pw_problem problem;
    const pw_kernels *kernels;
    const pw_tuning *tuning;
    pw_epilogue epilogue;
    const pw_path *path;    /* the kind of kernels, and how they read x and write y */
    pw_source source;       /* where kernels read x */
    int64_t transposing;    /* output channels that transposing kernels compute */
    int fused2_width;       /* channels of a block, for pw_fused2_kernel; else 0 */
    int stage_y, stage_r;   /* through panels in scratch */
    int has_pixel_epilogue; /* a head, which needs all sums of a pixel in scratch */
    int needs_all_k;        /* items have all output channels */
    pw_affine_step affine;
    const pw_kernels *wide;     /* those of float64, if they compute it; NULL: in the sums' dtype */
    const char *scale, *offset; /* C values each, of the dtype in which it is computed */
    const char *slopes;         /* K of the sums' dtype, then padding that is read; NULL: none */
    void *constants;            /* owned: what these and the problem's nodata point to */
    int stream;                 /* y is stored past the caches, where it is aligned to a line */
    int prefixes_differ;        /* outer indices have different unaligned prefixes */
    ptrdiff_t prefetch;         /* how many bytes ahead x is fetched; 0: it is not */
    int64_t run; /* steps of pixels that are fetched together in each plane of x; or 0 */
    /* x is staged from rows without gaps; the next panel's are fetched while this one is summed. */
    int fetches_rows;
    int64_t row_pixels;      /* pixels after which x goes on at its next row; 0: P is one row */
    ptrdiff_t x_row;         /* bytes from row to row */
    int blends;              /* kernels that write planes fill y in registers */
    int flags;               /* pixels that miss a channel are flagged */
    char fill[8];            /* what they get, in y's dtype and byte order */
    pw_plan *present;        /* owned: for pixels that may miss some channels; NULL: none may */
    size_t present_at;       /* where its packed weights begin, within the group's */
    int64_t channels_needed; /* by such pixels */
    int64_t C, K;            /* of a group */
    int64_t y_channels;      /* of a group, that are stored */
    int64_t outer;           /* product of the outer extents */
    int64_t c_pass;          /* input channels of a pass */
    int64_t tile_pixels;     /* pixels that all blocks compute before the next such pixels */
    int64_t step;            /* threads take multiples of so many pixels */
    int64_t panel;           /* most pixels of an item: what scratch holds */
    int64_t room;            /* pixels of a row in scratch: a panel, an unaligned prefix, padding */
    int k_splits;            /* of the blocks, at least: scratch holds the channels of one */
    pw_scratch_layout scratch;
    size_t group_bytes; /* packed weights of a group */
    char description[224];
    int n_blocks;
    pw_block blocks[];
};

static inline int pw_stages_x(const pw_plan *plan) {
    return plan->source == PW_X_STAGED;
}

/* A thread that may have stored past the caches calls this before it says that it has finished. */
static inline void pw_end_streaming(const pw_plan *plan) {
#if defined(__x86_64__)
    if (plan->stream) __builtin_ia32_sfence();
#else
    (void)plan;
#endif
}

#endif
