/* What the files of the module of repeats share; repeat.c says what repeats are. */
#ifndef PW_REPEAT_H
#define PW_REPEAT_H

#include <pyconfig.h>
#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>
#include <stdatomic.h>

#include "pointwise.h"

enum { MOST_AXES = 8, MOST_LAYERS = 8 };
enum { X, R, Y, W, B, ARRAYS };

/* What an array is like. */
typedef struct form {
    int given; /* 0: None in the place of an array */
    char format;
    int ndim;
    Py_ssize_t itemsize;
    Py_ssize_t shape[MOST_AXES], strides[MOST_AXES];
    Py_ssize_t low, high; /* where its bytes begin and end, from the first element */
} form;

/* What a call is that differs from a remembered one in sizes and strides only. */
typedef struct family {
    int n; /* layers; 0: calls of other sizes are to be checked in Python */
    const pw_problem *layers[MOST_LAYERS];
    const pw_kernel_set *set;
    int channel_axis;
    PyObject *make, *dtype; /* numpy.empty, and the dtype of outputs */
    PyObject *pack; /* a function of a plan's address: that of packed weights, and their owner */
} family;

/* A call to repeat. */
typedef struct memory {
    const pw_plan *plan;
    const void *packed;  /* NULL: weights come with each call */
    double work;         /* multiply-adds of a pixel */
    int release;         /* whether to release the GIL */
    int makes_y;         /* whether `empty` makes outputs like the one that was noted */
    PyTypeObject *type;  /* numpy.ndarray */
    PyObject *owner;     /* owns plan and packed; of a call of other sizes: packed, or NULL */
    pw_plan *own;        /* the plan of such a call; else NULL */
    PyObject *empty;     /* a function that makes an output */
    PyObject *arguments; /* its arguments; NULL: it has none */
    form forms[ARRAYS];
    family family;
    _Atomic(PyObject *) other; /* a capsule of the last call of other sizes, or NULL */
} memory;

/* forms.c */

/* Whether extents or strides are the same. Those of a buffer without axes may be NULL. */
int pw_same(int ndim, const Py_ssize_t *a, const Py_ssize_t *b);
/* Notes what an array, or None, is like. Returns 0 if it is nothing to repeat a call with. */
int pw_note(form *, PyObject *array, PyTypeObject *type);
/* Notes where the elements of an array of a noted dtype lie. */
void pw_place(form *, int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides);
/* Lends an array if it is of the noted type, dtype and number of axes; weights and biases, which may
 * have any strides, of the noted shape too. Fills `view`, which the caller releases. */
int pw_lend(const memory *, int which, PyObject *array, Py_buffer *view);
/* Whether an array that was lent has the noted shape and strides. */
int pw_lies_so(const form *, const Py_buffer *view);
/* Whether all has the noted shapes and strides. No view of Y: `empty` makes the output. */
int pw_all_lie_so(const memory *, const Py_buffer *views);
/* Strides of an array whose elements follow one another in C order. */
void pw_contiguous(int ndim, const Py_ssize_t *shape, Py_ssize_t itemsize, Py_ssize_t *strides);
int pw_overlap(const form *, const Py_buffer *, const form *, const Py_buffer *);

/* sizes.c */

/* A capsule of a call like `m` for arrays that were lent and have other sizes or strides. NULL: they
 * are to be checked in Python, unless there is an exception. */
PyObject *pw_find_other(memory *m, const Py_buffer *views);
/* For tests: what the plan of a repeat's last call of other sizes decided; None: there was none. */
PyObject *pw_describe_other(PyObject *module, PyObject *repeat);

/* repeat.c */

PyObject *pw_make_output(const memory *);
/* Whether a call takes so long that other threads are to have the GIL, which does not pay for short
 * ones. */
int pw_is_long(double work, double pixels);
void pw_forget(PyObject *capsule);
/* A function for Python that gets the capsule, which it takes over. */
PyObject *pw_bind(PyMethodDef *, PyObject *capsule);
/* Sets the exception of a call that was not completed. */
void pw_set_error(pw_status);

/* branches.c */

PyObject *pw_remember_branches(PyObject *module, PyObject *arguments);

#endif
