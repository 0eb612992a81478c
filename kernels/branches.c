/* Repeats of several calls on one x.
 *
 *     repeat = remember_branches(repeats, outs)
 *     results = repeat(x, outs, threads)                           outs: a tuple, or None
 *
 * `remember_branches` joins repeats of one x, without residuals and with packed weights, in the
 * same way. Outputs whose bytes overlap must be as far apart as those of the first call.
 */
#include <string.h>

#include "repeat.h"

enum { MOST_BRANCHES = 16 };

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
        PyObject *out = given == Py_None ? pw_make_output(m) : Py_NewRef(PyTuple_GetItem(given, i));
        if (!out || PyTuple_SetItem(outs, i, out)) return 0;
        if (!pw_lend(m, Y, out, &y[i]) || !pw_lies_so(&m->forms[Y], &y[i]) ||
            pw_overlap(&m->forms[X], x, &m->forms[Y], &y[i]))
            return 0;
        for (int j = 0; j < i; j++)
            if ((uintptr_t)y[i].buf - (uintptr_t)y[j].buf != b->at[i] - b->at[j] &&
                pw_overlap(&b->m[j]->forms[Y], &y[j], &m->forms[Y], &y[i]))
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
    if (pw_lend(b->m[0], X, arguments[0], &x) && pw_lies_so(&b->m[0]->forms[X], &x) &&
        find_outputs(b, arguments[1], outs, &x, y)) {
        void *to[MOST_BRANCHES];
        for (int i = 0; i < b->n; i++) to[i] = y[i].buf;
        PyThreadState *state = b->release ? PyEval_SaveThread() : NULL;
        const pw_status status =
            pw_run_branches(b->plans, b->packed, b->n, x.buf, to, (int)threads);
        if (state) PyEval_RestoreThread(state);
        done = status == PW_OK;
        if (!done) pw_set_error(status);
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

PyObject *pw_remember_branches(PyObject *module, PyObject *arguments) {
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
    return pw_bind(&method, capsule);
}
