/* What arrays are like: noted of one call, compared in others. */
#include <string.h>

#include "repeat.h"

int pw_same(int ndim, const Py_ssize_t *a, const Py_ssize_t *b) {
    return !ndim || !memcmp(a, b, (size_t)ndim * sizeof *a);
}

int pw_note(form *f, PyObject *array, PyTypeObject *type) {
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
        f->itemsize = view.itemsize;
        pw_place(f, view.ndim, view.shape, view.strides);
    }
    PyBuffer_Release(&view);
    return fits;
}

void pw_place(form *f, int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides) {
    f->ndim = ndim;
    f->low = 0;
    f->high = f->itemsize;
    for (int i = 0; i < ndim; i++) {
        const Py_ssize_t reach = (shape[i] - 1) * strides[i];
        f->shape[i] = shape[i];
        f->strides[i] = strides[i];
        *(reach < 0 ? &f->low : &f->high) += reach;
    }
}

/* Weights and biases may have additional axes of length 1: (K, C), (K, C, 1) and so on. */
static int has_axes(const form *f, int which, const Py_buffer *view) {
    if (which < W) return view->ndim == f->ndim;
    for (int i = f->ndim; i < view->ndim; i++)
        if (view->shape[i] != 1) return 0;
    return view->ndim >= f->ndim && pw_same(f->ndim, view->shape, f->shape);
}

int pw_lend(const memory *m, int which, PyObject *array, Py_buffer *view) {
    const form *f = &m->forms[which];
    if (!f->given) return array == Py_None;
    if (Py_TYPE(array) != m->type) return 0;
    if (PyObject_GetBuffer(array, view, PyBUF_FULL_RO)) {
        PyErr_Clear();
        return 0;
    }
    return has_axes(f, which, view) && view->format[0] == f->format && !view->format[1] &&
           (which != Y || !view->readonly);
}

int pw_lies_so(const form *f, const Py_buffer *view) {
    return pw_same(f->ndim, view->shape, f->shape) && pw_same(f->ndim, view->strides, f->strides);
}

int pw_all_lie_so(const memory *m, const Py_buffer *views) {
    const form *f = m->forms;
    return pw_lies_so(&f[X], &views[X]) && (!f[R].given || pw_lies_so(&f[R], &views[R])) &&
           (views[Y].obj ? pw_lies_so(&f[Y], &views[Y]) : m->makes_y);
}

void pw_contiguous(int ndim, const Py_ssize_t *shape, Py_ssize_t itemsize, Py_ssize_t *strides) {
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = itemsize;
        itemsize *= shape[i];
    }
}

int pw_overlap(const form *f, const Py_buffer *a, const form *g, const Py_buffer *b) {
    const uintptr_t at = (uintptr_t)a->buf, to = (uintptr_t)b->buf;
    return at + (uintptr_t)f->low < to + (uintptr_t)g->high &&
           to + (uintptr_t)g->low < at + (uintptr_t)f->high;
}
