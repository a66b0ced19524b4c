"""A serial line as levels per clock cycle, written from the definition of 8N1."""

from __future__ import annotations

from collections.abc import Sequence


def bits_of(byte: int) -> list[int]:
    """Start bit, eight data bits with the least significant first, stop bit."""
    return [0, *(byte >> i & 1 for i in range(8)), 1]


def waveform(data: Sequence[int], divisor: int) -> list[int]:
    """Levels of bytes that follow each other, ``divisor`` cycles a bit."""
    return [bit for byte in data for bit in bits_of(byte) for _ in range(divisor)]


def received(line: Sequence[int], divisor: int) -> list[int]:
    """The bytes on a line, each bit taken in its middle; a stop bit must be there."""
    data, cycle = [], 0
    while cycle < len(line):
        if line[cycle]:
            cycle += 1
            continue
        bits = [line[cycle + divisor * i + divisor // 2] for i in range(10)]
        assert bits[0] == 0 and bits[9] == 1, f"no byte at cycle {cycle}: {bits}"
        data.append(sum(bit << i for i, bit in enumerate(bits[1:9])))
        cycle += 9 * divisor + divisor // 2
    return data
