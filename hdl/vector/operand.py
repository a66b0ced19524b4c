"""An operand of a pipe: what it may be, how the tile selects it once for all lanes, how a lane takes it.

Every select is a row of masks of which at most one is on (AND-OR): of four-input LUTs this takes fewer than encoded
multiplexers, and an operand register is simply zero when the operand comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Mux, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind
from hdl.isa import REGISTERS, Source, sources
from hdl.streams import Reach, any_of


class Operand:
    """Operand ``field`` (x, y) of ``pipe``. Streams and the immediate are taken in T, result registers in T + 1.

    ``registers``: the pipes whose result it may be; ``swaps``: the number of lane distances 2^k from which it may take
    its own pipe's result.
    """

    def __init__(self, config: LpuConfig, pipe: PipeKind, field: str) -> None:
        allowed = sources(config, pipe, field)
        self.pipe = pipe
        self.name = f"{pipe.value}_{field}"
        self.registers = [REGISTERS[source] for source in allowed if source in REGISTERS]
        self.swaps = config.superlane_lanes.bit_length() - 1 if Source.SWAP in allowed else 0
        self._field = field
        self._has_imm, self._streams = Source.IMM in allowed, Source.STREAM in allowed
        self._narrows = pipe is PipeKind.INT
        self._lowest = [j for j in range(STREAMS_PER_GROUP) if j == 0 or config.single(j)]
        vector = config.unit("vxm0")
        self._reach = Reach(config.readable(vector, field, pipe))
        self._seen = Reach({d: config.data_streams(vector, d) for d in self._reach.streams})

    @staticmethod
    def all_of(config: LpuConfig, pipe: PipeKind) -> list[Operand]:
        """x, and y of a pipe that has one."""
        return [Operand(config, pipe, field) for field in ("x", "y") if sources(config, pipe, field)]

    @property
    def ports(self) -> dict[str, wiring.Member]:
        """Ports of a lane: what to take in T, and from T + 1 on registers."""
        taken = {f"{self.name}_take": In(self.take_layout)} if self.takes else {}
        return {**({self.name: In(self.pick_layout)} if self.picks else {}), **taken}

    @property
    def picks(self) -> bool:
        """Whether it may be a stream or the immediate."""
        return self._streams or self._has_imm

    @property
    def takes(self) -> bool:
        """Whether it may be a result register at all."""
        return bool(self.registers or self.swaps)

    @property
    def is_masked_bit_by_bit(self) -> bool:
        """Whether its masks carry the immediate: a bit of them has one sink in a lane."""
        return self._has_imm

    @property
    def pick_layout(self) -> data.StructLayout:
        """Masks of the SG4s. INT masks the low byte by single streams, and extends the sign of a ``narrow`` one."""
        groups = len(self._groups())
        if not self._narrows:
            return data.StructLayout({"word": self._masks(32, groups)})
        low, high = self._masks(8, groups * len(self._lowest)), self._masks(24, groups)
        return data.StructLayout({"low": low, "high": high, "narrow": 1})

    @property
    def take_layout(self) -> data.StructLayout:
        """Masks of the result registers, and of the own pipe's in other lanes."""
        widths = {"registers": len(self.registers), "swaps": self.swaps}
        return data.StructLayout({name: width for name, width in widths.items() if width})

    def _masks(self, width: int, count: int) -> data.ArrayLayout:
        return data.ArrayLayout(width, max(count, 2)) if self._has_imm else data.ArrayLayout(1, count)

    def _groups(self) -> list[tuple[Direction, int]]:
        """The SG4s within reach, by their first streams."""
        return [(d, s) for d, streams in self._reach.streams.items() for s in streams[::STREAMS_PER_GROUP]]

    # --------------------------------------------------------------- the tile

    def pick(self, issue: data.View) -> Value:
        """The pick of an element."""
        source, code = issue[f"{self._field}_from"], issue[self._field]
        streamed = source == Source.STREAM
        hits = [streamed & hits_group(code, *group) for group in self._groups()]
        imm: Value = Const(0, 32)
        if self._has_imm:
            imm = sign_extended(issue.imm) & (source == Source.IMM).replicate(32)
        if not self._narrows:
            return self._masked(hits, imm)
        wide, index = issue[f"{self._field}_wide"], code[1:3]
        low = [hit & Mux(wide, j == 0, index == j) for hit in hits for j in self._lowest]
        high = [hit & wide for hit in hits]
        return Cat(self._masked(low, imm[:8]), self._masked(high, imm[8:]), streamed & ~wide)

    def _masked(self, hits: Sequence[Value], imm: Value) -> Value:
        """Masks of the values that ``hits`` select; ones of the immediate are ones of the first two masks."""
        if not self._has_imm:
            return Cat(hits)
        padded = [*hits, Const(0, 1)] if len(hits) == 1 else hits
        return Cat(hit.replicate(len(imm)) | (imm if k < 2 else 0) for k, hit in enumerate(padded))

    def take(self, issue: data.View) -> Value:
        """The take of the element that issues now."""
        source = issue[f"{self._field}_from"]
        registers = [source == Source[pipe.name] for pipe in self.registers]
        swaps = [(source == Source.SWAP) & (issue.swap == k) for k in range(self.swaps)]
        return Cat(registers, swaps)

    # --------------------------------------------------------------- the lane

    def words(self, pick: data.View, view: object) -> list[Value]:
        """Words whose OR is what the lane's stream ports ``view`` or the immediate give; zeros where neither is meant.

        Each takes two SG4s at most, as many as a LUT of four inputs.
        """
        vectors = [self._bytes(view, *group) for group in self._groups()]
        if not self._narrows:
            return self._pairs([Cat(group) for group in vectors], pick.word)
        low = any_of(self._pairs([group[j] for group in vectors for j in self._lowest], pick.low))
        high = any_of(self._pairs([Cat(group[1:]) for group in vectors], pick.high))
        return [Cat(low, Mux(pick.narrow & low[7], Const(0xFFFFFF, 24), high))]

    def _bytes(self, view: object, direction: Direction, first: int) -> list[Value]:
        port = getattr(view, direction.name.lower())
        offset = first - self._seen.streams[direction].start
        return [port[offset + j] for j in range(STREAMS_PER_GROUP)]

    def _pairs(self, values: Sequence[Value], masks: data.View) -> list[Value]:
        """ORs of two masked values each. Of the first two, both masks at once are a one of the immediate."""
        width = len(values[0])
        spread = [mask if len(mask) == width else mask.replicate(width) for mask in masks]
        terms = [value & mask for value, mask in zip(values, spread, strict=False)]
        pairs = [any_of(terms[k : k + 2]) for k in range(0, len(terms), 2)]
        return [pairs[0] | (spread[0] & spread[1]), *pairs[1:]] if self._has_imm else pairs


def hits_group(code: Value, direction: Direction, first: int) -> Value:
    """Whether a stream code names a stream of the SG4 that begins with ``first``."""
    return (code[0] == direction) & (code[3:] == first // STREAMS_PER_GROUP)


def sign_extended(value: ValueLike) -> Value:
    """32 bits of a signed field."""
    bits = Value.cast(value)
    return Cat(bits, bits[-1].replicate(32 - len(bits)))


def gated(values: Sequence[Value], gates: Value) -> list[Value]:
    """The values whose gate is on, and zeros for the others."""
    return [value & gate.replicate(len(value)) for value, gate in zip(values, gates, strict=True)]
