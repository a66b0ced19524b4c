"""The operators of one token's block in int8 and float32: norm with quantisation, rotated projection, attention."""

from __future__ import annotations

import math

import numpy as np

from golden.numerics import Int8, Int32, exp2, f2i8, fadd, fmul, fsub, i2f, recip, rsqrt
from golden.operators.integer import matmul
from golden.operators.operands import Float32, OperatorError, constant, is_matrix, is_row, require, singles, words
from golden.operators.reductions import row_max, row_sum

_CODES = 127
"""The largest code; probabilities are codes of 1/127."""


def inverse_norm(x: Float32, eps: float) -> Float32:
    """s = rsqrt(row_sum(x * x) + f32(N eps)): x * sqrt(N) s is RMSNorm (Zhang and Sennrich 2019).

    float32 [1, N] -> float32 [1, 1]. Raises OperatorError for other types or shapes.
    """
    require(is_matrix(x) and len(x) == 1, "inverse_norm", "must be float32 [1, N]", x)
    squares = words(row_sum(singles(fmul(words(x), words(x)))))
    return singles(rsqrt(fadd(squares, constant(x.shape[1] * eps))))


def rope_project(x: Int8, weights: Int8, cos: Float32, sin: Float32, scale: Float32, factor: Float32) -> Int8:
    """Projection, rotation of channels 2i and 2i + 1 by one angle, and codes, RoPE (Su et al. 2021).

    a = i2f(weights x) in T tiles of L, y[c] = a[c] * cos[c] + a[c ^ 1] * sin[c ^ 1] (sin holds the sign),
    row r = f2i8((y[tile r T / R] * scale) * factor[r]).

    int8 [1, K], int8 [T L, K], float32 [1, L] twice, [1, 1], [R, L] -> int8 [R, L].
    Raises OperatorError for other types or shapes.
    """
    lanes = factor.shape[-1]
    fits = is_matrix(factor) and is_row(cos, lanes) and is_row(sin, lanes) and weights.shape[0] % lanes == 0
    fits = fits and is_matrix(scale) and scale.shape == (1, 1)
    rule = "must be int8 [1, K], int8 [T L, K], float32 [1, L] twice, [1, 1], [R, L]"
    require(fits, "rope_project", rule, cos, sin, scale, factor)
    a = i2f(matmul(x, weights)).reshape(-1, lanes)
    y = fmul(fadd(fmul(a, words(cos)), fmul(a, words(sin))[:, np.arange(lanes) ^ 1]), words(scale))
    if len(factor) % len(y):
        raise OperatorError(f"rope_project: {len(factor)} rows of {len(y)} tiles: must be a multiple")
    return f2i8(fmul(np.repeat(y, len(factor) // len(y), axis=0), words(factor))).astype(np.int8)


def attention(
    q: Int8, keys: Int8, values: Int8, mask: Float32, scale: Float32, factor: Float32, heads_per_tile: int
) -> Int8:
    """Attention of one token over the first P positions of two caches, heads in rows of q, lanes as the core has them.

    With L lanes in C superlanes of S, a value is in C tiles of a row of ``values``, its lanes of superlane c in tile c;
    mask holds each S positions C times, so that P = mask.shape[1] / C. Row r belongs to tile r // heads_per_tile of T,
    and that to tile j = tile J // T of the J tiles of a key:
    t = i2f(keys[:P, tile j] q[r]) + mask, p = f2i8(exp2((t - (row_max(t) - margin)) * scale[r])), the largest 127 by
    margin = f32(log2(127) / scale[r]); o[tile] = sum in order of r of
    (i2f(p values[:P, tile j]) * recip(i2f(sum p))) * factor[r], f2i8 of that.

    int8 [R, L], int8 [>= P, J L], [>= P, J C L], float32 [1, P C], [R, 1], [R, L] -> int8 [1, T L].
    Raises OperatorError for other types or shapes.
    """
    rows, lanes = q.shape
    superlanes = values.shape[1] // keys.shape[1]
    fits = is_row(mask, mask.shape[-1]) and factor.shape == q.shape and len(keys) == len(values)
    require(fits, "attention", "must be int8 [R, L], two caches, float32 [1, P] and [R, L]", q, mask, factor)
    once = mask.reshape(-1, superlanes, lanes // superlanes)[:, 0].reshape(1, -1)
    length, shared = once.shape[1], rows // heads_per_tile * lanes // keys.shape[1]
    own = np.arange(lanes) // (lanes // superlanes) * lanes + np.arange(lanes)
    sums: list[Int32] = []
    for r in range(rows):
        j = r // heads_per_tile // shared
        p = _probabilities(matmul(q[r : r + 1], keys[:length, j * lanes : (j + 1) * lanes]), once, scale[r])
        whole = i2f(p.sum(axis=1, keepdims=True, dtype=np.int64).astype(np.int32))
        mixed = i2f(matmul(p, values[:length, j * superlanes * lanes + own].T))
        o = fmul(fmul(mixed, recip(whole)), words(factor[r : r + 1]))
        sums.append(o if r % heads_per_tile == 0 else fadd(sums.pop(), o))
    return f2i8(np.concatenate(sums, axis=1)).astype(np.int8)


def _probabilities(scores: Int32, mask: Float32, scale: Float32) -> Int8:
    t = fadd(i2f(scores), words(mask))
    below = fsub(t, fsub(words(row_max(singles(t))), words(margin(scale))))
    return f2i8(exp2(fmul(below, words(scale)))).astype(np.int8)


def margin(scale: Float32) -> Float32:
    """How far below the largest exponent 2^0 is, so that 2^largest is the largest code: f32(log2(127) / scale)."""
    return (math.log2(_CODES) / scale.astype(np.float64)).astype(np.float32)


def exp2_gate(x: Float32, scale: Float32, factor: Float32) -> Float32:
    """y = (x * factor) * recip(exp2(x * scale) + 1): silu(s x) c for scale = -s log2(e), factor = s c (SwiGLU,
    Shazeer 2020).

    float32 [M, N] and [1, 1] twice -> float32 [M, N]. Raises OperatorError for other types or shapes.
    """
    fits = is_matrix(x) and all(is_matrix(one) and one.shape == (1, 1) for one in (scale, factor))
    require(fits, "exp2_gate", "must be float32 [M, N] and [1, 1] twice", x, scale, factor)
    sigmoid = recip(fadd(exp2(fmul(words(x), words(scale))), constant(1)))
    return singles(fmul(fmul(words(x), words(factor)), sigmoid))
