"""Element-wise operators on two tensors of one type: int8 saturates, int32 wraps, float32 follows golden.numerics.

Shapes broadcast. All raise OperatorError for operands of two types, other types, or shapes that do not broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from golden.numerics import Int32, Int64, fadd, fmax, fmin, fmul, fsub, saturate_int8, wrap32
from golden.operators.operands import DTYPES, OperatorError, Tensor, describe, require, singles, words

_INTEGER: Mapping[str, Callable[[Int64, Int64], Int64]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
_FLOAT: Mapping[str, Callable[[Int32, Int32], Int32]] = {
    "add": fadd,
    "subtract": fsub,
    "multiply": fmul,
    "maximum": fmax,
    "minimum": fmin,
}


def add(a: Tensor, b: Tensor) -> Tensor:
    """Sum a + b."""
    return _elementwise("add", a, b)


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """Difference a - b."""
    return _elementwise("subtract", a, b)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product a * b."""
    return _elementwise("multiply", a, b)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """Larger of a and b; float32 as FMAX: -0 < +0, NaN where either is NaN."""
    return _elementwise("maximum", a, b)


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """Smaller of a and b; float32 as FMIN: -0 < +0, NaN where either is NaN."""
    return _elementwise("minimum", a, b)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), of x's type; float32 as FMAX with +0, so that -0 becomes +0."""
    require(x.dtype in DTYPES, "relu", "must be int8, int32 or float32", x)
    return _elementwise("maximum", x, np.zeros((), x.dtype))


def _elementwise(name: str, a: Tensor, b: Tensor) -> Tensor:
    _check_pair(name, a, b)
    if a.dtype == np.float32:
        return singles(_FLOAT[name](words(a), words(b)))
    exact = _INTEGER[name](a.astype(np.int64), b.astype(np.int64))
    return saturate_int8(exact) if a.dtype == np.int8 else wrap32(exact)


def _check_pair(name: str, a: Tensor, b: Tensor) -> None:
    require(a.dtype == b.dtype and a.dtype in DTYPES, name, "must both be int8, int32 or float32", a, b)
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise OperatorError(f"{name}: {describe(a)}, {describe(b)}: shapes must broadcast") from None
