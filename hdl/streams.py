"""What a unit sees of the streams at its position, and how it picks operands from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Mux, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind, Unit
from hdl.layouts import lane_bits


def choose(values: Sequence[ValueLike], index: ValueLike) -> Value:
    """values[index] as a tree of two-way multiplexers; the last value stands for every index beyond.

    Amaranth's own selections (``word_select``, ``Array``) let every output bit depend on every input bit, and its check
    for combinational loops then takes time quadratic in a vector's width.
    """
    index = Value.cast(index)
    level = [Value.cast(value) for value in values]
    for k in range((len(values) - 1).bit_length()):
        paired = [Mux(index[k], high, low) for low, high in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def any_of(values: Sequence[ValueLike]) -> Value:
    """OR of the values, bit by bit, as a tree."""
    level = [Value.cast(value) for value in values]
    while len(level) > 1:
        level = [a | b for a, b in zip(level[::2], level[1::2], strict=False)] + level[len(level) & ~1 :]
    return level[0]


@dataclass(frozen=True)
class Reach:
    """The data streams a unit may read or drive, per direction."""

    streams: Mapping[Direction, range]

    @classmethod
    def reads(cls, config: LpuConfig, unit: Unit, field: str = "stream", pipe: PipeKind | None = None) -> Reach:
        """What an operand of the unit may name."""
        return cls(config.readable(unit, field, pipe))

    @classmethod
    def drives(cls, config: LpuConfig, unit: Unit) -> Reach:
        """Where the unit may drive a result."""
        return cls(config.drivable(unit))

    def layout(self, direction: Direction, width: int) -> data.ArrayLayout:
        return data.ArrayLayout(width, len(self.streams[direction]))


def view_ports(reach: Reach, width: int) -> dict[str, wiring.Member]:
    """Input ports ``east``/``west``: the readable streams, ``width`` bits each, lowest stream first."""
    return {d.name.lower(): In(reach.layout(d, width)) for d in reach.streams}


def drive_ports(config: LpuConfig, reach: Reach, soon: bool = False) -> dict[str, wiring.Member]:
    """Output ports: ``drive_east``/``drive_west`` enables per stream; ``lanes``: stream s drives vector s mod 4.

    ``soon``: also ``soon_east``/``soon_west``, the enables of the next cycle.
    """
    kinds = ("drive", "soon") if soon else ("drive",)
    ports = {f"{kind}_{d.name.lower()}": Out(len(streams)) for d, streams in reach.streams.items() for kind in kinds}
    return {**ports, "lanes": Out(data.ArrayLayout(lane_bits(config), STREAMS_PER_GROUP))}


class StreamView:
    """Operand selection among the readable streams of a component with :func:`view_ports`."""

    def __init__(self, component: object, reach: Reach, width: int) -> None:
        self._reach = reach
        self._width = width
        self._values = {d: Value.cast(getattr(component, d.name.lower())) for d in reach.streams}

    def _group_of(self, direction: Direction, index: Value) -> Value:
        span = self._reach.streams[direction]
        base = span.start // STREAMS_PER_GROUP
        number = index[2:] if base == 0 else index[2:] - base
        bits = STREAMS_PER_GROUP * self._width
        values = self._values[direction]
        return choose([values[i : i + bits] for i in range(0, len(values), bits)], number)

    def group(self, code: ValueLike) -> list[Value]:
        """The four vectors of the SG4 that holds the coded stream."""
        code = Value.cast(code)
        picked = {d: self._group_of(d, code[1:]) for d in self._reach.streams}
        if len(picked) == 1:
            (whole,) = picked.values()
        else:
            whole = Mux(code[0], picked[Direction.WEST], picked[Direction.EAST])
        return [whole[j * self._width : (j + 1) * self._width] for j in range(STREAMS_PER_GROUP)]


def one_of(group: Sequence[Value], code: ValueLike) -> Value:
    """The vector of the coded stream, from its SG4."""
    return choose(group, Value.cast(code)[1:3])


def drive_enables(reach: Reach, direction: Direction, valid: ValueLike, wide: ValueLike, code: ValueLike) -> Value:
    """Enables of the streams of one direction: the coded stream, or (wide) its whole SG4."""
    code = Value.cast(code)
    hit = Value.cast(valid) & (code[0] == direction)
    index = code[1:]
    enables = []
    for s in reach.streams[direction]:
        in_group = index[2:] == s // STREAMS_PER_GROUP
        enables.append(hit & in_group & (Value.cast(wide) | (index[:2] == s % STREAMS_PER_GROUP)))
    return Cat(enables)


def int32_lanes(vectors: Sequence[Value], lanes: int) -> list[Value]:
    """int32 of each lane from the four byte vectors of an SG4."""
    return [Cat(vector[8 * i : 8 * i + 8] for vector in vectors) for i in range(lanes)]


def byte_vectors(words: Sequence[ValueLike]) -> list[Value]:
    """The four byte vectors of an SG4 from an int32 per lane."""
    return [Cat(Value.cast(word)[8 * j : 8 * j + 8] for word in words) for j in range(STREAMS_PER_GROUP)]


def _word32(word: ValueLike) -> Value:
    value = Value.cast(word)[:32]
    return Cat(value, Const(0, 32 - len(value)))


def digest(words: Mapping[int, ValueLike] | Sequence[ValueLike]) -> Value:
    """XOR of 32-bit words, word i rotated left by 5*i mod 32: the commit trace's digest."""
    items = words.items() if isinstance(words, Mapping) else enumerate(words)
    total: Value = Const(0, 32)
    for i, word in items:
        total = total ^ _word32(word).rotate_left(5 * i % 32)
    return total
