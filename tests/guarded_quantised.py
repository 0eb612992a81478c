"""Quantised cases between pages without access; run by `test_quantised_kernels`."""

from __future__ import annotations

import sys

import numpy as np
from guarded import LAYOUTS, Guarded, strides_of
from quantised import expected, problem_of, random_case

from pointwise_fast.kernels.c_quantised import CQuantised


def main(kernels: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x_room, w_room, bias_room, out_room = (Guarded(1 << 18) for _ in range(4))
    done = 0
    for x_layout in LAYOUTS:
        for y_layout in LAYOUTS:
            for P in (*range(1, 71, 3), 64, 128, 131):
                C, K = int(rng.choice([1, 3, 4, 8, 13, 50, 64, 256])), int(rng.integers(1, 90))
                case = random_case(rng, (C, P), K, axis=0)
                wanted = expected(case, 0)
                for at_end in (True, False):
                    print(kernels, C, K, P, x_layout, y_layout, at_end, flush=True)
                    out = out_room.array(
                        np.full((K, P), 99, wanted.dtype), strides_of(y_layout, K, P, 1), at_end
                    )
                    here = case._replace(
                        x=x_room.array(case.x, strides_of(x_layout, C, P, 1), at_end),
                        weight=w_room.array(case.weight, (C, 1), at_end),
                        bias=None
                        if case.bias is None
                        else bias_room.array(case.bias, (4,), at_end),
                    )
                    plan = CQuantised(problem_of(here, out), kernels)
                    plan.conv(here.weight, here.bias, here.x, None, out, 1 + done % 2)
                    assert np.array_equal(out, wanted)
                    packed = plan.pack(here.weight, here.bias)
                    out[:] = 98
                    plan.run(packed, here.x, None, out, 1 + done % 2)
                    assert np.array_equal(out, wanted)
                    done += 1
    print("cases:", done)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
