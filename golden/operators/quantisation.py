"""float32 <-> int8: activations to codes, products back to values."""

from __future__ import annotations

import numpy as np

from golden.numerics import Int8, Int32, f2i8, fmul, i2f, recip
from golden.operators.operands import Float32, constant, is_matrix, is_row, require, singles, words
from golden.operators.reductions import row_absmax


def quantise(x: Float32) -> tuple[Int8, Float32]:
    """Codes and scale of each row: s = row_absmax(x) * f32(1/127), q = f2i8(x * recip(s)), x ~ q * s.

    float32 [M, N] -> (int8 [M, N] in -127..127, float32 [M, 1]); a row of zeros has codes and scale 0.
    Contract: rows are finite, and zero or of a largest magnitude of at least 2^-119 (1.5e-36); below, the scale is
    flushed to 0 and the codes mean nothing. Raises OperatorError unless x is float32 [M, N].
    """
    require(is_matrix(x), "quantise", "must be float32 [M, N]", x)
    scale = fmul(words(row_absmax(x)), constant(1 / 127))
    return _codes(fmul(words(x), recip(scale))), singles(scale)


def quantise_static(x: Float32, factor: Float32 | np.float32 | float) -> Int8:
    """q = f2i8(x * factor): float32 [M, N] x float32 [1, N], or one number taken as f32 -> int8 in -128..127.

    Raises OperatorError for other types or shapes.
    """
    factors = np.asarray(factor, None if isinstance(factor, np.ndarray) else np.float32)
    fits = is_matrix(x) and (not isinstance(factor, np.ndarray) or is_row(factors, x.shape[1]))
    require(fits, "quantise_static", "must be float32 [M, N] and float32 [1, N] or a number", x, factors)
    return _codes(fmul(words(x), words(factors)))


def rescale(acc: Int32, factor: Float32) -> Int8:
    """q = f2i8(i2f(acc) * factor): int32 [M, N] x float32 [1, N] -> int8 in -128..127. Raises OperatorError."""
    fits = is_matrix(acc, np.int32) and is_row(factor, acc.shape[1])
    require(fits, "rescale", "must be int32 [M, N] and float32 [1, N]", acc, factor)
    return _codes(fmul(i2f(acc), words(factor)))


def dequantise(acc: Int32 | Int8, weight_scale: Float32, row_scale: Float32 | None = None) -> Float32:
    """y = (i2f(acc) * weight_scale) * row_scale, the last factor only if given.

    int32 or int8 [M, N] x float32 [1, N] x float32 [M, 1] -> float32 [M, N]. Raises OperatorError for other types
    or shapes.
    """
    operands = (acc, weight_scale) if row_scale is None else (acc, weight_scale, row_scale)
    fits = (is_matrix(acc, np.int32) or is_matrix(acc, np.int8)) and is_row(weight_scale, acc.shape[1])
    if row_scale is not None:
        fits = fits and row_scale.dtype == np.float32 and row_scale.shape == (acc.shape[0], 1)
    rule = "must be int32 or int8 [M, N], float32 [1, N] and, if given, float32 [M, 1]"
    require(fits, "dequantise", rule, *operands)
    y = fmul(i2f(acc.astype(np.int32)), words(weight_scale))
    return singles(y if row_scale is None else fmul(y, words(row_scale)))


def _codes(x: Int32) -> Int8:
    return f2i8(x).astype(np.int8)


def to_float(acc: Int32 | Int8) -> Float32:
    """y = i2f(acc): int32 or int8 [M, N] -> float32 [M, N]. Raises OperatorError."""
    fits = is_matrix(acc, np.int32) or is_matrix(acc, np.int8)
    require(fits, "to_float", "must be int32 or int8 [M, N]", acc)
    return singles(i2f(acc.astype(np.int32)))
