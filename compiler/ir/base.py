"""What all builders of operators share: leaves of a graph, and the checks of operands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from compiler.ir.types import CompileError, DType, Iteration, Op, OpKind, Tensor

_RANGE = {DType.INT8: (-(1 << 7), (1 << 7) - 1), DType.INT32: (-(1 << 31), (1 << 31) - 1)}


@dataclass
class GraphBase:
    """Container of a graph: ``inputs``, ``ops`` in execution order, ``outputs``."""

    name: str = "graph"
    inputs: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    current_block: Iteration | None = None
    block_tensors: dict[Iteration, list[Tensor]] = field(default_factory=dict, repr=False)
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

    @contextmanager
    def iteration(self, block: str, number: int) -> Iterator[None]:
        """Operators and tensors of iteration ``number`` of a block: every iteration creates the same in that order.

        Blocks do not nest; what an iteration leaves to the next one is a state.
        """
        self.current_block = Iteration(block, number)
        self.block_tensors.setdefault(self.current_block, [])
        try:
            yield
        finally:
            self.current_block = None

    # ----------------------------------------------------------------- private

    def uses(self) -> Counter[Tensor]:
        """How often each tensor is read by operators."""
        return Counter(tensor for op in self.ops for tensor in op.inputs)

    def _require_weights(self, name: str, x: Tensor, w: Tensor) -> None:
        self._require(x.dtype is DType.INT8, name, x, "activations must be int8")
        self._require(
            w.dtype is DType.INT8 and w.value is not None, name, w, "weights must be an int8 constant or state"
        )
        self._require(w.shape[1] == x.shape[1], name, w, f"weights [N, K] must have K = {x.shape[1]} as {x}")

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
        if self.current_block is not None:
            self.block_tensors[self.current_block].append(tensor)
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
        self.ops.append(Op(kind, name, inputs, output, block=self.current_block, **more))
        return output

    def _in_place(self, kind: OpKind, name: str, cache: Tensor, row: Tensor, *more: Tensor) -> Tensor:
        self._require(cache.mutable, name, cache, "must be a state")
        self._require(row.dtype is cache.dtype, name, row, f"must have the dtype of {cache}")
        self._require(row.shape == (1, cache.shape[1]), name, row, f"must have shape [1, {cache.shape[1]}]")
        self._require_own(name, (cache, row, *more))
        self._reserve(name, cache)
        self.ops.append(Op(kind, name, (cache, row, *more), cache, block=self.current_block))
        return cache

    def _require_own(self, name: str, inputs: Sequence[Tensor]) -> None:
        for tensor in inputs:
            self._require(self._tensors.get(tensor.name) is tensor, name, tensor, "must belong to this graph")

    def _binary(self, kind: OpKind, a: Tensor, b: Tensor, name: str) -> Tensor:
        name = name or self._auto_name(kind)
        is_scale = a.dtype is DType.FP32 and b.shape in ((a.shape[0], 1), (1, 1))
        self._require(a.shape == b.shape or is_scale, name, b, f"must have the shape of {a}")
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
