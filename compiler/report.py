"""What a program reaches, and the lower bound it was up against: the largest of ``compiler/bound.py``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from rich.table import Table

from compiler.bound import bounds
from compiler.emit import Emission
from compiler.schedule import Schedule
from hdl.config import LpuConfig
from hdl.isa import QueueKind, queues, word_bits


@dataclass(frozen=True)
class QueueReport:
    """One queue: issue cycles, instructions and bytes of its program, least cycles of a run that issues them."""

    name: str
    busy_cycles: int
    program_rows: int
    program_bytes: int
    bound_cycles: int


@dataclass(frozen=True)
class Report:
    """``cycles`` reached from first issue to completion, ``bound_cycles`` no schedule of these steps can beat."""

    config: str
    cycles: int
    bound_cycles: int
    bound_by: str
    matrix_busy_cycles: int
    queues: tuple[QueueReport, ...]

    @property
    def ratio(self) -> float:
        """cycles / bound_cycles, at least 1."""
        return self.cycles / self.bound_cycles

    @property
    def matrix_occupancy(self) -> float:
        """Share of the cycles in which the matrix unit multiplies."""
        return self.matrix_busy_cycles / self.cycles

    @property
    def program_bytes(self) -> int:
        return sum(queue.program_bytes for queue in self.queues)

    def as_dict(self) -> dict[str, object]:
        """All fields and ratios, for JSON."""
        derived = {
            "ratio": self.ratio,
            "matrix_occupancy": self.matrix_occupancy,
            "program_bytes": self.program_bytes,
        }
        return {**asdict(self), **derived}

    def table(self) -> Table:
        """One row per queue; cycles, bound and occupancy in the caption."""
        table = Table(title=f"{self.cycles} cycles on '{self.config}'")
        for column in ("queue", "busy cycles", "bound", "program rows", "program bytes"):
            table.add_column(column, justify="left" if column == "queue" else "right")
        for q in self.queues:
            numbers = (q.busy_cycles, q.bound_cycles, q.program_rows, q.program_bytes)
            table.add_row(q.name, *map(str, numbers))
        table.caption = (
            f"bound {self.bound_cycles} by {self.bound_by}, ratio {self.ratio:.3f}; "
            f"matrix unit busy {self.matrix_occupancy:.1%}; programs {self.program_bytes} bytes"
        )
        return table


def report(config: LpuConfig, plan: Schedule, emission: Emission) -> Report:
    """The report of an emitted schedule; of a repeated one, that of one step."""
    programs, cycles = emission.programs, emission.cycles if emission.is_single else emission.step
    busy = Counter({name: sum(i["count"] for _, i in issues) for name, issues in plan.issues.items()})
    limits = bounds(config, [bundle for bundle, _ in plan.placed])
    candidates = {"data dependencies": limits.data, **limits.queues}
    bound_by = max(candidates, key=lambda name: candidates[name])
    matrix = config.abc_cycles * sum(busy[q.name] for q in queues(config) if q.kind is QueueKind.MXM_ACTIVATIONS)
    rows = tuple(
        QueueReport(
            q.name,
            busy[q.name],
            len(programs[q.name]),
            len(programs[q.name]) * -(-word_bits(config, q.kind) // 8),
            limits.queues.get(q.name, 0),
        )
        for q in queues(config)
    )
    return Report(config.name, cycles, candidates[bound_by], bound_by, matrix, rows)
