/* Repeats of a call, without the time that a Python call spends on checks which it passed before.
 *
 *     repeat = remember(plan, packed, owner, work, pixels, empty, (x, residual, out, weight, bias),
 *                       (kernel set, (layer, ...), channel axis, numpy.empty, dtype, pack)
 *                       or None)
 *     result = repeat(x, residual, out, threads)                   if packed is not 0
 *     result = repeat(x, residual, out, threads, weight, bias)     if packed is 0
 *
 * `remember` notes type, dtype, shape and strides of the arrays of a call that was checked in full.
 * A repeat runs the plan and returns the output if its arrays are like those, the output is
 * writeable and its bytes overlap no input's; otherwise it does nothing and returns None. It holds
 * no array, and compares each time what it is given. Where it knows the problem of each layer, and
 * the axis of channels in x, it makes a plan for arrays that differ in sizes and strides only
 * (sizes.c). branches.c joins repeats.
 *
 * Long calls of any kind run Python's signal handlers now and then. If a handler raises, the call
 * is interrupted. The exception is kept until it is raised again: by the repeat that was
 * interrupted, or by
 *
 *     raise_interruption()
 */
#define _GNU_SOURCE /* syscall */
#include "repeat.h"

#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <pthread.h>
#endif

/* Multiply-adds, with 16 for an activation, in which other threads do without the GIL; some
 * microseconds, as in NumPy. */
#define SHORT (1 << 16)

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
void pw_set_error(pw_status status) {
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
    pw_set_error(PW_INTERRUPTED);
    return NULL;
}

/* Whether the output overlaps a residual that is not the output itself, element for element. */
static int residual_hurts(const memory *m, const Py_buffer *views) {
    const form *r = &m->forms[R], *y = &m->forms[Y];
    if (!r->given) return 0;
    /* One row that is added to many is not the same, even at the same address. */
    const int same = views[R].buf == views[Y].buf && r->ndim == y->ndim &&
                     pw_same(y->ndim, r->shape, y->shape) &&
                     pw_same(y->ndim, r->strides, y->strides);
    return !same && pw_overlap(r, &views[R], y, &views[Y]);
}

static pw_status run(const memory *m, const Py_buffer *v, int threads) {
    if (m->packed) return pw_run(m->plan, m->packed, v[X].buf, v[R].buf, NULL, v[Y].buf, threads);
    return pw_conv(m->plan, v[W].buf, v[W].strides[0], v[W].strides[1], v[B].buf,
                   v[B].buf ? v[B].strides[0] : 0, v[X].buf, v[R].buf, NULL, v[Y].buf, threads);
}

/* Whether the call may run, its arrays lying as noted. Makes the output if there is none. */
static int may_run(const memory *m, PyObject **out, Py_buffer *views) {
    if (!views[Y].obj) {
        *out = pw_make_output(m);
        if (!*out || !pw_lend(m, Y, *out, &views[Y]) || !pw_lies_so(&m->forms[Y], &views[Y]))
            return 0;
    }
    return !pw_overlap(&m->forms[X], &views[X], &m->forms[Y], &views[Y]) &&
           !residual_hurts(m, views);
}

static PyObject *repeat(PyObject *capsule, PyObject *const *arguments, Py_ssize_t n) {
    memory *m = PyCapsule_GetPointer(capsule, NULL);
    if (n != (m->packed ? 4 : 6)) {
        PyErr_Format(PyExc_TypeError, "a repeat got %zd arguments", n);
        return NULL;
    }
    const long threads = PyLong_AsLong(arguments[3]);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    Py_buffer views[ARRAYS] = {{0}};
    PyObject *out = arguments[2] == Py_None ? NULL : Py_NewRef(arguments[2]);
    PyObject *result = NULL, *other = NULL;
    int alike = pw_lend(m, X, arguments[0], &views[X]) && pw_lend(m, R, arguments[1], &views[R]) &&
                (m->packed || (pw_lend(m, W, arguments[4], &views[W]) &&
                               pw_lend(m, B, arguments[5], &views[B]))) &&
                (!out || pw_lend(m, Y, out, &views[Y]));
    if (alike && !pw_all_lie_so(m, views)) {
        other = pw_find_other(m, views);
        alike = other != NULL;
        if (other) m = PyCapsule_GetPointer(other, NULL);
    }
    if (alike && may_run(m, &out, views)) {
        PyThreadState *state = m->release ? PyEval_SaveThread() : NULL;
        const pw_status status = run(m, views, (int)threads);
        if (state) PyEval_RestoreThread(state);
        if (status == PW_OK)
            result = Py_NewRef(out);
        else
            pw_set_error(status);
    }
    for (int i = 0; i < ARRAYS; i++) PyBuffer_Release(&views[i]);
    Py_XDECREF(out);
    Py_XDECREF(other);
    return result || PyErr_Occurred() ? result : Py_NewRef(Py_None);
}

PyObject *pw_make_output(const memory *m) {
    return m->arguments ? PyObject_CallObject(m->empty, m->arguments)
                        : PyObject_CallNoArgs(m->empty);
}

int pw_is_long(double work, double pixels) {
    return work * pixels > SHORT;
}

void pw_forget(PyObject *capsule) {
    memory *m = PyCapsule_GetPointer(capsule, NULL);
    pw_plan_free(m->own);
    Py_XDECREF(m->owner);
    Py_XDECREF(m->empty);
    Py_XDECREF(m->arguments);
    Py_XDECREF(m->family.make);
    Py_XDECREF(m->family.dtype);
    Py_XDECREF(m->family.pack);
    Py_XDECREF(m->other);
    PyMem_Free(m);
}

PyObject *pw_bind(PyMethodDef *method, PyObject *capsule) {
    PyObject *bound = PyCFunction_NewEx(method, capsule, NULL);
    Py_DECREF(capsule);
    return bound;
}

/* Reads what `remember` is told of calls of other sizes. Returns 0 with an exception. */
static int note_family(family *f, PyObject *given) {
    PyObject *layers;
    Py_ssize_t set;
    if (given == Py_None) return 1;
    if (!PyArg_ParseTuple(given, "nO!iOOO", &set, &PyTuple_Type, &layers, &f->channel_axis,
                          &f->make, &f->dtype, &f->pack)) {
        f->make = f->dtype = f->pack = NULL;
        return 0;
    }
    Py_INCREF(f->make);
    Py_INCREF(f->dtype);
    Py_INCREF(f->pack);
    const Py_ssize_t n = PyTuple_Size(layers);
    if (n > MOST_LAYERS) return 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        f->layers[i] = PyLong_AsVoidPtr(PyTuple_GetItem(layers, i));
        if (!f->layers[i]) return 0;
    }
    f->set = (const pw_kernel_set *)set;
    f->n = (int)n;
    return 1;
}

static PyObject *remember(PyObject *module, PyObject *arguments) {
    static PyMethodDef method = {"repeat", (PyCFunction)(void (*)(void))repeat, METH_FASTCALL,
                                 NULL};
    (void)module;
    Py_ssize_t plan, packed;
    PyObject *owner, *empty, *arrays[ARRAYS], *family;
    double work, pixels;
    if (!PyArg_ParseTuple(arguments, "nnOddO(OOOOO)O", &plan, &packed, &owner, &work, &pixels,
                          &empty, &arrays[X], &arrays[R], &arrays[Y], &arrays[W], &arrays[B],
                          &family))
        return NULL;
    memory *m = PyMem_Calloc(1, sizeof *m);
    if (!m) return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(m, NULL, pw_forget);
    if (!capsule) {
        PyMem_Free(m);
        return NULL;
    }
    m->plan = (const pw_plan *)plan;
    m->packed = (const void *)packed;
    m->work = work;
    m->release = pw_is_long(work, pixels);
    m->type = Py_TYPE(arrays[X]);
    m->owner = Py_NewRef(owner);
    m->empty = Py_NewRef(empty);
    int noted = note_family(&m->family, family);
    for (int i = 0; i < ARRAYS; i++) noted = noted && pw_note(&m->forms[i], arrays[i], m->type);
    if (!noted) {
        Py_DECREF(capsule);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    const form *y = &m->forms[Y];
    Py_ssize_t strides[MOST_AXES];
    pw_contiguous(y->ndim, y->shape, y->itemsize, strides);
    m->makes_y = pw_same(y->ndim, y->strides, strides);
    return pw_bind(&method, capsule);
}

static PyMethodDef functions[] = {{"remember", remember, METH_VARARGS, NULL},
                                  {"remember_branches", pw_remember_branches, METH_VARARGS, NULL},
                                  {"describe_other", pw_describe_other, METH_O, NULL},
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
