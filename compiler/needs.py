"""Tensors that whole-row operators need besides their own: constants in the image, and scratch rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.ir import DType, Op, OpKind, Tensor
from golden.operators import tag_mask
from golden.operators.noise import channel_keys
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
    consts = numbers, _padding_limit(config, op.name, columns, dtype)
    if columns <= config.lanes:
        return consts, ()
    largest = Tensor(f"{op.name}.largest", (rows, 1), dtype)
    return consts, (largest, Tensor(f"{op.name}.candidates", (rows, columns + padding), DType.INT32))


def _rounded_needs(config: LpuConfig, op: Op) -> Needs:
    """Tags, what lanes beyond the row cannot pass, and the two rows that take turns."""
    columns = (*op.extra, op.inputs[0])[0].shape[1]
    padding, mask = -columns % config.lanes, tag_mask(columns)
    tags = constant(f"{op.name}.tag", [*(mask - n for n in range(columns)), *([0] * padding)])
    limit = (_padding_limit(config, op.name, columns, DType.FP32),) if padding else ()
    turns = min(2, -(-columns // config.lanes))
    return (tags, *limit), (Tensor(f"{op.name}.turns", (turns, config.lanes), DType.FP32),)


def _padding_limit(config: LpuConfig, name: str, columns: int, dtype: DType) -> Tensor:
    """[1, lanes]: the largest value, and the smallest in the lanes of the last tile that are beyond the row."""
    padding = -columns % config.lanes
    low, high = (-np.inf, np.inf) if dtype is DType.FP32 else (-_MOST - 1, _MOST)
    limit = np.array([[high] * (config.lanes - padding) + [low] * padding])
    value = limit.astype(np.float32) if dtype is DType.FP32 else limit.astype(np.int64)
    return Tensor(f"{name}.limit", value.shape, dtype, value)


def _softmax_needs(config: LpuConfig, op: Op) -> Needs:
    """What lanes beyond the row cannot pass, where there are some; the limited values and their exponentials."""
    columns = op.output.shape[1]
    limit = (_padding_limit(config, op.name, columns, DType.FP32),) if columns % config.lanes else ()
    limited = Tensor(f"{op.name}.limited", op.output.shape, DType.FP32)
    return limit, (limited, Tensor(f"{op.name}.exp", op.output.shape, DType.FP32))


def _numbers(config: LpuConfig, op: Op) -> Needs:
    return (constant(f"{op.name}.number", list(range(op.output.shape[1]))),), ()


def _limit_needs(config: LpuConfig, op: Op) -> Needs:
    numbers, _ = _numbers(config, op)
    least = Tensor(f"{op.name}.least", (1, 1), DType.FP32, np.full((1, 1), -np.inf, np.float32))
    return (*numbers, least), ()


def _mask_needs(config: LpuConfig, op: Op) -> Needs:
    """The position of each lane, and -inf."""
    positions = op.first + np.arange(op.output.shape[1] // op.copies)
    groups = positions.reshape(-1, 1, op.number)
    numbers = constant(f"{op.name}.number", np.repeat(groups, op.copies, axis=1).ravel().tolist())
    return (numbers, _fill(f"{op.name}.least", -np.inf)), ()


def _fill(name: str, value: float) -> Tensor:
    """One fp32 number in every lane."""
    return _floats(name, np.full((1, 1), value, np.float32))


def _quantise_needs(config: LpuConfig, op: Op) -> Needs:
    """The largest magnitude of each lane so far."""
    return (), (Tensor(f"{op.name}.magnitudes", (op.output.shape[0], config.lanes), DType.FP32),)


def _rope_needs(config: LpuConfig, op: Op) -> Needs:
    """All bits set; the turned rows."""
    bits = Tensor(f"{op.name}.bits", (1, 1), DType.INT32, np.full((1, 1), -1, np.int64))
    return (bits,), (Tensor(f"{op.name}.turned", op.inputs[5].shape, DType.FP32),)


def _gate_needs(config: LpuConfig, op: Op) -> Needs:
    """What the products are divided by, as a factor."""
    return (), (Tensor(f"{op.name}.reciprocal", op.output.shape, DType.FP32),)


def _attention_needs(config: LpuConfig, op: Op) -> Needs:
    """Weights that sum, superlane by superlane; what goes through SRAM between the stages."""
    (rows, lanes), masked = op.inputs[0].shape, op.inputs[3].shape[1]
    columns = masked + op.first * config.superlanes
    superlane = np.arange(lanes) // config.superlane_lanes
    ones = (superlane[:, None] == superlane[None, :]).astype(np.int64)
    fp32, shapes = DType.FP32, {"powers": (rows, columns), "inverse": (rows, 1), "partial": (rows, lanes)}
    scratch = [Tensor(f"{op.name}.{name}", shape, fp32) for name, shape in shapes.items()]
    scratch.append(Tensor(f"{op.name}.codes", (rows, columns), DType.INT8))
    scratch.append(Tensor(f"{op.name}.part", (rows // op.number, lanes), fp32))
    return (Tensor(f"{op.name}.ones", ones.shape, DType.INT8, ones),), tuple(scratch)


def _floats(name: str, value: NDArray[np.float32]) -> Tensor:
    return Tensor(name, (value.shape[0], value.shape[1]), DType.FP32, value)


def _embed_needs(config: LpuConfig, op: Op) -> Needs:
    """Numbers of the lanes, and a one; the one-hot row."""
    numbers = constant(f"{op.name}.number", list(range(config.lanes)))
    one = Tensor(f"{op.name}.one", (1, 1), DType.INT32, np.ones((1, 1), np.int64))
    return (numbers, one), (Tensor(f"{op.name}.hot", (1, config.lanes), DType.INT8),)


def _lane_numbers(config: LpuConfig, op: Op) -> Needs:
    return (constant(f"{op.name}.number", list(range(config.lanes))),), ()


def _noise_needs(config: LpuConfig, op: Op) -> Needs:
    """The channels' keys; of the row: addend, factor, and the temperature in the unit of the logarithms."""
    keys = constant(f"{op.name}.keys", channel_keys(op.output.shape[1])[0].tolist())
    addend = Tensor(f"{op.name}.addend", (1, 1), DType.INT32)
    return (keys,), (addend, *(Tensor(f"{op.name}.{part}", (1, 1), DType.FP32) for part in ("factor", "unit")))


_NEEDS = {
    OpKind.ARGMAX: _argmax_needs,
    OpKind.SOFTMAX: _softmax_needs,
    OpKind.CAUSAL_LIMIT: _limit_needs,
    OpKind.KV_INDEX: _numbers,
    OpKind.CAUSAL_MASK: _mask_needs,
    OpKind.QUANTISE: _quantise_needs,
    OpKind.ROPE_PROJECT: _rope_needs,
    OpKind.ROPE_CACHE: _rope_needs,
    OpKind.ATTENTION: _attention_needs,
    OpKind.EXP2_GATE: _gate_needs,
    OpKind.ARGMAX_ROUNDED: _rounded_needs,
    OpKind.CLASSIFY: _rounded_needs,
    OpKind.EMBED: _embed_needs,
    OpKind.PICK: _lane_numbers,
    OpKind.PUT: _lane_numbers,
    OpKind.NOISE: _noise_needs,
}
