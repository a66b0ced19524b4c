"""What all operators share: types, checks of operands, float32 tensors as the words streams carry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.numerics import Int32

Float32 = NDArray[np.float32]
Tensor = NDArray[np.int8] | NDArray[np.int32] | NDArray[np.float32]
DTYPES = (np.int8, np.int32, np.float32)


class OperatorError(ValueError):
    """Operands whose shapes, types or values do not fit; names operator, types, shapes and the rule."""


def require(condition: bool, name: str, rule: str, *operands: Tensor) -> None:
    """Raise OperatorError 'name: operands: rule' unless the condition holds."""
    if not condition:
        raise OperatorError(f"{name}: {', '.join(describe(operand) for operand in operands)}: {rule}")


def describe(tensor: Tensor) -> str:
    """Type and shape, as in ``int8 [2, 3]``."""
    return f"{tensor.dtype} {list(tensor.shape)}"


def is_matrix(x: Tensor, dtype: type[np.generic] = np.float32) -> bool:
    """Whether x is ``dtype`` [M, N] with M, N >= 1."""
    return x.dtype == dtype and x.ndim == 2 and x.size > 0


def is_row(x: Tensor, length: int, dtype: type[np.generic] = np.float32) -> bool:
    """Whether x is ``dtype`` [1, length]."""
    return x.dtype == dtype and x.shape == (1, length)


def words(x: Tensor) -> Int32:
    """The bits of a tensor already known to be float32."""
    return x.view(np.int32)


def singles(x: Int32) -> Float32:
    """The float32 values with these bits."""
    return x.view(np.float32)


def constant(value: float) -> Int32:
    """The word of f32(value)."""
    return np.asarray(value, np.float32).view(np.int32)
