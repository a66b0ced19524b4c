"""REQUANT pipe against ``golden.numerics.requant_alu``."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.units.vectors import assert_same, held, run_pipe
from golden.numerics import Int32, requant_alu
from hdl.config import preset
from hdl.isa.opcodes import SHIFT_BITS, RequantOp
from hdl.vector.requant_pipe import RequantPipe

pytestmark = pytest.mark.rtl
SHIFTS = 1 << SHIFT_BITS
EDGES = np.array([0, 1, -1, 2, 3, -3, 127, -128, 2**31 - 1, -(2**31), 2**31 - 2, -(2**31) + 1, 0x55555555], np.int64)
Ints = NDArray[np.int64]


def edge_elements(bits: int) -> Ints:
    """(op, x, word): every operation at every shift on edges of x and of the multiplier."""
    multipliers = (0, 1, 2, 3, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1)
    words = [shift << bits | m for shift, m in itertools.product(range(SHIFTS), multipliers)]
    return np.array(list(itertools.product(RequantOp, EDGES, words)), np.int64).T


def tied_elements(rng: np.random.Generator, bits: int, count: int) -> Ints:
    """Products with few digits at shifts near their length: ties, and one unit to either side of them."""
    zeros = rng.integers(0, 30, count)
    x = (rng.integers(-64, 64, count) << zeros) + rng.integers(-1, 2, count)
    shift = np.clip(zeros + rng.integers(0, 6, count), 0, SHIFTS - 1)
    return np.stack(
        [rng.choice([RequantOp.REQUANT, RequantOp.SHR], count), x, shift << bits | rng.integers(1, 5, count)]
    )


def random_elements(rng: np.random.Generator, count: int) -> Ints:
    """Uniform words, with garbage above the shift."""
    x, word = rng.integers(-(2**31), 2**31, (2, count))
    return np.stack([rng.choice(list(RequantOp), count), x >> rng.integers(0, 32, count), word])


def golden(bits: int, op: Ints, x: Int32, word: Int32) -> Int32:
    config, values = preset("tiny").replace(mult_bits=bits), np.zeros(len(op), np.int32)
    for operation in RequantOp:
        here = op == operation
        values[here] = requant_alu(config, operation, x[here], word[here])
    return values


@pytest.mark.parametrize("bits", [8, 16])
def test_requant_pipe(bits: int) -> None:
    """One element a cycle, a tenth of the cycles bubbles; latency 3."""
    rng = np.random.default_rng(bits)
    elements = [edge_elements(bits), tied_elements(rng, bits, 500_000), random_elements(rng, 500_000)]
    op, wide_x, wide_word = np.concatenate(elements, axis=1)
    x, word, valid = wide_x.astype(np.int32), wide_word.astype(np.int32), rng.random(len(op)) < 0.9
    words = run_pipe(RequantPipe(bits), op, x, word, valid=valid, extra=3)
    expected = held(golden(bits, op, x, word), valid, latency=3)
    assert_same(words, expected, latency=3, op=op, x=x, y=word)
