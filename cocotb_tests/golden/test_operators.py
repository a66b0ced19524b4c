"""golden/operators: element-wise operators, matmul and arg-max against python integers and numpy float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def float32(values: object) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("name", EXACT)
def test_float32_elementwise_is_ieee_on_normal_numbers(name: str) -> None:
    a, b = float32(RNG.standard_normal((7, 100))), float32(RNG.standard_normal((7, 100)) * 1e3)
    result = getattr(operators, name)(a, b)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, getattr(np, name)(a, b))


def test_float32_elementwise_broadcasts() -> None:
    a, row, column = float32([[1, 2], [3, 4]]), float32([[10, 20]]), float32([[5], [6]])
    assert operators.add(a, row).tolist() == [[11, 22], [13, 24]]
    assert operators.multiply(a, column).tolist() == [[5, 10], [18, 24]]


def test_float32_elementwise_has_the_special_cases_of_the_pipes() -> None:
    tiny, inf, nan = 2.0**-126, np.inf, np.nan
    assert operators.multiply(float32([tiny]), float32([0.5])).tolist() == [0]
    assert operators.add(float32([tiny / 2]), float32([1.0])).tolist() == [1]
    assert np.isnan(operators.subtract(float32([inf]), float32([inf]))).all()
    zeros = float32([-0.0, 0.0])
    assert not np.signbit(operators.maximum(zeros, zeros[::-1])).any()
    assert np.signbit(operators.minimum(zeros, zeros[::-1])).all()
    assert np.isnan(operators.maximum(float32([nan, 1]), float32([1, nan]))).all()


def test_float32_relu() -> None:
    x = float32([-np.inf, -1, -0.0, 0.0, 2.5, np.inf])
    y = operators.relu(x)
    assert y.tolist() == [0, 0, 0, 0, 2.5, np.inf]
    assert not np.signbit(y).any()
    assert np.isnan(operators.relu(float32([np.nan]))).all()


def f64(*shape: int) -> Any:
    return np.zeros(shape)


ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "matmul: other K": (
        lambda: operators.matmul(int8(2, 3), int8(4, 5)),
        r"int8 \[2, 3\], int8 \[4, 5\]: must be int8",
    ),
    "matmul: type": (
        lambda: operators.matmul(int8(2, 3).astype(np.int32), int8(4, 3)),
        r"int32 \[2, 3\], int8 \[4, 3\]",
    ),
    "matmul: type of weights": (lambda: operators.matmul(int8(2, 3), float32([[1, 2, 3]])), r"float32 \[1, 3\]"),
    "matmul: vector of weights": (lambda: operators.matmul(int8(2, 3), int8(3)), r"int8 \[3\]: must be"),
    "matmul: number": (lambda: operators.matmul(int8(), int8(4, 3)), r"int8 \[\], int8 \[4, 3\]"),
    "add_bias: type": (lambda: operators.add_bias(int8(2, 3), int8(3)), r"int8 \[2, 3\], int8 \[3\]: must be int32"),
    "add_bias: other N": (
        lambda: operators.add_bias(np.zeros((2, 3), np.int32), np.zeros(4, np.int32)),
        r"int32 \[2, 3\], int32 \[4\]: must be int32",
    ),
    "add: types": (lambda: operators.add(int8(2), int8(2).astype(np.int32)), r"int8 \[2\], int32 \[2\]: must both be"),
    "subtract: float32 and int32": (
        lambda: operators.subtract(float32([1, 2]), np.zeros(2, np.int32)),
        r"float32 \[2\], int32 \[2\]: must both be",
    ),
    "maximum: float64": (
        lambda: operators.maximum(f64(2), f64(2)),
        r"float64 \[2\], float64 \[2\]: must both",
    ),
    "multiply: shapes": (
        lambda: operators.multiply(int8(2), int8(3)),
        r"int8 \[2\], int8 \[3\]: shapes must broadcast",
    ),
    "minimum: shapes": (
        lambda: operators.minimum(float32([[1, 2]]), float32([1, 2, 3])),
        r"float32 \[1, 2\], float32 \[3\]: shapes must broadcast",
    ),
    "relu: type": (lambda: operators.relu(f64(2)), r"float64 \[2\]: must be int8, int32 or float32"),
    "argmax: type": (lambda: operators.argmax(f64(1, 2)), r"float64 \[1, 2\]: must be int8, int32 or float32"),
    "argmax: no entries": (lambda: operators.argmax(int8(2, 0)), r"int8 \[2, 0\]: must be .*, N >= 1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_operator_types_and_shapes(case: str) -> None:
    call, message = ERRORS[case]
    with pytest.raises(OperatorError, match=f"^{case.split(':')[0]}: .*{message}"):
        call()
