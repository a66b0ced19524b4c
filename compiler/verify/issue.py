"""What the rules look at: every place of a program with all the elements it issues, and the problems found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from golden.sequencer import Expansion
from hdl.config import LpuConfig
from hdl.isa import Instruction, Queue, queues


class VerifyError(ValueError):
    """A program breaks a rule; names cycle, queue, pc and instruction, and the other party of a conflict."""


@dataclass(frozen=True)
class Problem:
    """A broken rule and the cycle in which it breaks."""

    cycle: int
    text: str

    def __str__(self) -> str:
        return f"cycle {self.cycle}: {self.text}"


@dataclass(frozen=True, eq=False)
class Site:
    """A unit instruction in its queue's program, and its elements in issue order: int64 arrays of equal length."""

    queue: Queue
    pc: int
    instruction: Instruction
    cycles: np.ndarray
    numbers: np.ndarray
    addrs: np.ndarray

    def __str__(self) -> str:
        return f"{self.queue.name} pc {self.pc} '{self.instruction}'"


def sites_of(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]], expansion: Expansion) -> list[Site]:
    """One Site per unit instruction that issues, by queue and pc."""
    sites = []
    for queue in queues(config):
        columns: dict[int, list[tuple[int, int, int]]] = {}
        for element in expansion.elements.get(queue.name, ()):
            columns.setdefault(element.pc, []).append((element.cycle, element.number, element.addr))
        for pc, rows in sorted(columns.items()):
            cycles, numbers, addrs = np.array(rows, np.int64).T
            sites.append(Site(queue, pc, programs[queue.name][pc], cycles, numbers, addrs))
    return sites


def earliest(problems: Iterable[Problem | None]) -> Problem | None:
    """The problem of the lowest cycle; of several there, the first."""
    return min((problem for problem in problems if problem), key=lambda problem: problem.cycle, default=None)
