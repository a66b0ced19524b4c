"""Schedules -> programs of all queues: folded, checked against the schedule, in as few rows as cycles allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compiler.fold import Issue, Span, fold, is_mergeable
from compiler.ir import CompileError
from compiler.schedule import Issues, Repetition
from golden.sequencer import Expansion, expand
from hdl.config import LpuConfig
from hdl.isa import LOOP_CYCLES, Instruction, queues

COMPACT = 4
"""Programs of at most program_rows / COMPACT instructions are short enough not to pay cycles for shorter ones."""

Programs = dict[str, tuple[Instruction, ...]]


class TooLongError(CompileError):
    """A queue needs more instructions than its program memory has rows; in another order they may be fewer."""


@dataclass(frozen=True)
class Emission:
    """``programs``, and ``cycles`` that they take.

    ``lead``: cycles by which everything is later than scheduled, so that LOOPs fit before the first issues. ``sample``:
    the programs with at most two steps, and what is true of two steps is true of more; ``step``: cycles of one.
    """

    programs: Programs
    sample: Programs
    cycles: int
    lead: int
    step: int

    @property
    def is_single(self) -> bool:
        """Whether nothing is repeated as a whole."""
        return self.cycles <= self.step + self.lead


def emit(config: LpuConfig, issues: Issues, blocks: Sequence[Repetition] = (), steps: int | None = None) -> Emission:
    """Programs for a schedule whose first issue is in cycle 0.

    ``blocks`` are LOOPs as they are. With ``steps``, all of it is repeated that often, each time when all is done.
    Raises TooLongError when a queue needs more instructions than it has rows, CompileError for what it cannot do.
    """
    if (blocks or steps is not None) and not config.loop_levels:
        raise CompileError(f"config '{config.name}': loop_levels = 0: repeated blocks and steps need LOOP")
    least, fitting = LOOP_CYCLES * (steps is not None), []
    for lead in range(least, least + (config.loop_levels + 1) * LOOP_CYCLES, LOOP_CYCLES):
        programs = _fold_all(config, issues, blocks, lead, steps)
        longest = max(map(len, programs.values()))
        if all(len(program) <= config.rows_of(name) for name, program in programs.items()):
            fitting.append((programs, lead))
        if longest <= config.program_rows // COMPACT:
            break
    if not fitting:
        raise TooLongError(_too_long(config, programs))
    programs, lead = fitting[-1] if longest <= config.program_rows // COMPACT else fitting[0]
    sample = programs if steps is None else _fold_all(config, issues, blocks, lead, min(steps, 2))
    step = step_cycles(config, issues, blocks)
    cycles = _checked(config, sample, _repeated(issues, lead, step, steps)).cycles
    return Emission(programs, sample, cycles + step * max(0, (steps or 1) - 2), lead, step)


def step_cycles(config: LpuConfig, issues: Issues, blocks: Sequence[Repetition]) -> int:
    """Cycles from the start of one step to that of the next: until every LOOP and all that it issues is done."""
    ends = [cycle + i.duration for queue in issues.values() for cycle, i in queue]
    ends += [start + block.n * block.period for block in blocks for start in block.starts.values()]
    return config.superlanes + max(ends, default=0)


def _repeated(issues: Issues, lead: int, step: int, steps: int | None) -> Issues:
    """The issues of the steps of an expansion."""
    starts = [lead + i * step for i in range(min(steps or 1, 2))]
    return {
        name: [(start + cycle, instruction) for start in starts for cycle, instruction in queue]
        for name, queue in issues.items()
    }


def _fold_all(
    config: LpuConfig, issues: Issues, blocks: Sequence[Repetition], lead: int, steps: int | None
) -> Programs:
    period = step_cycles(config, issues, blocks)
    whole = None if steps is None else Span(lead, steps, period)
    delayed = _repeated(issues, lead, period, None)
    programs = {}
    for q in queues(config):
        spans = [Span(lead + b.starts[q.name], b.n, b.period) for b in blocks if b.n > 1 and q.name in b.starts]
        programs[q.name] = fold(config, q, delayed.get(q.name, []), lead + period - config.superlanes, spans, whole)
    return programs


def _too_long(config: LpuConfig, programs: Programs) -> str:
    name, program = max(programs.items(), key=lambda item: len(item[1]) - config.rows_of(item[0]))
    return f"queue {name}: {len(program)} instructions: must be at most program_rows = {config.rows_of(name)}"


# ------------------------------------------------------------------------- check


def _checked(config: LpuConfig, programs: Programs, issues: Issues) -> Expansion:
    """The programs' expansion. Raises CompileError if it is not, element by element, what was scheduled."""
    expansion = expand(config, programs)
    for name, elements in expansion.elements.items():
        facts = {id(i): _fact(config, i) for i in programs[name]}
        found = [(e.cycle, e.addr, *facts[id(e.instruction)](e.number)) for e in elements]
        wanted = list(_scheduled(config, issues.get(name, [])))
        if found != wanted:
            pairs = zip(found, wanted, strict=False)
            number = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(wanted)))
            raise CompileError(f"queue {name}: element {number} of the folded program is not the scheduled one")
    return expansion


Fact = tuple[object, ...]


def _scheduled(config: LpuConfig, issues: Sequence[Issue]) -> Iterator[Fact]:
    addresses = 1 << config.addr_bits
    for cycle, instruction in issues:
        fact, period = _fact(config, instruction), instruction["gap"] + 1
        addr, stride = instruction["addr"], instruction["stride"]
        for i in range(instruction["count"]):
            yield (cycle + i * period, (addr + i * stride) % addresses, *fact(i))


_FOLDED = frozenset(("addr", "count", "gap", "stride", "mask"))


def _fact(config: LpuConfig, instruction: Instruction) -> Callable[[int], Fact]:
    """What element ``number`` does, whatever instruction issues it; the number where that matters."""
    fields = tuple(arg for arg in instruction.args if arg[0] not in _FOLDED)
    if is_mergeable(config, instruction):
        return lambda number: (instruction.op, fields)
    return lambda number: (instruction.op, fields, number, instruction["count"])
