"""The float32 operators of a Llama block: norm, attention weights, rotation, gate, table look-up, cache update."""

from __future__ import annotations

import math

import numpy as np

from golden.numerics import exp2, fadd, fmin, fmul, fsub, recip, rsqrt
from golden.operators.operands import (
    DTYPES,
    Float32,
    OperatorError,
    Tensor,
    constant,
    describe,
    is_matrix,
    is_row,
    require,
    singles,
    words,
)
from golden.operators.reductions import row_max, row_sum

_LOG2_E = math.log2(math.e)
_SMALLEST_NORMAL = 2.0**-126


def rms_norm(x: Float32, gain: Float32, eps: float) -> Float32:
    """y = (x * rsqrt(row_sum(x * x) * f32(1/N) + f32(eps))) * gain, RMSNorm (Zhang and Sennrich 2019).

    float32 [M, N] x float32 [1, N] -> float32 [M, N]. Raises OperatorError for other types or shapes, or unless
    f32(eps) is finite and at least 2^-126.
    """
    fits = is_matrix(x) and is_row(gain, x.shape[1])
    require(fits, "rms_norm", "must be float32 [M, N] and float32 [1, N]", x, gain)
    if not (_SMALLEST_NORMAL <= eps <= float(np.finfo(np.float32).max)):
        raise OperatorError(f"rms_norm: {describe(x)}: eps = {eps}: must be a normal float32 number above 0")
    squares = words(row_sum(singles(fmul(words(x), words(x)))))
    inverse = rsqrt(fadd(fmul(squares, constant(1 / x.shape[1])), constant(eps)))
    return singles(fmul(fmul(words(x), inverse), words(gain)))


def causal_limit(position: int, length: int) -> Float32:
    """Upper limit of each score for :func:`softmax`: +inf where n <= position, -inf beyond; float32 [1, length].

    Raises OperatorError unless position is an int32 number and length >= 1.
    """
    if not -(2**31) <= position < 2**31 or length < 1:
        raise OperatorError(f"causal_limit: position {position}, length {length}: must be int32 and at least 1")
    visible = np.arange(length) <= position
    return np.where(visible, np.float32(np.inf), np.float32(-np.inf))[np.newaxis]


def softmax(t: Float32, limit: Float32 | None = None) -> Float32:
    """y = e * recip(row_sum(e)), e = exp2((tm - row_max(tm)) * f32(log2 e)), tm = fmin(t, limit).

    float32 [M, N] (x float32 [1, N]) -> float32 [M, N]; where limit is -inf, y is +0.
    Contract: each row has a finite largest entry in tm. Raises OperatorError for other types or shapes.
    """
    operands = (t,) if limit is None else (t, limit)
    fits = is_matrix(t) and (limit is None or is_row(limit, t.shape[1]))
    require(fits, "softmax", "must be float32 [M, N] and, if given, float32 [1, N]", *operands)
    masked = words(t) if limit is None else fmin(words(t), words(limit))
    below = fsub(masked, words(row_max(singles(masked))))
    e = exp2(fmul(below, constant(_LOG2_E)))
    return singles(fmul(e, recip(words(row_sum(singles(e))))))


def rope(x: Float32, cos: Float32, sin: Float32) -> Float32:
    """Rotate each pair (x[i], x[i + N/2]) by one angle, RoPE (Su et al. 2021) on [even | odd] halves:
    y[i] = x[i] * cos[i] - x[i + N/2] * sin[i], y[i + N/2] = x[i + N/2] * cos[i] + x[i] * sin[i].

    float32 [M, N], N even, x float32 [1, N/2] twice -> float32 [M, N]. Raises OperatorError for other types or shapes.
    """
    half = x.shape[-1] // 2 if x.ndim else 0
    fits = is_matrix(x) and x.shape[1] % 2 == 0 and is_row(cos, half) and is_row(sin, half)
    require(fits, "rope", "must be float32 [M, N], N even, and float32 [1, N/2] twice", x, cos, sin)
    e, o, c, s = words(x[:, :half]), words(x[:, half:]), words(cos), words(sin)
    rotated = (fsub(fmul(e, c), fmul(o, s)), fadd(fmul(o, c), fmul(e, s)))
    return singles(np.concatenate(rotated, axis=1))


def silu_mul(a: Float32, b: Float32) -> Float32:
    """y = (a * recip(exp2(a * f32(-log2 e)) + 1)) * b, the gate of SwiGLU (Shazeer 2020).

    float32 [M, N] twice -> float32 [M, N]. Raises OperatorError for other types or shapes.
    """
    fits = is_matrix(a) and is_matrix(b) and a.shape == b.shape
    require(fits, "silu_mul", "must both be float32 of one shape [M, N]", a, b)
    sigmoid = recip(fadd(exp2(fmul(words(a), constant(-_LOG2_E))), constant(1)))
    return singles(fmul(fmul(words(a), sigmoid), words(b)))


def gather(table: Tensor, index: int) -> Tensor:
    """Row ``index`` of a table: [V, N] -> [1, N], of the table's type.

    Raises OperatorError for other types or shapes, or an index outside 0..V-1.
    """
    fits = table.dtype in DTYPES and table.ndim == 2
    require(fits, "gather", "must be int8, int32 or float32 [V, N]", table)
    _check_index("gather", table, index)
    return table[index : index + 1].copy()


def scatter(cache: Tensor, index: int, row: Tensor) -> Tensor:
    """A copy of the cache with row ``index`` replaced: [P, N], [1, N] of one type -> [P, N].

    Raises OperatorError for other types or shapes, or an index outside 0..P-1.
    """
    fits = cache.dtype in DTYPES and cache.ndim == 2 and row.dtype == cache.dtype and row.shape == (1, cache.shape[1])
    require(fits, "scatter", "must be [P, N] and [1, N], both int8, int32 or float32", cache, row)
    _check_index("scatter", cache, index)
    updated = cache.copy()
    updated[index] = row[0]
    return updated


def _check_index(name: str, table: Tensor, index: int) -> None:
    if not 0 <= index < table.shape[0]:
        raise OperatorError(f"{name}: {describe(table)}: index {index}: must be in 0..{table.shape[0] - 1}")
