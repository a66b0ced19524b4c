"""Which order of bundles gives the shortest program: many are tried, by nothing but the cycles that bundles take.

A trial places every bundle of a part of the program, in a given order, at the first cycle that data and occupancy
allow: as the scheduler does, but it keeps only start cycles, and of a repeated block it places one iteration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compiler.bundle import Bundle, Flow
from compiler.lags import Lags
from compiler.occupancy import Found, Key, links_of, pattern_of
from compiler.order import Order

SHARES, NUDGES = (0.01, 0.03, 0.1), (10.0, 30.0, 90.0)
"""Of the bundles whose priority a trial changes, their share, and by how many cycles."""
RUN = 2000
"""Changes after which the search begins again: of several runs the best is 1 to 2 % better than a longer one."""
KEPT = 24
"""Orders to choose from where the programs of the fastest are too long."""
WARMTH = 1.0
"""Cycles that a trial may be worse than the one before, on average, at the beginning; none at the end."""


@dataclass(frozen=True)
class Repeats:
    """``n`` iterations of a block. ``lags``: what bundles of one wait for in the iteration before."""

    n: int
    lags: Sequence[Lags]


@dataclass
class Trials:
    """The bundles of a part, what they wait for, from which cycle on each may start, and what is taken already."""

    bundles: Sequence[Bundle]
    lags: Sequence[Lags]
    earliest: Sequence[int]
    taken: Mapping[Key, int]
    repeats: Repeats | None = None
    _spans: list[Found] = field(init=False)
    _flows: list[list[list[Found]]] = field(init=False)
    _queues: list[dict[str, tuple[int, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self._spans = [[(s.resource, s.cycle, (1 << s.length) - 1) for s in b.spans] for b in self.bundles]
        self._flows = [[_candidates(flow) for flow in bundle.flows] for bundle in self.bundles]
        self._queues = [queue_spans([bundle], [0]) for bundle in self.bundles]

    def cycles(self, order: Sequence[int]) -> int:
        """The cycle in which all is done."""
        taken: dict[Key, int] = defaultdict(int, self.taken)
        starts = [0] * len(self.bundles)
        for number in order:
            start = self.earliest[number]
            for i, lag in self.lags[number].items():
                start = max(start, starts[i] + lag)
            starts[number] = self._place(number, start, taken)
        end = max(start + bundle.length for start, bundle in zip(starts, self.bundles, strict=True))
        if self.repeats is not None:
            own = [bits ^ self.taken.get(key, 0) for key, bits in taken.items()]
            end += (self.repeats.n - 1) * self._period(starts, own, self.repeats)
        return end

    def _place(self, number: int, start: int, taken: dict[Key, int]) -> int:
        """The first cycle from ``start`` on that fits, all that the bundle takes added to ``taken``."""
        spans, links = self._spans[number], None
        while links is None:
            for key, cycle, pattern in spans:
                hit = taken[key] >> (start + cycle) & pattern
                if hit:
                    start += hit.bit_length()
                    break
            else:
                links = self._links(number, start, taken)
                start += links is None
        for key, cycle, pattern in spans:
            taken[key] |= pattern << (start + cycle)
        for key, bits in links.items():
            taken[key] |= bits << start
        return start

    def _links(self, number: int, start: int, taken: Mapping[Key, int]) -> dict[Key, int] | None:
        """What its flows take of each stream, from ``start`` on; None where there is no stream for one of them."""
        mine: dict[Key, int] = {}
        for candidates in self._flows[number]:
            for links in candidates:
                for key, cycle, pattern in links:
                    if taken[key] >> (start + cycle) & pattern or (key in mine and mine[key] >> cycle & pattern):
                        break
                else:
                    for key, cycle, pattern in links:
                        mine[key] = mine.get(key, 0) | pattern << cycle
                    break
            else:
                return None
        return mine

    def _period(self, starts: Sequence[int], own: Sequence[int], repeats: Repeats) -> int:
        spans = _union(self._queues, starts)
        period = max(end - begin for begin, end in spans.values())
        for number, lags in enumerate(repeats.lags):
            period = max(period, *(starts[i] + lag - starts[number] for i, lag in lags.items()), 0)
        long = [bits for bits in own if bits and bits.bit_length() - (bits & -bits).bit_length() >= period]
        while any(bits >> i * period & bits for bits in long for i in range(1, repeats.n)):
            period += 1
        return period


def best_orders(trials: Trials, order: Order, effort: int) -> list[list[int]]:
    """The KEPT fastest of the order of the bundles themselves, that of the longest chains and ``effort`` changes to it,
    the fastest first; of equal ones the last.

    Always the same for the same bundles.
    """
    own = list(range(len(trials.bundles)))
    best, number = [(trials.cycles(own), 0, own)], 0
    for first in range(0, max(effort, 1) if effort >= 0 else 0, RUN):
        for cycles, found in _annealed(trials, order, min(RUN, effort - first), first // RUN):
            number += 1
            if len(best) < KEPT or cycles <= best[-1][0]:
                others = [known for known in best if known[2] != found]
                best = sorted([*others, (cycles, -number, found)])[:KEPT]
    return [found for _, _, found in best]


def _annealed(trials: Trials, order: Order, effort: int, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Orders and their cycles, that of the longest chains first.

    Each begins from the priorities of another and replaces it if it is better, or not much worse: simulated annealing.
    """
    rng, priorities = np.random.default_rng(seed), np.array(order.tails)
    current = 1 << 62
    for trial in range(effort + 1):
        changed = priorities if trial == 0 else _changed(rng, priorities)
        candidate = order.by_priority(changed.tolist())
        cycles = trials.cycles(candidate)
        if cycles <= current + rng.exponential(WARMTH) * (1 - trial / (effort + 1)):
            current, priorities = cycles, changed
        yield cycles, candidate


def _candidates(flow: Flow) -> list[Found]:
    """For each stream that a flow may take, what it takes of it."""
    pattern = pattern_of(flow.count, flow.pitch)
    return [[(key, cycle, pattern) for key, cycle in links] for links in links_of(flow)]


def _changed(rng: np.random.Generator, priorities: NDArray[np.float64]) -> NDArray[np.float64]:
    some = rng.random(len(priorities)) < rng.choice(SHARES)
    changed: NDArray[np.float64] = priorities + rng.normal(0, rng.choice(NUDGES), len(priorities)) * some
    return changed


def queue_spans(bundles: Sequence[Bundle], starts: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Per queue, the cycle of the first issue and that after the last one."""
    found: list[Mapping[str, tuple[int, int]]] = []
    for bundle in bundles:
        mine: dict[str, tuple[int, int]] = {}
        for slot in bundle.slots:
            begin, end = mine.get(slot.queue.name, (slot.cycle, 0))
            mine[slot.queue.name] = min(begin, slot.cycle), max(end, slot.end)
        found.append(mine)
    return _union(found, starts)


def _union(spans: Sequence[Mapping[str, tuple[int, int]]], starts: Sequence[int]) -> dict[str, tuple[int, int]]:
    union: dict[str, tuple[int, int]] = {}
    for start, mine in zip(starts, spans, strict=True):
        for name, (begin, end) in mine.items():
            first, last = union.get(name, (start + begin, 0))
            union[name] = min(first, start + begin), max(last, start + end)
    return union
