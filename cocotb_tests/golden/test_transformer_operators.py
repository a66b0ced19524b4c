"""golden/operators: the operators of a Llama block against the papers' formulas in float64, within derived bounds.

Bounds add the relative errors of the operations an entry passes through: U per rounding, the measured errors of EXP2,
RECIP and RSQRT. A factor 1.001 covers products of errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cocotb_tests.golden.scalar32 import (
    EXP2_ERROR,
    LENGTHS,
    RECIP_ERROR,
    RSQRT_ERROR,
    U,
    assert_bits,
    assert_within,
    exp2,
    ordered_sum,
    r32,
    random_rows,
    recip,
    rsqrt,
    sum_depth,
)
from golden import operators
from golden.operators import OperatorError

lengths = pytest.mark.parametrize("length", LENGTHS)
even_lengths = pytest.mark.parametrize("length", [n for n in LENGTHS if n % 2 == 0])
EPS = 1e-5
LOG2_E = math.log2(math.e)
TINY = 2.0**-125
"""Entries whose path goes below 2^-126 may be flushed."""


# ---------------------------------------------------------------------- RMSNorm


@lengths
@pytest.mark.parametrize("magnitude", [1e-4, 1.0, 600.0])
def test_rms_norm_is_the_paper_s(length: int, magnitude: float) -> None:
    """Zhang and Sennrich 2019: y = x / sqrt(mean(x^2) + eps) * g.

    The root's argument errs by U for squaring, sum_depth * U, 2 U for the mean and 2 U for eps; the root by half of
    that and RSQRT_ERROR; two products follow.
    """
    x, gain = random_rows(1, length, scale=magnitude), random_rows(2, length, rows=1)
    exact = x.astype(np.float64)
    expected = exact / np.sqrt((exact**2).mean(axis=1, keepdims=True) + EPS) * gain
    bound = (sum_depth(length) + 5) * U / 2 + RSQRT_ERROR + 2 * U
    assert_within(operators.rms_norm(x, gain, EPS), expected, 1.001 * bound * np.abs(expected))


@lengths
def test_rms_norm_rounds_in_the_written_order(length: int) -> None:
    x, gain = random_rows(3, length), random_rows(4, length, rows=1)
    expected = []
    for row in x.tolist():
        mean = r32(ordered_sum([r32(v * v) for v in row]) * r32(1 / length))
        inverse = rsqrt(r32(mean + r32(EPS)))
        expected.append([r32(r32(v * inverse) * g) for v, g in zip(row, gain[0].tolist(), strict=True)])
    assert_bits(operators.rms_norm(x, gain, EPS), expected)


def test_rms_norm_of_zeros_is_zero() -> None:
    assert operators.rms_norm(np.zeros((2, 70), np.float32), f32(1, 70), EPS).tolist() == [[0] * 70] * 2


# ---------------------------------------------------------------------- softmax


def exponent_errors(t: np.ndarray) -> np.ndarray:
    """Relative errors of e: difference, log2 e and product err by U each, times |t - max| in the exponent."""
    return 3 * U * (t.max(axis=1, keepdims=True) - t) + EXP2_ERROR


def check_softmax(t: np.ndarray) -> None:
    """y = e^t / sum(e^t): the errors of e, of the sum (those of e by weight, its additions), of RECIP, of a product."""
    exact = t.astype(np.float64)
    weights = np.exp(exact - exact.max(axis=1, keepdims=True))
    expected = weights / weights.sum(axis=1, keepdims=True)
    errors = exponent_errors(exact)
    of_sum = (expected * errors).sum(axis=1, keepdims=True) + sum_depth(t.shape[1]) * U
    bound = errors + of_sum + RECIP_ERROR + U
    assert_within(operators.softmax(t), expected, 1.001 * bound * expected + TINY)


@lengths
@pytest.mark.parametrize("magnitude", [0.1, 3.0, 60.0])
def test_softmax_is_the_formula(length: int, magnitude: float) -> None:
    check_softmax(random_rows(5, length, scale=magnitude))


@lengths
def test_softmax_rounds_in_the_written_order(length: int) -> None:
    t = random_rows(6, length, scale=5)
    expected = []
    for row in t.tolist():
        e = [exp2(r32(r32(v - max(row)) * r32(LOG2_E))) for v in row]
        inverse = recip(ordered_sum(e))
        expected.append([r32(v * inverse) for v in e])
    assert_bits(operators.softmax(t), expected)


@lengths
def test_softmax_rows_sum_to_one(length: int) -> None:
    """Whatever the errors of e, e / sum(e) errs by the sum's additions, RECIP and one product."""
    total = operators.softmax(random_rows(7, length, rows=20, scale=4)).astype(np.float64).sum(axis=1)
    assert np.all(np.abs(total - 1) <= 1.001 * ((sum_depth(length) + 1) * U + RECIP_ERROR))


@lengths
def test_softmax_of_masked_rows(length: int) -> None:
    """Masked entries are +0 exactly; the rest is the softmax of the visible part, bit for bit."""
    t = random_rows(8, length, scale=4)
    for position in {0, length // 2, length - 1}:
        y = operators.softmax(t, operators.causal_limit(position, length))
        visible = operators.softmax(t[:, : position + 1])
        assert_bits(y, np.hstack([visible, np.zeros((3, length - position - 1), np.float32)]).tolist())


def test_softmax_ignores_masked_infinities_and_is_exact_for_one_entry() -> None:
    t = np.array([[3.25, np.inf, 1e30]], np.float32)
    assert operators.softmax(t, operators.causal_limit(0, 3)).tolist() == [[1, 0, 0]]


def test_softmax_of_equal_entries_is_uniform() -> None:
    assert operators.softmax(f32(2, 128)).tolist() == [[1 / 128] * 128] * 2


@pytest.mark.parametrize("position", [-1, 0, 2, 4, 5, 2**31 - 1])
def test_causal_limit(position: int) -> None:
    limit = operators.causal_limit(position, 5)
    assert limit.dtype == np.float32
    assert limit.tolist() == [[math.inf if n <= position else -math.inf for n in range(5)]]


# ------------------------------------------------------------------------- RoPE


def angles(position: int, length: int) -> np.ndarray:
    """Su et al. 2021: position * 10000^(-2 i / N), i = 0..N/2-1, [1, N/2]."""
    return position * 10000.0 ** (-2 * np.arange(length // 2) / length)[np.newaxis]


def rotate(x: np.ndarray, position: int) -> np.ndarray:
    turn = angles(position, x.shape[1])
    return operators.rope(x, np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32))


def halves(x: np.ndarray) -> np.ndarray:
    """Pairs (x0, x1), (x2, x3), ... -> [even | odd]."""
    return np.hstack([x[:, ::2], x[:, 1::2]])


@even_lengths
@pytest.mark.parametrize("position", [0, 1, 100, 511])
def test_rope_is_the_paper_s_rotation(length: int, position: int) -> None:
    """Pair i turns by its angle, as a complex number. Each of two addends errs by U for its cosine or sine, U for the
    product and U for the sum.
    """
    x = random_rows(9, length)
    pairs = (x[:, ::2] + 1j * x[:, 1::2].astype(np.float64)) * np.exp(1j * angles(position, length))
    magnitude = np.abs(x[:, ::2]).astype(np.float64), np.abs(x[:, 1::2]).astype(np.float64)
    cos, sin = np.abs(np.cos(angles(position, length))), np.abs(np.sin(angles(position, length)))
    addends = np.hstack([magnitude[0] * cos + magnitude[1] * sin, magnitude[1] * cos + magnitude[0] * sin])
    expected = np.hstack([pairs.real, pairs.imag])
    assert_within(rotate(halves(x), position), expected, 3.001 * U * addends + TINY)


@even_lengths
def test_rope_rounds_in_the_written_order(length: int) -> None:
    x, cos, sin = random_rows(10, length), random_rows(11, length // 2, rows=1), random_rows(12, length // 2, rows=1)
    expected = []
    for row in x.tolist():
        pairs = list(zip(row[: length // 2], row[length // 2 :], cos[0].tolist(), sin[0].tolist(), strict=True))
        even = [r32(r32(e * c) - r32(o * s)) for e, o, c, s in pairs]
        expected.append(even + [r32(r32(o * c) + r32(e * s)) for e, o, c, s in pairs])
    assert_bits(operators.rope(x, cos, sin), expected)


@even_lengths
def test_rope_preserves_norms(length: int) -> None:
    """cos and sin, rounded, turn a pair with the norm 1 +- U; products and sums add at most 2 sqrt(2) U: 4 U in all."""
    x = random_rows(13, length, rows=20)
    for position in (0, 7, 511):
        y = rotate(x, position).astype(np.float64)
        before = np.hypot(*np.split(x.astype(np.float64), 2, axis=1))
        assert np.all(np.abs(np.hypot(*np.split(y, 2, axis=1)) - before) <= 4 * U * before)


@even_lengths
def test_rope_products_depend_on_the_distance(length: int) -> None:
    """<R(m) q, R(n) k> is a function of m - n; each rotated vector errs by at most 5 U of its norm."""
    q, k = random_rows(14, length, rows=1), random_rows(15, length, rows=1)
    scale = np.linalg.norm(q.astype(np.float64)) * np.linalg.norm(k.astype(np.float64))
    products = [
        float(rotate(q, m + 9).astype(np.float64)[0] @ rotate(k, m).astype(np.float64)[0]) for m in (0, 1, 33, 500)
    ]
    assert max(products) - min(products) <= 2 * 2 * 5 * U * scale


def test_rope_at_position_zero_changes_nothing() -> None:
    x = random_rows(16, 64)
    assert_bits(rotate(x, 0), x.tolist())


# ----------------------------------------------------------------------- SwiGLU


@lengths
@pytest.mark.parametrize("magnitude", [0.1, 3.0, 30.0])
def test_silu_mul_is_the_paper_s_gate(length: int, magnitude: float) -> None:
    """Shazeer 2020: a / (1 + e^-a) * b. The exponent errs by 2 U |a|, with EXP2_ERROR that is the error of e; in 1 + e
    it weighs e / (1 + e); the sum and two products err by U, RECIP by its error.
    """
    a, b = random_rows(17, length, scale=magnitude), random_rows(18, length)
    exact = a.astype(np.float64)
    sigmoid = 1 / (1 + np.exp(-exact))
    bound = (1 - sigmoid) * (2 * U * np.abs(exact) + EXP2_ERROR) + RECIP_ERROR + 3 * U
    expected = exact * sigmoid * b
    assert_within(operators.silu_mul(a, b), expected, 1.001 * bound * np.abs(expected) + TINY * np.abs(exact * b))


@lengths
def test_silu_mul_rounds_in_the_written_order(length: int) -> None:
    a, b = random_rows(19, length, scale=4), random_rows(20, length)
    expected = []
    for row, factors in zip(a.tolist(), b.tolist(), strict=True):
        gates = [r32(v * recip(r32(exp2(r32(v * -r32(LOG2_E))) + 1))) for v in row]
        expected.append([r32(gate * factor) for gate, factor in zip(gates, factors, strict=True)])
    assert_bits(operators.silu_mul(a, b), expected)


def test_silu_mul_far_from_zero() -> None:
    a = np.array([[0, 40, 1e30, -89, -1e30]], np.float32)
    assert_bits(operators.silu_mul(a, np.full_like(a, 0.5)), [[0, 20, r32(5e29), -0.0, -0.0]])


# -------------------------------------------------------------- gather, scatter


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float32])
def test_gather_and_scatter_move_one_row(dtype: type[np.generic]) -> None:
    table = np.arange(12).reshape(4, 3).astype(dtype)
    row = np.array([[-1, -2, -3]]).astype(dtype)
    for index in range(4):
        taken = operators.gather(table, index)
        assert taken.tolist() == [table[index].tolist()]
        updated = operators.scatter(table, index, row)
        assert updated.dtype == taken.dtype == dtype
        assert updated.tolist() == [row[0].tolist() if i == index else table[i].tolist() for i in range(4)]
    assert table.tolist() == np.arange(12).reshape(4, 3).tolist()


# ------------------------------------------------------------------------ errors


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def f64(*shape: int) -> Any:
    return np.ones(shape)


def i32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int32)


ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "rms_norm: type": (
        lambda: operators.rms_norm(i32(2, 4), f32(1, 4), EPS),
        r"int32 \[2, 4\], float32 \[1, 4\]: must",
    ),
    "rms_norm: vector": (lambda: operators.rms_norm(f32(4), f32(1, 4), EPS), r"float32 \[4\], float32 \[1, 4\]: must"),
    "rms_norm: other N": (lambda: operators.rms_norm(f32(2, 4), f32(1, 3), EPS), r"float32 \[1, 3\]: must"),
    "rms_norm: type of gain": (lambda: operators.rms_norm(f32(2, 4), f64(1, 4), EPS), r"float64 \[1, 4\]: must"),
    "rms_norm: eps 0": (lambda: operators.rms_norm(f32(2, 4), f32(1, 4), 0.0), r"eps = 0.0: must be a normal"),
    "rms_norm: eps NaN": (lambda: operators.rms_norm(f32(2, 4), f32(1, 4), math.nan), r"eps = nan: must"),
    "rms_norm: eps infinite": (lambda: operators.rms_norm(f32(2, 4), f32(1, 4), math.inf), r"eps = inf: must"),
    "causal_limit: position": (
        lambda: operators.causal_limit(2**31, 4),
        r"position 2147483648, length 4: must be int32",
    ),
    "causal_limit: length": (lambda: operators.causal_limit(0, 0), r"position 0, length 0: must be"),
    "softmax: type": (lambda: operators.softmax(i32(2, 4)), r"int32 \[2, 4\]: must be float32"),
    "softmax: no entries": (lambda: operators.softmax(f32(2, 0)), r"float32 \[2, 0\]: must"),
    "softmax: other N": (lambda: operators.softmax(f32(2, 4), f32(1, 5)), r"float32 \[2, 4\], float32 \[1, 5\]: must"),
    "softmax: type of limit": (
        lambda: operators.softmax(f32(2, 4), i32(1, 4)),
        r"float32 \[2, 4\], int32 \[1, 4\]: must",
    ),
    "rope: odd N": (lambda: operators.rope(f32(2, 5), f32(1, 2), f32(1, 2)), r"float32 \[2, 5\], .*: must .* N even"),
    "rope: one entry": (
        lambda: operators.rope(f32(2, 1), f32(1, 0), f32(1, 0)),
        r"float32 \[2, 1\], .*: must .* N even",
    ),
    "rope: cos": (lambda: operators.rope(f32(2, 4), f32(1, 4), f32(1, 2)), r"float32 \[1, 4\], float32 \[1, 2\]: must"),
    "rope: sin": (lambda: operators.rope(f32(2, 4), f32(1, 2), f32(2, 2)), r"float32 \[1, 2\], float32 \[2, 2\]: must"),
    "rope: type": (lambda: operators.rope(i32(2, 4), f32(1, 2), f32(1, 2)), r"int32 \[2, 4\], float32 \[1, 2\]"),
    "silu_mul: shapes": (lambda: operators.silu_mul(f32(2, 4), f32(1, 4)), r"float32 \[2, 4\], float32 \[1, 4\]: must"),
    "silu_mul: type": (lambda: operators.silu_mul(f32(2, 4), i32(2, 4)), r"float32 \[2, 4\], int32 \[2, 4\]: must"),
    "gather: type": (lambda: operators.gather(f64(2, 4), 0), r"float64 \[2, 4\]: must be int8, int32 or float32"),
    "gather: vector": (lambda: operators.gather(f32(4), 0), r"float32 \[4\]: must be"),
    "gather: index": (lambda: operators.gather(f32(2, 4), 2), r"float32 \[2, 4\]: index 2: must be in 0..1"),
    "gather: negative": (lambda: operators.gather(f32(2, 4), -1), r"float32 \[2, 4\]: index -1: must be in 0..1"),
    "scatter: types": (lambda: operators.scatter(f32(2, 4), 0, i32(1, 4)), r"float32 \[2, 4\], int32 \[1, 4\]: must"),
    "scatter: other N": (
        lambda: operators.scatter(f32(2, 4), 0, f32(1, 3)),
        r"float32 \[2, 4\], float32 \[1, 3\]: must",
    ),
    "scatter: rows": (lambda: operators.scatter(f32(2, 4), 0, f32(2, 4)), r"float32 \[2, 4\], float32 \[2, 4\]: must"),
    "scatter: index": (lambda: operators.scatter(f32(2, 4), 2, f32(1, 4)), r"float32 \[2, 4\]: index 2: must be in"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_operator_types_and_shapes(case: str) -> None:
    call, message = ERRORS[case]
    with pytest.raises(OperatorError, match=f"^{case.split(':')[0]}: .*{message}"):
        call()
