"""golden/operators: reductions and quantisation of rows against python loops, exact properties, derived bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cocotb_tests.golden.scalar32 import (
    LENGTHS,
    RECIP_ERROR,
    U,
    assert_bits,
    assert_within,
    ordered_sum,
    r32,
    random_rows,
    recip,
    sum_depth,
)
from golden import operators
from golden.operators import OperatorError

lengths = pytest.mark.parametrize("length", LENGTHS)
SMALLEST_ROW = 2.0**-119
"""The smallest largest magnitude of a row that is quantised."""


# -------------------------------------------------------------------- reductions


@lengths
def test_row_sum_adds_in_the_written_order(length: int) -> None:
    x = np.abs(random_rows(1, length, scale=1e3))
    assert_bits(operators.row_sum(x), [[ordered_sum(row)] for row in x.tolist()])


@lengths
def test_row_sum_is_near_the_exact_sum(length: int) -> None:
    """An entry passes through sum_depth additions of nonnegative numbers, each within U."""
    x = np.abs(random_rows(2, length))
    exact = x.astype(np.float64).sum(axis=1, keepdims=True)
    assert_within(operators.row_sum(x), exact, 1.001 * sum_depth(length) * U * exact)


@pytest.mark.parametrize("lanes", [4, 16, 64])
def test_row_sum_does_not_depend_on_lanes(lanes: int) -> None:
    """Vectors of ``lanes``: each tile over the rows of 64, then tiles in halves, then lanes by exchange."""
    x = np.abs(random_rows(3, 256, rows=1, scale=10))
    tiles = list(x.reshape(-1, 64 // lanes, lanes).cumsum(axis=0, dtype=np.float32)[-1])
    while len(tiles) > 1:
        half = len(tiles) // 2
        tiles = [a + b for a, b in zip(tiles[:half], tiles[half:], strict=True)]
    acc, distance = tiles[0], lanes // 2
    while distance:
        acc = acc + acc[np.arange(lanes) ^ distance]
        distance //= 2
    assert set(acc.tolist()) == {float(operators.row_sum(x)[0, 0])}


def test_row_sum_of_zeros_infinity_nan_and_one_axis() -> None:
    x = np.zeros((3, 70), np.float32)
    x[1, 66], x[2, 3] = np.inf, np.nan
    total = operators.row_sum(x)
    assert total[:2].tolist() == [[0], [np.inf]]
    assert np.isnan(total[2, 0])
    assert operators.row_sum(np.ones(129, np.float32)).tolist() == [129]


@lengths
def test_row_max_and_absmax(length: int) -> None:
    x = random_rows(4, length)
    assert_bits(operators.row_max(x), x.max(axis=1, keepdims=True).tolist())
    assert_bits(operators.row_absmax(x), np.abs(x).max(axis=1, keepdims=True).tolist())
    assert_bits(operators.row_max(-np.abs(x)), (-np.abs(x).min(axis=1, keepdims=True)).tolist())


def test_row_max_of_zeros_infinities_and_nan() -> None:
    x = np.array([[-0.0, 0.0, -0.0], [-np.inf, -3, -np.inf], [np.nan, 1, 2]], np.float32)
    assert_bits(operators.row_max(x)[:2], [[0.0], [-3]])
    assert_bits(operators.row_absmax(x)[:2], [[0.0], [np.inf]])
    assert np.isnan(operators.row_max(x)[2, 0]) and np.isnan(operators.row_absmax(x)[2, 0])


@lengths
def test_argmax_of_float32(length: int) -> None:
    x = random_rows(5, length, rows=20)
    index = operators.argmax(x)
    assert index.shape == (20,)
    assert index.tolist() == np.argmax(x, axis=1).tolist()


@pytest.mark.parametrize(
    ("row", "index"),
    [
        ([1, 7, 7, 7], 1),
        ([-5, -5], 0),
        ([-0.0, -0.0, 0.0, 0.0], 2),
        ([-np.inf, -np.inf], 0),
        ([1, np.inf, 2, np.inf], 1),
        ([0.0, 1e-45, 3e-45, 3e-45], 2),
        ([-1e-45, -3e-45], 0),
    ],
)
def test_argmax_of_float32_takes_the_lowest_of_equal_bits(row: list[float], index: int) -> None:
    assert operators.argmax(np.array([row], np.float32)).tolist() == [index]


# ------------------------------------------------------------------ quantisation


def reference_codes(row: list[float]) -> tuple[list[int], float]:
    scale = r32(max(map(abs, row)) * r32(1 / 127))
    return [round(r32(value * recip(scale))) for value in row], scale


@lengths
@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e30])
def test_quantise_rounds_in_the_written_order(length: int, magnitude: float) -> None:
    x = random_rows(6, length, scale=magnitude)
    q, s = operators.quantise(x)
    expected = [reference_codes(row) for row in x.tolist()]
    assert q.dtype == np.int8
    assert q.tolist() == [codes for codes, _ in expected]
    assert_bits(s, [[scale] for _, scale in expected])


@lengths
@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e30])
def test_quantise_reconstructs_within_half_a_step(length: int, magnitude: float) -> None:
    """x * recip(s) = x / s * (1 + r), |r| <= RECIP_ERROR + U, and |x / s| <= 127 * (1 + 2 U): the rounded number lies
    at most 128 * (RECIP_ERROR + 3 U) of a step from x / s, and its code half a step from it. As that is below 1/2,
    codes stay within +-127, and the largest magnitude has that code.
    """
    x = random_rows(7, length, rows=20, scale=magnitude)
    q, s = operators.quantise(x)
    step = s.astype(np.float64)
    assert np.all(np.abs(x - q * step) <= step * (0.5 + 128 * (RECIP_ERROR + 3 * U)))
    assert np.abs(q.astype(int)).max(axis=1).tolist() == [127] * 20
    assert_within(s, np.abs(x).max(axis=1, keepdims=True) / 127.0, 2.001 * U * step)


def test_quantise_of_zeros_and_of_the_smallest_row() -> None:
    x = np.array([[0, -0.0, 0], [SMALLEST_ROW, -SMALLEST_ROW, SMALLEST_ROW / 4]], np.float32)
    q, s = operators.quantise(x)
    assert q.tolist() == [[0, 0, 0], [127, -127, 32]]
    assert_bits(s, [[0.0], [r32(SMALLEST_ROW * r32(1 / 127))]])


@lengths
def test_quantise_static_rounds_products_to_even_and_saturates(length: int) -> None:
    x, factor = random_rows(8, length, scale=4), np.abs(random_rows(9, length, rows=1, scale=32))
    expected = [
        [max(-128, min(127, round(r32(a * b)))) for a, b in zip(row, factor[0].tolist(), strict=True)]
        for row in x.tolist()
    ]
    q = operators.quantise_static(x, factor)
    assert q.dtype == np.int8
    assert q.tolist() == expected


def test_quantise_static_by_one_number() -> None:
    x = np.array([[0.25, 0.75, -0.25, 100, -100, np.inf, np.nan]], np.float32)
    assert operators.quantise_static(x, 2.0).tolist() == [[0, 2, 0, 127, -128, 127, 0]]
    assert operators.quantise_static(x[:, :5], np.float32(2)).tolist() == [[0, 2, 0, 127, -128]]
    tenth = np.array([[5]], np.float32)  # 5 * f32(0.1) rounds to 0.5, and that to 0
    assert operators.quantise_static(tenth, 0.1).tolist() == [[0]]


@lengths
def test_rescale_rounds_the_sum_the_product_and_the_code(length: int) -> None:
    """Three roundings, each to the nearest even: int32 -> fp32, the product, the code."""
    rng = np.random.default_rng(length)
    acc = rng.integers(-(2**31), 2**31, (3, length)).astype(np.int32)
    factor = np.abs(random_rows(12, length, rows=1, scale=2.0**-23))
    q = operators.rescale(acc, factor)
    expected = [
        [max(-128, min(127, round(r32(r32(a) * f)))) for a, f in zip(row, factor[0].tolist(), strict=True)]
        for row in acc.tolist()
    ]
    assert q.dtype == np.int8
    assert q.tolist() == expected


def test_rescale_of_ties_of_sums_beyond_fp32_and_of_the_extremes() -> None:
    acc = np.array([[1, 3, -1, -3, 2**24 + 1, 2**31 - 1, -(2**31), 0]], np.int32)
    half, small = np.full((1, 8), 0.5, np.float32), np.full((1, 8), 2.0**-18, np.float32)
    assert operators.rescale(acc, half).tolist() == [[0, 2, 0, -2, 127, 127, -128, 0]]
    assert operators.rescale(acc, small).tolist() == [[0, 0, 0, 0, 64, 127, -128, 0]]
    tie = np.full((1, 2), 0.5 / (2**24 + 2), np.float32)  # 2^24 + 3 is a tie of fp32, and rounds to 2^24 + 4
    assert operators.rescale(np.array([[2**24 + 1, 2**24 + 3]], np.int32), tie).tolist() == [[0, 1]]


@lengths
def test_dequantise_is_two_products_of_fp32(length: int) -> None:
    rng = np.random.default_rng(length)
    acc = rng.integers(-(2**31), 2**31, (3, length)).astype(np.int32)
    weights, rows = np.abs(random_rows(10, length, rows=1)), np.abs(random_rows(11, 1))
    y = operators.dequantise(acc, weights, rows)
    assert_bits(y, (acc.astype(np.float32) * weights * rows).tolist())
    exact = acc.astype(np.float64) * weights * rows
    assert_within(y, exact, 3.001 * U * np.abs(exact))  # three roundings: i2f and two products
    assert_bits(operators.dequantise(acc, weights), (acc.astype(np.float32) * weights).tolist())


def test_dequantise_of_int8() -> None:
    codes = np.array([[-128, -1], [0, 127]], np.int8)
    scale = np.array([[0.5, 2.0]], np.float32)
    assert operators.dequantise(codes, scale).tolist() == [[-64, -2], [0, 254]]


# ------------------------------------------------------------------------ errors


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def f64(*shape: int) -> Any:
    return np.ones(shape)


def i32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int32)


ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "row_sum: type": (lambda: operators.row_sum(f64(2, 3)), r"float64 \[2, 3\]: must be float32"),
    "row_sum: number": (lambda: operators.row_sum(f32()), r"float32 \[\]: must be float32 \[..., N\]"),
    "row_max: no entries": (lambda: operators.row_max(f32(2, 0)), r"float32 \[2, 0\]: must be .* N >= 1"),
    "row_absmax: type": (lambda: operators.row_absmax(i32(2, 3)), r"int32 \[2, 3\]: must be float32"),
    "quantise: type": (lambda: operators.quantise(i32(2, 3)), r"int32 \[2, 3\]: must be float32 \[M, N\]"),
    "quantise: vector": (lambda: operators.quantise(f32(3)), r"float32 \[3\]: must be float32 \[M, N\]"),
    "quantise_static: type": (lambda: operators.quantise_static(i32(2, 3), 1.0), r"int32 \[2, 3\], float32 \[\]: must"),
    "quantise_static: other N": (
        lambda: operators.quantise_static(f32(2, 3), f32(1, 4)),
        r"float32 \[2, 3\], float32 \[1, 4\]: must",
    ),
    "quantise_static: type of factor": (
        lambda: operators.quantise_static(f32(2, 3), f64(1, 3)),
        r"float32 \[2, 3\], float64 \[1, 3\]: must",
    ),
    "rescale: type": (lambda: operators.rescale(f32(2, 3), f32(1, 3)), r"float32 \[2, 3\], float32 \[1, 3\]: must"),
    "rescale: other N": (lambda: operators.rescale(i32(2, 3), f32(1, 2)), r"int32 \[2, 3\], float32 \[1, 2\]: must"),
    "rescale: type of factor": (lambda: operators.rescale(i32(2, 3), f64(1, 3)), r"int32 \[2, 3\], float64 \[1, 3\]"),
    "dequantise: type": (
        lambda: operators.dequantise(f32(2, 3), f32(1, 3)),
        r"float32 \[2, 3\], float32 \[1, 3\]: must",
    ),
    "dequantise: other N": (
        lambda: operators.dequantise(i32(2, 3), f32(1, 2)),
        r"int32 \[2, 3\], float32 \[1, 2\]: must",
    ),
    "dequantise: type of scale": (lambda: operators.dequantise(i32(2, 3), i32(1, 3)), r"int32 \[1, 3\]: must"),
    "dequantise: other M": (
        lambda: operators.dequantise(i32(2, 3), f32(1, 3), f32(3, 1)),
        r"int32 \[2, 3\], float32 \[1, 3\], float32 \[3, 1\]: must",
    ),
    "dequantise: type of row scale": (
        lambda: operators.dequantise(i32(2, 3), f32(1, 3), i32(2, 1)),
        r"int32 \[2, 3\], float32 \[1, 3\], int32 \[2, 1\]: must",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_operator_types_and_shapes(case: str) -> None:
    call, message = ERRORS[case]
    with pytest.raises(OperatorError, match=f"^{case.split(':')[0]}: .*{message}"):
        call()
