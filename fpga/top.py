"""What stands between a board's pins and ``lpu_board``: clock, reset, serial line, an LED."""

from __future__ import annotations

import re
from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from fpga.design import TOP
from fpga.pll import PllSetting

HOLD_SECONDS = 20e-6
"""Reset outlasts the PLL's lock by this: block RAM of an iCE40 reads as zeros for the first 3 us."""


class BoardTop(Elaboratable):
    """``lpu_board`` on a board: PLL (none when the board's own clock is the core's), reset, UART 0 and LED 0.

    Reset: until the PLL has locked and HOLD_SECONDS have passed, and while the board's reset button is pressed.
    """

    def __init__(self, pll: PllSetting | None, clock_hz: float, pll_pad: bool = False) -> None:
        self._pll, self._clock_hz, self._pll_pad = pll, clock_hz, pll_pad

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        locked = self._clock(m, platform)
        self._reset(m, platform, locked)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx_buffer = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_buffer = tx = io.Buffer("o", uart.tx)
        running = Signal()
        m.submodules.lpu = Instance(
            TOP,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_rx=rx.i,
            o_tx=tx.o,
            o_running=running,
        )
        if ("led", 0) in platform.resources:
            m.submodules.led_buffer = led = io.Buffer("o", platform.request("led", 0, dir="-"))
            m.d.comb += led.o.eq(running)
        return m

    def _clock(self, m: Module, platform: Any) -> Signal | Const:
        """Drive the clock of domain ``sync``; returns whether it is stable."""
        m.domains.sync = ClockDomain()
        port = platform.request(platform.default_clk, dir="-")
        if self._pll is not None and self._pll_pad:
            locked = Signal()
            ports = {"i_PACKAGEPIN": port.io, "o_PLLOUTGLOBAL": ClockSignal(), "o_LOCK": locked}
            m.submodules.pll = Instance("SB_PLL40_PAD", **_ice40_parameters(self._pll), **ports)
            return locked
        m.submodules.clock_buffer = buffer = io.Buffer("i", port)
        if self._pll is None:
            m.d.comb += ClockSignal().eq(buffer.i)
            return Const(1)
        locked = Signal()
        if self._pll.family == "ice40":
            ports = {"i_REFERENCECLK": buffer.i, "o_PLLOUTGLOBAL": ClockSignal(), "o_LOCK": locked}
            m.submodules.pll = Instance("SB_PLL40_CORE", **_ice40_parameters(self._pll), **ports)
        else:
            m.submodules.pll = _ecp5_pll(self._pll, buffer.i, locked)
        return locked

    def _reset(self, m: Module, platform: Any, locked: Signal | Const) -> None:
        """Hold the reset of ``sync``, released with its clock, HOLD_SECONDS after ``locked``."""
        m.domains.start = ClockDomain(local=True)
        m.d.comb += ClockSignal("start").eq(ClockSignal())
        pressed: Any = Const(0)
        if platform.default_rst is not None:
            m.submodules.reset_buffer = button = io.Buffer("i", platform.request(platform.default_rst, dir="-"))
            pressed = button.i
        m.submodules.lock_synchronizer = ResetSynchronizer(~locked | pressed, domain="start")
        held = Signal(range(int(HOLD_SECONDS * self._clock_hz) + 1), init=int(HOLD_SECONDS * self._clock_hz))
        reset = Signal(init=1)
        with m.If(held != 0):
            m.d.start += held.eq(held - 1)
        m.d.start += reset.eq(held != 0)
        m.d.comb += ResetSignal().eq(reset)


def _ice40_parameters(pll: PllSetting) -> dict[str, object]:
    return {
        "p_FEEDBACK_PATH": "SIMPLE",
        **{f"p_{name}": value for name, value in pll.parameters.items()},
        "i_RESETB": Const(1),
        "i_BYPASS": Const(0),
    }


def _ecp5_pll(pll: PllSetting, reference: Signal, locked: Signal) -> Instance:
    """EHXPLLL with the clock on CLKOS and the feedback through CLKOP; phases are those of no shift, divider - 1."""
    feedback = Signal()
    values = pll.parameters
    phases = {f"p_{output}_CPHASE": values[f"{output}_DIV"] - 1 for output in ("CLKOP", "CLKOS")}
    inputs = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC")
    return Instance(
        "EHXPLLL",
        **{f"p_{name}": value for name, value in values.items()},
        **phases,
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOS_ENABLE="ENABLED",
        p_CLKOP_FPHASE=0,
        p_CLKOS_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_OUTDIVIDER_MUXA="DIVA",
        p_OUTDIVIDER_MUXB="DIVB",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        **{f"i_{name}": Const(0) for name in (*inputs, "ENCLKOP", "ENCLKOS")},
        i_CLKI=reference,
        i_CLKFB=feedback,
        o_CLKOP=feedback,
        o_CLKOS=ClockSignal(),
        o_LOCK=locked,
    )


def board_frequency(platform: Any) -> int:
    """The board's own clock in Hz."""
    return round(platform.default_clk_frequency)


def family_of(platform: Any) -> str:
    """``ecp5`` or ``ice40``."""
    return "ecp5" if re.match("LFE5", platform.device) else "ice40"
