"""Bundles -> cycles: each bundle issues at the earliest cycle that queues, streams, unit state and data allow.

Occupancy is a bit set over cycles, one Python integer per resource: a queue, a unit's state, or a stream at a
position. A bundle may issue before bundles that precede it in the program where no data dependency forbids it; within
a stage of an operator bundles keep their order.

The first iteration of a repeated block is scheduled like everything else; later ones are the same, one period apart,
the shortest that streams, queues and data allow. No queue begins an iteration before it is done with the one before,
and around the block each leaves the time that a LOOP takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

import numpy as np

from compiler.bound import needs_of
from compiler.bundle import Bundle, Flow, Slot, hops
from compiler.ir import CompileError
from compiler.order import Order
from compiler.rows import READS, WRITES, SramRows, UnitTables
from hdl.config import LpuConfig
from hdl.isa import LOOP_CYCLES, WRITE_TO_READ, Instruction

JITTERS = (10.0, 30.0, 100.0)
"""Cycles by which shuffled orders may prefer a bundle."""
PATIENCE = 16
"""Cycles tried for a bundle before asking whether it can be issued at all."""

Issues = Mapping[str, list[tuple[int, Instruction]]]
"""Per queue name, (cycle, instruction) in issue order."""


@dataclass(frozen=True)
class Schedule:
    """``issues`` per queue; ``placed`` the bundles and their cycles, in program order; ``blocks`` in time order."""

    issues: Issues
    placed: tuple[tuple[Bundle, int], ...]
    blocks: tuple[Repetition, ...] = ()


@dataclass(frozen=True)
class Repetition:
    """``n`` iterations of a block, ``period`` cycles each; ``starts``: per queue, the cycle of the first issue."""

    n: int
    period: int
    starts: Mapping[str, int]


def schedule(config: LpuConfig, bundles: Iterable[Bundle], effort: int = 0) -> Schedule:
    """Place all bundles: of several orders, the one that takes the fewest cycles; ``effort``: how many shuffled ones.

    Raises CompileError when a bundle cannot be placed at all.
    """
    bundles = list(bundles)
    scheduler = _Scheduler(config)
    for block, group in groupby(bundles, key=lambda bundle: bundle.block and bundle.block.name):
        scheduler.place_best(list(group), block is not None, effort)
    for issues in scheduler.issues.values():
        issues.sort(key=lambda issue: issue[0])
    starts = {id(bundle): start for bundle, start in scheduler.placed}
    placed = tuple((bundle, starts[id(bundle)]) for bundle in bundles)
    return Schedule(dict(scheduler.issues), placed, tuple(scheduler.blocks))


def fits_alone(bundle: Bundle) -> bool:
    """Whether a bundle can be issued at all, on a core that does nothing else."""
    return _Occupancy().fit(bundle, 0) is not None


# --------------------------------------------------------------------- occupancy


Key = str | tuple[int, int]
"""Queue or state by name, or (encoded stream, position)."""
Found = list[tuple[Key, int, int]]
"""What a bundle takes: key, cycle, and the pattern of cycles from there on."""


@cache
def _pattern(count: int, pitch: int) -> int:
    """Bits 0, pitch, ..., (count-1)*pitch."""
    if pitch == 1:
        return (1 << count) - 1
    return sum(1 << i * pitch for i in range(count))


@dataclass
class _Occupancy:
    """What is taken when; ``fit`` finds streams for a bundle at a cycle, ``take`` reserves them."""

    taken: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def wait(self, bundle: Bundle, start: int) -> int:
        """0 if queues and states are free from ``start``, else a number of cycles before which they cannot be."""
        for span in bundle.spans:
            hit = (self.taken[span.resource] >> (start + span.cycle)) & ((1 << span.length) - 1)
            if hit:
                return hit.bit_length()
        return 0

    def fit(self, bundle: Bundle, start: int) -> Found | None:
        """The (key, cycle, pattern) of everything a bundle takes, or None where streams or itself are in the way."""
        found: Found = []
        own: dict[Key, int] = defaultdict(int)
        for span in bundle.spans:
            pattern = (1 << span.length) - 1
            if own[span.resource] >> span.cycle & pattern:
                return None
            own[span.resource] |= pattern << span.cycle
            found.append((span.resource, start + span.cycle, pattern))
        for flow in bundle.flows:
            pattern = _pattern(flow.count, flow.pitch)
            links = next((links for links in _links(flow) if self._free(links, pattern, own, start)), None)
            if links is None:
                return None
            for key, cycle in links:
                own[key] |= pattern << cycle
                found.append((key, start + cycle, pattern))
        return found

    def _free(self, links: list[tuple[Key, int]], pattern: int, own: Mapping[Key, int], start: int) -> bool:
        taken = self.taken
        return not any(((taken[key] >> (start + cycle)) | (own.get(key, 0) >> cycle)) & pattern for key, cycle in links)

    def take(self, found: Found) -> None:
        for key, cycle, pattern in found:
            self.taken[key] |= pattern << cycle


def _links(flow: Flow) -> Iterator[list[tuple[Key, int]]]:
    """For each candidate stream: the ((stream, position), cycle) that the flow occupies, up to its reader.

    A value driven at p in cycle t is on the stream at p +- h in t + h; the registers at p itself are not touched.
    """
    step = 1 if flow.reader.position > flow.driver.position else -1
    for code in flow.candidates:
        yield [
            ((code + 2 * byte, flow.driver.position + step * h), flow.cycle + h)
            for h in range(1, hops(flow.driver, flow.reader) + 1)
            for byte in range(flow.width.streams)
        ]


# ------------------------------------------------------------- data dependencies


@dataclass
class _Accesses:
    """Latest cycles of SRAM accesses per unit, [slices, depth_rows]; -1 where there was none."""

    rows: SramRows
    last_write: UnitTables = field(default_factory=UnitTables)
    last_read: UnitTables = field(default_factory=UnitTables)

    def copy(self) -> _Accesses:
        copies = [
            UnitTables({unit: table.copy() for unit, table in t.items()}) for t in (self.last_write, self.last_read)
        ]
        return _Accesses(self.rows, *copies)

    def earliest(self, bundle: Bundle) -> int:
        """First start cycle at which each row is written before it is read, and done with before it is overwritten."""
        start = 0
        for slot in bundle.slots:
            for table in self._ordered_after(slot):
                if slot.queue.unit in table:
                    cells, cycles = self.rows.of(slot)
                    start = max(start, int((table[slot.queue.unit][cells] + WRITE_TO_READ - cycles).max()))
        return start

    def _ordered_after(self, slot: Slot) -> list[UnitTables]:
        if slot.instruction.op in READS:
            return [self.last_write]
        return [self.last_write, self.last_read] if slot.instruction.op in WRITES else []

    def record(self, bundle: Bundle, start: int) -> None:
        for slot in bundle.slots:
            if slot.instruction.op not in READS | WRITES:
                continue
            cells, cycles = self.rows.of(slot)
            if slot.reach:
                cycles = cycles + slot.instruction.duration - 1
            reading = slot.instruction.op in READS
            table = (self.last_read if reading else self.last_write)[slot.queue.unit]
            table[cells] = np.maximum(table[cells], cycles + start)


# --------------------------------------------------------------------- scheduler


@dataclass(frozen=True)
class _State:
    """What a scheduler has to forget to place bundles once more."""

    issues: Mapping[str, int]
    taken: Mapping[Key, int]
    counts: tuple[int, int]
    latest: dict[tuple[str, str], int]
    last_access: dict[str, int]
    data: _Accesses


class _Scheduler:
    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self.issues: dict[str, list[tuple[int, Instruction]]] = defaultdict(list)
        self.placed: list[tuple[Bundle, int]] = []
        self.blocks: list[Repetition] = []
        self._data = _Accesses(SramRows(config))
        self._occupancy = _Occupancy()
        self._founds: list[Found] = []
        self._latest: dict[tuple[str, str], int] = {}
        self._last_access: dict[str, int] = {}

    def place(self, bundle: Bundle) -> None:
        earliest = (
            self._data.earliest(bundle),
            self._latest.get((bundle.group, bundle.stage), 0),
            self._overwriting(bundle),
        )
        start, found = self._search(bundle, max(earliest))
        self._keep(bundle, start, found)

    def _keep(self, bundle: Bundle, start: int, found: Found) -> None:
        """What later bundles have to know of this one."""
        self._latest[bundle.group, bundle.stage] = start
        accesses = [slot.end - 1 for slot in bundle.slots if slot.instruction.op in READS | WRITES]
        last = start + max(accesses, default=0)
        self._last_access[bundle.group] = max(last, self._last_access.get(bundle.group, 0))
        self._data.record(bundle, start)
        self.placed.append((bundle, start))
        self._founds.append(found)

    # ------------------------------------------------------------------- orders

    def place_best(self, bundles: Sequence[Bundle], is_block: bool, effort: int) -> None:
        """Bundles that follow one another, or all iterations of a block, in the best order found."""
        iterations = [list(group) for _, group in groupby(bundles, key=lambda bundle: bundle.block)]
        first = iterations[0]
        order = Order(self._config, first, needs_of(self._config, first))
        rng = np.random.default_rng(0)
        orders = [list(range(len(first))), order.by_priority()]
        orders += [order.by_priority(rng, rng.choice(JITTERS)) for _ in range(effort)]
        results = []
        for number, candidate in enumerate(orders):
            before = self._state()
            results.append((self._place_all([[part[i] for i in candidate] for part in iterations], is_block), number))
            self._restore(before)
        best = orders[min(results)[1]]
        self._place_all([[part[i] for i in best] for part in iterations], is_block)

    def _place_all(self, iterations: Sequence[Sequence[Bundle]], is_block: bool) -> int:
        """The cycle in which all of it is done."""
        if is_block:
            self._place_block(iterations)
        else:
            for bundle in iterations[0]:
                self.place(bundle)
        return max(start + bundle.length for bundle, start in self.placed)

    def _state(self) -> _State:
        lengths = {name: len(issues) for name, issues in self.issues.items()}
        taken, counts = dict(self._occupancy.taken), (len(self.placed), len(self.blocks))
        return _State(lengths, taken, counts, dict(self._latest), dict(self._last_access), self._data.copy())

    def _restore(self, state: _State) -> None:
        for name, issues in self.issues.items():
            del issues[state.issues.get(name, 0) :]
        self._occupancy.taken = defaultdict(int, state.taken)
        placed, blocks = state.counts
        del self.placed[placed:], self._founds[placed:], self.blocks[blocks:]
        self._latest, self._last_access = state.latest, state.last_access
        self._data = state.data

    # ------------------------------------------------------------------- blocks

    def _place_block(self, iterations: Sequence[Sequence[Bundle]]) -> None:
        """All iterations of a block. Raises CompileError if their bundles differ."""
        first, *rest = iterations
        self._leave_time_for_loop()
        before = len(self.placed)
        for bundle in first:
            self.place(bundle)
        starts = [start for _, start in self.placed[before:]]
        taken = self._founds[before:]
        period = self._period(first, starts, taken, rest)
        for number, iteration in enumerate(rest, 1):
            _check_alike(first, iteration)
            for bundle, start, found in zip(iteration, starts, taken, strict=True):
                self._repeat(bundle, start + number * period, [(k, c + number * period, p) for k, c, p in found])
        self._finish_block(first, starts, len(iterations), period)

    def _leave_time_for_loop(self) -> None:
        for name, issues in self.issues.items():
            end = max((cycle + instruction.duration for cycle, instruction in issues), default=0)
            self._occupancy.taken[name] |= (1 << (end + LOOP_CYCLES)) - 1

    def _period(
        self, first: Sequence[Bundle], starts: Sequence[int], taken: Sequence[Found], rest: Sequence[Sequence[Bundle]]
    ) -> int:
        spans = _queue_spans(first, starts)
        period = max(end - begin for begin, end in spans.values())
        if rest:
            distances = (self._data.earliest(b) - start for b, start in zip(rest[0], starts, strict=True))
            period = max(period, *distances)
        while not self._repeats(taken, period, len(rest)):
            period += 1
        return period

    def _repeats(self, taken: Sequence[Found], period: int, n: int) -> bool:
        """Whether everything that the first iteration took is free 1, ..., n periods later."""
        return not any(
            self._occupancy.taken[key] >> (cycle + i * period) & pattern
            for i in range(1, n + 1)
            for found in taken
            for key, cycle, pattern in found
        )

    def _repeat(self, bundle: Bundle, start: int, found: Found) -> None:
        self._occupancy.take(found)
        self._issue(bundle, start, found)
        self._keep(bundle, start, found)

    def _finish_block(self, first: Sequence[Bundle], starts: Sequence[int], n: int, period: int) -> None:
        begins = {name: begin for name, (begin, _) in _queue_spans(first, starts).items()}
        for name, begin in begins.items():
            self._occupancy.taken[name] |= (1 << (begin + n * period)) - 1
        self.blocks.append(Repetition(n, period, begins))

    def _overwriting(self, bundle: Bundle) -> int:
        """First cycle at which its writes come after all accesses of the operators it writes over."""
        last = max((self._last_access[group] for group in bundle.overwrites), default=-1)
        writes = [slot.cycle for slot in bundle.slots if slot.instruction.op in WRITES]
        return last + 1 - min(writes, default=0)

    def _search(self, bundle: Bundle, first: int) -> tuple[int, Found]:
        start, tried = first, 0
        while True:
            wait = self._occupancy.wait(bundle, start)
            found = None if wait else self._occupancy.fit(bundle, start)
            if found is not None:
                self._occupancy.take(found)
                self._issue(bundle, start, found)
                return start, found
            start, tried = start + max(wait, 1), tried + 1
            if tried == PATIENCE and not fits_alone(bundle):
                raise CompileError(f"{bundle.group}: its instructions need one queue or stream at the same time")

    def _issue(self, bundle: Bundle, start: int, found: Found) -> None:
        """Record the instructions, with the streams that ``fit`` chose: the first link of each flow names them."""
        number = len(bundle.spans)
        codes = []
        for flow in bundle.flows:
            key = found[number][0]
            assert isinstance(key, tuple)
            codes.append(key[0])
            number += flow.width.streams * hops(flow.driver, flow.reader)
        for slot in bundle.slots:
            streams = tuple((name, codes[flow_number]) for name, flow_number in slot.flows)
            self.issues[slot.queue.name].append((start + slot.cycle, _with_streams(slot.instruction, streams)))


def _queue_spans(bundles: Sequence[Bundle], starts: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Per queue, the cycle of the first issue and that after the last one."""
    spans: dict[str, tuple[int, int]] = {}
    for bundle, start in zip(bundles, starts, strict=True):
        for slot in bundle.slots:
            begin, end = spans.get(slot.queue.name, (start + slot.cycle, 0))
            spans[slot.queue.name] = min(begin, start + slot.cycle), max(end, start + slot.end)
    return spans


def _check_alike(first: Sequence[Bundle], later: Sequence[Bundle]) -> None:
    """Raises CompileError unless an iteration does what the first one does, at other addresses."""
    for a, b in zip(first, later, strict=True):
        alike = len(a.slots) == len(b.slots) and all(
            (s.queue, s.cycle, s.flows, s.instruction.replace(addr=0))
            == (t.queue, t.cycle, t.flows, t.instruction.replace(addr=0))
            for s, t in zip(a.slots, b.slots, strict=True)
        )
        if not alike:
            raise CompileError(f"{b.group}: its instructions differ from those of {a.group}, the same of iteration 0")


@cache
def _with_streams(instruction: Instruction, streams: tuple[tuple[str, int], ...]) -> Instruction:
    return instruction.replace(**dict(streams)) if streams else instruction
