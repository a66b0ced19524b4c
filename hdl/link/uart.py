"""Bytes over an asynchronous serial line: 8 data bits, no parity, one stop bit, least significant bit first."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hdl.config import ConfigError

SMALLEST_DIVISOR = 4
LARGEST_ERROR = 0.02
"""Of the bit rate: half a bit within ten is 5 %, and the other side has an error of its own."""


def divisor_for(clock_hz: int, baud: int) -> int:
    """Clock cycles of a bit. Raises ConfigError where no whole number of them gives the baud."""
    divisor = round(clock_hz / baud) if baud > 0 else 0
    if divisor < SMALLEST_DIVISOR:
        raise ConfigError(f"baud {baud} at {clock_hz} Hz: must be 1..{clock_hz // SMALLEST_DIVISOR}")
    if abs(clock_hz / divisor / baud - 1) > LARGEST_ERROR:
        raise ConfigError(f"baud {baud} at {clock_hz} Hz: {divisor} cycles a bit is off by more than 2 %")
    return divisor


class UartReceiver(wiring.Component):
    """``data`` is a received byte in the cycle with ``valid``, half a bit into its stop bit.

    A start bit that is gone after half a bit was a glitch; a byte without its stop bit is dropped.
    Latency: 9.5 bits and 3 cycles from the start bit's edge.
    """

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line, busy = Signal(init=1), Signal()
        timer, bit = Signal(range(self._divisor)), Signal(range(10))
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        m.d.sync += [self.valid.eq(0), timer.eq(timer - 1)]
        with m.If(~busy):
            m.d.sync += [busy.eq(~line), timer.eq(self._divisor // 2 - 1), bit.eq(0)]
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self._divisor - 1), bit.eq(bit + 1)]
            with m.If(bit == 0):
                m.d.sync += busy.eq(~line)
            with m.Elif(bit == 9):
                m.d.sync += [busy.eq(0), self.valid.eq(line)]
            with m.Else():
                m.d.sync += self.data.eq(Cat(self.data[1:], line))
        return m


class UartTransmitter(wiring.Component):
    """Sends ``data`` when ``valid`` meets ``ready``; 10 bits a byte, without a gap where the next one waits."""

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor
        super().__init__({"tx": Out(1, init=1), "data": In(8), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer, left = Signal(range(self._divisor)), Signal(range(11))
        bits = Signal(9, init=0x1FF)
        m.d.comb += self.ready.eq((left == 0) | ((left == 1) & (timer == 0)))
        with m.If(self.ready & self.valid):
            m.d.sync += [self.tx.eq(0), bits.eq(Cat(self.data, Const(1))), left.eq(10), timer.eq(self._divisor - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], Const(1))), left.eq(left - 1)]
            m.d.sync += timer.eq(self._divisor - 1)
        return m
