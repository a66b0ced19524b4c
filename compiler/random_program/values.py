"""Values of random bundles, built backwards from their consumer.

``feed`` makes a value appear at a unit in given cycles by choosing a random producer upstream, whose own operands are
fed the same way.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from compiler.operands import drive_directions, index_pair, read_directions
from compiler.random_program.memory import INDEX_SPAN, MemoryPlan
from compiler.random_program.pattern import END, Bundle, Flow, Item, Pattern, StuckError, divisors, encode_pattern, hops
from golden.sequencer import expand
from hdl.config import STREAMS_PER_GROUP, AluKind, Direction, LpuConfig, Unit, UnitKind
from hdl.isa import (
    ALU_OPS,
    Instruction,
    IntOp,
    Opcode,
    Source,
    alu_offset,
    queue,
    stream,
    timing,
)

MAX_ELEMENTS = 24
DEPTH = 3
MEMORY_KINDS = (UnitKind.WEIGHT_MEMORY, UnitKind.DATA_MEMORY)
_INDEX_BYTE = 2
"""The index pair is bytes 2 and 3 of the last SG4."""
_INDEX_MASK = (INDEX_SPAN - 1) * 0x10001
_EDGE_IMMEDIATES = (0, 1, -1, 127, -128, 128, 255)


class ValueBuilder:
    """Builds one bundle's values and items; ``full`` names queues that take no more instructions."""

    def __init__(self, config: LpuConfig, rng: random.Random, plan: MemoryPlan, full: Iterable[str] = ()) -> None:
        self.config = config
        self.rng = rng
        self.plan = plan
        self.taken = set(full)
        self.bundle = Bundle()

    # ------------------------------------------------------------------- values

    def feed(self, unit: Unit, pattern: Pattern, width: int, depth: int, *, safe: bool = False) -> int:
        """A stream code on which a value is at the unit's position in the pattern's cycles.

        ``width`` 4: an SG4. ``safe``: its two pairs of bytes hold small indices in every lane. Raises StuckError.
        """
        used = range(width)
        if width == 1 and self.rng.random() < 0.15:
            width, byte = STREAMS_PER_GROUP, self.rng.randrange(STREAMS_PER_GROUP)
            used = range(byte, byte + 1)
        streams = [
            stream(direction, index)
            for direction in read_directions(self.config, unit)
            for index in self.config.data_streams(unit, direction)
            if index % width == 0
        ]
        return self._feed(unit, pattern, streams, width, depth, safe, used) + 2 * used[0]

    def _feed(
        self, unit: Unit, pattern: Pattern, streams: list[int], width: int, depth: int, safe: bool, used: range
    ) -> int:
        """The code in ``streams`` that a random producer drives; ``used``: the streams of it that the unit reads."""
        taken = {code for flow in self.bundle.flows for code in flow.streams}
        choices: dict[Unit, list[int]] = {}
        for source in self.config.units:
            if self._can_produce(source, width, depth, safe):
                choices[source] = [code for code in streams if self._reaches(source, unit, code, width)]
        sources = [source for source, codes in choices.items() if codes]
        if not sources:
            raise StuckError
        source = self.rng.choice(sources)
        code = self.rng.choice([code for code in choices[source] if code not in taken] or choices[source])
        driven = pattern.shift(-hops(source, unit, Direction(code & 1)))
        self._produce(source, code, width, driven, safe, depth)
        self._flow(source, code, width, driven, used, unit)
        return code

    def _reaches(self, source: Unit, unit: Unit, code: int, width: int) -> bool:
        direction = Direction(code & 1)
        legal = direction in drive_directions(self.config, source) and self._fits(source, direction, code >> 1, width)
        return legal and hops(source, unit, direction) >= 1

    def _can_produce(self, source: Unit, width: int, depth: int, safe: bool) -> bool:
        match source.kind:
            case UnitKind.WEIGHT_MEMORY:
                return width == 1 and not safe and self._free(source.name + ".r")
            case UnitKind.DATA_MEMORY:
                return self._free(source.name + ".r")
            case UnitKind.MATRIX:
                return depth > 0 and width > 1 and not safe and self._free(source.name + ".a")
            case _:
                return depth > 0 and self._free(source.name)

    def _fits(self, unit: Unit, direction: Direction, index: int, width: int) -> bool:
        legal = self.config.data_streams(unit, direction)
        return index in legal and index + width - 1 in legal

    def _flow(
        self, source: Unit, code: int, width: int, driven: Pattern, used: range, reader: Unit | None = None
    ) -> None:
        """Record the streams of a value: the used ones as far as the reader, the others to the edge."""
        edge = self.config.positions if code & 1 == Direction.EAST else -1
        codes = [code + 2 * i for i in range(width)]
        unused = tuple(c for i, c in enumerate(codes) if i not in used)
        if unused:
            self.bundle.flows.append(Flow(unused, source.position, driven, edge))
        if reader:
            self.bundle.flows.append(Flow(tuple(codes[i] for i in used), source.position, driven, reader.position))

    # ---------------------------------------------------------------- producers

    def _produce(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        match unit.kind:
            case UnitKind.MATRIX:
                self._multiply(unit, driven, code, depth)
            case UnitKind.SWITCH:
                self._switch(unit, code, width, driven, safe, depth)
            case UnitKind.VECTOR:
                self._chain(unit, code, width, driven, safe, depth)
            case _:
                self._read(unit, code, width, driven, safe, depth)

    def _read(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        self._take(unit.name + ".r")
        opcode = Opcode.GATHER if depth > 0 and not safe and self.rng.random() < 0.25 else Opcode.READ
        fields = {"wide": width > 1, "stream": code}
        pattern = driven.shift(-self._func(unit.name + ".r", opcode))
        if opcode is Opcode.GATHER:
            fields |= self._index(unit, pattern, width > 1, depth - 1)
        self._memory_item(unit, ".r", Instruction.of(opcode, **fields), pattern, safe=safe)

    def _index(self, unit: Unit, pattern: Pattern, wide: bool, depth: int) -> dict[str, int]:
        """Fields of an indexed access whose index pair, the upper half of an SG4 of indices, is fed."""
        group = index_pair(self.config, unit)[0] - 2 * _INDEX_BYTE
        pair = range(_INDEX_BYTE, STREAMS_PER_GROUP)
        self._feed(unit, pattern, [group], STREAMS_PER_GROUP, max(depth, 1), True, pair)
        spread, lane = wide and self.rng.random() < 0.5, self.rng.randrange(self.config.superlane_lanes)
        return {"lane": lane, "spread": int(spread)}

    def _switch(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        self._take(unit.name)
        moves = [Opcode.SHIFT, Opcode.ROTATE, Opcode.PERMUTE, Opcode.DISTRIBUTE, Opcode.SELECT]
        opcode = self.rng.choice(moves + [Opcode.MAXLANE] * (width > 1))
        pattern, limits = driven.shift(-self._func(unit.name, opcode)), self.config.lanes.bit_length()
        low, high = {
            Opcode.SHIFT: (-(1 << limits), (1 << limits) - 1),
            Opcode.SELECT: (0, self.config.lanes),
        }.get(opcode, (0, self.config.lanes - 1))
        amount = self.rng.choice((low, high, self.rng.randint(low, high)))
        fields = {"wide": width > 1, "out": code, "amount": amount}
        fields["x"] = self.feed(unit, pattern, width, depth - 1, safe=safe)
        if opcode is Opcode.PERMUTE:
            fields["y"] = self.feed(unit, pattern, 1, depth - 1)
        elif opcode is Opcode.SELECT:
            fields["y"] = self.feed(unit, pattern, width, depth - 1, safe=safe)
        self._item(unit.name, Instruction.of(opcode, **fields), pattern)

    def _chain(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        self._take(unit.name)
        pattern, inner = driven.shift(-self._func(unit.name, Opcode.CHAIN)), None
        fields = {"out": code, "out_wide": width > 1, "imm": self._immediate()}
        group = self._group_size(pattern)
        if group:
            pattern, inner, fields["last_only"] = pattern.split(group), group, 1
        can_mask = self.config.alus[-1] is AluKind.INT and _INDEX_MASK < 1 << (self.config.imm_bits - 1)
        masked = safe and can_mask and self.rng.random() < 0.5
        fields["x_wide"] = int(self.rng.random() < 0.6 or (safe and not masked))
        fields["x"] = self.feed(
            unit, pattern, STREAMS_PER_GROUP if fields["x_wide"] else 1, depth - 1, safe=safe and not masked
        )
        last = len(self.config.alus) - 1
        if not safe or masked:
            for k, kind in enumerate(self.config.alus[: last + (not masked)]):
                self._alu(unit, fields, k, kind, pattern, depth)
        if masked:
            fields |= {f"op{last}": IntOp.AND, f"src{last}": Source.IMM, "imm": _INDEX_MASK}
        self._item(unit.name, Instruction.of(Opcode.CHAIN, **fields), pattern, inner)

    def _immediate(self) -> int:
        limit = 1 << (self.config.imm_bits - 1)
        edges = (*(e for e in _EDGE_IMMEDIATES if -limit <= e < limit), -limit, limit - 1)
        return self.rng.choice((self.rng.choice(edges), self.rng.randrange(-limit, limit)))

    def _alu(self, unit: Unit, fields: dict[str, int], k: int, kind: AluKind, pattern: Pattern, depth: int) -> None:
        """Operation and y of ALU k, fed where it comes from a stream."""
        op = self.rng.choice(list(ALU_OPS[kind]))
        sources = [Source.STREAM, Source.IMM] + [Source.SELF] * (kind is AluKind.INT)
        source = self.rng.choice(sources)
        fields |= {f"op{k}": int(op), f"src{k}": int(source)}
        if source is not Source.STREAM or op == 0:
            return
        offset = alu_offset(self.config, k)
        if offset == 0 and self.rng.random() < 0.3:
            fields |= {f"y{k}": fields["x"], f"y{k}_wide": fields["x_wide"]}
            return
        wide = self.rng.random() < 0.5
        fields[f"y{k}_wide"] = int(wide)
        fields[f"y{k}"] = self.feed(unit, pattern.shift(offset), STREAMS_PER_GROUP if wide else 1, depth - 1)

    def _group_size(self, pattern: Pattern) -> int | None:
        """How many elements to reduce to each of the pattern's, if any."""
        sizes = [m for m in (2, 3, 4) if pattern.period % m == 0 and pattern.n * m <= MAX_ELEMENTS]
        sizes += [m for m in (1, 2, 5) if pattern.n == 1 and m not in sizes]
        return self.rng.choice(sizes) if sizes and self.rng.random() < 0.5 else None

    # ------------------------------------------------------------------- matrix

    def _multiply(self, unit: Unit, driven: Pattern, code: int | None, depth: int) -> None:
        """ABC, emitting on ``code`` in the driven cycles, or without a result."""
        self._take(unit.name + ".a")
        pattern = driven.shift(-self._func(unit.name + ".a", Opcode.ABC))
        row = self.rng.randrange(self.config.acc_rows)
        group = self._group_size(pattern) if code is not None else pattern.n
        if group and self.rng.random() < 0.6:
            walk, inner = 0, group
            pattern = pattern.split(group) if code is not None else pattern
        else:
            counts = [c for c in divisors(pattern.n) if c <= self.config.acc_rows - row]
            walk, inner = (1, self.rng.choice(counts)) if self.rng.random() < 0.8 else (0, 1)
        rows = range(row, row + (inner if walk else 1))
        start = int(self.rng.random() < 0.5 or not self.plan.all_started(unit, rows))
        fields = {"row": row, "walk": walk, "start": start, "emit": int(code is not None), "out": code or 0}
        fields["stream"] = self.feed(unit, pattern, 1, depth - 1)
        self._item(unit.name + ".a", Instruction.of(Opcode.ABC, **fields), pattern, inner)

    # -------------------------------------------------------------------- items

    def _func(self, queue_name: str, opcode: Opcode) -> int:
        func = timing(self.config, queue(self.config, queue_name).kind, opcode).func
        assert func is not None, f"{opcode.name} has a result"
        return func

    def _free(self, queue_name: str) -> bool:
        return queue_name not in self.taken

    def _take(self, queue_name: str) -> None:
        if not self._free(queue_name):
            raise StuckError
        self.taken.add(queue_name)

    def _item(self, queue_name: str, instruction: Instruction, pattern: Pattern, inner: int | None = None) -> None:
        kind = queue(self.config, queue_name).kind
        self._add(queue_name, encode_pattern(self.config, self.rng, kind, instruction, pattern, inner), pattern)

    def _add(self, queue_name: str, program: list[Instruction], pattern: Pattern) -> Item:
        item = self._expanded(queue_name, program, pattern)
        self.bundle.items.append(item)
        return item

    def _expanded(self, queue_name: str, program: list[Instruction], pattern: Pattern) -> Item:
        expansion = expand(self.config, {queue_name: [*program, END]})
        elements = tuple(expansion.elements[queue_name])
        start = pattern.first - elements[0].cycle
        return Item(queue(self.config, queue_name), start, expansion.ends[queue_name], tuple(program), elements)

    def _memory_item(
        self, unit: Unit, port: str, instruction: Instruction, pattern: Pattern, *, safe: bool = False
    ) -> None:
        """An item whose every address is one that the plan allows."""
        kind = queue(self.config, unit.name + port).kind
        for _ in range(12):
            addressed = instruction.replace(**self.plan.random_address(self.rng, unit, instruction, safe))
            program = encode_pattern(self.config, self.rng, kind, addressed, pattern, None)
            item = self._expanded(unit.name + port, program, pattern)
            if all(self.plan.allows(unit, e.instruction, e.addr, safe) for e in item.elements):
                self.bundle.items.append(item)
                return
        raise StuckError
