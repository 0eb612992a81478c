#include "base/layout.h"

#include "base/math.h"

ptrdiff_t pw_outer_offset(const pw_problem *p, const ptrdiff_t *strides, int64_t index) {
    ptrdiff_t offset = 0;
    for (int64_t i = p->outer - 1; i > 0; i--)
        offset += (ptrdiff_t)pw_take_digit(&index, p->outer_n[i]) * strides[i];
    return p->outer ? offset + (ptrdiff_t)index * strides[0] : 0;
}
