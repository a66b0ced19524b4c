"""golden/operators.py against python integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from golden import operators
from golden.operators import OperatorError

RNG = np.random.default_rng(11)


def int8(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def to_int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def test_matmul_is_the_sum_of_products() -> None:
    x, w = int8(3, 70), int8(5, 70)
    expected = [[sum(int(a) * int(b) for a, b in zip(row, col, strict=True)) for col in w] for row in x]
    y = operators.matmul(x, w)
    assert y.tolist() == expected
    assert y.dtype == np.int32


def test_matmul_wraps() -> None:
    k = 2**17  # k * 2^14 = 2^31
    x = np.full((1, k), -128, np.int8)
    assert operators.matmul(x, x).tolist() == [[-(2**31)]]


def test_add_bias_wraps() -> None:
    acc = np.array([[2**31 - 1, 5], [-3, 0]], np.int32)
    assert operators.add_bias(acc, np.array([1, -7], np.int32)).tolist() == [[-(2**31), -2], [-2, -7]]


def test_relu_keeps_the_type() -> None:
    x = np.array([-128, -1, 0, 1, 127], np.int8)
    assert operators.relu(x).tolist() == [0, 0, 0, 1, 127]
    assert operators.relu(x).dtype == np.int8
    assert operators.relu(x.astype(np.int32)).dtype == np.int32


EXACT: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "maximum": max,
    "minimum": min,
}


@pytest.mark.parametrize("name", EXACT)
def test_int8_elementwise_saturates_on_every_pair(name: str) -> None:
    values = np.arange(-128, 128).astype(np.int8)
    result = getattr(operators, name)(values[:, np.newaxis], values)
    expected = [[min(127, max(-128, EXACT[name](a, b))) for b in range(-128, 128)] for a in range(-128, 128)]
    assert result.tolist() == expected
    assert result.dtype == np.int8


@pytest.mark.parametrize("name", EXACT)
def test_int32_elementwise_wraps(name: str) -> None:
    edges = [-(2**31), -1, 0, 1, 46341, 2**31 - 1]
    a = np.array(edges * 6 + RNG.integers(-(2**31), 2**31, 500).tolist(), np.int32)
    b = np.array(np.repeat(edges, 6).tolist() + RNG.integers(-(2**31), 2**31, 500).tolist(), np.int32)
    result = getattr(operators, name)(a, b)
    assert result.tolist() == [to_int32(EXACT[name](int(x), int(y))) for x, y in zip(a, b, strict=True)]
    assert result.dtype == np.int32


def test_argmax_takes_the_lowest_of_equals() -> None:
    assert operators.argmax(np.array([[1, 7, 7], [-5, -5, -6]], np.int32)).tolist() == [1, 0]


def test_requantise_is_the_one_of_numerics() -> None:
    assert operators.requantise(np.array([3, 5, -3, 1000]), 1, 1).tolist() == [2, 2, -2, 127]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: operators.matmul(int8(2, 3), int8(4, 5)), r"matmul: int8 \[2, 3\] x int8 \[4, 5\]: must be int8"),
        (lambda: operators.matmul(int8(2, 3).astype(np.int32), int8(4, 3)), r"matmul: int32 \[2, 3\] x"),
        (lambda: operators.add_bias(int8(2, 3), int8(3)), r"add_bias: int8 \[2, 3\] \+ int8 \[3\]: must be int32"),
        (lambda: operators.add(int8(2), int8(2).astype(np.int32)), r"add: int8 \[2\], int32 \[2\]: must both be"),
        (lambda: operators.multiply(int8(2), int8(3)), r"multiply: int8 \[2\], int8 \[3\]: shapes must broadcast"),
    ],
)
def test_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        call()
