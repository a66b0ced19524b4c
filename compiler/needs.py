"""Tensors that whole-row operators need besides their own: constants in the image, and scratch rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.ir import DType, Op, OpKind, Tensor
from hdl.config import LpuConfig

_MOST = (1 << 31) - 1

Needs = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Constants, and scratch tensors, of a whole-row operator."""


def needs(config: LpuConfig, op: Op) -> Needs:
    """What the lowering of a whole-row operator needs besides its inputs and outputs."""
    return _NEEDS.get(op.kind, _nothing)(config, op)


def constant(name: str, values: Sequence[int]) -> Tensor:
    """An int32 row that a pass needs besides the graph's own tensors."""
    array = np.asarray([values], dtype=np.int64)
    return Tensor(name, (1, array.shape[1]), DType.INT32, array)


def _nothing(config: LpuConfig, op: Op) -> Needs:
    return (), ()


def _argmax_needs(config: LpuConfig, op: Op) -> Needs:
    """Column numbers, what lanes beyond the row cannot pass; of several tiles the largest value, and candidates."""
    x = op.inputs[0]
    (rows, columns), dtype = x.shape, DType.FP32 if x.dtype is DType.FP32 else DType.INT32
    padding = -columns % config.lanes
    numbers = constant(f"{op.name}.number", [*range(columns), *([_MOST] * padding)])
    consts = numbers, _padding_limit(config, op, dtype)
    if columns <= config.lanes:
        return consts, ()
    largest = Tensor(f"{op.name}.largest", (rows, 1), dtype)
    return consts, (largest, Tensor(f"{op.name}.candidates", (rows, columns + padding), DType.INT32))


def _padding_limit(config: LpuConfig, op: Op, dtype: DType) -> Tensor:
    """[1, lanes]: the largest value, and the smallest in the lanes of the last tile that are beyond the row."""
    padding = -op.inputs[0].shape[1] % config.lanes
    low, high = (-np.inf, np.inf) if dtype is DType.FP32 else (-_MOST - 1, _MOST)
    limit = np.array([[high] * (config.lanes - padding) + [low] * padding])
    value = limit.astype(np.float32) if dtype is DType.FP32 else limit.astype(np.int64)
    return Tensor(f"{op.name}.limit", value.shape, dtype, value)


def _softmax_needs(config: LpuConfig, op: Op) -> Needs:
    """What lanes beyond the row cannot pass, where there are some; the limited values and their exponentials."""
    limit = (_padding_limit(config, op, DType.FP32),) if op.output.shape[1] % config.lanes else ()
    limited = Tensor(f"{op.name}.limited", op.output.shape, DType.FP32)
    return limit, (limited, Tensor(f"{op.name}.exp", op.output.shape, DType.FP32))


def _numbers(config: LpuConfig, op: Op) -> Needs:
    return (constant(f"{op.name}.number", list(range(op.output.shape[1]))),), ()


def _limit_needs(config: LpuConfig, op: Op) -> Needs:
    numbers, _ = _numbers(config, op)
    least = Tensor(f"{op.name}.least", (1, 1), DType.FP32, np.full((1, 1), -np.inf, np.float32))
    return (*numbers, least), ()


_NEEDS = {
    OpKind.ARGMAX: _argmax_needs,
    OpKind.SOFTMAX: _softmax_needs,
    OpKind.CAUSAL_LIMIT: _limit_needs,
    OpKind.KV_INDEX: _numbers,
}
