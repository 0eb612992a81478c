/* Calls that differ from a remembered one in sizes and strides of their arrays only, as those of
 * crops and windows do. Whatever is not plain to see is left to the checks in Python. */
#include <string.h>

#include "conv/axes.h"
#include "repeat.h"

/* As the checks in Python have it. */
#define MOST_ELEMENTS ((Py_ssize_t)(INT64_C(1) << 53))

/* 0: there are none, or too many. */
static Py_ssize_t count_elements(int ndim, const Py_ssize_t *shape) {
    Py_ssize_t count = 1;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 1 || shape[i] > MOST_ELEMENTS / count) return 0;
        count *= shape[i];
    }
    return count;
}

/* Whether it is plain that no two elements share memory: each step leads past all that smaller
 * steps reach. */
static int is_apart(const form *f) {
    for (int i = 0; i < f->ndim; i++) {
        if (f->shape[i] == 1) continue; /* its step may be anything */
        const Py_ssize_t step = Py_ABS(f->strides[i]);
        Py_ssize_t extent = f->itemsize;
        for (int j = 0; j < f->ndim; j++) {
            if (f->shape[j] == 1) continue;
            const Py_ssize_t other = Py_ABS(f->strides[j]);
            if (other < step || (other == step && j < i)) extent += (f->shape[j] - 1) * other;
        }
        if (step < extent) return 0;
    }
    return 1;
}

static int has_shape(const Py_buffer *view, int ndim, const Py_ssize_t *shape) {
    return view->ndim == ndim && pw_same(ndim, view->shape, shape);
}

/* The plan of the family's layers for the arrays of `other`, or NULL. */
static pw_plan *make_plan(const family *f, const memory *other) {
    const form *x = &other->forms[X], *y = &other->forms[Y], *r = &other->forms[R];
    /* Where labels come out, y has no axis of channels. */
    const int at = f->channel_axis, behind = at + (y->ndim == x->ndim);
    Py_ssize_t steps[MOST_AXES + 1] = {0};
    memcpy(steps, y->strides, (size_t)at * sizeof *steps);
    if (behind > at) steps[at] = y->strides[at];
    memcpy(steps + at + 1, y->strides + behind, (size_t)(x->ndim - at - 1) * sizeof *steps);
    pw_problem layers[MOST_LAYERS];
    const pw_problem *pointers[MOST_LAYERS];
    for (int i = 0; i < f->n; i++) {
        layers[i] = *f->layers[i];
        pw_set_axes(&layers[i], x->ndim, at, x->shape, x->strides, steps,
                    r->given ? r->strides : NULL);
        pointers[i] = &layers[i];
    }
    return f->n == 1 ? pw_plan_new(f->set, layers) : pw_chain_new(f->set, pointers, f->n);
}

/* Whether weights that were packed for one plan are so for the other. */
static int pack_alike(const family *f, const pw_plan *a, const pw_plan *b) {
    if (f->n == 1) return pw_plan_layout(a) == pw_plan_layout(b);
    for (int i = 0; i < f->n; i++)
        if (pw_plan_layout(pw_chain_layer(a, i)) != pw_plan_layout(pw_chain_layer(b, i))) return 0;
    return 1;
}

/* Notes where the arrays of a call lie. Returns the pixels of the output, or 0 if that is not the
 * output of this x. */
static double place_arrays(memory *other, const memory *m, const Py_buffer *views) {
    const pw_problem *first = m->family.layers[0], *last = m->family.layers[m->family.n - 1];
    const Py_buffer *x = &views[X], *y = &views[Y], *r = &views[R];
    const int labels = last->head == PW_HEAD_ARGMAX;
    Py_ssize_t shape[MOST_AXES], strides[MOST_AXES];
    int ndim = 0;
    for (int i = 0; i < x->ndim; i++) {
        if (i != m->family.channel_axis)
            shape[ndim++] = x->shape[i];
        else if (!labels)
            shape[ndim++] = (Py_ssize_t)last->K;
    }
    const Py_ssize_t count = count_elements(ndim, shape);
    if (!count || !count_elements(x->ndim, x->shape) ||
        x->shape[m->family.channel_axis] != first->C || (y->obj && !has_shape(y, ndim, shape)) ||
        (m->forms[R].given && !has_shape(r, ndim, shape)))
        return 0;
    pw_contiguous(ndim, shape, m->forms[Y].itemsize, strides);
    memcpy(other->forms, m->forms, sizeof m->forms);
    pw_place(&other->forms[X], x->ndim, x->shape, x->strides);
    pw_place(&other->forms[Y], ndim, shape, y->obj ? y->strides : strides);
    if (m->forms[R].given) pw_place(&other->forms[R], ndim, shape, r->strides);
    other->makes_y = pw_same(ndim, other->forms[Y].strides, strides);
    if (!other->makes_y && !is_apart(&other->forms[Y])) return 0;
    return (double)count / (double)(labels ? 1 : last->K);
}

/* (shape, dtype) for numpy.empty. */
static PyObject *shape_and_dtype(const form *y, PyObject *dtype) {
    PyObject *shape = PyTuple_New(y->ndim), *both = NULL;
    for (int i = 0; shape && i < y->ndim; i++) {
        PyObject *n = PyLong_FromSsize_t(y->shape[i]);
        if (!n || PyTuple_SetItem(shape, i, n)) Py_CLEAR(shape);
    }
    if (shape) both = PyTuple_Pack(2, shape, dtype);
    Py_XDECREF(shape);
    return both;
}

/* Finds packed weights for the plan of `other`: those of `m`, of the last such call, or others. */
static int find_packed(memory *other, const memory *m, const memory *last) {
    const family *f = &m->family;
    const memory *packed = pack_alike(f, m->plan, other->plan)              ? m
                           : last && pack_alike(f, last->plan, other->plan) ? last
                                                                            : NULL;
    if (packed) {
        other->packed = packed->packed;
        other->owner = packed == m ? NULL : Py_XNewRef(packed->owner); /* m outlives it */
        return 1;
    }
    PyObject *found = PyObject_CallFunction(f->pack, "n", (Py_ssize_t)other->plan), *owner;
    Py_ssize_t address;
    const int read = found && PyArg_ParseTuple(found, "nO", &address, &owner);
    if (read) {
        other->packed = (const void *)address;
        other->owner = Py_NewRef(owner);
    }
    Py_XDECREF(found);
    return read;
}

/* 0 without an exception: the call is to be checked in Python. */
static int derive(memory *other, const memory *m, const memory *last, const Py_buffer *views) {
    const double pixels = place_arrays(other, m, views);
    if (!pixels) return 0;
    other->release = pw_is_long(m->work, pixels);
    other->type = m->type;
    other->empty = Py_NewRef(m->family.make);
    other->arguments = shape_and_dtype(&other->forms[Y], m->family.dtype);
    if (!other->arguments) return 0;
    other->plan = other->own = make_plan(&m->family, other);
    return other->plan && (!m->packed || find_packed(other, m, last));
}

static void keep(memory *m, PyObject *capsule) {
    PyObject *before = atomic_exchange(&m->other, capsule);
    Py_XDECREF(before);
}

/* The last call of other sizes, or NULL. While one thread counts its reference, which matters where
 * there is no GIL, others find none. */
static PyObject *find_last(memory *m) {
    PyObject *last = atomic_exchange(&m->other, NULL);
    if (last) keep(m, Py_NewRef(last));
    return last;
}

PyObject *pw_find_other(memory *m, const Py_buffer *views) {
    if (!m->family.n) return NULL;
    PyObject *last = find_last(m);
    const memory *before = last ? PyCapsule_GetPointer(last, NULL) : NULL;
    if (before && pw_all_lie_so(before, views)) return last;
    memory *other = PyMem_Calloc(1, sizeof *other);
    PyObject *capsule = other ? PyCapsule_New(other, NULL, pw_forget) : PyErr_NoMemory();
    if (!capsule) {
        PyMem_Free(other);
    } else if (derive(other, m, before, views)) {
        keep(m, Py_NewRef(capsule));
    } else {
        Py_CLEAR(capsule);
    }
    Py_XDECREF(last);
    return capsule;
}

PyObject *pw_describe_other(PyObject *module, PyObject *repeat) {
    (void)module;
    PyObject *capsule = PyCFunction_GetSelf(repeat);
    memory *m = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    if (!m) return NULL;
    PyObject *last = find_last(m);
    if (!last) return Py_NewRef(Py_None);
    const memory *other = PyCapsule_GetPointer(last, NULL);
    PyObject *text = PyUnicode_FromString(pw_plan_describe(other->plan));
    Py_DECREF(last);
    return text;
}
