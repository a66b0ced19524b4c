"""Tensors and operators of a graph."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class CompileError(ValueError):
    """A graph that is malformed or that the core cannot run; names operator, value and rule."""


class DType(enum.StrEnum):
    INT8 = "int8"
    INT32 = "int32"
    FP32 = "fp32"

    @property
    def bytes(self) -> int:
        return 1 if self is DType.INT8 else 4

    @property
    def is_wide(self) -> bool:
        """Whether a vector takes an SG4."""
        return self is not DType.INT8


class OpKind(enum.StrEnum):
    MATMUL = "matmul"
    BIAS = "bias"
    REQUANTISE = "requantise"
    RELU = "relu"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    ARGMAX = "argmax"
    RESCALE = "rescale"
    DEQUANTISE = "dequantise"
    QUANTISE = "quantise"
    QUANTISE_STATIC = "quantise_static"
    RMS_NORM = "rms_norm"
    CAUSAL_LIMIT = "causal_limit"
    SOFTMAX = "softmax"
    ROPE = "rope"
    SILU_MUL = "silu_mul"
    GATHER = "gather"
    SCATTER = "scatter"
    KV_INDEX = "kv_index"
    KV_SCATTER = "kv_scatter"
    INVERSE_NORM = "inverse_norm"
    ROPE_PROJECT = "rope_project"
    ROPE_CACHE = "rope_cache"
    CAUSAL_MASK = "causal_mask"
    ATTENTION = "attention"
    EXP2_GATE = "exp2_gate"
    TO_FLOAT = "to_float"
    EMBED = "embed"
    QUOTIENT = "quotient"
    AND = "and"
    PICK = "pick"
    PUT = "put"
    GIVEN_OR = "given_or"
    ASSIGN = "assign"
    ARGMAX_ROUNDED = "argmax_rounded"
    CLASSIFY = "classify"
    NOISE = "noise"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A matrix ``shape`` = (M, N) of ``dtype``; ``value`` is set for constants, and for ``mutable`` state at the start.

    The one value of each row of [M, 1] stands in every lane; the host sees lane 0.
    """

    name: str
    shape: tuple[int, int]
    dtype: DType
    value: NDArray[np.int64] | NDArray[np.float32] | None = None
    mutable: bool = False

    @property
    def is_const(self) -> bool:
        return self.value is not None and not self.mutable

    def __str__(self) -> str:
        return f"'{self.name}' {self.dtype.value} [{self.shape[0]}, {self.shape[1]}]"


@dataclass(frozen=True)
class Iteration:
    """Iteration ``number`` of the block ``name``: operators that are the same, on tensors of their own, in each one."""

    name: str
    number: int


@dataclass(frozen=True, eq=False)
class Op:
    """One operator. ``multiplier`` and ``shift`` (REQUANTISE): 1 value, or N of them, one per channel.

    ``extra``: further results (QUANTISE: the scales; INVERSE_NORM with a factor: factor / s^2). ``epsilon``: of the
    norms. ``number``: QUOTIENT's divisor, AND's word, heads of a tile of ATTENTION, width of CAUSAL_MASK's groups and
    ``copies`` of each. ``first``: the first masked position of both. ``block``: the iteration of a repeated block that
    the operator belongs to.
    """

    kind: OpKind
    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    multiplier: tuple[int, ...] = ()
    shift: tuple[int, ...] = ()
    extra: tuple[Tensor, ...] = ()
    epsilon: float = 0.0
    number: int = 0
    copies: int = 1
    first: int = 0
    block: Iteration | None = None
