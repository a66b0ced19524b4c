"""When elements of random programs use the arrays of the matrix unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.random_program.pattern import Item
from hdl.config import LpuConfig
from hdl.isa import LW_TO_IW, Opcode, QueueKind


@dataclass
class ArrayPlan:
    """Per plane, a bit for each cycle: ``changes``: an ABC element begins, or a tile is installed; ``works``: an ABC
    element that has begun earlier is not done.
    """

    config: LpuConfig
    changes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    works: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def allows(self, item: Item, start: int) -> bool:
        """Whether nothing begins in cycles of an ABC element that it is not part of, with the item at ``start``."""
        name, (changes, works) = item.queue.unit.name, self._masks(item)
        return not (changes << start & self.works[name] or works << start & self.changes[name])

    def add(self, item: Item) -> None:
        name, (changes, works) = item.queue.unit.name, self._masks(item)
        self.changes[name] |= changes << item.start
        self.works[name] |= works << item.start

    def _masks(self, item: Item) -> tuple[int, int]:
        """What the item adds, from its own start on."""
        cycles = [element.cycle for element in item.elements]
        if item.queue.kind is QueueKind.MXM_ACTIVATIONS:
            return _bits(cycles), _bits(cycle + i for cycle in cycles for i in range(1, self.config.abc_cycles))
        if item.queue.kind is QueueKind.MXM_WEIGHTS:
            return _bits(install_cycles(self.config, item)), 0
        return 0, 0


def install_cycles(config: LpuConfig, item: Item) -> Iterable[int]:
    """Cycles of the IWs, automatic ones included, of an item of weights, from its own start on."""
    steps = config.tile_load_cycles
    for element in item.elements:
        if element.instruction.op is Opcode.IW:
            yield element.cycle
        elif element.instruction["install"] and element.number % steps == steps - 1:
            yield element.cycle + LW_TO_IW


def _bits(cycles: Iterable[int]) -> int:
    return sum(1 << cycle for cycle in set(cycles))
