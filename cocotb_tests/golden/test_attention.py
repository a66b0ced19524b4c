"""golden/operators attention: one head against softmax in float64, all of it in the written order, and beyond range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cocotb_tests.golden.scalar32 import exp2, r32, recip
from golden import operators
from golden.operators import OperatorError

LANES, HEADS, ROWS, WIDTH = 16, 2, 4, 8
"""Two kv heads of 8 channels in a tile, two query heads for each: rows of q and of divisors, a tile for two of them."""


@dataclass
class Case:
    q: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    divisor: np.ndarray
    scale: np.ndarray

    def run(self, position: int, positions: int, first: int = 0) -> np.ndarray:
        mask = operators.causal_mask(position, positions, LANES, 1, first)
        found: np.ndarray = operators.attention(
            self.q, self.keys, self.values, mask, self.scale, self.divisor, HEADS, first
        )
        return found


def case(seed: int, scale: float, positions: int = 64) -> Case:
    rng = np.random.default_rng(seed)
    own = np.arange(LANES) // WIDTH == np.arange(ROWS)[:, None] % HEADS
    q, keys, values = (rng.integers(-127, 128, (n, LANES)).astype(np.int8) for n in (ROWS, positions, positions))
    divisor = np.where(own, rng.uniform(0.8, 1.5, (ROWS, LANES)), np.inf).astype(np.float32)
    return Case((q * own).astype(np.int8), keys, values, divisor, np.full((ROWS, 1), scale, np.float32))


@pytest.mark.parametrize("scale", [2e-5, 3e-4, 1e-3])
@pytest.mark.parametrize("position", [0, 9, 63])
def test_attention_is_softmax_times_values(scale: float, position: int) -> None:
    """Probabilities err by half a code of the largest, over and under the line; then half a code of the result."""
    c = case(1, scale)
    seen = slice(0, position + 1)
    exponents = (c.q.astype(np.float64) @ c.keys[seen].T.astype(np.float64)) * float(c.scale[0, 0])
    p = np.exp2(exponents - exponents.max(axis=1, keepdims=True))
    mixed = p / p.sum(axis=1, keepdims=True) @ c.values[seen].astype(np.float64)
    expected = (mixed / c.divisor).reshape(ROWS // HEADS, HEADS, LANES).sum(axis=1).reshape(1, -1)
    lost = (position + 1) * 0.51 / 127 / p.sum(axis=1).min()
    allowed = 2 * lost * 127 / 0.8 + 0.6
    assert np.all(np.abs(c.run(position, 64) - np.clip(expected, -128, 127)) <= allowed)


def test_attention_rounds_in_the_written_order() -> None:
    c, position = case(2, 3e-4, 32), 20
    expected = []
    for tile in range(ROWS // HEADS):
        total = [0.0] * LANES
        for r in range(tile * HEADS, (tile + 1) * HEADS):
            scores = [float(c.q[r].astype(int) @ c.keys[i].astype(int)) for i in range(position + 1)]
            e = [exp2(r32(score * float(c.scale[r, 0]))) for score in scores]
            inverse = recip(r32(max(e) * r32(1 / 127)))
            p = [round(r32(v * inverse)) for v in e]
            for lane in range(LANES):
                mixed = float(sum(code * int(c.values[i, lane]) for i, code in enumerate(p)))
                part = (
                    r32(mixed * recip(r32(sum(p) * float(c.divisor[r, lane])))) if lane // WIDTH == r % HEADS else 0.0
                )
                total[lane] = r32(total[lane] + part)
        expected += [round(v) for v in total]
    assert c.run(position, 32).tolist() == [np.clip(expected, -128, 127).tolist()]


@pytest.mark.parametrize("position", [32, 47, 63])
def test_positions_before_the_first_need_no_mask(position: int) -> None:
    c = case(3, 3e-4)
    assert np.array_equal(c.run(position, 64, 32), c.run(position, 64))


def test_a_position_that_a_smaller_bucket_serves_is_refused() -> None:
    for position in (31, 64, -1):
        with pytest.raises(
            OperatorError, match=rf"causal_mask: position {position}: must be in 32..63, those of the m"
        ):
            case(3, 3e-4).run(position, 64, 32)
    with pytest.raises(OperatorError, match=r"causal_mask: positions 8\.\.63: must be some groups of 16"):
        operators.causal_mask(9, 64, 16, 1, 8)


def one_score(exponent: float) -> Case:
    """Two positions, exponents ``exponent`` and far less; values 100 and -100, divisors 1."""
    c = case(4, 1.0, 16)
    c.q[:], c.keys[:], c.values[:] = 0, 0, -100
    c.q[:, 0] = 1
    c.keys[:, 0], c.keys[0, 0] = -127, 1
    c.values[0] = 100
    c.divisor = np.where(np.isinf(c.divisor), np.float32(np.inf), np.float32(1))
    c.q[1::2, 0], c.q[1::2, WIDTH] = 0, 1
    c.keys[:, WIDTH] = c.keys[:, 0]
    c.scale[:] = exponent
    if exponent < 0:
        c.keys[1:, [0, WIDTH]] = 127
    return c


@pytest.mark.parametrize("exponent", [1, 60, 127.5, -1, -60, -118])
def test_the_largest_exponent_may_be_anywhere_in_range(exponent: float) -> None:
    assert one_score(exponent).run(15, 16).tolist() == [[100] * 32]


@pytest.mark.parametrize("exponent", [128, 1e4, -127, -1e4])
def test_beyond_it_attention_is_zero(exponent: float) -> None:
    """2^x is infinite or 0: so are the reciprocals, and codes of NaN are 0."""
    assert one_score(exponent).run(15, 16).tolist() == [[0] * 32]
