"""The boards: what amaranth-boards calls them, and what the core on them is.

Pins, clocks, parts and packages are amaranth-boards' own; this table only says which core at which clock.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpga import FpgaError


@dataclass(frozen=True)
class Board:
    """One row: ``platform`` is ``module:Class`` of amaranth-boards.

    ``clock_mhz`` is the core's clock, made by the PLL unless it is the board's own; ``baud`` the serial line's rate on
    resource ``uart`` 0. ``pll_pad``: the clock pin is the iCE40 PLL's own (SB_PLL40_PAD). ``runs``: the board is one
    that `lpu fpga run` talks to; the others are build-only. ``seed``: the first one to place with; 0 is nextpnr's own.
    """

    name: str
    platform: str
    preset: str
    clock_mhz: float
    baud: int = 1_000_000
    pll_pad: bool = False
    runs: bool = False
    seed: int = 1

    def load(self) -> Any:
        """A new platform object; it serves one build."""
        module, name = self.platform.split(":")
        return getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()

    @property
    def part(self) -> str:
        """Device and package, as the platform names them."""
        platform = self.load()
        speed = getattr(platform, "speed", None)
        return "-".join(filter(None, (platform.device, speed, platform.package)))


BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        Board("icebreaker", "icebreaker:ICEBreakerPlatform", "nano", 21, pll_pad=True, runs=True),
        Board("ulx3s_85f", "ulx3s:ULX3S_85F_Platform", "ulx3s_narrow", 50, runs=True, seed=0),
        Board("icesugar", "icesugar:ICESugarPlatform", "nano", 21, pll_pad=True),
        Board("ulx3s_12f", "ulx3s:ULX3S_12F_Platform", "nano", 50),
        Board("ulx3s_25f", "ulx3s:ULX3S_25F_Platform", "nano", 50),
        Board("ulx3s_45f", "ulx3s:ULX3S_45F_Platform", "nano", 50),
        Board("colorlight_5a75b", "colorlight_5a75b_r7_0:Colorlight_5A75B_R70Platform", "nano", 50),
        Board("icepi_zero", "icepi_zero:IcepiZero1_3Platform", "nano", 50),
        Board("icesugar_pro", "icesugar_pro:ICESugarProPlatform", "nano", 50),
        Board("ecpix5_45f", "ecpix5:ECPIX545Platform", "nano", 50),
        Board("ecpix5_85f", "ecpix5:ECPIX585Platform", "nano", 50),
        Board("ecp5_5g_evn", "ecp5_5g_evn:ECP55GEVNPlatform", "nano", 48),
        Board("versa_ecp5", "versa_ecp5:VersaECP5Platform", "nano", 50),
    )
}


def board(name: str) -> Board:
    """The board of that name. Raises FpgaError that lists the known ones."""
    if name not in BOARDS:
        raise FpgaError(f"unknown board '{name}'; boards: {', '.join(BOARDS)}")
    return BOARDS[name]
