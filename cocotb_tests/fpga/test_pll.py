"""fpga/pll.py: dividers within the data sheets' limits that give the clock asked for, as well as icepll's do."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from fpga import FpgaError
from fpga.pll import MHZ, fastest_below, settings, solve

ECP5_CASES = [(25, 50), (25, 60), (25, 62.5), (50, 48), (100, 75), (12, 48)]
ICE40_CASES = [(12, 24), (12, 30), (100, 50), (16, 60)]


@pytest.mark.parametrize(("source", "wanted"), ECP5_CASES)
def test_ecp5_dividers_give_the_clock(source: float, wanted: float) -> None:
    found = solve("ecp5", round(source * MHZ), round(wanted * MHZ))
    d = found.parameters
    pfd = Fraction(source) / d["CLKI_DIV"]
    vco = pfd * d["CLKFB_DIV"] * d["CLKOP_DIV"]
    assert 10 <= pfd <= 400 and 400 <= vco <= 800 and vco * MHZ == found.vco_hz
    assert all(1 <= value <= 128 for value in d.values())
    assert vco / d["CLKOS_DIV"] == Fraction(wanted) == found.output_hz / MHZ


@pytest.mark.parametrize(("source", "wanted"), ICE40_CASES)
def test_ice40_dividers_give_the_clock(source: float, wanted: float) -> None:
    found = solve("ice40", round(source * MHZ), round(wanted * MHZ))
    d = found.parameters
    pfd = Fraction(source) / (d["DIVR"] + 1)
    vco = pfd * (d["DIVF"] + 1)
    assert 10 <= pfd <= 133 and 533 <= vco <= 1066
    assert d["DIVR"] < 16 and d["DIVF"] < 128 and 1 <= d["DIVQ"] <= 6
    assert abs(vco / 2 ** d["DIVQ"] - Fraction(wanted)) <= Fraction(wanted) / 1000


@pytest.mark.parametrize(("source", "wanted"), ICE40_CASES)
def test_icepll_agrees(source: float, wanted: float) -> None:
    said = subprocess.run(
        [Path(sys.executable).with_name("yowasp-icepll"), "-i", str(source), "-o", str(wanted)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    achieved = re.search(r"F_PLLOUT: +([\d.]+) MHz \(achieved\)", said)
    filter_range = re.search(r"FILTER_RANGE: (\d)", said)
    assert achieved is not None and filter_range is not None
    found = solve("ice40", round(source * MHZ), round(wanted * MHZ))
    assert abs(float(found.output_hz) / MHZ - wanted) <= abs(float(achieved[1]) - wanted) + 0.001
    assert re.search(rf"DIVR: +{found.parameters['DIVR']} ", said) is None or found.parameters["FILTER_RANGE"] == int(
        filter_range[1]
    )


def test_no_setting_leaves_the_limits() -> None:
    for setting in settings("ecp5", 25 * MHZ):
        assert 400 * MHZ <= setting.vco_hz <= 800 * MHZ and 3_125_000 <= setting.output_hz <= 400 * MHZ


@pytest.mark.parametrize(
    ("family", "source", "wanted", "message"),
    [
        ("ecp5", 25, 500, r"clock of 500 MHz: the ecp5 PLL does not make it from 25 MHz; nearest: 400 MHz"),
        ("ice40", 12, 12.5, r"clock of 12.5 MHz: the ice40 PLL does not make it from 12 MHz; nearest: 16.\d+ MHz"),
        ("ecp5", 5, 1, r"PLL input of 5 MHz: must be 8..400 MHz on ecp5"),
    ],
)
def test_unreachable_clocks_say_what_is_near(family: str, source: float, wanted: float, message: str) -> None:
    with pytest.raises(FpgaError, match=message):
        solve(family, round(source * MHZ), round(wanted * MHZ))


def test_the_fastest_clock_below_a_limit() -> None:
    assert fastest_below("ecp5", 25 * MHZ, 53.7e6) == 50e6
    assert fastest_below("ice40", 12 * MHZ, 1e6) is None
