"""The graph a program is compiled from: int8 and int32 matrices and the operators between them.

Every value is a :class:`Tensor` [M, N], M rows of N channels. A :class:`Graph` is built in execution order and is
independent of any core; what a core cannot do is refused when the graph is compiled.

Arithmetic
    int8 results saturate to -128..127, int32 results wrap modulo 2^32. Two int8 operands give int8, two int32
    operands int32; ``mul`` also takes int32 x and int8 y and gives int32.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


class CompileError(ValueError):
    """A graph that is malformed or that the core cannot run; names operator, value and rule."""


class DType(enum.StrEnum):
    INT8 = "int8"
    INT32 = "int32"

    @property
    def bytes(self) -> int:
        return 1 if self is DType.INT8 else 4


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


@dataclass(frozen=True, eq=False)
class Tensor:
    """A matrix ``shape`` = (M, N) of ``dtype``; ``value`` is set for constants."""

    name: str
    shape: tuple[int, int]
    dtype: DType
    value: NDArray[np.int64] | None = None

    @property
    def is_const(self) -> bool:
        return self.value is not None

    def __str__(self) -> str:
        return f"'{self.name}' {self.dtype.value} [{self.shape[0]}, {self.shape[1]}]"


@dataclass(frozen=True, eq=False)
class Op:
    """One operator. ``multiplier`` and ``shift`` (REQUANTISE): 1 value, or N of them, one per channel.

    ``value_bits`` (ARGMAX): signed width that the input's values are known to fit.
    """

    kind: OpKind
    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    multiplier: tuple[int, ...] = ()
    shift: tuple[int, ...] = ()
    value_bits: int = 0


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
        array = np.asarray(value)
        if array.ndim == 1:
            array = array[None, :]
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
            raise CompileError(f"constant '{name}': {array.dtype} of {array.ndim} axes: must be an integer matrix")
        low, high = _RANGE[DType(dtype)]
        if array.size and (array.min() < low or array.max() > high):
            worst = array.min() if array.min() < low else array.max()
            raise CompileError(f"constant '{name}': value {worst}: must be in {low}..{high} ({DType(dtype).value})")
        rows, columns = array.shape
        return self._tensor(name, (rows, columns), DType(dtype), array.astype(np.int64))

    def output(self, tensor: Tensor) -> Tensor:
        """Declare that the host reads ``tensor`` after a run."""
        if tensor.is_const or self._tensors.get(tensor.name) is not tensor:
            raise CompileError(f"output {tensor}: must be an input or a result of this graph")
        if tensor not in self.outputs:
            self.outputs.append(tensor)
        return tensor

    # --------------------------------------------------------------- operators

    def matmul(self, x: Tensor, w: Tensor, name: str = "") -> Tensor:
        """y[m, n] = sum_k x[m, k] * w[n, k]: int8 x [M, K], constant int8 w [N, K] -> int32 [M, N]."""
        name = name or self._auto_name(OpKind.MATMUL)
        self._require(x.dtype is DType.INT8, name, x, "activations must be int8")
        self._require(w.dtype is DType.INT8 and w.is_const, name, w, "weights must be an int8 constant")
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

    def argmax(self, x: Tensor, value_bits: int = 0, name: str = "") -> Tensor:
        """y[m, 0] = the lowest n of the largest x[m, n]: [M, N] -> int32 [M, 1].

        int32 values must fit ``value_bits`` signed bits, which the caller states; with b = bits of N - 1,
        value_bits + b must be at most 32.
        """
        name = name or self._auto_name(OpKind.ARGMAX)
        bits = 8 if x.dtype is DType.INT8 and not value_bits else value_bits
        self._require(1 <= bits <= 32, name, x, f"value_bits = {bits}: state the width of int32 values, 1..32")
        total = bits + (x.shape[1] - 1).bit_length()
        self._require(total <= 32, name, x, f"value_bits + index bits = {total}: must be at most 32")
        return self._op(OpKind.ARGMAX, name, (x,), (x.shape[0], 1), DType.INT32, value_bits=bits)

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

    def _tensor(
        self, name: str, shape: tuple[int, int], dtype: DType, value: NDArray[np.int64] | None = None
    ) -> Tensor:
        if name in self._tensors:
            raise CompileError(f"tensor '{name}': name is already taken: names must be unique")
        if len(shape) != 2 or min(shape) < 1:
            raise CompileError(f"tensor '{name}': shape {tuple(shape)}: must be (M, N), both at least 1")
        tensor = Tensor(name, (int(shape[0]), int(shape[1])), dtype, value)
        self._tensors[name] = tensor
        return tensor

    def _op(
        self,
        kind: OpKind,
        name: str,
        inputs: tuple[Tensor, ...],
        shape: tuple[int, int],
        dtype: DType,
        multiplier: tuple[int, ...] = (),
        shift: tuple[int, ...] = (),
        value_bits: int = 0,
    ) -> Tensor:
        for tensor in inputs:
            self._require(self._tensors.get(tensor.name) is tensor, name, tensor, "must belong to this graph")
        output = self._tensor(name, shape, dtype)
        self.ops.append(Op(kind, name, inputs, output, multiplier, shift, value_bits))
        return output

    def _binary(self, kind: OpKind, a: Tensor, b: Tensor, name: str) -> Tensor:
        name = name or self._auto_name(kind)
        self._require(a.shape == b.shape, name, b, f"must have the shape of {a}")
        mixed_mul = kind is OpKind.MUL and a.dtype is DType.INT32
        self._require(a.dtype is b.dtype or mixed_mul, name, b, f"must have the dtype of {a}")
        return self._op(kind, name, (a, b), a.shape, a.dtype)
