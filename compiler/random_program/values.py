"""Values of random bundles, built backwards from their consumer.

``feed`` makes a value appear at a unit in given cycles by choosing a random producer upstream, whose own operands are
fed the same way.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable

from compiler.operands import drivable, index_pair, readable
from compiler.random_program.memory import MemoryPlan
from compiler.random_program.pattern import END, Bundle, Flow, Item, Pattern, StuckError, divisors, encode_pattern, hops
from golden.sequencer import expand
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind, SwitchOp, Unit, UnitKind
from hdl.isa import Instruction, Opcode, Queue, queue, queues, stream_index, timing

MAX_ELEMENTS = 24
DEPTH = 3
MEMORY_KINDS = (UnitKind.WEIGHT_MEMORY, UnitKind.DATA_MEMORY)


class ValueBuilder(ABC):
    """Builds one bundle's values and items; ``full`` names queues that take no more instructions."""

    def __init__(self, config: LpuConfig, rng: random.Random, plan: MemoryPlan, full: Iterable[str] = ()) -> None:
        self.config = config
        self.rng = rng
        self.plan = plan
        self.taken = set(full)
        self.bundle = Bundle()

    # ------------------------------------------------------------------- values

    def feed(self, reader: Queue, field: str, pattern: Pattern, width: int, depth: int, *, safe: bool = False) -> int:
        """A stream code for ``field`` on which a value is at the reader's position in the pattern's cycles.

        ``width`` 4: an SG4. ``safe``: the lower halves of its int32 are small indices in every lane. Raises StuckError.
        """
        used = range(width)
        if width == 1 and self.rng.random() < 0.15:
            width = STREAMS_PER_GROUP
            byte = self.rng.choice([byte for byte in range(width) if self.config.single(byte)])
            used = range(byte, byte + 1)
        starts = self._starts(readable(self.config, reader, field), width)
        return self._feed(reader.unit, pattern, starts, width, depth, safe, used) + 2 * used[0]

    def _feed(
        self,
        unit: Unit,
        pattern: Pattern,
        streams: list[int],
        width: int,
        depth: int,
        safe: bool,
        used: Collection[int],
    ) -> int:
        """The code in ``streams`` that a random producer drives; ``used``: the streams of it that the unit reads."""
        taken = {code for flow in self.bundle.flows for code in flow.streams}
        choices: dict[Unit, list[int]] = {}
        for source in self.config.units:
            if self._can_produce(source, width, depth, safe):
                choices[source] = self._reaching(source, unit, streams, width)
        sources = [source for source, codes in choices.items() if codes]
        if not sources:
            raise StuckError
        source = self.rng.choice(sources)
        code = self.rng.choice([code for code in choices[source] if code not in taken] or choices[source])
        driven = pattern.shift(-hops(source, unit, Direction(code & 1)))
        self._produce(source, code, width, driven, safe, depth)
        self._flow(source, code, width, driven, used, unit)
        return code

    def _reaching(self, source: Unit, unit: Unit, streams: list[int], width: int) -> list[int]:
        """Those of ``streams`` that the source may drive and whose flow leads to the unit."""
        port = next(q for q in queues(self.config) if q.unit == source)
        starts = self._starts(drivable(self.config, port), width)
        drives = {code for code in starts if hops(source, unit, Direction(code & 1)) >= 1}
        return [code for code in streams if code in drives]

    def _starts(self, streams: Iterable[int], width: int) -> list[int]:
        """First streams of those ``streams`` that may be read or driven ``width`` wide."""
        if width == 1:
            return [code for code in streams if self.config.single(stream_index(code))]
        return [code for code in streams if stream_index(code) % width == 0]

    def _can_produce(self, source: Unit, width: int, depth: int, safe: bool) -> bool:
        match source.kind:
            case UnitKind.WEIGHT_MEMORY:
                able = width == 1 and not safe and bool(self.config.drivable(source))
                return able and self._free(source.name + ".r")
            case UnitKind.DATA_MEMORY:
                return self._free(source.name + ".r")
            case UnitKind.MATRIX:
                return depth > 0 and width > 1 and not safe and self._free(source.name + ".a")
            case UnitKind.VECTOR:
                return depth > 0 and bool(self._free_pipes(width, safe))
            case _:
                return depth > 0 and self._free(source.name) and bool(self._moves(width))

    def _moves(self, width: int) -> list[Opcode]:
        """What the switch may do with values of that width; PERMUTE works on single streams."""
        beyond = {SwitchOp.TRANSPOSE} | ({SwitchOp.PERMUTE} if width > 1 else set())
        return [Opcode[op.name] for op in self.config.switch_ops if op not in beyond]

    def _flow(
        self, source: Unit, code: int, width: int, driven: Pattern, used: Collection[int], reader: Unit | None = None
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
                self._vector(unit, code, width, driven, safe, depth)
            case _:
                self._read(unit, code, width, driven, safe, depth)

    def _read(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        self._take(unit.name + ".r")
        gathers = self.config.indexes(unit) and depth > 0 and not safe and self.rng.random() < 0.25
        opcode = Opcode.GATHER if gathers else Opcode.READ
        fields = {"wide": width > 1, "stream": code}
        pattern = driven.shift(-self._func(unit.name + ".r", opcode))
        if opcode is Opcode.GATHER:
            fields |= self._index(unit, pattern, width > 1, depth - 1)
        self._memory_item(unit, ".r", Instruction.of(opcode, **fields), pattern, safe=safe)

    def _index(self, unit: Unit, pattern: Pattern, wide: bool, depth: int, extra: Iterable[int] = ()) -> dict[str, int]:
        """Fields of an indexed access, whose SG4 of indices is fed; ``extra``: bytes of it in use beside the pair."""
        first = index_pair(self.config, unit)[0]
        self._feed(unit, pattern, [first], STREAMS_PER_GROUP, max(depth, 1), True, {0, 1, *extra})
        lanes = 1 if self.config.lane0_index else self.config.superlane_lanes
        spread, lane = wide and self.rng.random() < 0.5, self.rng.randrange(lanes)
        return {"lane": lane, "spread": int(spread)}

    def _switch(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        self._take(unit.name)
        opcode = self.rng.choice(self._moves(width))
        pattern, limits = driven.shift(-self._func(unit.name, opcode)), self.config.lanes.bit_length()
        low, high = {
            Opcode.SHIFT: (-(1 << limits), (1 << limits) - 1),
            Opcode.SELECT: (0, self.config.lanes),
        }.get(opcode, (0, self.config.lanes - 1))
        amount = self.rng.choice((low, high, self.rng.randint(low, high)))
        fields = {"wide": width > 1, "out": code, "amount": amount}
        reader = queue(self.config, unit.name)
        for field in ("x", "y") if opcode in (Opcode.PERMUTE, Opcode.SELECT) else ("x",):
            if field == "x" or self.rng.random() < 0.8:
                fields[field] = self.feed(reader, field, pattern, width, depth - 1, safe=safe)
            else:
                fields["y"] = fields["x"]
        self._item(unit.name, Instruction.of(opcode, **fields), pattern)

    # ------------------------------------------------------------ vector unit

    @abstractmethod
    def _vector(self, unit: Unit, code: int, width: int, driven: Pattern, safe: bool, depth: int) -> None:
        """A result of a pipe driven on ``code``."""

    @abstractmethod
    def _free_pipes(self, width: int, safe: bool) -> list[PipeKind]:
        """Pipes that may drive such a value and have nothing to do in the bundle yet."""

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
        if pattern.n > 1 and pattern.period < self.config.abc_cycles:
            raise StuckError
        rows = range(row, row + (inner if walk else 1))
        start = int(self.rng.random() < 0.5 or not self.plan.all_started(unit, rows))
        fields = {"row": row, "walk": walk, "start": start, "emit": int(code is not None), "out": code or 0}
        fields["stream"] = self.feed(queue(self.config, unit.name + ".a"), "stream", pattern, 1, depth - 1)
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
