/* Repeats of a call, without the time that a Python call spends on checks which it passed before.
 *
 *     repeat = remember(plan, packed, owner, long, empty, x, residual, out, weight, bias)
 *     result = repeat(x, residual, out, threads)                   if packed is not 0
 *     result = repeat(x, residual, out, threads, weight, bias)     if packed is 0
 *
 * `remember` notes type, dtype, shape and strides of the arrays of a call that was checked in full.
 * A repeat runs the plan and returns the output if its arrays are like those, the output is
 * writeable and its bytes overlap no input's; otherwise it does nothing and returns None. It holds
 * no array, and compares each time what it is given.
 *
 *     repeat = remember_branches(repeats, outs)
 *     results = repeat(x, outs, threads)                           outs: a tuple, or None
 *
 * `remember_branches` joins repeats of one x, without residuals and with packed weights, in the
 * same way. Outputs whose bytes overlap must be as far apart as those of the first call.
 *
 * Long calls of any kind run Python's signal handlers now and then. If a handler raises, the call
 * is interrupted. The exception is kept until it is raised again: by the repeat that was
 * interrupted, or by
 *
 *     raise_interruption()
 */
#define _GNU_SOURCE /* syscall */
#include <pyconfig.h>
#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <pthread.h>
#endif

#include "pointwise.h"

enum { MOST_AXES = 8, MOST_BRANCHES = 16 };
enum { X, R, Y, W, B, ARRAYS };

/* PyErr_Fetch and PyErr_Restore are deprecated, but Python 3.11 has nothing else. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Python runs handlers in the main thread only. In other threads, waiting for the GIL would take
 * time, and would never end while Python shuts down. */
static int is_main_thread(void) {
#if defined(__linux__)
    return syscall(SYS_gettid) == getpid();
#elif defined(__APPLE__)
    return pthread_main_np();
#else
    return 0;
#endif
}

/* What a handler raised, until it is raised again. */
static struct {
    PyObject *type, *value, *traceback;
} kept;

static int run_handlers(void) {
    if (!is_main_thread()) return 0;
    const PyGILState_STATE state = PyGILState_Ensure();
    const int raised = PyErr_CheckSignals();
    if (raised) PyErr_Fetch(&kept.type, &kept.value, &kept.traceback);
    PyGILState_Release(state);
    return raised;
}

/* Sets the exception of a call that was not completed. */
static void set_error(pw_status status) {
    if (status == PW_INTERRUPTED && !kept.type) {
        PyErr_SetString(PyExc_RuntimeError, "a signal's handler forked in the middle of this call; "
                                            "its other threads are in the parent only");
    } else if (status == PW_INTERRUPTED) {
        PyErr_Restore(kept.type, kept.value, kept.traceback);
        kept.type = kept.value = kept.traceback = NULL;
    } else {
        PyErr_SetString(PyExc_MemoryError, "no memory for scratch; nothing was written");
    }
}

static PyObject *raise_interruption(PyObject *module, PyObject *nothing) {
    (void)module, (void)nothing;
    set_error(PW_INTERRUPTED);
    return NULL;
}

typedef struct form {
    int given; /* 0: None in the place of an array */
    char format;
    int ndim;
    Py_ssize_t shape[MOST_AXES], strides[MOST_AXES];
    Py_ssize_t low, high; /* where its bytes begin and end, from the first element */
} form;

typedef struct memory {
    const pw_plan *plan;
    const void *packed; /* NULL: weights come with each call */
    int release;        /* whether to release the GIL, which does not pay for short calls */
    PyTypeObject *type; /* numpy.ndarray */
    PyObject *owner;    /* owns plan and packed */
    PyObject *empty;    /* a function that makes an output */
    form forms[ARRAYS];
} memory;

static int note(form *f, PyObject *array, PyTypeObject *type) {
    Py_buffer view;
    f->given = array != Py_None;
    if (!f->given) return 1;
    if (Py_TYPE(array) != type) return 0;
    if (PyObject_GetBuffer(array, &view, PyBUF_FULL_RO)) {
        PyErr_Clear();
        return 0;
    }
    const int fits = view.ndim <= MOST_AXES && strlen(view.format) == 1;
    if (fits) {
        f->format = view.format[0];
        f->ndim = view.ndim;
        f->high = view.itemsize;
        for (int i = 0; i < view.ndim; i++) {
            const Py_ssize_t reach = (view.shape[i] - 1) * view.strides[i];
            f->shape[i] = view.shape[i];
            f->strides[i] = view.strides[i];
            *(reach < 0 ? &f->low : &f->high) += reach;
        }
    }
    PyBuffer_Release(&view);
    return fits;
}

/* Weights and biases may have additional axes of length 1: (K, C), (K, C, 1) and so on. */
static int has_axes(const form *f, int which, const Py_buffer *view) {
    if (which < W) return view->ndim == f->ndim;
    for (int i = f->ndim; i < view->ndim; i++)
        if (view->shape[i] != 1) return 0;
    return view->ndim >= f->ndim;
}

/* Whether an array is like the one that was noted. Fills `view`, which the caller releases. Weights
 * and bias may have any strides. */
static int matches(const memory *m, int which, PyObject *array, Py_buffer *view) {
    const form *f = &m->forms[which];
    const size_t bytes = (size_t)f->ndim * sizeof *f->shape;
    if (!f->given) return array == Py_None;
    if (Py_TYPE(array) != m->type) return 0;
    if (PyObject_GetBuffer(array, view, PyBUF_FULL_RO)) {
        PyErr_Clear();
        return 0;
    }
    return has_axes(f, which, view) && view->format[0] == f->format && !view->format[1] &&
           !memcmp(view->shape, f->shape, bytes) &&
           (which >= W || !memcmp(view->strides, f->strides, bytes)) &&
           (which != Y || !view->readonly);
}

static int overlap(const form *f, const Py_buffer *a, const form *g, const Py_buffer *b) {
    const uintptr_t at = (uintptr_t)a->buf, to = (uintptr_t)b->buf;
    return at + (uintptr_t)f->low < to + (uintptr_t)g->high &&
           to + (uintptr_t)g->low < at + (uintptr_t)f->high;
}

/* Whether the output overlaps a residual that is not the output itself, element for element. */
static int residual_hurts(const memory *m, const Py_buffer *views) {
    const form *r = &m->forms[R], *y = &m->forms[Y];
    if (!r->given) return 0;
    /* One row that is added to many is not the same, even at the same address. */
    const size_t bytes = (size_t)y->ndim * sizeof *y->strides;
    const int same = views[R].buf == views[Y].buf && r->ndim == y->ndim &&
                     !memcmp(r->shape, y->shape, bytes) && !memcmp(r->strides, y->strides, bytes);
    return !same && overlap(r, &views[R], y, &views[Y]);
}

static pw_status run(const memory *m, const Py_buffer *v, int threads) {
    if (m->packed) return pw_run(m->plan, m->packed, v[X].buf, v[R].buf, NULL, v[Y].buf, threads);
    return pw_conv(m->plan, v[W].buf, v[W].strides[0], v[W].strides[1], v[B].buf,
                   v[B].buf ? v[B].strides[0] : 0, v[X].buf, v[R].buf, NULL, v[Y].buf, threads);
}

static PyObject *repeat(PyObject *capsule, PyObject *const *arguments, Py_ssize_t n) {
    const memory *m = PyCapsule_GetPointer(capsule, NULL);
    if (n != (m->packed ? 4 : 6)) {
        PyErr_Format(PyExc_TypeError, "a repeat got %zd arguments", n);
        return NULL;
    }
    const long threads = PyLong_AsLong(arguments[3]);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    Py_buffer views[ARRAYS] = {{0}};
    PyObject *out = NULL, *result = NULL;
    int alike = matches(m, X, arguments[0], &views[X]) && matches(m, R, arguments[1], &views[R]) &&
                (m->packed || (matches(m, W, arguments[4], &views[W]) &&
                               matches(m, B, arguments[5], &views[B])));
    if (alike) {
        out = arguments[2] == Py_None ? PyObject_CallNoArgs(m->empty) : Py_NewRef(arguments[2]);
        alike = out && matches(m, Y, out, &views[Y]) &&
                !overlap(&m->forms[X], &views[X], &m->forms[Y], &views[Y]) &&
                !residual_hurts(m, views);
    }
    if (alike) {
        PyThreadState *state = m->release ? PyEval_SaveThread() : NULL;
        const pw_status status = run(m, views, (int)threads);
        if (state) PyEval_RestoreThread(state);
        if (status == PW_OK)
            result = Py_NewRef(out);
        else
            set_error(status);
    }
    for (int i = 0; i < ARRAYS; i++) PyBuffer_Release(&views[i]);
    Py_XDECREF(out);
    return result || PyErr_Occurred() ? result : Py_NewRef(Py_None);
}

static void forget(PyObject *capsule) {
    memory *m = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(m->owner);
    Py_DECREF(m->empty);
    PyMem_Free(m);
}

static PyObject *remember(PyObject *module, PyObject *arguments) {
    static PyMethodDef method = {"repeat", (PyCFunction)(void (*)(void))repeat, METH_FASTCALL,
                                 NULL};
    (void)module;
    Py_ssize_t plan, packed;
    PyObject *owner, *empty, *arrays[ARRAYS];
    int release;
    if (!PyArg_ParseTuple(arguments, "nnOpOOOOOO", &plan, &packed, &owner, &release, &empty,
                          &arrays[X], &arrays[R], &arrays[Y], &arrays[W], &arrays[B]))
        return NULL;
    memory *m = PyMem_Calloc(1, sizeof *m);
    if (!m) return PyErr_NoMemory();
    m->plan = (const pw_plan *)plan;
    m->packed = (const void *)packed;
    m->release = release;
    m->type = Py_TYPE(arrays[X]);
    int noted = 1;
    for (int i = 0; i < ARRAYS; i++) noted = noted && note(&m->forms[i], arrays[i], m->type);
    PyObject *capsule = noted ? PyCapsule_New(m, NULL, forget) : NULL;
    if (!capsule) {
        PyMem_Free(m);
        return noted ? NULL : Py_NewRef(Py_None);
    }
    m->owner = Py_NewRef(owner);
    m->empty = Py_NewRef(empty);
    PyObject *bound = PyCFunction_NewEx(&method, capsule, NULL);
    Py_DECREF(capsule);
    return bound;
}

/* Several repeats that run as one. */
typedef struct branches {
    int n;
    int release;
    const memory *m[MOST_BRANCHES];
    const pw_plan *plans[MOST_BRANCHES];
    const void *packed[MOST_BRANCHES];
    PyObject *capsules[MOST_BRANCHES]; /* owners of m */
    uintptr_t at[MOST_BRANCHES];       /* addresses of outputs that are known not to overlap */
} branches;

/* Puts the given outputs, or new ones, into `outs`, and their views into y. Returns 0 if they
 * cannot be used. */
static int find_outputs(const branches *b, PyObject *given, PyObject *outs, const Py_buffer *x,
                        Py_buffer *y) {
    if (given != Py_None && (!PyTuple_CheckExact(given) || PyTuple_Size(given) != b->n)) return 0;
    for (int i = 0; i < b->n; i++) {
        const memory *m = b->m[i];
        PyObject *out =
            given == Py_None ? PyObject_CallNoArgs(m->empty) : Py_NewRef(PyTuple_GetItem(given, i));
        if (!out || PyTuple_SetItem(outs, i, out)) return 0;
        if (!matches(m, Y, out, &y[i]) || overlap(&m->forms[X], x, &m->forms[Y], &y[i])) return 0;
        for (int j = 0; j < i; j++)
            if ((uintptr_t)y[i].buf - (uintptr_t)y[j].buf != b->at[i] - b->at[j] &&
                overlap(&b->m[j]->forms[Y], &y[j], &m->forms[Y], &y[i]))
                return 0;
    }
    return 1;
}

static PyObject *repeat_branches(PyObject *capsule, PyObject *const *arguments, Py_ssize_t n) {
    const branches *b = PyCapsule_GetPointer(capsule, NULL);
    if (n != 3) {
        PyErr_Format(PyExc_TypeError, "a repeat of branches got %zd arguments", n);
        return NULL;
    }
    const long threads = PyLong_AsLong(arguments[2]);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    PyObject *outs = PyTuple_New(b->n);
    if (!outs) return NULL;
    Py_buffer x = {0}, y[MOST_BRANCHES];
    memset(y, 0, (size_t)b->n * sizeof *y);
    int done = 0;
    if (matches(b->m[0], X, arguments[0], &x) && find_outputs(b, arguments[1], outs, &x, y)) {
        void *to[MOST_BRANCHES];
        for (int i = 0; i < b->n; i++) to[i] = y[i].buf;
        PyThreadState *state = b->release ? PyEval_SaveThread() : NULL;
        const pw_status status =
            pw_run_branches(b->plans, b->packed, b->n, x.buf, to, (int)threads);
        if (state) PyEval_RestoreThread(state);
        done = status == PW_OK;
        if (!done) set_error(status);
    }
    PyBuffer_Release(&x);
    for (int i = 0; i < b->n; i++) PyBuffer_Release(&y[i]);
    if (done) return outs;
    Py_DECREF(outs);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static void forget_branches(PyObject *capsule) {
    branches *b = PyCapsule_GetPointer(capsule, NULL);
    for (int i = 0; i < b->n; i++) Py_DECREF(b->capsules[i]);
    PyMem_Free(b);
}

static PyObject *remember_branches(PyObject *module, PyObject *arguments) {
    static PyMethodDef method = {"repeat_branches", (PyCFunction)(void (*)(void))repeat_branches,
                                 METH_FASTCALL, NULL};
    (void)module;
    PyObject *repeats, *outs;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyTuple_Type, &repeats, &PyTuple_Type, &outs))
        return NULL;
    const Py_ssize_t n = PyTuple_Size(repeats);
    if (n > MOST_BRANCHES || PyTuple_Size(outs) != n) return Py_NewRef(Py_None);
    branches *b = PyMem_Calloc(1, sizeof *b);
    if (!b) return PyErr_NoMemory();
    for (; b->n < n; b->n++) {
        const int i = b->n;
        PyObject *capsule = PyCFunction_GetSelf(PyTuple_GetItem(repeats, i));
        const memory *m = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
        Py_buffer view;
        if (!m || PyObject_GetBuffer(PyTuple_GetItem(outs, i), &view, PyBUF_FULL_RO)) break;
        b->at[i] = (uintptr_t)view.buf;
        PyBuffer_Release(&view);
        b->m[i] = m;
        b->plans[i] = m->plan;
        b->packed[i] = m->packed;
        b->release |= m->release;
        b->capsules[i] = Py_NewRef(capsule);
    }
    PyObject *capsule = b->n == n ? PyCapsule_New(b, NULL, forget_branches) : NULL;
    if (!capsule) {
        for (int i = 0; i < b->n; i++) Py_DECREF(b->capsules[i]);
        PyMem_Free(b);
        return NULL;
    }
    PyObject *bound = PyCFunction_NewEx(&method, capsule, NULL);
    Py_DECREF(capsule);
    return bound;
}

static PyMethodDef functions[] = {{"remember", remember, METH_VARARGS, NULL},
                                  {"remember_branches", remember_branches, METH_VARARGS, NULL},
                                  {"raise_interruption", raise_interruption, METH_NOARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

static int set_up(PyObject *module) {
    (void)module;
    pw_set_interrupt(run_handlers);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)set_up},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_repeat",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__repeat(void) {
    return PyModuleDef_Init(&definition);
}
