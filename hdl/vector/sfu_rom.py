"""The table memory of the SFU pipe."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared
from hdl.isa.special import SEGMENTS, UNIT_BITS, SfuTable, sfu_entries

RISE_BITS, SLOPE_BITS = 21, 15
SFU_ENTRY = data.StructLayout({"slope": SLOPE_BITS, "rise": RISE_BITS})
"""A segment: y = 2^20 + rise + t (EXP2) or 2^20 + rise - t, with t = (slope * d) >> 17."""


def rom_words() -> list[int]:
    """``sfu_entries`` as SFU_ENTRY: c0 becomes the distance of the segment's start from 2^20."""
    words = []
    for i, (c0, c1) in enumerate(sfu_entries()):
        one = 1 << UNIT_BITS
        rise = c0 - one if i // SEGMENTS == SfuTable.EXP2 else one - c0
        words.append(rise << SLOPE_BITS | c1)
    return words


class SfuRom(Shared):
    """entry = table[address], address = {table, segment}; latency 1 cycle. 320 x 36 bits: one block RAM."""

    def __init__(self) -> None:
        super().__init__({"address": In(9), "entry": Out(SFU_ENTRY)})

    @property
    def module_name(self) -> str:
        return "lpu_sfu_rom"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = rom_words()
        m.submodules.rows = rows = Memory(
            shape=SFU_ENTRY, depth=len(words), init=[SFU_ENTRY.from_bits(w) for w in words]
        )
        read = rows.read_port()
        m.d.comb += [read.addr.eq(self.address), self.entry.eq(read.data)]
        return m
