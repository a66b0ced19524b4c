"""The operators around a token: where it is in the sequence, its embedding, which one is next."""

from __future__ import annotations

import numpy as np

from golden.numerics import Int8, Int32
from golden.operators.operands import Float32, OperatorError, Tensor, require


def causal_mask(position: int, positions: int, width: int, copies: int, first: int = 0) -> Float32:
    """What is added to each score: 0 where its position is at most ``position``, -inf beyond.

    Positions first .. positions - 1 stand in groups of ``width``, each group ``copies`` times: float32
    [1, (positions - first) * copies]. Raises OperatorError, also for a ``position`` that is none of these: its
    attention would look at later ones.
    """
    if first % width or positions % width or not 0 <= first < positions:
        raise OperatorError(f"causal_mask: positions {first}..{positions - 1}: must be some groups of {width}")
    if not first <= position < positions:
        raise OperatorError(f"causal_mask: position {position}: must be in {first}..{positions - 1}, those of the mask")
    row = np.where(np.arange(first, positions) <= position, np.float32(0), np.float32(-np.inf))
    return np.repeat(row.reshape(-1, 1, width), copies, axis=1).reshape(1, -1)


def embed(table: Int8, index: int) -> Int32:
    """Row ``index`` of a table as int32: int8 [V, N] -> int32 [1, N]. Raises OperatorError for an index outside."""
    require(table.dtype == np.int8 and table.ndim == 2, "embed", "must be int8 [V, N]", table)
    if not 0 <= index < len(table):
        raise OperatorError(f"embed: index {index}: must be in 0..{len(table) - 1}")
    return table[index : index + 1].astype(np.int32)


def pick(row: Tensor, lane: int) -> Tensor:
    """row[0, lane]: int32 or float32 [1, L] -> [1, 1]. Raises OperatorError for a lane outside."""
    _check_lane("pick", row, lane)
    return row[:, lane : lane + 1].copy()


def put(row: Int32, lane: int, value: int) -> Int32:
    """A copy of the row with row[0, lane] = value: int32 [1, L]. Raises OperatorError for a lane outside."""
    _check_lane("put", row, lane)
    changed = row.copy()
    changed[0, lane] = value
    return changed


def given_or(given: int, other: int) -> Int32:
    """``given`` if it is not negative, else ``other``: int32 [1, 1]."""
    return np.array([[given if given >= 0 else other]], np.int32)


def _check_lane(name: str, row: Tensor, lane: int) -> None:
    require(row.dtype in (np.int32, np.float32) and row.ndim == 2, name, "must be int32 or float32 [1, L]", row)
    if not 0 <= lane < row.shape[1]:
        raise OperatorError(f"{name}: lane {lane}: must be in 0..{row.shape[1] - 1}")
