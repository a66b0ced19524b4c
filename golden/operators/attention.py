"""The operators of one token's block in int8 and float32: norm, rotated projection, attention, gate."""

from __future__ import annotations

import numpy as np

from golden.numerics import Int8, Int32, exp2, f2i8, fadd, fmul, i2f, recip, rsqrt
from golden.operators.integer import matmul
from golden.operators.operands import Float32, OperatorError, constant, is_matrix, is_row, require, singles, words
from golden.operators.reductions import row_max, row_sum

_CODES = 127
"""The largest code; probabilities are codes of 1/127."""


def inverse_norm(x: Float32, eps: float) -> Float32:
    """s = rsqrt(row_sum(x * x) + f32(N eps)): x * sqrt(N) s is RMSNorm (Zhang and Sennrich 2019).

    float32 [1, N] -> float32 [1, 1]. Raises OperatorError for other types or shapes.
    """
    return singles(rsqrt(_sum_of_squares("inverse_norm", x, eps)))


def gate_norm(x: Float32, factor: Float32, eps: float) -> tuple[Float32, Float32]:
    """s = rsqrt(t), d = t * factor of t = row_sum(x * x) + f32(N eps), so that d = factor / s^2.

    float32 [1, N], [1, 1] -> float32 [1, 1] twice. Raises OperatorError for other types or shapes.
    """
    require(is_matrix(factor) and factor.shape == (1, 1), "gate_norm", "must be float32 [1, 1]", factor)
    total = _sum_of_squares("gate_norm", x, eps)
    return singles(rsqrt(total)), singles(fmul(total, words(factor)))


def _sum_of_squares(name: str, x: Float32, eps: float) -> Int32:
    require(is_matrix(x) and len(x) == 1, name, "must be float32 [1, N]", x)
    squares = words(row_sum(singles(fmul(words(x), words(x)))))
    return fadd(squares, constant(x.shape[1] * eps))


def rope_project(x: Int8, weights: Int8, cos: Float32, sin: Float32, scale: Float32, factor: Float32) -> Int8:
    """Projection, rotation of channels 2i and 2i + 1 by one angle, and codes, RoPE (Su et al. 2021).

    a = i2f(weights x) in T tiles of L, y[c] = a[c] * cos[c] + a[c ^ 1] * sin[c ^ 1] (sin holds the sign),
    row r = f2i8((y[tile r T / R] * factor[r]) * scale).

    int8 [1, K], int8 [T L, K], float32 [1, L] twice, [1, 1], [R, L] -> int8 [R, L].
    Raises OperatorError for other types or shapes.
    """
    lanes = factor.shape[-1]
    fits = is_matrix(factor) and is_row(cos, lanes) and is_row(sin, lanes) and weights.shape[0] % lanes == 0
    fits = fits and is_matrix(scale) and scale.shape == (1, 1)
    rule = "must be int8 [1, K], int8 [T L, K], float32 [1, L] twice, [1, 1], [R, L]"
    require(fits, "rope_project", rule, cos, sin, scale, factor)
    a = i2f(matmul(x, weights)).reshape(-1, lanes)
    y = fadd(fmul(a, words(cos)), fmul(a, words(sin))[:, np.arange(lanes) ^ 1])
    if len(factor) % len(y):
        raise OperatorError(f"rope_project: {len(factor)} rows of {len(y)} tiles: must be a multiple")
    z = fmul(np.repeat(y, len(factor) // len(y), axis=0), words(factor))
    return f2i8(fmul(z, words(scale))).astype(np.int8)


def attention(
    q: Int8,
    keys: Int8,
    values: Int8,
    mask: Float32,
    scale: Float32,
    divisor: Float32,
    heads_per_tile: int,
    first: int = 0,
) -> Int8:
    """Attention of one token over the first P positions of two caches, heads in rows of q, lanes as the core has them.

    With L lanes in C superlanes of S, a value is in C tiles of a row of ``values``, its lanes of superlane c in tile c;
    mask holds the positions from ``first`` on, each S of them C times, so that P = first + mask.shape[1] / C. Row r
    belongs to tile r // heads_per_tile of T, and that to tile j = tile J // T of the J tiles of a key:
    e = exp2((i2f(keys[:P, tile j] q[r]) + mask) * scale[r]), mask 0 before ``first``;
    p = f2i8(e * recip(max e * f32(1/127)));
    o[tile] = sum in order of r of i2f(p values[:P, tile j]) * recip(i2f(sum p) * divisor[r]), f2i8 of that.

    Softmax without the largest score's subtraction: where the largest exponent is beyond 127, or all are below -126, p
    and o are 0; where the largest is below -119, every p of an e that is not 0 is 127.

    int8 [R, L], int8 [>= P, J L], [>= P, J C L], float32 [1, (P - first) C], [R, 1], [R, L] -> int8 [1, T L].
    Raises OperatorError for other types or shapes.
    """
    rows, lanes = q.shape
    superlanes = values.shape[1] // keys.shape[1]
    fits = is_row(mask, mask.shape[-1]) and divisor.shape == q.shape and len(keys) == len(values)
    require(fits, "attention", "must be int8 [R, L], two caches, float32 [1, P] and [R, L]", q, mask, divisor)
    once = mask.reshape(-1, superlanes, lanes // superlanes)[:, 0].reshape(1, -1)
    once = np.pad(once, ((0, 0), (first, 0)))
    length, shared = once.shape[1], rows // heads_per_tile * lanes // keys.shape[1]
    own = np.arange(lanes) // (lanes // superlanes) * lanes + np.arange(lanes)
    sums: list[Int32] = []
    for r in range(rows):
        j = r // heads_per_tile // shared
        p = _probabilities(matmul(q[r : r + 1], keys[:length, j * lanes : (j + 1) * lanes]), once, scale[r])
        whole = i2f(p.sum(axis=1, keepdims=True, dtype=np.int64).astype(np.int32))
        mixed = i2f(matmul(p, values[:length, j * superlanes * lanes + own].T))
        o = fmul(mixed, recip(fmul(whole, words(divisor[r : r + 1]))))
        sums.append(o if r % heads_per_tile == 0 else fadd(sums.pop(), o))
    return f2i8(np.concatenate(sums, axis=1)).astype(np.int8)


def _probabilities(scores: Int32, mask: Float32, scale: Float32) -> Int8:
    e = exp2(fmul(fadd(i2f(scores), words(mask)), words(scale)))
    step = fmul(words(row_max(singles(e))), constant(1 / _CODES))
    return f2i8(fmul(e, recip(step))).astype(np.int8)


def exp2_gate(a: Float32, product: Float32, scale: Float32, divisor: Float32) -> Int8:
    """y = f2i8(product * recip((exp2(a * scale) + 1) * divisor)): silu(s g) s u c of gate g and value u (SwiGLU,
    Shazeer 2020) for a = -log2(e) g, product = a u, scale = s, divisor = -log2(e) / (s^2 c).

    float32 [M, N] twice, [1, 1] twice -> int8 [M, N]. Raises OperatorError for other types or shapes.
    """
    fits = is_matrix(a) and is_matrix(product) and a.shape == product.shape
    fits = fits and all(is_matrix(one) and one.shape == (1, 1) for one in (scale, divisor))
    require(fits, "exp2_gate", "must be float32 [M, N] and [1, 1], each twice", a, product, scale, divisor)
    grown = fadd(exp2(fmul(words(a), words(scale))), constant(1))
    return f2i8(fmul(words(product), recip(fmul(grown, words(divisor))))).astype(np.int8)
