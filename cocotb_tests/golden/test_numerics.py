"""Integer operations of the INT and REQUANT pipes against python's unbounded integers and fractions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from golden import numerics
from golden.numerics import Int32, NumericsError
from hdl.config import LpuConfig, preset
from hdl.isa import IntOp, RequantOp

NANO, SMALL = preset("tiny"), preset("small")
EDGES = [-(2**31), -(2**31) + 1, -129, -128, -3, -2, -1, 0, 1, 2, 3, 127, 128, 2**31 - 1]


def to_int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def operands(seed: int, count: int = 4000) -> tuple[list[int], list[int]]:
    """All pairs of edges, then random pairs of every magnitude."""
    rng = random.Random(seed)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    pairs += [
        (to_int32(rng.getrandbits(32) >> rng.randrange(32)), to_int32(-(rng.getrandbits(32) >> rng.randrange(32))))
        for _ in range(count)
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def array(values: list[int]) -> Int32:
    return np.array(values, np.int32)


INT_VALUES: dict[IntOp, Callable[[int, int, bool, int], int]] = {
    IntOp.PASS: lambda x, y, f, imm: x,
    IntOp.ADD: lambda x, y, f, imm: to_int32(x + y),
    IntOp.SUB: lambda x, y, f, imm: to_int32(x - y),
    IntOp.RSUB: lambda x, y, f, imm: to_int32(y - x),
    IntOp.MAX: lambda x, y, f, imm: max(x, y),
    IntOp.MIN: lambda x, y, f, imm: min(x, y),
    IntOp.AND: lambda x, y, f, imm: x & y,
    IntOp.OR: lambda x, y, f, imm: x | y,
    IntOp.XOR: lambda x, y, f, imm: x ^ y,
    IntOp.GT: lambda x, y, f, imm: x,
    IntOp.EQ: lambda x, y, f, imm: x,
    IntOp.SELECT: lambda x, y, f, imm: x if f else y,
    IntOp.PICK: lambda x, y, f, imm: y if f else imm,
}


@pytest.mark.parametrize("op", INT_VALUES)
def test_int_alu(op: IntOp) -> None:
    xs, ys = operands(int(op))
    flags = [bool((i * 7) % 3) for i in range(len(xs))]
    value, flag = numerics.int_alu(op, array(xs), array(ys), np.array(flags), -77)
    assert value.tolist() == [INT_VALUES[op](x, y, f, -77) for x, y, f in zip(xs, ys, flags, strict=True)]
    compare = {IntOp.GT: lambda x, y: x > y, IntOp.EQ: lambda x, y: x == y}.get(op)
    expected = flags if compare is None else [compare(x, y) for x, y in zip(xs, ys, strict=True)]
    assert flag.tolist() == expected


def test_every_int_operation_is_defined() -> None:
    x = array(EDGES)
    assert all(numerics.int_alu(op, x, x[::-1], x > 0, 0)[0].dtype == np.int32 for op in IntOp)


def requant_value(config: LpuConfig, op: RequantOp, x: int, y: int) -> int:
    bits = config.mult_bits
    m, s = y % 2**bits, (y >> bits) % 64
    signed_m = m - 2**bits if m >= 2 ** (bits - 1) else m
    match op:
        case RequantOp.PASS:
            return x
        case RequantOp.REQUANT:
            return to_int32(round(Fraction(x * m, 2**s)))
        case RequantOp.SHR:
            return to_int32(math.floor(Fraction(x * m, 2**s)))
        case RequantOp.MUL:
            return to_int32(x * signed_m)


@pytest.mark.parametrize("config", [NANO, SMALL], ids=lambda c: c.name)
@pytest.mark.parametrize("op", RequantOp)
def test_requant_alu(config: LpuConfig, op: RequantOp) -> None:
    xs, ys = operands(100 + int(op))
    for s in range(64):  # every shift at the products' extremes and around ties
        for x in (*EDGES, 2**s % 2**31, 3 * 2**s // 2 % 2**31, -(2**s % 2**31)):
            for m in (0, 1, 3, 2 ** (config.mult_bits - 1), 2**config.mult_bits - 1):
                xs.append(to_int32(x))
                ys.append(to_int32(s << config.mult_bits | m))
    result = numerics.requant_alu(config, op, array(xs), array(ys))
    assert result.tolist() == [requant_value(config, op, x, y) for x, y in zip(xs, ys, strict=True)]


def test_shift_half_even_is_pythons_rounding() -> None:
    values = np.arange(-1025, 1026)
    for s in range(12):
        assert numerics.shift_half_even(values, s).tolist() == [round(Fraction(int(v), 2**s)) for v in values]


def test_wrap_and_saturate() -> None:
    assert numerics.wrap32([2**31, -(2**31) - 1, 2**32 + 5, -1]).tolist() == [-(2**31), 2**31 - 1, 5, -1]
    assert numerics.saturate_int8(array([-(2**31), -129, -128, 0, 127, 128])).tolist() == [
        -128,
        -128,
        -128,
        0,
        127,
        127,
    ]


def test_sign_extend() -> None:
    assert numerics.sign_extend([0, 7, 8, 15, 16 + 9], 4).tolist() == [0, 7, -8, -1, -7]


def test_planes_are_little_endian() -> None:
    values = array([0x04030201, -2, 0, 2**31 - 1])
    planes = numerics.int32_to_planes(values)
    assert planes[:, 0].tolist() == [1, 2, 3, 4]
    assert planes[:, 1].tolist() == [254, 255, 255, 255]
    assert numerics.planes_to_int32(planes).tolist() == values.tolist()


def test_requantise_per_tensor_and_per_channel() -> None:
    rng = random.Random(5)
    acc = [[to_int32(rng.getrandbits(32) >> rng.randrange(32)) for _ in range(3)] for _ in range(300)]
    multipliers, shifts = [200, 65535, 1], [9, 30, 0]

    def scalar(value: int, m: int, s: int) -> int:
        return max(-128, min(127, to_int32(round(Fraction(value * m, 2**s)))))

    per_tensor = numerics.requantise(np.array(acc), 200, 9)
    assert per_tensor.tolist() == [[scalar(v, 200, 9) for v in row] for row in acc]
    per_channel = numerics.requantise(np.array(acc), np.array(multipliers), np.array(shifts))
    assert per_channel.tolist() == [
        [scalar(v, m, s) for v, m, s in zip(row, multipliers, shifts, strict=True)] for row in acc
    ]
    assert per_tensor.dtype == per_channel.dtype == np.int8


def test_pack_requant_word() -> None:
    assert numerics.pack_requant_word(NANO, 0x81, 5) == 0x581
    assert numerics.pack_requant_word(SMALL, 0x8001, 63) == 0x3F8001


@pytest.mark.parametrize(
    ("multiplier", "shift", "message"),
    [
        (256, 0, r"config 'tiny': requant multiplier = 256: must be in 0\.\.255"),
        (-1, 0, r"requant multiplier = -1: must be in 0\.\.255"),
        (1, 64, r"requant shift = 64: must be in 0\.\.63"),
        (1, -1, r"requant shift = -1: must be in 0\.\.63"),
    ],
)
def test_pack_requant_word_range(multiplier: int, shift: int, message: str) -> None:
    with pytest.raises(NumericsError, match=message):
        numerics.pack_requant_word(NANO, multiplier, shift)


@pytest.mark.parametrize("config", [NANO, SMALL], ids=lambda c: c.name)
def test_choose_requant_is_the_nearest_normalised_representation(config: LpuConfig) -> None:
    rng = random.Random(9)
    low, high = 2 ** (config.mult_bits - 1), 2**config.mult_bits
    for _ in range(300):
        scale = math.ldexp(rng.random() + 1e-6, rng.randint(-30, 4))
        multiplier, shift = numerics.choose_requant(config, scale)
        assert low <= multiplier < high
        error = abs(Fraction(multiplier, 2**shift) - Fraction(scale))
        rivals = [
            Fraction(m, 2**s) for s in (shift - 1, shift, shift + 1) for m in (low, multiplier - 1, multiplier + 1)
        ]
        assert all(error <= abs(rival - Fraction(scale)) for rival in rivals)


def test_choose_requant_edges() -> None:
    assert numerics.choose_requant(NANO, 1.0) == (128, 7)
    assert numerics.choose_requant(NANO, 255.75 / 256) == (128, 7), "rounding up to 2^8 renormalises"
    assert numerics.choose_requant(NANO, 255.0) == (255, 0)
    assert numerics.choose_requant(SMALL, 2.0**-63) == (1, 63)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_choose_requant_rejects_what_is_no_scale(scale: float) -> None:
    with pytest.raises(NumericsError, match=r"config 'tiny': scale = \S+: must be positive and finite"):
        numerics.choose_requant(NANO, scale)


@pytest.mark.parametrize("scale", [256.0, 255.75, 2.0**-70])
def test_choose_requant_rejects_scales_out_of_range(scale: float) -> None:
    with pytest.raises(NumericsError, match=r"scale = \S+: must lie within 2\^-63\.\.2\^8 - 1"):
        numerics.choose_requant(NANO, scale)
