"""In which order bundles are placed: those first that the longest chain of others waits for."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence

from compiler.bundle import Bundle
from compiler.lags import Lags, stages


class Order:
    """Precedence and priority of bundles given in program order; ``lags``: what each of them waits for."""

    def __init__(self, bundles: Sequence[Bundle], lags: Sequence[Lags]) -> None:
        self._waiting = [len(producers) for producers in lags]
        self._after: dict[int, list[int]] = defaultdict(list)
        self.tails = [float(bundle.length) for bundle in bundles]
        before = stages(bundles)
        for number in reversed(range(len(bundles))):
            previous = before[number]
            follows = [] if previous is None else [(previous, _busiest(bundles[previous]))]
            for producer, lag in (*lags[number].items(), *follows):
                self.tails[producer] = max(self.tails[producer], lag + self.tails[number])
            for producer in lags[number]:
                self._after[producer].append(number)

    def by_priority(self, priorities: Sequence[float]) -> list[int]:
        """Numbers of the bundles, of those that may be placed always the one of the largest priority next."""
        waiting = self._waiting.copy()
        ready = [(-priorities[i], i) for i, n in enumerate(waiting) if n == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            _, number = heapq.heappop(ready)
            order.append(number)
            for other in self._after[number]:
                waiting[other] -= 1
                if waiting[other] == 0:
                    heapq.heappush(ready, (-priorities[other], other))
        return order


def _busiest(bundle: Bundle) -> int:
    """Cycles for which a bundle keeps one queue: those of its stage cannot follow more closely, on average."""
    busy: Counter[str] = Counter()
    for slot in bundle.slots:
        busy[slot.queue.name] += slot.instruction["count"]
    return max(busy.values())
