"""UartReceiver and UartTransmitter: every byte, every phase, clocks that differ, glitches, missing stop bits."""

from __future__ import annotations

import math
import random

import pytest

from cocotb_tests.units.harness import Bench, Stimulus
from cocotb_tests.units.serial_line import bits_of, received, waveform
from hdl.config import ConfigError
from hdl.link.uart import UartReceiver, UartTransmitter, divisor_for

DIVISORS = (4, 7, 16)


@pytest.mark.parametrize(
    ("clock_hz", "baud", "divisor"),
    [(48_000_000, 3_000_000, 16), (50_000_000, 3_000_000, 17), (12_000_000, 115_200, 104), (4_000_000, 1_000_000, 4)],
)
def test_divisor(clock_hz: int, baud: int, divisor: int) -> None:
    assert divisor_for(clock_hz, baud) == divisor


@pytest.mark.parametrize(
    ("clock_hz", "baud", "message"),
    [
        (12_000_000, 0, r"baud 0 at 12000000 Hz: must be 1\.\.3000000"),
        (12_000_000, -5, r"baud -5 at 12000000 Hz: must be 1\.\.3000000"),
        (12_000_000, 4_000_000, r"baud 4000000 at 12000000 Hz: must be 1\.\.3000000"),
        (10_000_000, 2_200_000, r"baud 2200000 at 10000000 Hz: 5 cycles a bit is off by more than 2 %"),
    ],
)
def test_baud_that_the_clock_does_not_give(clock_hz: int, baud: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        divisor_for(clock_hz, baud)


def receive(divisor: int, line: list[int]) -> list[int]:
    stimulus = Stimulus()
    for cycle, level in enumerate(line):
        stimulus.at(cycle, rx=level)
    outputs = Bench(UartReceiver(divisor)).run(stimulus)
    return [cycle["data"] for cycle in outputs if cycle["valid"]]


@pytest.mark.rtl
@pytest.mark.parametrize("divisor", DIVISORS)
def test_all_bytes_without_pauses(divisor: int) -> None:
    data = random.Random(divisor).sample(range(256), 256)
    assert receive(divisor, [1] * 9 + waveform(data, divisor) + [1] * 9) == data


@pytest.mark.rtl
@pytest.mark.parametrize("drift", [-0.02, 0.02])
def test_a_sender_whose_clock_differs(drift: float) -> None:
    """Bits of 16 cycles and 2 % more or less, sampled where the line really is."""
    data, period = random.Random(1).sample(range(256), 40), 16 * (1 + drift)
    levels = [1, 1, *(bit for byte in data for bit in bits_of(byte)), 1, 1]
    line = [levels[int(cycle / period)] for cycle in range(math.floor(len(levels) * period))]
    assert receive(16, line) == data


@pytest.mark.rtl
def test_a_short_low_is_no_start_bit() -> None:
    glitch = [1] * 20 + [0] * 6 + [1] * 20
    assert receive(16, glitch + waveform([0x5A], 16) + glitch) == [0x5A]


@pytest.mark.rtl
def test_a_byte_without_its_stop_bit_is_dropped() -> None:
    broken = waveform([0x0F], 16)[:-16] + [0] * 16
    assert receive(16, [1] * 20 + broken + [1] * 200 + waveform([0xC3], 16) + [1] * 20) == [0xC3]


@pytest.mark.rtl
@pytest.mark.parametrize("divisor", DIVISORS)
def test_sending(divisor: int) -> None:
    """A byte at once when the line is free, ten bits each, no gap while ``valid`` stays."""
    stimulus = Stimulus()
    for cycle in range(3, 3 + 25 * divisor):
        stimulus.at(cycle, data=0xB1, valid=1)
    outputs = Bench(UartTransmitter(divisor)).run(stimulus, extra=12 * divisor)
    line = [cycle["tx"] for cycle in outputs]
    assert [t for t, cycle in enumerate(outputs) if cycle["ready"] and 3 <= t < 3 + 25 * divisor] == [
        3 + 10 * divisor * i for i in range(3)
    ]
    assert line[:4] == [1] * 4 and line[4 : 4 + 30 * divisor] == waveform([0xB1] * 3, divisor)
    assert all(line[4 + 30 * divisor :]) and received(line, divisor) == [0xB1] * 3
