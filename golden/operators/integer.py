"""Operators of the matrix unit."""

from __future__ import annotations

import numpy as np

from golden.numerics import Int8, Int32, wrap32
from golden.operators.operands import require


def matmul(x: Int8, weights: Int8) -> Int32:
    """y[m, n] = sum_k x[m, k] * weights[n, k]: int8 [..., M, K] x int8 [N, K] -> int32 [..., M, N].

    Raises OperatorError for other types or a different K.
    """
    fits = x.ndim > 0 and weights.ndim == 2 and x.shape[-1] == weights.shape[1]
    typed = x.dtype == np.int8 and weights.dtype == np.int8
    require(fits and typed, "matmul", "must be int8 [..., K] and int8 [N, K]", x, weights)
    # float64 holds these sums exactly (|sum| <= K * 2^14) and multiplies far faster than integers do.
    return wrap32((x.astype(np.float64) @ weights.astype(np.float64).T).astype(np.int64))


def add_bias(acc: Int32, bias: Int32) -> Int32:
    """acc[..., n] + bias[n], int32. Raises OperatorError for other types or a different N."""
    fits = bias.ndim == 1 and acc.shape[-1:] == bias.shape
    typed = acc.dtype == np.int32 and bias.dtype == np.int32
    require(fits and typed, "add_bias", "must be int32 [..., N] and int32 [N]", acc, bias)
    return wrap32(acc.astype(np.int64) + bias)
