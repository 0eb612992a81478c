/* How one problem will be computed. */
#ifndef PW_PLAN_H
#define PW_PLAN_H

#include "kernels.h"

/* Output channels that one kernel call computes. */
typedef struct pw_block {
    pw_kernel kernel;
    int64_t k;           /* first channel, within the group of channels */
    int64_t at;          /* width of the blocks before this one */
    size_t offset;       /* of its packed weights, within the group's */
    int channels, width; /* width: with padding */
} pw_block;

/* Scratch of a thread, in bytes from its start; 64-byte aligned. */
typedef struct pw_scratch_layout {
    size_t x, y, r, acc, flags, bytes;
} pw_scratch_layout;

struct pw_plan {
    pw_problem problem;
    const pw_kernels *kernels;
    pw_epilogue epilogue;
    int interleaved;               /* the kernels, or planar */
    int transposed;                /* interleaved kernels that write planes */
    int planes;                    /* y and r are written and read in planes */
    int dense;                     /* interleaved, by kernels of few channels without gaps */
    int stage_x, stage_y, stage_r; /* through panels in scratch */
    int finishes;                  /* planes in scratch that hold all channels of their pixels */
    int pairs;                     /* planar kernels of products of bfloat16; x is staged */
    int converts;                  /* planar kernels that convert x */
    int whole;                     /* all channels at once */
    double *constants;             /* owned: what the problem's slopes and nodata point to */
    int stream;                    /* where y turns out to be aligned to a line */
    ptrdiff_t prefetch;
    int64_t row;        /* pixels after which x goes on at its next row; 0: P is one row */
    ptrdiff_t x_row;    /* bytes from row to row */
    int flags;          /* pixels that miss a channel are flagged */
    int64_t C, K;       /* of a group */
    int64_t y_channels; /* of a group, that are stored */
    int64_t outer;      /* product of the outer extents */
    int64_t c_pass;     /* channels in one pass over the sums */
    int64_t tile;       /* pixels over which all blocks go before the next */
    int64_t step;       /* pixels of which threads take multiples */
    int64_t panel;      /* most pixels at once: what scratch holds */
    int64_t room;       /* pixels in scratch: a panel, with what comes before y is aligned */
    int64_t part_width; /* most channels at once: what scratch holds */
    pw_scratch_layout scratch;
    size_t group_bytes; /* packed weights of a group */
    char description[192];
    int n_blocks;
    pw_block blocks[];
};

/* conv.c: elements i < n_i, j < n_j, with what a kernel set has for the dtypes. */
void pw_copy(pw_convert, pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);
/* conv.c: bytes to outer index number `index`, in C order. */
ptrdiff_t pw_outer_offset(const pw_problem *, const ptrdiff_t *strides, int64_t index);
/* Multiply-adds that are worth waking a thread for. */
static const double pw_parallel_from = 0.5e6;

/* threads.c */
/* Runs work(argument, number) in up to `threads` threads, the caller's included; returns when all
 * have returned. The caller's number is 0; a worker keeps its own, from 1 on, for life. */
void pw_parallel(int threads, void (*work)(void *, int), void *argument);
/* Scratch of the calling thread, kept for its next call; NULL: no memory. */
void *pw_thread_scratch(size_t bytes);

static inline int64_t pw_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t pw_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t pw_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t pw_round_up(int64_t a, int64_t b) {
    return pw_ceil_div(a, b) * b;
}

#endif
