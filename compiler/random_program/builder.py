"""Random rigid bundles: a consumer, everything that feeds it, in relative time; all values have one uniform pattern."""

from __future__ import annotations

from collections.abc import Callable

from compiler.operands import drivable, index_pair, readable, weight_bus
from compiler.random_program.pattern import Bundle, Flow, Pattern, StuckError, divisors, hops
from compiler.random_program.values import DEPTH, MEMORY_KINDS
from compiler.random_program.vector import VectorBuilder
from hdl.config import STREAMS_PER_GROUP, Direction, SwitchOp, Unit, UnitKind
from hdl.isa import Instruction, Opcode, Queue, QueueKind, queue, queues


class BundleBuilder(VectorBuilder):
    """Builds one random bundle."""

    # -------------------------------------------------------------------- roots

    def build(self) -> Bundle:
        """A random bundle. Raises StuckError."""
        roots: tuple[tuple[Callable[[], None], int], ...] = (
            (self._store_root, 10),
            (self._weights_root, 3),
            (self._accumulate_root, 3),
            (self._unread_root, 1),
        )
        self.rng.choices([root for root, _ in roots], [weight for _, weight in roots])[0]()
        return self.bundle

    def build_weights(self, unit: Unit) -> Bundle:
        """A bundle that installs at least one tile into the plane."""
        self._load(unit, self.rng.randint(1, 2), install=True)
        return self.bundle

    def _pattern(self) -> Pattern:
        return Pattern(0, self.rng.choice((1, 2, 3, 4, 5, 6, 8, 12)), self.rng.choice((1, 1, 1, 2, 2, 3, 4, 6)))

    def _unit(self, *kinds: UnitKind) -> Unit:
        return self.rng.choice([unit for unit in self.config.units if unit.kind in kinds])

    def _store_root(self) -> None:
        written = [q.unit for q in queues(self.config) if q.kind is QueueKind.MEM_WRITE]
        unit, pattern = self.rng.choice(written), self._pattern()
        wide = self.rng.random() < 0.6
        width = STREAMS_PER_GROUP if wide and unit.kind is UnitKind.DATA_MEMORY else 1
        self._take(unit.name + ".w")
        writer = queue(self.config, unit.name + ".w")
        if self.config.indexes(unit) and self.rng.random() < 0.2:
            self._memory_item(unit, ".w", self._scatter(writer, pattern, width, wide), pattern)
            return
        code = self.feed(writer, "stream", pattern, width, DEPTH)
        value = self.bundle.flows[-1]
        self._memory_item(unit, ".w", Instruction.of(Opcode.WRITE, wide=wide, stream=code), pattern)
        if self.rng.random() < 0.3:
            self._also_store(value, unit, code, width)

    def _scatter(self, writer: Queue, pattern: Pattern, width: int, wide: bool) -> Instruction:
        """SCATTER of a value of its own, or of the SG4 that holds the indices."""
        groups = len(readable(self.config, writer, "stream")) // STREAMS_PER_GROUP
        if groups > 1 and self.rng.random() < 0.7:
            code = self.feed(writer, "stream", pattern, width, DEPTH)
            return Instruction.of(Opcode.SCATTER, wide=wide, stream=code, **self._index(writer.unit, pattern, wide, 1))
        single = [byte for byte in range(STREAMS_PER_GROUP) if self.config.single(byte)]
        stored = range(width) if width > 1 else (self.rng.choice(single),)
        index = self._index(writer.unit, pattern, wide, DEPTH, stored)
        code = index_pair(self.config, writer.unit)[0] + 2 * stored[0]
        return Instruction.of(Opcode.SCATTER, wide=wide, stream=code, **index)

    def _also_store(self, value: Flow, reader: Unit, code: int, width: int) -> None:
        """A second WRITE of the same value, at the reader's position or downstream of it."""
        direction = Direction(code & 1)
        others = [
            unit
            for unit in self.config.units_of(UnitKind.DATA_MEMORY)
            if unit != reader
            and hops(reader, unit, direction) >= 0
            and code in readable(self.config, queue(self.config, unit.name + ".w"), "stream")
            and self._free(unit.name + ".w")
        ]
        if not others or len(value.streams) != width or code not in value.streams:
            return
        unit = self.rng.choice(others)
        value.last = unit.position
        pattern = value.pattern.shift(abs(unit.position - value.position))
        self._take(unit.name + ".w")
        self._memory_item(unit, ".w", Instruction.of(Opcode.WRITE, wide=width > 1, stream=code), pattern)

    def _weights_root(self) -> None:
        self._load(self._unit(UnitKind.MATRIX), self.rng.randint(1, 4), install=self.rng.random() < 0.6)

    def _accumulate_root(self) -> None:
        pattern = self._pattern()
        pattern = Pattern(0, pattern.n, max(pattern.period, self.config.abc_cycles))
        self._multiply(self._unit(UnitKind.MATRIX), pattern, None, DEPTH)

    def _unread_root(self) -> None:
        """A result that flows to the edge; nobody reads it."""
        unit = self._unit(UnitKind.SWITCH, UnitKind.VECTOR, *MEMORY_KINDS)
        if not self.config.drivable(unit):
            raise StuckError
        width = 1 if unit.kind is UnitKind.WEIGHT_MEMORY else self.rng.choice((1, STREAMS_PER_GROUP))
        if unit.kind is UnitKind.SWITCH and not self._moves(width):
            raise StuckError
        port = next(q for q in queues(self.config) if q.unit == unit)
        code, pattern = self.rng.choice(self._starts(drivable(self.config, port), width)), self._pattern()
        self._flow(unit, code, width, pattern, range(0))
        self._produce(unit, code, width, pattern, False, DEPTH)

    def _load(self, unit: Unit, tiles: int, *, install: bool) -> None:
        """LW of whole tiles: installing itself, or followed by an IW, or left in the buffer."""
        steps = self.config.tile_load_cycles
        queue_name = unit.name + ".w"
        self._take(queue_name)
        pattern = Pattern(0, steps * tiles, self.rng.choice((1, 1, 2, 3)))
        if install:
            counts = [steps * c for c in divisors(tiles)]
            self._item(queue_name, Instruction.of(Opcode.LW, install=1), pattern, self.rng.choice(counts))
        elif self.rng.random() < 0.7:
            pattern = Pattern(0, steps, pattern.period)
            wait = self.rng.choice((0, 0, 1, 5))
            waits = [Instruction.of(Opcode.NOP, n=wait)] if wait else []
            loads = Instruction.of(Opcode.LW, count=steps, gap=pattern.period - 1 if steps > 1 else 0)
            self._add(queue_name, [loads, *waits, Instruction.of(Opcode.IW)], pattern)
        else:
            self._item(queue_name, Instruction.of(Opcode.LW), pattern)
        self._feed_bus(unit, pattern)

    def _feed_bus(self, unit: Unit, pattern: Pattern) -> None:
        """Weight rows on the whole weight bus of the matrix unit, sometimes through TRANSPOSE."""
        config = self.config
        reader, direction = unit, unit.outward
        switches = [u for u in config.units_of(UnitKind.SWITCH) if u.outward is direction and self._free(u.name)]
        size = config.turn_cycles
        able = SwitchOp.TRANSPOSE in config.switch_ops and (size == 1 or pattern.period == 1)
        if able and switches and self.rng.random() < 0.5:
            (switch,) = switches
            self._take(switch.name)
            driven = pattern.shift(-hops(switch, unit, direction))
            self.bundle.flows.append(Flow(weight_bus(config, unit), switch.position, driven, unit.position))
            reader, pattern = switch, driven.shift(-self._func(switch.name, Opcode.TRANSPOSE))
            counts = [size * c for c in divisors(pattern.n // size)]
            inner = None if size == 1 else self.rng.choice(counts)
            self._item(switch.name, Instruction.of(Opcode.TRANSPOSE), pattern, inner)
        groups = [u for u in config.units_of(UnitKind.WEIGHT_MEMORY) if u.outward is direction]
        source = self.rng.choice([u for u in groups if self._free(u.name + ".r")] or [None])
        if source is None:
            raise StuckError
        driven = pattern.shift(-hops(source, reader, direction))
        self._read(source, 0, STREAMS_PER_GROUP, driven, False, 1)
        self.bundle.flows.append(Flow(weight_bus(config, unit), source.position, driven, reader.position))
