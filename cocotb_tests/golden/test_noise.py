"""golden/operators/noise.py: its definition one number at a time, and whether it is Gumbel noise.

Statistics are of fixed counters, so that they are the same in every run. ``excess`` is in standard deviations.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from cocotb_tests.golden import binary32 as b32
from cocotb_tests.golden.test_special import exact_exp2, exact_nlog2
from golden import operators
from golden.operators.noise import MOST_CHANNELS, WEYL, channel_keys

Float64 = NDArray[np.float64]
CHANNELS, POSITIONS = 512, 800
STARTS = (0, 0x6A09E667, 0xBB67AE85)
"""Counters at position 0: of the least seed, and two more."""
LARGEST_EXCESS = 4.5
ONE = np.ones((1, 1), np.float32)


def counter(value: int) -> NDArray[np.int32]:
    return np.array([[value % 2**32]], np.uint32).view(np.int32)


def rows(counters: list[int], n: int = CHANNELS) -> Float64:
    """Noise by counter and channel."""
    return np.concatenate([operators.gumbel(counter(value), ONE, n) for value in counters]).astype(np.float64)


def uniforms(gumbels: Float64) -> Float64:
    """Distribution function of the noise: uniform in 0..1."""
    return np.exp(-np.exp(-gumbels))


@functools.cache
def sequence(start: int) -> Float64:
    """uniforms [POSITIONS, CHANNELS] of a sequence."""
    return uniforms(rows([start + p * WEYL for p in range(POSITIONS)]))


def excess(observed: NDArray[np.int64], expected: Float64 | float) -> float:
    """Chi-square less its degrees of freedom, over its standard deviation."""
    freedom = observed.size - 1
    return float((((observed - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def uniform_excess(u: Float64, bins: int) -> float:
    return excess(np.bincount(np.floor(u * bins).astype(int).ravel(), minlength=bins), u.size / bins)


def pair_excess(a: Float64, b: Float64, bins: int = 16) -> float:
    """Of the pairs (a, b) in bins x bins cells."""
    cells = np.floor(a * bins).astype(int) * bins + np.floor(b * bins).astype(int)
    return excess(np.bincount(cells.ravel(), minlength=bins**2), a.size / bins**2)


def correlation(a: Float64, b: Float64) -> float:
    """Correlation coefficient times sqrt(number of pairs): a standard normal number if there is none."""
    return float(((a - 0.5) * (b - 0.5)).mean() * 12 * np.sqrt(a.size))


# -------------------------------------------------------------------- definition

PHI = 0x3FCF1BBD
"""(1 + sqrt 5) / 2"""


def product(a: int, b: int) -> int:
    return b32.nearest(b32.value(a) * b32.value(b))


def single(n: int) -> int:
    """The word of the fp32 number nearest to an integer."""
    return b32.nearest(Fraction(n))


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def scalar_gumbel(c: int, key: int, scale: int) -> int:
    w = product(single(signed(c)), PHI)
    for _ in range(3):
        w = product(single((w ^ c) % 2**18), PHI)
    b = w % 2**23 | 0x41A00401
    f = (c % 2**23 | 0x3F800000) ^ key
    t = product(b, exact_exp2(product(b, f))) % 2**13
    place = b32.nearest(t + b32.value(f))
    log_u = signed(exact_nlog2(place)) - signed(exact_nlog2(single(8193))) + 4
    log_e = signed(exact_nlog2(single(log_u))) + 197373598  # (23 - log2 ln 2) 2^23
    return product(single(log_e), product(scale, b32.nearest(Fraction(np.log(2)) / 2**23)))


@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize("c", [0, 1, 0x80000000, 0xFFFFFFFF, 0x00800000, 0x12345678, 0xDEADBEEF])
def test_definition(c: int, scale: float) -> None:
    temperature = np.full((1, 1), scale, np.float32)
    noise = b32.listed(operators.gumbel(counter(c), temperature, CHANNELS).view(np.int32)[0])
    for i in (0, 1, 15, 16, 100, 511):
        key = (i * 1267 % 2**11 << 12) + (i * (2 * i + 1) * 2533 + 1459) % 2**12
        assert noise[i] == scalar_gumbel(c, key, int(temperature.view(np.int32)[0, 0]))


def test_temperature_0_is_no_noise() -> None:
    assert not operators.gumbel(counter(5), 0 * ONE, CHANNELS).any()


def test_a_channel_does_not_depend_on_their_number() -> None:
    assert np.array_equal(rows([7], 16)[0], rows([7], MOST_CHANNELS)[0, :16])


def test_keys_differ_in_both_halves() -> None:
    keys = channel_keys(MOST_CHANNELS)[0]
    assert keys.min() >= 0 and keys.max() < 1 << 23
    assert len(set(keys >> 12)) == len(set(keys & 0xFFF)) == MOST_CHANNELS


def test_noise_is_finite() -> None:
    edges = [0, 1, -1, 1 << 31, (1 << 31) - 1, *(1 << k for k in range(31)), *(-(1 << k) for k in range(31))]
    noise = rows(edges, MOST_CHANNELS)
    assert -2.21 < noise.min() < -2 and 11 < noise.max() < 15


@pytest.mark.parametrize(
    ("value", "scale", "n", "shown"),
    [
        (np.zeros((1, 1), np.int64), ONE, 4, "int64 [1, 1]"),
        (np.zeros((1, 2), np.int32), ONE, 4, "int32 [1, 2]"),
        (counter(0), np.ones((1, 1)), 4, "float64 [1, 1]"),
        (counter(0), np.ones((1, 2), np.float32), 4, "float32 [1, 2]"),
        (counter(0), ONE, 0, "n = 0"),
        (counter(0), ONE, 2049, "n = 2049"),
    ],
)
def test_operands_that_do_not_fit(value: NDArray[np.int32], scale: NDArray[np.float32], n: int, shown: str) -> None:
    with pytest.raises(operators.OperatorError, match=r"noise: .*must be int32 \[1, 1\], float32 \[1, 1\]") as error:
        operators.gumbel(value, scale, n)
    assert shown in str(error.value)


# -------------------------------------------------------------------- uniformity


@pytest.mark.parametrize("start", STARTS)
def test_uniform(start: int) -> None:
    """All channels and positions; the positions of each channel; the channels of each position."""
    u = sequence(start)
    assert abs(uniform_excess(u, 256)) < LARGEST_EXCESS
    for part in (u.T, u):
        found = np.array([uniform_excess(line, 16) for line in part])
        assert abs(found.mean()) * np.sqrt(len(found)) < LARGEST_EXCESS
        assert 0.85 < found.std() < 1.15 and found.max() < 7


@pytest.mark.parametrize("start", STARTS)
def test_moments_of_rows(start: int) -> None:
    """Means of rows are as variable as those of independent numbers: their channels are neither alike nor even."""
    u = sequence(start)
    for values, variance in ((u, 1 / 12), (u**2, 4 / 45), (np.cos(2 * np.pi * u), 1 / 2)):
        assert abs(values.mean(1).var() * CHANNELS / variance - 1) * np.sqrt(POSITIONS / 2) < LARGEST_EXCESS


# ------------------------------------------------------------------ independence

LAGS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)
"""Neighbours, and the same lane of neighbouring tiles on every core."""


@pytest.mark.parametrize("lag", LAGS)
def test_channels_and_positions_are_independent(lag: int) -> None:
    for start in STARTS:
        u = sequence(start)
        for a, b in ((u[:, lag:], u[:, :-lag]), (u[lag:], u[:-lag])):
            assert abs(pair_excess(a, b)) < LARGEST_EXCESS
            assert abs(correlation(a, b)) < LARGEST_EXCESS


@pytest.mark.parametrize("bit", range(32))
def test_counters_that_differ_in_a_bit(bit: int) -> None:
    """Also those one power of two apart. The differences of two channels, modulo 1, have nothing in common either."""
    counters = [int(c) for c in np.random.default_rng(bit).integers(0, 1 << 32, 40)]
    u = uniforms(rows(counters, 256))
    for others in ([c ^ 1 << bit for c in counters], [c + (1 << bit) for c in counters]):
        v = uniforms(rows(others, 256))
        assert abs(pair_excess(u, v, 8)) < LARGEST_EXCESS
        assert abs(uniform_excess((u - v) % 1, 64)) < LARGEST_EXCESS
        turned = np.roll(u, 1, axis=1) - np.roll(v, 1, axis=1)
        assert abs(uniform_excess((u - v - turned) % 1, 64)) < LARGEST_EXCESS


def test_pairs_of_channels() -> None:
    """No two channels have much in common: correlations of two harmonics of u, over positions."""
    u = sequence(STARTS[1])
    waves = np.concatenate([f(2 * np.pi * m * u) for m in (1, 2) for f in (np.cos, np.sin)], axis=1) * np.sqrt(2)
    found = waves.T @ waves / np.sqrt(POSITIONS)
    other = np.arange(4 * CHANNELS) % CHANNELS
    found = found[other[:, np.newaxis] != other]
    assert np.abs(found).max() < 6 and abs((found**2).mean() - 1) < 0.01


# ------------------------------------------------------------------ distribution


@pytest.mark.parametrize("start", STARTS)
def test_distribution(start: int) -> None:
    """Kolmogorov and Smirnov: the greatest difference of distribution functions is as by chance."""
    u = np.sort(sequence(start), axis=None)
    steps = np.arange(u.size) / u.size
    assert max((u - steps).max(), (steps + 1 / u.size - u).max()) * np.sqrt(u.size) < 1.95  # once in 1000


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_argmax_samples_softmax(temperature: float) -> None:
    """Chi-square over 16 classes, some of them rare; the classes are each 16 channels in turn."""
    logits = np.random.default_rng(3).normal(0, 1.2, 16)
    noise = rows([STARTS[2] + p * WEYL for p in range(POSITIONS)]).reshape(-1, 16)
    chosen = np.bincount((logits / temperature + noise).argmax(1), minlength=16)
    weights = np.exp(logits / temperature)
    assert excess(chosen, weights / weights.sum() * len(noise)) < LARGEST_EXCESS
