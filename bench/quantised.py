"""Quantised layers against ONNX Runtime's QLinearConv: ``python -m bench.quantised``.

Each library runs in a process of its own. They take turns in an order that changes. ONNX Runtime
has its weights packed in its session and its arrays bound, while ours come with every call. Every
call has the same arrays, which are hot if they fit the caches. Both overwrite the same output, and
the outputs must agree to the bit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .measure.machine import describe_machine, headline_of

Array = npt.NDArray[Any]

#: C, H, W, K.
SHAPES = (
    (50, 600, 600, 20), (64, 56, 56, 256), (256, 56, 56, 64),
    (512, 14, 14, 512), (960, 7, 7, 160), (3, 1080, 1920, 16),
)  # fmt: skip

#: Weights: int8 with a scale for each channel, uint8 with one scale and zero point.
KINDS = ("u8 s8", "u8 u8")

_TURN = 0.1


def arguments(shape: tuple[int, ...], kind: str) -> dict[str, Any]:
    """Return arguments of `qconv1x1` with which outputs take all values."""
    C, H, W, K = shape
    rng = np.random.default_rng(1)
    signed = kind == "u8 s8"
    return {
        "x": rng.integers(0, 256, (1, C, H, W), np.uint8),
        "x_scale": np.float32(0.02),
        "x_zero_point": np.uint8(117),
        "weight": rng.integers(-127, 128, (K, C), np.int8)
        if signed
        else rng.integers(0, 256, (K, C), np.uint8),
        "weight_scale": rng.uniform(0.001, 0.01, K).astype(np.float32)
        if signed
        else np.float32(0.005),
        "weight_zero_point": np.zeros(K, np.int8) if signed else np.uint8(121),
        "out_scale": np.float32(0.02 * 0.005 * 70 * 70 * np.sqrt(C) / 60),
        "out_zero_point": np.uint8(131),
        "bias": rng.integers(-5000, 5000, K, np.int32),
    }


def prepare_ours(given: dict[str, Any], out: Array, threads: int) -> Callable[[], object]:
    import pointwise_fast as pf

    return lambda: pf.qconv1x1(**given, out=out, threads=threads)


def prepare_onnx(given: dict[str, Any], out: Array, threads: int) -> Callable[[], object]:
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    constants = {name: np.asarray(value) for name, value in given.items() if name != "x"}
    constants["weight"] = constants["weight"].reshape(*constants["weight"].shape, 1, 1)
    # They are in QLinearConv's order, which is ours.
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, array.shape)
        for name, array in (("x", given["x"]), ("y", out))
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(given["x"]))
    y = ort.OrtValue.ortvalue_from_numpy(out)
    binding.bind_ortvalue_output("y", y)

    def call() -> object:
        session.run_with_iobinding(binding)
        return y.numpy()

    return call


LIBRARIES = {"ours": prepare_ours, "onnxruntime": prepare_onnx}


def serve(library: str, threads: int) -> None:
    """Time a layer for each line of input. Answers the fastest call, the median and a CRC."""
    last, call = None, None
    for line in sys.stdin:
        shape, kind = json.loads(line)
        if (shape, kind) != last or call is None:
            given = arguments(tuple(shape), kind)
            out = np.empty((1, shape[3], *shape[1:3]), np.uint8)
            call, last = LIBRARIES[library](given, out, threads), (shape, kind)
        result = np.asarray(call())
        seconds: list[float] = []
        end = time.perf_counter() + _TURN
        while time.perf_counter() < end or len(seconds) < 4:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        found = min(seconds), statistics.median(seconds), zlib.crc32(result.tobytes())
        print(json.dumps(found), flush=True)


def start(library: str, threads: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.quantised", "--serve", library, str(threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(server: subprocess.Popen[str], question: object) -> tuple[float, float, int]:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    least, median, crc = json.loads(server.stdout.readline())
    return least, median, crc


def compare(threads: int, rounds: int, only: str) -> None:
    servers = {library: start(library, threads) for library in LIBRARIES}
    for shape in SHAPES:
        layer = f"{shape[0]} x {shape[1]} x {shape[2]} -> {shape[3]}"
        for kind in KINDS if only in layer else ():
            found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in servers}
            for i in range(rounds):
                for name in sorted(servers, reverse=i % 2 == 1):
                    found[name].append(ask(servers[name], (shape, kind)))
            crcs = {turn[2] for turns in found.values() for turn in turns}
            if len(crcs) > 1:
                raise SystemExit(f"{layer}, {kind}: the results differ")
            least = {name: min(turn[0] for turn in turns) for name, turns in found.items()}
            usual = {
                name: statistics.median(turn[1] for turn in turns) for name, turns in found.items()
            }
            cells = [f"{1e3 * least[name]:.3f} ({1e3 * usual[name]:.3f})" for name in LIBRARIES]
            ratios = [times["onnxruntime"] / times["ours"] for times in (least, usual)]
            print(
                f"| {layer} | {kind} | {threads} | {cells[0]} | {cells[1]} "
                f"| {ratios[0]:.2f} ({ratios[1]:.2f}) |",
                flush=True,
            )
    for server in servers.values():
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", default="", help="layers with this in their name")
    parser.add_argument("--serve", nargs=2, metavar=("LIBRARY", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return
    print("Milliseconds, the fastest call (in brackets the median of each turn's median).\n")
    print("| layer | bytes | threads | ours | ONNX Runtime | times as fast |")
    print("| --- | --- | --: | --: | --: | --: |")
    for threads in options.threads:
        compare(threads, options.rounds, options.only)
    print(f"\n{headline_of(describe_machine())}")


if __name__ == "__main__":
    main()
