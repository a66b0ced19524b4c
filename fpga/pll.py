"""PLL dividers for a wanted clock, exact in integers, within the limits of the parts' data sheets.

ECP5 (FPGA-DS-02012, "sysCLOCK PLL timing"), with the feedback through output CLKOP and the clock on CLKOS:
    f_PFD = f_in / CLKI_DIV;  f_VCO = f_PFD * CLKFB_DIV * CLKOP_DIV;  f = f_VCO / CLKOS_DIV
iCE40 (FPGA-DS-02029, -02008, "sysCLOCK PLL timing"), feedback path SIMPLE:
    f_PFD = f_in / (DIVR + 1);  f_VCO = f_PFD * (DIVF + 1);  f = f_VCO / 2^DIVQ
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from fpga import FpgaError

MHZ = 1_000_000
TOLERANCE = Fraction(1, 1000)
"""How far a clock may be from the one asked for; the UART divides the clock that comes out."""


@dataclass(frozen=True)
class Limits:
    """Frequencies that a PLL works at, each (lowest, highest) in Hz."""

    input: tuple[int, int]
    pfd: tuple[int, int]
    vco: tuple[int, int]
    output: tuple[int, int]


ECP5_LIMITS = Limits(
    input=(8 * MHZ, 400 * MHZ),
    pfd=(10 * MHZ, 400 * MHZ),
    vco=(400 * MHZ, 800 * MHZ),
    output=(3_125_000, 400 * MHZ),
)
ICE40_LIMITS = Limits(
    input=(10 * MHZ, 133 * MHZ),
    pfd=(10 * MHZ, 133 * MHZ),
    vco=(533 * MHZ, 1066 * MHZ),
    output=(16 * MHZ, 275 * MHZ),
)
LIMITS: Mapping[str, Limits] = {"ecp5": ECP5_LIMITS, "ice40": ICE40_LIMITS}
ECP5_DIVIDER = 128
ECP5_FEEDBACK = 80
"""Largest CLKFB_DIV."""
ICE40_FILTER = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5), (134, 6))
"""FILTER_RANGE for f_PFD below so many MHz."""


@dataclass(frozen=True)
class PllSetting:
    """Dividers, under the names of the PLL's parameters, and the frequencies in Hz that they give."""

    family: str
    input_hz: int
    vco_hz: Fraction
    output_hz: Fraction
    dividers: tuple[tuple[str, int], ...]

    @property
    def parameters(self) -> dict[str, int]:
        return dict(self.dividers)


def _within(value: Fraction, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _ecp5(input_hz: int) -> Iterator[PllSetting]:
    limits = ECP5_LIMITS
    for clki in range(1, ECP5_DIVIDER + 1):
        pfd = Fraction(input_hz, clki)
        if not _within(pfd, limits.pfd):
            continue
        for clkfb in range(1, ECP5_FEEDBACK + 1):
            if not _within(pfd * clkfb, limits.output):
                continue
            for clkop in range(1, ECP5_DIVIDER + 1):
                vco = pfd * clkfb * clkop
                if _within(vco, limits.vco):
                    for clkos in range(1, ECP5_DIVIDER + 1):
                        names = (("CLKI_DIV", clki), ("CLKFB_DIV", clkfb), ("CLKOP_DIV", clkop), ("CLKOS_DIV", clkos))
                        yield PllSetting("ecp5", input_hz, vco, vco / clkos, names)


def _ice40(input_hz: int) -> Iterator[PllSetting]:
    limits = ICE40_LIMITS
    for divr in range(16):
        pfd = Fraction(input_hz, divr + 1)
        if not _within(pfd, limits.pfd):
            continue
        filter_range = next(value for below, value in ICE40_FILTER if pfd < below * MHZ)
        for divf in range(128):
            vco = pfd * (divf + 1)
            if _within(vco, limits.vco):
                for divq in range(1, 7):
                    names = (("DIVR", divr), ("DIVF", divf), ("DIVQ", divq), ("FILTER_RANGE", filter_range))
                    yield PllSetting("ice40", input_hz, vco, vco / 2**divq, names)


SETTINGS = {"ecp5": _ecp5, "ice40": _ice40}


def settings(family: str, input_hz: int) -> list[PllSetting]:
    """Every setting within the part's limits. Raises FpgaError for an input that the PLL does not take."""
    limits = LIMITS[family]
    if not _within(Fraction(input_hz), limits.input):
        low, high = (bound / MHZ for bound in limits.input)
        raise FpgaError(f"PLL input of {input_hz / MHZ:g} MHz: must be {low:g}..{high:g} MHz on {family}")
    return [s for s in SETTINGS[family](input_hz) if _within(s.output_hz, limits.output)]


def solve(family: str, input_hz: int, wanted_hz: int) -> PllSetting:
    """The setting nearest to ``wanted_hz``; of several, the highest f_VCO (least jitter), then small dividers.

    Raises FpgaError with the nearest reachable frequencies when none is within TOLERANCE.
    """
    found = settings(family, input_hz)
    best = min(found, key=lambda s: (abs(s.output_hz - wanted_hz), -s.vco_hz, s.dividers))
    if abs(best.output_hz - wanted_hz) > TOLERANCE * wanted_hz:
        below = max((s.output_hz for s in found if s.output_hz < wanted_hz), default=None)
        above = min((s.output_hz for s in found if s.output_hz > wanted_hz), default=None)
        near = " and ".join(f"{float(hz) / MHZ:.4g}" for hz in (below, above) if hz is not None)
        raise FpgaError(
            f"clock of {wanted_hz / MHZ:g} MHz: the {family} PLL does not make it from {input_hz / MHZ:g} MHz; "
            f"nearest: {near} MHz"
        )
    return best


def fastest_below(family: str, input_hz: int, limit_hz: float) -> float | None:
    """Highest reachable frequency that is not above ``limit_hz``, rounded down to whole MHz where one is reachable."""
    reachable = {s.output_hz for s in settings(family, input_hz) if s.output_hz <= limit_hz}
    whole = {hz for hz in reachable if hz % MHZ == 0}
    return float(max(whole or reachable)) if reachable else None
