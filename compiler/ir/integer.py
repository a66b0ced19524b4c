"""Builders of matrix products and integer operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.ir.base import GraphBase
from compiler.ir.types import DType, OpKind, Tensor


class IntegerOperators(GraphBase):
    """Matrix products, requantisation and element-wise operators."""

    def matmul(self, x: Tensor, w: Tensor, name: str = "") -> Tensor:
        """y[m, n] = sum_k x[m, k] * w[n, k]: int8 x [M, K], constant or state int8 w [N, K] -> int32 [M, N]."""
        name = name or self._auto_name(OpKind.MATMUL)
        self._require_weights(name, x, w)
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
