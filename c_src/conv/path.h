/* Paths: the kinds of kernels that can compute a problem, each with how it reads x and writes y.
 *
 * A path lists its candidates, which differ in where x is read from, in blocks and in the like, and
 * predicts how long each would take. The planner takes the quickest. Any other one gives the same
 * bits. */
#ifndef PW_CONV_PATH_H
#define PW_CONV_PATH_H

#include "conv/plan.h"

/* How the arrays of a problem lie, as far as paths depend on it. */
typedef struct pw_geometry {
    int x_planes, y_planes, r_planes; /* pixels are contiguous */
    int x_rows, y_rows, r_rows;       /* channels are */
    int loads, stores, loads_r; /* elements are not of the sums' dtype, as kernels need them */
    int64_t rows;               /* rows of x that are one run in y and the residual; 1: none */
} pw_geometry;

/* One way to compute a problem. */
typedef struct pw_candidate {
    const pw_path *path;
    pw_source source;
    int merges_rows;     /* takes geometry.rows rows as one run */
    int64_t transposing; /* channels that transposing kernels compute beside interleaved ones */
    int blocks;          /* of the other channels */
    double time; /* predicted, in multiply-adds of a vector, for one group and run of rows */
} pw_candidate;

enum { PW_MOST_CANDIDATES = 32 };

typedef struct pw_candidates {
    pw_geometry geometry;
    int n;
    pw_candidate list[PW_MOST_CANDIDATES];
} pw_candidates;

struct pw_path {
    const char *name;
    int reads_rows;    /* kernels read pixels as rows of channels; else planes */
    int writes_planes; /* else rows, or tiles */
    int makes_tiles;   /* a head reads the sums of a vector of pixels at a time */
    int bf16_pairs;    /* channels come in pairs of bfloat16 */
    int blends;        /* kernels put `fill` where pixels miss a channel */
    int packing;       /* a number for each order of packed weights */
    /* Appends what can compute the problem: the draft has no path yet. */
    void (*list)(const pw_plan *draft, pw_candidates *);
    double (*predict)(const pw_plan *draft, const pw_geometry *, const pw_candidate *);
    /* How many blocks `cut` adds to a plan of this path, which calls pw_add_block. */
    int (*count_blocks)(const pw_plan *);
    void (*cut)(pw_plan *);
};

extern const pw_path pw_path_planar, pw_path_bf16_pairs, pw_path_interleaved, pw_path_few_channels,
    pw_path_interleaved_to_planes, pw_path_transposing_to_planes, pw_path_tiles;

pw_geometry pw_geometry_of(const pw_plan *draft);
/* Makes a draft one of its candidates. */
void pw_take_candidate(pw_plan *draft, const pw_geometry *, const pw_candidate *);

/* For paths: `count_blocks` of those that have one. */
int pw_count_single_block(const pw_plan *);
/* For paths: appends a block of output channels. */
void pw_add_block(pw_plan *, pw_ukernel, int channels, int width);
/* For paths: a candidate with its predicted time. */
void pw_add_candidate(const pw_plan *draft, pw_candidates *, pw_candidate);
/* Vectors of pixels of one group that planar kernels compute for a candidate. */
double pw_pixel_vectors(const pw_plan *draft, const pw_geometry *, const pw_candidate *);
/* Pixels of these vectors. */
double pw_pixels(const pw_plan *draft, const pw_geometry *);
/* The time to stage x, if the candidate does. */
double pw_staging_time(const pw_plan *draft, const pw_geometry *, const pw_candidate *);
/* Planar kernels in as few blocks as possible, with x in place. */
pw_candidate pw_planar_candidate(const pw_plan *draft);
/* Whether x's pixels go towards lower addresses. */
int pw_is_reversed(const pw_problem *);

/* Whether kernels that read pixels as rows write planes: they transpose what they read or write. */
static inline int pw_transposes(const pw_plan *plan) {
    return plan->path->reads_rows && plan->path->writes_planes;
}

#endif
