"""Which operator issues what: the operator of every element of every queue, in issue order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from compiler.bundle import Bundle

Owners = Mapping[str, Sequence[str]]
"""Per queue name, the operator of each element the queue issues, in issue order; queues without elements may lack."""


def owners_of(placed: Sequence[tuple[Bundle, int]]) -> Owners:
    """The owners of scheduled bundles, given with their cycles; the same for any program that issues them in order."""
    issued: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for bundle, start in placed:
        for slot in bundle.slots:
            cycles = range(start + slot.cycle, start + slot.end, slot.instruction["gap"] + 1)
            issued[slot.queue.name] += [(cycle, bundle.group) for cycle in cycles]
    return {name: [group for _, group in sorted(elements)] for name, elements in issued.items()}
