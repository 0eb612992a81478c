/* How one problem will be computed. */
#ifndef PW_PLAN_H
#define PW_PLAN_H

#include "isa/types.h"
#include "threads/shares.h"

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
    size_t x, y, r, acc, flags, gaps, present, bytes;
} pw_scratch_layout;

typedef struct pw_chain pw_chain;

/* Who computes scale * x + offset. */
typedef enum { PW_NO_AFFINE, PW_AFFINE_IN_KERNELS, PW_AFFINE_STAGED } pw_affine_step;

struct pw_plan {
    pw_chain *chain; /* NULL; else there is nothing here but the chain and its description */
    pw_problem problem;
    const pw_kernels *kernels;
    pw_epilogue epilogue;
    int interleaved;               /* the kernels, or planar */
    int transposed;                /* interleaved kernels that write planes */
    int rows_to_planes;            /* rows kernels that do */
    int planes;                    /* y and r are written and read in planes */
    int dense;                     /* interleaved, by kernels of few channels without gaps */
    int paired;                    /* blocks of so many channels, for pw_pair_kernel; 0: not */
    int stage_x, stage_y, stage_r; /* through panels in scratch */
    int finishes;                  /* planes in scratch that hold all channels of their pixels */
    int tiled;                     /* likewise, but by rows kernels, a vector of pixels at a time */
    int pairs;                     /* planar kernels of products of bfloat16; x is staged */
    int converts;                  /* planar kernels that convert x */
    int whole;                     /* all channels at once */
    pw_affine_step affine;
    const pw_kernels *wide;     /* of float64, in which it is computed; NULL: in the sums' dtype */
    const char *scale, *offset; /* C values each of that dtype */
    const char *slopes;         /* K of the sums' dtype, and some more to be read; NULL: none */
    void *constants;            /* owned: what these and the problem's nodata point to */
    int stream;                 /* where y turns out to be aligned to a line */
    int heads_differ;           /* pixels before that, from one outer index to the next */
    ptrdiff_t prefetch;         /* bytes ahead, */
    int64_t run;      /* of each plane of x the pixels of so many steps together; 0: no planes */
    int fetches_rows; /* x is staged from rows without gaps: the next panel's while this one is summed */
    int64_t row;      /* pixels after which x goes on at its next row; 0: P is one row */
    ptrdiff_t x_row;   /* bytes from row to row */
    int blends;        /* flags are for planar kernels, which fill y in registers */
    int flags;         /* pixels that miss a channel are flagged, and get */
    char fill[8];      /* this, of y's dtype and byte order */
    pw_plan *present;  /* owned: of pixels that may do with some channels; NULL: none may */
    size_t present_at; /* its packed weights, within the group's */
    int64_t channels_needed;
    int64_t C, K;       /* of a group */
    int64_t y_channels; /* of a group, that are stored */
    int64_t outer;      /* product of the outer extents */
    int64_t c_pass;     /* channels in one pass over the sums */
    int64_t tile;       /* pixels over which all blocks go before the next */
    int64_t step;       /* pixels of which threads take multiples */
    int64_t panel;      /* most pixels at once: what scratch holds */
    int64_t room;       /* pixels in scratch: a panel, with what comes before y is aligned */
    int parts;          /* of the blocks at least, for scratch to hold the channels of each */
    pw_scratch_layout scratch;
    size_t group_bytes; /* packed weights of a group */
    char description[224];
    int n_blocks;
    pw_block blocks[];
};

/* copy.c: elements i < n_i, j < n_j, of either byte order, with what a kernel set has for the dtypes. */
void pw_copy(pw_convert, pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);
/* Multiply-adds that are worth waking a thread for. */
static const double pw_parallel_from = 0.5e6;

/* plan.c */
/* A plan that weights can be packed with, in blocks of `width` channels and then of one. It cannot
 * be run. */
pw_plan *pw_plan_packing(const pw_kernel_set *, const pw_problem *, int width);

/* path.c */
void pw_choose_path(pw_plan *);
int pw_is_reversed(const pw_problem *);
/* Planar kernels, by channels, that convert x in registers or read its pixels in reverse. */
const pw_kernel *pw_converters_of(const pw_plan *);
/* Channels for rows kernels, the others being whole vectors: all that fit one block, else what is
 * left; 0 where rows kernels cannot read x. */
int64_t pw_rows_channels(const pw_plan *);

/* constants.c */
/* Copies of what the problem points to, for the caller may free it. 0: no memory. */
int pw_keep_constants(pw_plan *);
/* `fill` as sums are stored, in the dtype and byte order of y. */
void pw_keep_fill(pw_plan *);

/* passes.c */
/* From more planes memory is better read in long runs, of one after the other. A Cascade Lake reads 50
 * in runs of 128 bytes at 6.5 GB/s, from 1024 on at 12; 50 -> 20 of 600 x 600 went from 17.0 to 12.0
 * ms, 64 -> 10 from 20.3 to 10.6, while 40 -> 20 lost 5 to 10%. */
enum { PW_MANY_PLANES = 40 };
void pw_choose_passes(pw_plan *);
/* Whether output of so many bytes, and input, is better stored past the caches. */
int pw_worth_streaming(int64_t out, int64_t in);

/* affine.c: n_c channels of x from c on, n pixels, to scale * x + offset in scratch, if it can be had
 * on the way. 0: nothing was done. */
int pw_affine_from(const pw_plan *, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c, int64_t n);
static inline const void *pw_scale(const pw_plan *plan, int64_t c) {
    return plan->scale + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}
static inline const void *pw_offset(const pw_plan *plan, int64_t c) {
    return plan->offset + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}

/* Pixels of one outer index. */
typedef struct pw_strip {
    const char *packed, *x, *r; /* x of the first pixel of P, */
    char *y;                    /* y and r of pixel `from` */
    int64_t from, pixels;
} pw_strip;

/* conv.c */
/* All channels of a strip. `head`: pixels before y is aligned, which the first kernel call takes.
 * scratch: plan->scratch.bytes. */
void pw_run_strip(const pw_plan *, const pw_strip *, int64_t head, char *scratch);
/* Pixels up to the first at which every row of y is aligned to a line; 0 if there is none. */
int64_t pw_unaligned_head(const pw_plan *, const void *y);
/* Bytes to outer index number `index`, in C order. */
ptrdiff_t pw_outer_offset(const pw_problem *, const ptrdiff_t *strides, int64_t index);

/* sequence.c */
pw_status pw_run_chain(const pw_chain *, const void *packed, const void *x, const void *r, void *y,
                       int threads);
/* chain.c */
void pw_chain_free(pw_chain *);

/* threads.c */
/* Runs work(argument, number) in up to `threads` threads, the caller's included; returns when all
 * have returned. The caller's number is 0; a worker keeps its own, from 1 on, for life. 0: the hook
 * has forked, and this is the child, where the others have not returned and never will. */
int pw_parallel(int threads, void (*work)(void *, int), void *argument);

/* shares.c */
/* Items a thread should get at least, for cores are unequally fast. */
enum { PW_ITEMS_PER_THREAD = 12 };
/* Multiply-adds of an item at most, if pixels can be divided, for a call is stopped between items:
 * some 30 ms by scalar kernels, less than one by others. */
enum { PW_ITEM_WORK = 1 << 25 };
/* pw_parallel with no more threads than items, which pw_next_item hands out. PW_INTERRUPTED: some
 * were not. */
pw_status pw_spread(pw_shares *, int64_t items, double multiply_adds, int threads,
                    void (*work)(void *, int), void *argument);
/* The same; all threads take from one share. */
pw_status pw_spread_in_order(pw_shares *, int64_t items, double multiply_adds, int threads,
                             void (*work)(void *, int), void *argument);
/* `threads`, or 1 where so few multiply-adds are not worth waking another for. */
int pw_worth_threads(double multiply_adds, int threads);
/* Asks the hook whether to stop, if it is time. `next`: when that will be, 0 as a call begins. */
int pw_is_interrupted(int64_t *next);

/* scratch.c */
/* Aligned to a line; to be freed. NULL: no memory. */
void *pw_aligned_alloc(size_t bytes);
/* Scratch of the calling thread, kept for its next call; NULL: no memory. */
void *pw_thread_scratch(size_t bytes);
/* Another call in this thread, in the middle of one, gets scratch of its own in between. */
typedef struct pw_scratch {
    void *memory;
    size_t bytes;
} pw_scratch;
pw_scratch pw_put_scratch_aside(void);
void pw_take_scratch_back(pw_scratch);

/* Packed weights of one call that are no larger are on the stack. */
#ifndef PW_STACK_BYTES
#define PW_STACK_BYTES (16 << 10)
#endif

/* Before a thread that may have stored past the caches says that it has finished. */
static inline void pw_end_streaming(const pw_plan *plan) {
#if defined(__x86_64__)
    if (plan->stream) __builtin_ia32_sfence();
#else
    (void)plan;
#endif
}

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
/* The last digit of a number to base n, which the number loses. In most small calls all are 0, and a
 * division takes 15 to 90 cycles. */
static inline int64_t pw_take_digit(int64_t *number, int64_t n) {
    if (n == 1) return 0;
    const int64_t digit = *number % n;
    *number /= n;
    return digit;
}
static inline int64_t pw_product(const int64_t *extents, int64_t n) {
    int64_t product = 1;
    for (int64_t i = 0; i < n; i++) product *= extents[i];
    return product;
}

#endif
