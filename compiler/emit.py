"""Schedules -> programs of all queues: folded, checked against the schedule, in as few rows as cycles allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compiler.fold import Issue, fold, is_mergeable
from compiler.ir import CompileError
from compiler.schedule import Issues
from golden.sequencer import Expansion, expand
from hdl.config import LpuConfig
from hdl.isa import LOOP_CYCLES, Instruction, queues

COMPACT = 4
"""Programs of at most program_rows / COMPACT instructions are short enough not to pay cycles for shorter ones."""

Programs = dict[str, tuple[Instruction, ...]]


def emit(config: LpuConfig, issues: Issues) -> tuple[Programs, Expansion, int]:
    """(programs, their expansion, lead) for a schedule whose first issue is in cycle 0.

    ``lead``: cycles by which everything is later, so that LOOPs fit before the first issues; 0 where programs are
    compact without. Raises CompileError when a queue needs more than program_rows instructions.
    """
    fitting: list[tuple[Programs, int]] = []
    for lead in range(0, (config.loop_levels + 1) * LOOP_CYCLES, LOOP_CYCLES):
        programs = _fold_all(config, _delayed(issues, lead))
        longest = max(map(len, programs.values()))
        if longest <= config.program_rows:
            fitting.append((programs, lead))
        if longest <= config.program_rows // COMPACT:
            break
    if not fitting:
        raise CompileError(_too_long(config, programs))
    programs, lead = fitting[-1] if longest <= config.program_rows // COMPACT else fitting[0]
    return programs, _checked(config, programs, _delayed(issues, lead)), lead


def _delayed(issues: Issues, lead: int) -> Issues:
    return {name: [(cycle + lead, instruction) for cycle, instruction in queue] for name, queue in issues.items()}


def _fold_all(config: LpuConfig, issues: Issues) -> Programs:
    end = max((cycle + i.duration for queue in issues.values() for cycle, i in queue), default=0)
    return {q.name: fold(config, q, issues.get(q.name, []), end) for q in queues(config)}


def _too_long(config: LpuConfig, programs: Programs) -> str:
    name, program = max(programs.items(), key=lambda item: len(item[1]))
    return f"queue {name}: {len(program)} instructions: must be at most program_rows = {config.program_rows}"


# ------------------------------------------------------------------------- check


def _checked(config: LpuConfig, programs: Programs, issues: Issues) -> Expansion:
    """The programs' expansion. Raises CompileError if it is not, element by element, what was scheduled."""
    expansion = expand(config, programs)
    for name, elements in expansion.elements.items():
        facts = {id(i): _fact(i) for i in programs[name]}
        found = [(e.cycle, e.addr, *facts[id(e.instruction)](e.number)) for e in elements]
        wanted = list(_scheduled(1 << config.addr_bits, issues.get(name, [])))
        if found != wanted:
            pairs = zip(found, wanted, strict=False)
            number = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(wanted)))
            raise CompileError(f"queue {name}: element {number} of the folded program is not the scheduled one")
    return expansion


Fact = tuple[object, ...]


def _scheduled(addresses: int, issues: Sequence[Issue]) -> Iterator[Fact]:
    for cycle, instruction in issues:
        fact, period = _fact(instruction), instruction["gap"] + 1
        addr, stride = instruction["addr"], instruction["stride"]
        for i in range(instruction["count"]):
            yield (cycle + i * period, (addr + i * stride) % addresses, *fact(i))


_FOLDED = frozenset(("addr", "count", "gap", "stride", "mask"))


def _fact(instruction: Instruction) -> Callable[[int], Fact]:
    """What element ``number`` does, whatever instruction issues it; the number where that matters."""
    fields = tuple(arg for arg in instruction.args if arg[0] not in _FOLDED)
    if is_mergeable(instruction):
        return lambda number: (instruction.op, fields)
    return lambda number: (instruction.op, fields, number, instruction["count"])
