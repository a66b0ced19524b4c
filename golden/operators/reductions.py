"""Reductions along the last axis: float32 [..., N] -> [..., 1], the same bits whatever the number of lanes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from golden.numerics import Int32, fabs, fadd, fmax
from golden.operators.operands import DTYPES, Float32, Tensor, require, singles, words

SUM_WIDTH = 64
"""Elements that a sum keeps apart until its halving tree."""


def row_sum(x: Float32) -> Float32:
    """Sum of each row in the one written order: x padded with +0 to rows of 64, the rows added in sequence, then
    the 64 sums in halves: acc[i] + acc[i + 32], + 16, + 8, + 4, + 2, + 1.

    Contract: no entry has a negative sign, so that the padding changes no sum.
    Raises OperatorError unless x is float32 [..., N], N >= 1.
    """
    _check("row_sum", x)
    padding = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % SUM_WIDTH)]
    rows = np.pad(words(x), padding).reshape(*x.shape[:-1], -1, SUM_WIDTH)
    acc = rows[..., 0, :]
    for i in range(1, rows.shape[-2]):
        acc = fadd(acc, rows[..., i, :])
    return singles(_halve(fadd, acc))


def row_max(x: Float32) -> Float32:
    """FMAX over each row: -0 < +0, NaN in a row with NaN. Raises OperatorError as :func:`row_sum`."""
    _check("row_max", x)
    return singles(_row_max(words(x)))


def row_absmax(x: Float32) -> Float32:
    """FAMAX over each row: the largest |x|, NaN in a row with NaN. Raises OperatorError as :func:`row_sum`."""
    _check("row_absmax", x)
    return singles(_row_max(fabs(words(x))))


def argmax(x: Tensor) -> NDArray[np.int64]:
    """Index of the largest value along the last axis; the lowest index among equals, [..., N] -> [...].

    float32: the lowest index whose bits equal those of :func:`row_max`; rows with NaN are outside the contract.
    Raises OperatorError unless x is int8, int32 or float32 [..., N], N >= 1.
    """
    require(x.dtype in DTYPES and _has_entries(x), "argmax", "must be int8, int32 or float32 [..., N], N >= 1", x)
    largest = words(x) == _row_max(words(x)) if x.dtype == np.float32 else x
    index: NDArray[np.int64] = np.argmax(largest, axis=-1)
    return index


def tag_mask(columns: int) -> int:
    """The last bits of a word that :func:`argmax_rounded` writes columns to."""
    return (1 << max(1, (columns - 1).bit_length())) - 1


def argmax_rounded(x: Float32) -> Int32:
    """Index of the largest value of a row, of values without their last bits: tag_mask(N) - n stands there instead.

    float32 [1, N] -> int32 [1, 1]. Among equals the lowest index wins for positive values, the highest for negative.
    Contract: finite values. Raises OperatorError for other types or shapes.
    """
    require(x.dtype == np.float32 and x.ndim == 2 and len(x) == 1, "argmax_rounded", "must be float32 [1, N]", x)
    mask = np.int32(tag_mask(x.shape[1]))
    tagged = (words(x) & ~mask) | (mask - np.arange(x.shape[1], dtype=np.int32))
    index: Int32 = mask - (_row_max(tagged) & mask)
    return index


def _row_max(x: Int32) -> Int32:
    """Padded with copies of its last entry to a power of two, then in halves; the order does not matter."""
    width = 1 << (x.shape[-1] - 1).bit_length()
    padding = [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])]
    return _halve(fmax, np.pad(x, padding, mode="edge"))


def _halve(combine: Callable[[Int32, Int32], Int32], acc: Int32) -> Int32:
    while (half := acc.shape[-1] // 2) > 0:
        acc = combine(acc[..., :half], acc[..., half:])
    return acc


def _check(name: str, x: Float32) -> None:
    require(x.dtype == np.float32 and _has_entries(x), name, "must be float32 [..., N], N >= 1", x)


def _has_entries(x: Tensor) -> bool:
    return x.ndim > 0 and x.shape[-1] > 0
