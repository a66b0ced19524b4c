"""int32 arithmetic and requantisation on numpy int32 arrays; results wrap modulo 2^32 unless they say otherwise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdl.config import LpuConfig
from hdl.isa import SHIFT_BITS, RequantOp

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

INT8_MIN, INT8_MAX = -128, 127
MAX_SHIFT = (1 << SHIFT_BITS) - 1
_WIDEST_SHIFT = 62
"""Products have at most 48 bits, so shifts beyond this give what this one gives, and fit int64."""


class NumericsError(ValueError):
    """A number that a requantisation word cannot hold; names value and range."""


# ------------------------------------------------------------------------ widths


def wrap32(values: ArrayLike) -> Int32:
    """Signed int32 congruent to values modulo 2^32."""
    return np.asarray(values, np.int64).astype(np.int32)


def saturate_int8(values: ArrayLike) -> Int8:
    """min(max(values, -128), 127)."""
    clipped: Int8 = np.clip(np.asarray(values), INT8_MIN, INT8_MAX).astype(np.int8)
    return clipped


def sign_extend(values: ArrayLike, bits: int) -> Int64:
    """The low ``bits`` bits of each value, read as two's complement."""
    half = np.int64(1) << (bits - 1)
    return ((np.asarray(values, np.int64) & (2 * half - 1)) ^ half) - half


def int32_to_planes(values: Int32) -> Bytes:
    """int32 [lanes] -> bytes [4, lanes]: stream j of an SG4 carries byte j, least significant first."""
    return np.ascontiguousarray(values, np.dtype("<i4")).view(np.uint8).reshape(-1, 4).T


def planes_to_int32(planes: Bytes) -> Int32:
    """Bytes [4, lanes] of an SG4 -> int32 [lanes]."""
    return np.ascontiguousarray(planes.T).view(np.dtype("<i4"))[:, 0]


# ---------------------------------------------------------------- requantisation


def shift_half_even(products: Int64, shift: ArrayLike) -> Int64:
    """Round products / 2^shift to nearest, ties to even, for shift in 0..63."""
    s = np.minimum(np.asarray(shift, np.int64), _WIDEST_SHIFT)
    floor = products >> s
    remainder, half = products - (floor << s), (np.int64(1) << s) >> 1
    up = (remainder > half) | ((remainder == half) & (floor & 1 == 1) & (s > 0))
    rounded: Int64 = floor + up
    return rounded


def requant_alu(config: LpuConfig, op: RequantOp, x: Int32, y: Int32) -> Int32:
    """One element of the REQUANT pipe on x [lanes] and requantisation words y [lanes] = {shift, multiplier}."""
    wide, m_mask = x.astype(np.int64), (1 << config.mult_bits) - 1
    multiplier = y.astype(np.int64) & m_mask
    shift = (y.astype(np.int64) >> config.mult_bits) & MAX_SHIFT
    match op:
        case RequantOp.PASS:
            return x
        case RequantOp.REQUANT:
            return wrap32(shift_half_even(wide * multiplier, shift))
        case RequantOp.SHR:
            return wrap32((wide * multiplier) >> np.minimum(shift, _WIDEST_SHIFT))
        case RequantOp.MUL:
            return wrap32(wide * sign_extend(multiplier, config.mult_bits))


def requantise(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> Int8:
    """saturate_int8(wrap32(round_half_even(acc * multiplier / 2^shift))); multiplier and shift broadcast over acc.

    The wrap is the pipe's: a scale above 1 may leave int32 before the result saturates.
    """
    products = np.asarray(acc, np.int64) * np.asarray(multiplier, np.int64)
    return saturate_int8(wrap32(shift_half_even(products, shift)))


def pack_requant_word(config: LpuConfig, multiplier: int, shift: int) -> int:
    """{shift, multiplier} as the y operand of the REQUANT pipe. Raises NumericsError naming value and range."""
    for name, value, maximum in (("multiplier", multiplier, (1 << config.mult_bits) - 1), ("shift", shift, MAX_SHIFT)):
        if not 0 <= value <= maximum:
            raise NumericsError(f"config '{config.name}': requant {name} = {value}: must be in 0..{maximum}")
    return shift << config.mult_bits | multiplier


def choose_requant(config: LpuConfig, real_scale: float) -> tuple[int, int]:
    """(multiplier, shift) with multiplier / 2^shift nearest to ``real_scale``, the multiplier's top bit set.

    Scales below the smallest normalised one keep shift 63 and lose bits.
    Raises NumericsError when the scale is not positive and finite, too large, or rounds to 0.
    """
    if not (math.isfinite(real_scale) and real_scale > 0):
        raise NumericsError(f"config '{config.name}': scale = {real_scale}: must be positive and finite")
    _, exponent = math.frexp(real_scale)  # scale = f * 2^exponent, 1/2 <= f < 1
    shift = min(config.mult_bits - exponent, MAX_SHIFT)
    multiplier = round(math.ldexp(real_scale, shift))
    if multiplier == 1 << config.mult_bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift < 0 or multiplier == 0:
        raise NumericsError(
            f"config '{config.name}': scale = {real_scale}: must lie within 2^-{MAX_SHIFT}..2^{config.mult_bits} - 1"
        )
    return multiplier, shift
