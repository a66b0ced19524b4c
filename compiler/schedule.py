"""Bundles -> cycles: each bundle issues at the earliest cycle that queues, streams, unit state and data allow.

A bundle may issue before bundles that precede it in the program where no data dependency forbids it; within
a stage of an operator bundles keep their order.

The first iteration of a repeated block is scheduled like everything else; later ones are the same, one period apart,
the shortest that streams, queues and data allow. No queue begins an iteration before it is done with the one before,
and around the block each leaves the time that a LOOP takes. Idle cycles of an iteration come first in it, as far as
what precedes the block allows, so that the queue is free for what follows right after the last issue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from compiler.bundle import Bundle, hops
from compiler.ir import CompileError
from compiler.lags import lags_of
from compiler.occupancy import Accesses, Found, Occupancy, fits_alone
from compiler.order import Order
from compiler.rows import READS, WRITES, SramRows
from compiler.search import KEPT, Repeats, Trials, best_orders, queue_spans
from hdl.config import LpuConfig
from hdl.isa import LOOP_CYCLES, Instruction

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
    """``n`` iterations of a block, ``period`` cycles each; ``starts``: per queue, when the first begins."""

    n: int
    period: int
    starts: Mapping[str, int]


def schedule(config: LpuConfig, bundles: Iterable[Bundle], effort: int = 0) -> Schedule:
    """Place all bundles, in the best order found by ``effort`` changes of their priorities, one after the other.

    Raises CompileError when a bundle cannot be placed at all.
    """
    return next(schedules(config, bundles, effort))


def schedules(config: LpuConfig, bundles: Iterable[Bundle], effort: int = 0) -> Iterator[Schedule]:
    """The same, and after it, in the next orders of each part, those that are about as fast."""
    bundles, found = list(bundles), list[list[list[int]]]()
    parts = [list(group) for _, group in groupby(bundles, key=lambda bundle: bundle.block and bundle.block.name)]
    for number in range(KEPT):
        scheduler = _Scheduler(config)
        for i, part in enumerate(parts):
            scheduler.begin(part)
            if number == 0:
                found.append(scheduler.best_orders(part, effort))
            scheduler.place_all(part, found[i][min(number, len(found[i]) - 1)])
        yield scheduler.schedule(bundles)
        if all(len(orders) <= number + 1 for orders in found):
            return


# --------------------------------------------------------------------- scheduler


class _Scheduler:
    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self.issues: dict[str, list[tuple[int, Instruction]]] = defaultdict(list)
        self.placed: list[tuple[Bundle, int]] = []
        self.blocks: list[Repetition] = []
        self._data = Accesses(SramRows(config))
        self._occupancy = Occupancy()
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

    def schedule(self, bundles: Sequence[Bundle]) -> Schedule:
        """What has been placed; ``bundles`` are all of it, in program order."""
        for issues in self.issues.values():
            issues.sort(key=lambda issue: issue[0])
        starts = {id(bundle): start for bundle, start in self.placed}
        placed = tuple((bundle, starts[id(bundle)]) for bundle in bundles)
        return Schedule(dict(self.issues), placed, tuple(self.blocks))

    def begin(self, part: Sequence[Bundle]) -> None:
        """Bundles that follow one another, or all iterations of a block, are next."""
        if part[0].block is not None:
            self._leave_time_for_loop()

    def place_all(self, part: Sequence[Bundle], order: Sequence[int]) -> None:
        """Place the part, each iteration in that order."""
        iterations = [[iteration[i] for i in order] for iteration in _iterations(part)]
        if part[0].block is not None:
            self._place_block(iterations)
        else:
            for bundle in iterations[0]:
                self.place(bundle)

    def best_orders(self, part: Sequence[Bundle], effort: int) -> list[list[int]]:
        """The best orders found for the part, the best first. Raises CompileError for a bundle that never fits."""
        iterations = _iterations(part)
        first = iterations[0]
        for bundle in first:
            if not fits_alone(bundle):
                raise CompileError(f"{bundle.group}: its instructions need one queue or stream at the same time")
        lags = lags_of(self._config, [bundle for part in iterations[:2] for bundle in part])
        own, n = lags[: len(first)], len(iterations)
        between = [{i: lag for i, lag in found.items() if i < len(first)} for found in lags[len(first) :]]
        earliest = [max(self._data.earliest(bundle), self._overwriting(bundle)) for bundle in first]
        repeats = Repeats(n, between) if n > 1 else None
        trials = Trials(first, own, earliest, self._occupancy.taken, repeats)
        return best_orders(trials, Order(first, own), effort)

    # ------------------------------------------------------------------- blocks

    def _place_block(self, iterations: Sequence[Sequence[Bundle]]) -> None:
        """All iterations of a block. Raises CompileError if their bundles differ."""
        first, *rest = iterations
        names = {slot.queue.name for bundle in first for slot in bundle.slots}
        before, earliest = len(self.placed), {name: self._loop_may_start(name) for name in names}
        for bundle in first:
            self.place(bundle)
        starts = [start for _, start in self.placed[before:]]
        taken = self._founds[before:]
        period, spans = self._period(first, starts, taken, rest), queue_spans(first, starts)
        begins = {name: min(begin, max(earliest[name], end - period)) for name, (begin, end) in spans.items()}
        for number, iteration in enumerate(rest, 1):
            _check_alike(first, iteration)
            for bundle, start, found in zip(iteration, starts, taken, strict=True):
                self._repeat(bundle, start + number * period, [(k, c + number * period, p) for k, c, p in found])
        self._finish_block(Repetition(len(iterations), period, begins))

    def _leave_time_for_loop(self) -> None:
        for name in self.issues:
            self._occupancy.taken[name] |= (1 << self._loop_may_start(name)) - 1

    def _loop_may_start(self, name: str) -> int:
        """The first cycle of a LOOP's body, after all that the queue has to do so far."""
        ends = [cycle + instruction.duration for cycle, instruction in self.issues.get(name, [])]
        ends += [block.starts[name] + block.n * block.period for block in self.blocks if name in block.starts]
        return max(ends, default=0) + LOOP_CYCLES

    def _period(
        self, first: Sequence[Bundle], starts: Sequence[int], taken: Sequence[Found], rest: Sequence[Sequence[Bundle]]
    ) -> int:
        spans = queue_spans(first, starts)
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

    def _finish_block(self, block: Repetition) -> None:
        for name, begin in block.starts.items():
            self._occupancy.taken[name] |= (1 << (begin + block.n * block.period)) - 1
        self.blocks.append(block)

    def _overwriting(self, bundle: Bundle) -> int:
        """First cycle at which its writes come after all accesses of the operators it writes over."""
        last = max((self._last_access.get(group, -1) for group in bundle.overwrites), default=-1)
        writes = [slot.cycle for slot in bundle.slots if slot.instruction.op in WRITES]
        return last + 1 - min(writes, default=0)

    def _search(self, bundle: Bundle, start: int) -> tuple[int, Found]:
        while True:
            wait = self._occupancy.wait(bundle, start)
            found = None if wait else self._occupancy.fit(bundle, start)
            if found is not None:
                self._occupancy.take(found)
                self._issue(bundle, start, found)
                return start, found
            start += max(wait, 1)

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


def _iterations(part: Sequence[Bundle]) -> list[list[Bundle]]:
    return [list(group) for _, group in groupby(part, key=lambda bundle: bundle.block)]


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
