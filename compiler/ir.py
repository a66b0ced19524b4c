"""The graph a program is compiled from: int8, int32 and fp32 matrices and the operators between them.

Every value is a :class:`Tensor` [M, N], M rows of N channels. A :class:`Graph` is built in execution order and is
independent of any core; what a core cannot do is refused when the graph is compiled.

Arithmetic
    int8 results saturate to -128..127, int32 results wrap modulo 2^32. Two int8 operands give int8, two int32
    operands int32; ``mul`` also takes int32 x and int8 y and gives int32. fp32 follows docs/numerics.md. Every operator
    computes what the function of its name in ``golden/operators`` does, bit for bit.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdl.config import SUPERLANE_LANES


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


@dataclass(frozen=True, eq=False)
class Op:
    """One operator. ``multiplier`` and ``shift`` (REQUANTISE): 1 value, or N of them, one per channel.

    ``extra``: further results (QUANTISE: the scales). ``epsilon``: of RMS_NORM.
    """

    kind: OpKind
    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    multiplier: tuple[int, ...] = ()
    shift: tuple[int, ...] = ()
    extra: tuple[Tensor, ...] = ()
    epsilon: float = 0.0


_RANGE = {DType.INT8: (-(1 << 7), (1 << 7) - 1), DType.INT32: (-(1 << 31), (1 << 31) - 1)}


@dataclass
class Graph:
    """Builder and container of a graph: ``inputs``, ``ops`` in execution order, ``outputs``.

    Builder methods return the operator's output tensor; ``name`` names operator and output (default: kind and
    number). Raises CompileError for names used twice and for shapes and dtypes that an operator does not take.
    """

    name: str = "graph"
    inputs: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    _tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------ leaves

    def input(self, name: str, shape: tuple[int, int], dtype: DType | str = DType.INT8) -> Tensor:
        """A matrix that the host writes before each run."""
        tensor = self._tensor(name, shape, DType(dtype))
        self.inputs.append(tensor)
        return tensor

    def constant(self, name: str, value: ArrayLike, dtype: DType | str = DType.INT8) -> Tensor:
        """A matrix [M, N] (or a vector [N], taken as [1, N]) that is part of the program image."""
        array = _matrix(f"constant '{name}'", value, DType(dtype))
        return self._tensor(name, array.shape, DType(dtype), array)

    def state(self, name: str, value: ArrayLike, dtype: DType | str = DType.INT8) -> Tensor:
        """A matrix that operators change in place; it keeps its value from run to run and starts as ``value``."""
        array = _matrix(f"state '{name}'", value, DType(dtype))
        return self._tensor(name, array.shape, DType(dtype), array, mutable=True)

    def output(self, tensor: Tensor) -> Tensor:
        """Declare that the host reads ``tensor`` after a run."""
        if tensor.is_const or tensor in self.inputs or self._tensors.get(tensor.name) is not tensor:
            raise CompileError(f"output {tensor}: must be a state or a result of this graph")
        if tensor not in self.outputs:
            self.outputs.append(tensor)
        return tensor

    # --------------------------------------------------------------- operators

    def matmul(self, x: Tensor, w: Tensor, name: str = "") -> Tensor:
        """y[m, n] = sum_k x[m, k] * w[n, k]: int8 x [M, K], constant or state int8 w [N, K] -> int32 [M, N]."""
        name = name or self._auto_name(OpKind.MATMUL)
        self._require(x.dtype is DType.INT8, name, x, "activations must be int8")
        self._require(
            w.dtype is DType.INT8 and w.value is not None, name, w, "weights must be an int8 constant or state"
        )
        self._require(w.shape[1] == x.shape[1], name, w, f"weights [N, K] must have K = {x.shape[1]} as {x}")
        return self._op(OpKind.MATMUL, name, (x, w), (x.shape[0], w.shape[0]), DType.INT32)

    def bias(self, x: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y[m, n] = x[m, n] + b[0, n]: int32 x, constant int32 b [1, N] -> int32 [M, N]."""
        name = name or self._auto_name(OpKind.BIAS)
        self._require(x.dtype is DType.INT32, name, x, "must be int32")
        self._require(b.dtype is DType.INT32 and b.is_const, name, b, "bias must be an int32 constant")
        self._require(b.shape == (1, x.shape[1]), name, b, f"bias must have shape [1, {x.shape[1]}]")
        return self._op(OpKind.BIAS, name, (x, b), x.shape, DType.INT32)

    def requantise(
        self, x: Tensor, multiplier: int | Sequence[int], shift: int | Sequence[int], name: str = ""
    ) -> Tensor:
        """y[m, n] = saturate_int8(round_half_even(x[m, n] * multiplier[n] / 2^shift[n])): int32 -> int8.

        ``multiplier`` and ``shift`` are one number for all channels, or one per channel.
        """
        name = name or self._auto_name(OpKind.REQUANTISE)
        self._require(x.dtype is DType.INT32, name, x, "must be int32")
        columns = []
        for label, numbers in (("multiplier", multiplier), ("shift", shift)):
            column = np.atleast_1d(np.asarray(numbers, dtype=np.int64))
            fits = column.shape in ((1,), (x.shape[1],))
            self._require(fits, name, x, f"{label} of {column.size} values: must be 1 or {x.shape[1]}, one per channel")
            columns.append(column)
        multipliers, shifts = (tuple(c.tolist()) for c in np.broadcast_arrays(*columns))
        return self._op(OpKind.REQUANTISE, name, (x,), x.shape, DType.INT8, multiplier=multipliers, shift=shifts)

    def relu(self, x: Tensor, name: str = "") -> Tensor:
        """y = max(x, 0), dtype of x."""
        return self._op(OpKind.RELU, name or self._auto_name(OpKind.RELU), (x,), x.shape, x.dtype)

    def add(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = a + b."""
        return self._binary(OpKind.ADD, a, b, name)

    def sub(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = a - b."""
        return self._binary(OpKind.SUB, a, b, name)

    def mul(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = a * b; one operand must be int8, or a constant that fits the core's signed ``mult_bits``."""
        return self._binary(OpKind.MUL, a, b, name)

    def maximum(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = max(a, b)."""
        return self._binary(OpKind.MAXIMUM, a, b, name)

    def minimum(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = min(a, b)."""
        return self._binary(OpKind.MINIMUM, a, b, name)

    def argmax(self, x: Tensor, name: str = "") -> Tensor:
        """y[m, 0] = the lowest n of the largest x[m, n]: [M, N] -> int32 [M, 1]."""
        return self._op(OpKind.ARGMAX, name or self._auto_name(OpKind.ARGMAX), (x,), (x.shape[0], 1), DType.INT32)

    # ---------------------------------------------------------- floating point

    def rescale(self, x: Tensor, factor: Tensor, name: str = "") -> Tensor:
        """y[m, n] = saturate_int8(round_half_even(fp32(x[m, n]) * factor[0, n])): int32 -> int8."""
        name = name or self._auto_name(OpKind.RESCALE)
        self._require(x.dtype is DType.INT32, name, x, "must be int32")
        self._require_row(name, factor, x.shape[1])
        return self._op(OpKind.RESCALE, name, (x, factor), x.shape, DType.INT8)

    def dequantise(self, x: Tensor, weight_scale: Tensor, row_scale: Tensor | None = None, name: str = "") -> Tensor:
        """y[m, n] = fp32(x[m, n]) * weight_scale[0, n] (* row_scale[m, 0]): int8 or int32 -> fp32."""
        name = name or self._auto_name(OpKind.DEQUANTISE)
        self._require(x.dtype is not DType.FP32, name, x, "must be int8 or int32")
        self._require_row(name, weight_scale, x.shape[1])
        scales: tuple[Tensor, ...] = (weight_scale,)
        if row_scale is not None:
            self._require_float(name, row_scale, (x.shape[0], 1))
            scales += (row_scale,)
        return self._op(OpKind.DEQUANTISE, name, (x, *scales), x.shape, DType.FP32)

    def quantise(self, x: Tensor, name: str = "") -> tuple[Tensor, Tensor]:
        """(q, s): s[m, 0] = max_n |x[m, n]| / 127, q = round(x / s): fp32 -> int8 [M, N] and fp32 [M, 1]."""
        name = name or self._auto_name(OpKind.QUANTISE)
        self._require_float(name, x)
        scale = self._tensor(f"{name}.scale", (x.shape[0], 1), DType.FP32)
        return self._op(OpKind.QUANTISE, name, (x,), x.shape, DType.INT8, extra=(scale,)), scale

    def quantise_static(self, x: Tensor, factor: Tensor, name: str = "") -> Tensor:
        """q[m, n] = saturate_int8(round_half_even(x[m, n] * factor[0, n])): fp32 -> int8."""
        name = name or self._auto_name(OpKind.QUANTISE_STATIC)
        self._require_float(name, x)
        self._require_row(name, factor, x.shape[1])
        return self._op(OpKind.QUANTISE_STATIC, name, (x, factor), x.shape, DType.INT8)

    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float = 1e-5, name: str = "") -> Tensor:
        """y[m, n] = x[m, n] / sqrt(mean_n x[m, n]^2 + epsilon) * gain[0, n]."""
        name = name or self._auto_name(OpKind.RMS_NORM)
        self._require_several(name, x)
        self._require_row(name, gain, x.shape[1])
        return self._op(OpKind.RMS_NORM, name, (x, gain), x.shape, DType.FP32, epsilon=epsilon)

    def causal_limit(self, position: Tensor, n: int, name: str = "") -> Tensor:
        """y[0, i] = +inf for i <= position, -inf beyond: int32 [1, 1] -> fp32 [1, n]."""
        name = name or self._auto_name(OpKind.CAUSAL_LIMIT)
        self._require_index(name, position)
        return self._op(OpKind.CAUSAL_LIMIT, name, (position,), (1, n), DType.FP32)

    def softmax(self, t: Tensor, limit: Tensor, name: str = "") -> Tensor:
        """y[m, n] = exp(u[m, n]) / sum_n exp(u[m, n]), u = min(t, limit); limit fp32 [1, N], at least one not -inf."""
        name = name or self._auto_name(OpKind.SOFTMAX)
        self._require_several(name, t)
        self._require_row(name, limit, t.shape[1])
        return self._op(OpKind.SOFTMAX, name, (t, limit), t.shape, DType.FP32)

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor, name: str = "") -> Tensor:
        """Rotary embedding of x = [e | o], halves of N channels: [e*cos - o*sin | o*cos + e*sin]; tables [1, N/2]."""
        name = name or self._auto_name(OpKind.ROPE)
        self._require_float(name, x)
        self._require(x.shape[1] % 2 == 0, name, x, "must have an even number of channels")
        for table in (cos, sin):
            self._require_row(name, table, x.shape[1] // 2)
        return self._op(OpKind.ROPE, name, (x, cos, sin), x.shape, DType.FP32)

    def silu_mul(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = a * sigmoid(a) * b."""
        name = name or self._auto_name(OpKind.SILU_MUL)
        self._require_float(name, a)
        self._require_float(name, b, a.shape)
        return self._op(OpKind.SILU_MUL, name, (a, b), a.shape, DType.FP32)

    # -------------------------------------------------------------- by position

    def gather(self, table: Tensor, index: Tensor, name: str = "") -> Tensor:
        """y[0] = table[index]: constant or state [V, N], int32 index [1, 1] in 0..V-1 -> [1, N]."""
        name = name or self._auto_name(OpKind.GATHER)
        self._require(table.value is not None, name, table, "must be a constant or a state")
        self._require_index(name, index)
        return self._op(OpKind.GATHER, name, (table, index), (1, table.shape[1]), table.dtype)

    def scatter(self, cache: Tensor, index: Tensor, row: Tensor, name: str = "") -> Tensor:
        """cache[index] = row [1, N], in place; returns ``cache``, a state [P, N] in a data group."""
        name = name or self._auto_name(OpKind.SCATTER)
        self._require_index(name, index)
        return self._in_place(OpKind.SCATTER, name, cache, row, index)

    def kv_index(self, position: Tensor, cache: Tensor, name: str = "") -> Tensor:
        """Where :meth:`kv_scatter` finds row ``position`` of a cache of that shape, slice by slice: int32 [1, 16]."""
        name = name or self._auto_name(OpKind.KV_INDEX)
        self._require_index(name, position)
        self._require_cache(name, cache)
        return self._op(OpKind.KV_INDEX, name, (position, cache), (1, SUPERLANE_LANES), DType.INT32)

    def kv_scatter(self, cache: Tensor, index: Tensor, row: Tensor, name: str = "") -> Tensor:
        """cache[position] = row int8 [1, N], in place, for ``index`` = kv_index(position); returns ``cache``.

        The cache is a state int8 [P, N] in a weight group: the weights of a :meth:`matmul`.
        """
        name = name or self._auto_name(OpKind.KV_SCATTER)
        self._require_cache(name, cache)
        return self._in_place(OpKind.KV_SCATTER, name, cache, row, index)

    # ----------------------------------------------------------------- private

    def uses(self) -> Counter[Tensor]:
        """How often each tensor is read by operators."""
        return Counter(tensor for op in self.ops for tensor in op.inputs)

    def _auto_name(self, kind: OpKind) -> str:
        return f"{kind.value}{sum(op.kind is kind for op in self.ops)}"

    @staticmethod
    def _require(holds: bool, op_name: str, tensor: Tensor, rule: str) -> None:
        if not holds:
            raise CompileError(f"{op_name}: {tensor}: {rule}")

    def _require_float(self, name: str, x: Tensor, shape: tuple[int, int] | None = None) -> None:
        self._require(x.dtype is DType.FP32, name, x, "must be fp32")
        self._require(shape in (None, x.shape), name, x, f"must have shape {shape}")

    def _require_several(self, name: str, x: Tensor) -> None:
        """Sums over channels: the one channel of [M, 1] stands in every lane."""
        self._require_float(name, x)
        self._require(x.shape[1] > 1, name, x, "must have at least 2 channels")

    def _require_row(self, name: str, row: Tensor, columns: int) -> None:
        self._require_float(name, row, (1, columns))

    def _require_cache(self, name: str, cache: Tensor) -> None:
        """One row or channel would have to be in every lane."""
        fits = cache.mutable and cache.dtype is DType.INT8 and min(cache.shape) > 1
        self._require(fits, name, cache, "must be an int8 state of at least 2 rows and 2 channels")

    def _require_index(self, name: str, index: Tensor) -> None:
        self._require(index.dtype is DType.INT32 and index.shape == (1, 1), name, index, "must be int32 [1, 1]")

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: DType, value: np.ndarray | None = None, mutable: bool = False
    ) -> Tensor:
        if len(shape) != 2 or min(shape) < 1:
            raise CompileError(f"tensor '{name}': shape {tuple(shape)}: must be (M, N), both at least 1")
        tensor = Tensor(name, (int(shape[0]), int(shape[1])), dtype, value, mutable)
        self._reserve(name, tensor)
        return tensor

    def _reserve(self, name: str, tensor: Tensor) -> None:
        if name in self._tensors:
            raise CompileError(f"tensor '{name}': name is already taken: names must be unique")
        self._tensors[name] = tensor

    def _op(
        self, kind: OpKind, name: str, inputs: tuple[Tensor, ...], shape: tuple[int, int], dtype: DType, **more: Any
    ) -> Tensor:
        self._require_own(name, inputs)
        output = self._tensor(name, shape, dtype)
        self.ops.append(Op(kind, name, inputs, output, **more))
        return output

    def _in_place(self, kind: OpKind, name: str, cache: Tensor, row: Tensor, index: Tensor) -> Tensor:
        self._require(cache.mutable, name, cache, "must be a state")
        self._require(row.dtype is cache.dtype, name, row, f"must have the dtype of {cache}")
        self._require(row.shape == (1, cache.shape[1]), name, row, f"must have shape [1, {cache.shape[1]}]")
        self._require_own(name, (cache, row, index))
        self._reserve(name, cache)
        self.ops.append(Op(kind, name, (cache, row, index), cache))
        return cache

    def _require_own(self, name: str, inputs: Sequence[Tensor]) -> None:
        for tensor in inputs:
            self._require(self._tensors.get(tensor.name) is tensor, name, tensor, "must belong to this graph")

    def _binary(self, kind: OpKind, a: Tensor, b: Tensor, name: str) -> Tensor:
        name = name or self._auto_name(kind)
        self._require(a.shape == b.shape, name, b, f"must have the shape of {a}")
        mixed_mul = kind is OpKind.MUL and a.dtype is DType.INT32 and b.dtype is DType.INT8
        self._require(a.dtype is b.dtype or mixed_mul, name, b, f"must have the dtype of {a}")
        return self._op(kind, name, (a, b), a.shape, a.dtype)


def _matrix(place: str, value: ArrayLike, dtype: DType) -> np.ndarray:
    """``value`` as int64 or float32 [M, N]. Raises CompileError for what does not fit the dtype."""
    array = np.asarray(value)
    if array.ndim == 1:
        array = array[None, :]
    kind = np.floating if dtype is DType.FP32 else np.integer
    if array.ndim != 2 or not np.issubdtype(array.dtype, kind):
        word = "a floating-point" if dtype is DType.FP32 else "an integer"
        raise CompileError(f"{place}: {array.dtype} of {array.ndim} axes: must be {word} matrix")
    if dtype is DType.FP32:
        return array.astype(np.float32)
    low, high = _RANGE[dtype]
    if array.size and (array.min() < low or array.max() > high):
        worst = array.min() if array.min() < low else array.max()
        raise CompileError(f"{place}: value {worst}: must be in {low}..{high} ({dtype.value})")
    return array.astype(np.int64)
