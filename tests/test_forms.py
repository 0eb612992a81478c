"""Parameters in the shapes that people have them in, and the messages for wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array, assert_conv

import pointwise_fast as pf


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


X = np.ones((3, 3, 4), np.float32)
TRAILING = [(1,), (1, 1), (1, 1, 1), (1,) * 7]


@pytest.mark.parametrize("trailing", TRAILING, ids=len)
def test_weights_with_trailing_axes(
    trailing: tuple[int, ...], backend: Any, rng: np.random.Generator
) -> None:
    """Weights may be those of a 1x1x1 convolution; the gradient has their shape."""
    x, weight, bias = normal(rng, 6, 4, 5), normal(rng, 4, 3), normal(rng, 4)
    given = weight.reshape(4, 3, *trailing), bias.reshape(4, *trailing)
    for _ in range(3):
        y = pf.conv1x1(x, *given, groups=2, backend=backend)
        assert_conv(y, x, weight, bias, groups=2)
    layer = pf.Conv1x1(*given, groups=2, backend=backend)
    assert np.array_equal(layer(x), y)
    for result, wanted in zip(pf.Branches(layer, layer)(x), (y, y), strict=True):
        assert np.array_equal(result, wanted)
    if backend != "numba":  # which has neither chains nor gradients
        last = pf.Conv1x1(np.ones((2, 4, *trailing)), backend=backend)
        assert pf.Chain(layer, last)(x).shape == (2, 4, 5)
        backward: Any = {"groups": 2, "backend": backend}
        flat: Any = pf.conv1x1_backward(y, x, weight, **backward)
        _, grad_weight, grad_bias = pf.conv1x1_backward(y, x, given[0], **backward)
        assert grad_weight is not None
        assert grad_bias is not None
        assert grad_weight.shape == (4, 3, *trailing)
        assert np.array_equal(grad_weight.reshape(4, 3), flat[1])
        assert np.array_equal(grad_bias, flat[2])


def test_one_row_of_weights(backend: Any, rng: np.random.Generator) -> None:
    """A (C,) weight is one output channel, which the result keeps."""
    x, weight = normal(rng, 5, 4, 6), normal(rng, 5)
    for _ in range(3):
        y = pf.conv1x1(x, weight, bias=[2], activation="relu6", backend=backend)
        assert y.shape == (1, 4, 6)
        row = pf.conv1x1(x, weight[np.newaxis], [2], activation="relu6", backend=backend)
        assert np.array_equal(y, row)
    layer = pf.Conv1x1(weight, 2, activation="relu6", backend=backend)
    assert np.array_equal(layer(x), y)
    assert layer.weight.shape == (5,)
    assert (layer.in_channels, layer.out_channels) == (5, 1)
    if backend != "numba":
        found: Any = pf.conv1x1_backward(y, x, weight, backend=backend)
        wanted: Any = pf.conv1x1_backward(y, x, weight[np.newaxis], backend=backend)
        assert found[1].shape == (5,)
        assert found[2].shape == (1,)
        for a, b in zip(found, wanted, strict=True):
            assert np.array_equal(np.ravel(a), np.ravel(b))


def test_bias_of_any_shape(backend: Any, rng: np.random.Generator) -> None:
    """A bias is one number for each channel, or one for all."""
    x, weight, bias = normal(rng, 5, 4, 4), normal(rng, 4, 5), normal(rng, 4)
    one = np.full(4, 0.75, np.float32)
    many = [bias, bias.tolist(), *(bias.reshape(s) for s in ((4, 1), (4, 1, 1), (1, 4, 1, 1)))]
    many += [np.repeat(bias, 2)[::2].reshape(4, 1, 1), bias.astype(float).reshape(1, 1, 4)]
    same: list[Any] = [0.75, np.float32(0.75), np.array(0.75), [0.75], np.full((1, 1, 1), 0.75)]
    for forms, vector in ((many, bias), (same, one)):
        for given in forms:
            for _ in range(3):
                y = pf.conv1x1(x, weight, given, backend=backend)
                assert_conv(y, x, weight, vector)
            assert np.array_equal(pf.Conv1x1(weight, given, backend=backend)(x), y)
            if backend != "numba":
                chain = pf.Chain(
                    pf.Conv1x1(weight, given, backend=backend),
                    pf.Conv1x1(np.eye(4), backend=backend),
                )
                assert_conv(chain(x), x, weight, vector)
    if backend != "numba":
        z = pf.conv1x1(x.astype("c8"), weight, 0.75, backend=backend)
        assert_conv(z.real.copy(), x, weight, one)


def test_residual_is_broadcast(backend: Any, rng: np.random.Generator) -> None:
    x, weight, bias = normal(rng, 5, 3, 6), normal(rng, 4, 5), normal(rng, 4)
    layer = pf.Conv1x1(weight, bias, backend=backend)
    whole = normal(rng, 4, 3, 6)
    for residual in (
        *(whole[:1], whole[:, :1], whole[..., :1], whole[:, :1, :1], whole[0], whole[0, 0]),
        *(whole[0, :, ::-2][:, :1], whole[0, 0, 0], np.array(whole[0, 0, 0])),
    ):
        wanted = np.broadcast_to(residual, whole.shape)
        for _ in range(3):
            y = pf.conv1x1(x, weight, bias, residual=residual, backend=backend)
            assert_conv(y, x, weight, bias, wanted)
            assert np.array_equal(layer(x, residual=residual), y)
            out = np.empty_like(whole)
            assert np.array_equal(layer(x, residual=residual, out=out), y)
    for number in (1.5, -2, 10**30):
        wanted = np.full(whole.shape, number, np.float32)
        for _ in range(3):
            y = pf.conv1x1(x, weight, bias, residual=number, backend=backend)
            assert_conv(y, x, weight, bias, wanted)
            assert np.array_equal(layer(x, residual=number), y)
    if backend != "numba":
        first = pf.Conv1x1(np.eye(4, 5), backend=backend)
        chain = pf.Chain(first, pf.Conv1x1(np.ones((2, 4)), backend=backend))
        assert_conv(chain(x, residual=1), x[:4], np.ones((2, 4)), np.ones(2))


def test_residual_is_a_part_of_out(backend: Any, rng: np.random.Generator) -> None:
    """The residual is a row of `out`: it is added to all rows, also to the one it is in."""
    x, weight = normal(rng, 5, 30, 40), normal(rng, 4, 5)
    layer = pf.Conv1x1(weight, backend=backend)
    for part in (np.s_[:1], np.s_[:, 3:4], np.s_[2], np.s_[1, 2, 3:4]):
        for _ in range(3):
            out = normal(rng, 4, 30, 40)
            wanted = np.broadcast_to(out[part].copy(), out.shape)
            layer(x, residual=out[part], out=out)
            assert_conv(out, x, weight, None, wanted)


@pytest.mark.parametrize(
    ("residual", "dtype"),
    [(1.5, "int16"), (300, "uint8"), (-1, "uint8"), (float("nan"), "int8"), (10**30, "int32"),
     (7e4, "float16"), (1e39, "float32")],
)  # fmt: skip
def test_a_number_that_the_result_does_not_hold(residual: float, dtype: str) -> None:
    out = np.full((2, 3, 4), 3, dtype)
    weight = np.ones((2, 3))
    layer = pf.Conv1x1(weight, dtype=dtype)
    for call in (layer, lambda x, **rest: pf.conv1x1(x, weight, dtype=dtype, **rest)):
        with pytest.raises(ValueError, match=rf"residual=.* does not fit .* dtype {dtype}"):
            call(X, residual=residual, out=out)
    assert np.all(out == 3)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (["relu"], "relu"),
        (["clip", 0, 1], ("clip", 0, 1)),
        (("clip", 0, None), ("clip", 0, np.inf)),
        (("clip", None, 2), ("clip", -np.inf, 2)),
        (["clip", None, None], None),
        (["leaky_relu", 0.25], ("leaky_relu", 0.25)),
    ],
)
def test_activations(given: Any, plain: Any, backend: Any, rng: np.random.Generator) -> None:
    x, weight = normal(rng, 5, 4, 6) * 3, normal(rng, 4, 5)
    expected = pf.conv1x1(x, weight, activation=plain, backend=backend)
    for _ in range(3):
        y = pf.conv1x1(x, weight, activation=given, backend=backend)
        assert np.array_equal(y, expected)
    assert np.array_equal(pf.Conv1x1(weight, activation=given, backend=backend)(x), expected)


def test_slopes_of_a_checkpoint(rng: np.random.Generator) -> None:
    """Slopes may have shape (K, 1, 1), as ONNX's PRelu has them."""
    x, weight, slopes = normal(rng, 5, 4, 6), normal(rng, 4, 5), normal(rng, 4)
    expected = pf.conv1x1(x, weight, activation=("prelu", slopes))
    for shape in ((4, 1, 1), (1, 4, 1, 1)):
        y = pf.conv1x1(x, weight, activation=("prelu", slopes.reshape(shape)))
        assert np.array_equal(y, expected)
    with pytest.raises(TypeError, match="one for each output channel"):
        pf.conv1x1(x, weight, activation=("prelu", slopes.reshape(2, 2)))


def message(call: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    return str(caught.value)


@pytest.mark.parametrize("way", ["conv1x1", "Conv1x1", "Chain", "Branches", "backward", "qconv1x1"])
@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 1, 1)])
def test_weights_the_wrong_way_round(way: str, shape: tuple[int, ...]) -> None:
    """The message does not offer an axis of x that happens to fit: the result would be nonsense."""
    x, weight = np.ones((7, 2, 3), np.float32), np.ones(shape, np.float32)
    eye = pf.Conv1x1(np.eye(7))
    y = np.ones((3, 2, 3), np.float32)
    says = message({
        "conv1x1": lambda: pf.conv1x1(x, weight),
        "Conv1x1": lambda: pf.Conv1x1(weight)(x),
        "Chain": lambda: pf.Chain(pf.Conv1x1(weight), eye)(x),
        "Branches": lambda: pf.Branches(pf.Conv1x1(weight), pf.Conv1x1(weight))(x),
        "backward": lambda: pf.conv1x1_backward(y, x, weight),
        "qconv1x1": lambda: pf.qconv1x1(
            x.astype("u1"), 1, 0, weight.astype("i1"), np.ones(3), 0, 1, 0
        ),
    }[way])  # fmt: skip
    spelled = "weight.T" if len(shape) == 2 else "weight.swapaxes(0, 1)"
    assert "x has 7 channels on axis -3, " in says
    assert says.endswith(
        f"expects 3; weight has shape {shape}, (K, C/groups) is expected: pass {spelled}"
    )
    assert "axis=" not in says


def test_hints_are_for_what_would_run() -> None:
    """Hints about weights take groups, chains and the shape of the bias into account."""
    x = np.ones((6, 5, 5))
    assert message(lambda: pf.conv1x1(x, np.ones((3, 4)), groups=2)).startswith("groups=2 does not")
    assert "weight.T" not in message(lambda: pf.conv1x1(x, np.ones((4, 7)), groups=2))
    assert "pass weight.T" in message(lambda: pf.conv1x1(x, np.ones((6, 3))))
    first, second = pf.Conv1x1(np.ones((4, 6))), pf.Conv1x1(np.ones((4, 3)))
    assert "layer 1 gives 4; weight has shape (4, 3)" in message(lambda: pf.Chain(first, second))
    says = message(lambda: pf.conv1x1(x, np.ones((6, 3)), np.ones(3)))
    assert "bias has shape (3,)" in says
    assert "it fits weight.T of shape (3, 6)" in says
    assert "weight.T" not in message(lambda: pf.conv1x1(x, np.ones((6, 3)), np.ones(4)))
    # No axis is offered if two would fit; if one does, it is.
    assert "axis -3, weight expects 5" in message(lambda: pf.conv1x1(x, np.ones((2, 5))))
    assert "channel_axis=" not in message(lambda: pf.conv1x1(x, np.ones((2, 5))))
    y = np.ones((6, 5, 4))
    assert "channel_axis=-2?" in message(lambda: pf.conv1x1(y, np.ones((2, 5))))
    assert "pass channel_axis=-1" in message(lambda: pf.conv1x1(y, np.ones((2, 4))))
    # A vector has no transpose.
    assert "weight.T" not in message(lambda: pf.conv1x1(np.ones((1, 2, 2)), np.ones(4)))


@pytest.mark.parametrize(
    ("shape", "spelled"),
    [((1, 1, 6, 4), "weight[0, 0].T"), ((1, 6, 4), "weight[0].T"),
     ((1, 1, 1, 6, 4), "weight[0, 0, 0].T"), ((1, 1, 6, 1), "weight[0, 0].T")],
)  # fmt: skip
def test_weights_of_keras(shape: tuple[int, ...], spelled: str) -> None:
    """The call that the message recommends works."""
    x, weight = np.ones((6, 4, 5)), np.arange(np.prod(shape)).reshape(shape)
    says = message(lambda: pf.conv1x1(x, weight))
    assert says.endswith(f": pass {spelled}")
    y = pf.conv1x1(x, eval(spelled))
    assert np.array_equal(y[:, 0, 0], weight.reshape(shape[-2:]).sum(0))
