"""Tensor-level golden operators: what a compiled model must compute, bit for bit, whatever the machine does.

Tensors are numpy int8 or int32. int32 results wrap modulo 2^32, int8 results saturate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.numerics import Int8, Int32, requantise, saturate_int8, wrap32

__all__ = [
    "OperatorError",
    "add",
    "add_bias",
    "argmax",
    "matmul",
    "maximum",
    "minimum",
    "multiply",
    "relu",
    "requantise",
    "subtract",
]

Tensor = NDArray[np.int8] | NDArray[np.int32]


class OperatorError(ValueError):
    """Operands whose shapes or types do not fit; names operator, both shapes and types."""


def matmul(x: Int8, weights: Int8) -> Int32:
    """y[m, n] = sum_k x[m, k] * weights[n, k]: int8 [..., M, K] x int8 [N, K] -> int32 [..., M, N].

    Raises OperatorError for other types or a different K.
    """
    if x.dtype != np.int8 or weights.dtype != np.int8 or weights.ndim != 2 or x.shape[-1] != weights.shape[1]:
        raise OperatorError(f"matmul: {_describe(x)} x {_describe(weights)}: must be int8 [..., K] x int8 [N, K]")
    # float64 holds these sums exactly (|sum| <= K * 2^14) and multiplies far faster than integers do.
    return wrap32((x.astype(np.float64) @ weights.astype(np.float64).T).astype(np.int64))


def add_bias(acc: Int32, bias: Int32) -> Int32:
    """acc[..., n] + bias[n], int32. Raises OperatorError for other types or a different N."""
    if acc.dtype != np.int32 or bias.dtype != np.int32 or acc.shape[-1:] != bias.shape:
        raise OperatorError(f"add_bias: {_describe(acc)} + {_describe(bias)}: must be int32 [..., N] + int32 [N]")
    return wrap32(acc.astype(np.int64) + bias)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), of x's type."""
    return np.maximum(x, x.dtype.type(0))


def add(a: Tensor, b: Tensor) -> Tensor:
    """Sum a + b; all element-wise operators here broadcast and want one type. Raise OperatorError."""
    _check_pair("add", a, b)
    return _narrow(a.astype(np.int64) + b, a)


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """Difference a - b, see :func:`add`."""
    _check_pair("subtract", a, b)
    return _narrow(a.astype(np.int64) - b, a)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product a * b, see :func:`add`."""
    _check_pair("multiply", a, b)
    return _narrow(a.astype(np.int64) * b, a)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """Larger of a and b, see :func:`add`."""
    _check_pair("maximum", a, b)
    return np.maximum(a, b)


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """Smaller of a and b, see :func:`add`."""
    _check_pair("minimum", a, b)
    return np.minimum(a, b)


def argmax(x: Tensor) -> NDArray[np.int64]:
    """Index of the largest value along the last axis; the lowest index among equals."""
    index: NDArray[np.int64] = np.argmax(x, axis=-1)
    return index


def _narrow(exact: NDArray[np.int64], like: Tensor) -> Tensor:
    return saturate_int8(exact) if like.dtype == np.int8 else wrap32(exact)


def _check_pair(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype != b.dtype or a.dtype not in (np.int8, np.int32):
        raise OperatorError(f"{name}: {_describe(a)}, {_describe(b)}: must both be int8 or both int32")
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise OperatorError(f"{name}: {_describe(a)}, {_describe(b)}: shapes must broadcast") from None


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
