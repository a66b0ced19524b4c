"""The pass pipeline: graph -> fuse -> place -> lower -> schedule -> emit -> verify -> program image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from compiler.bundle import Slot
from compiler.emit import Emission, TooLongError, emit
from compiler.fuse import Pass, fuse
from compiler.image import DTYPES, MemoryBlock, ProgramImage, TensorInfo, pack_tensor, tensor_addresses
from compiler.ir import CompileError, Graph, Tensor
from compiler.lower import lower
from compiler.owners import Owners, owners_of
from compiler.place import Placement, place
from compiler.report import Report, report
from compiler.rows import READS, WRITES
from compiler.schedule import Schedule, schedule, schedules
from compiler.verify import verify
from hdl.config import LpuConfig

PLACEMENTS = 8
"""Placements that a short program chooses from, or one whose programs are too long."""
ROUNDS = ((24, 25), (12, 100), (4, 400), (2, 1000))
"""Of a program with some effort: of how many placements, the best so far, each is judged by how many orders."""
SHORT = 16
"""Passes of a program without blocks for which a placement costs some hundredths of a second."""
LESS = 32
"""By how much less effort is made where the programs of all of a search are too long."""
OWN_ORDER = -1
"""Effort with which the scheduler tries no order but that of the bundles."""


@dataclass(frozen=True)
class CompiledProgram:
    """A verified image, how close its schedule came to the lower bound, and the operator of each element it issues."""

    image: ProgramImage
    report: Report
    owners: Owners


def compile_graph(config: LpuConfig, graph: Graph, steps: int | None = None, effort: int = 0) -> CompiledProgram:
    """Compile and verify; ``steps``: the program runs the graph that often, from state to state.

    ``effort``: how many orders the scheduler tries; with any, or for a short graph, it tries some placements before.

    Raises CompileError for what the core cannot do or hold, VerifyError if a pass has produced an illegal program.
    """
    if not graph.ops or not graph.outputs:
        found = f"{len(graph.ops)} operators, {len(graph.outputs)} outputs"
        raise CompileError(f"graph '{graph.name}': {found}: must have at least one of each")
    passes = fuse(config, graph)
    placement, plan, emission = _fitting(config, graph, passes, steps, effort)
    tensors = _tensors(passes, placement, plan, emission.lead)
    memory = _memory(config, placement, tensors)
    verify(config, emission.sample, [*memory, *input_rows(config, tensors)], tensors)
    image = ProgramImage(config, emission.programs, memory, tensors, emission.cycles)
    return CompiledProgram(image, report(config, plan, emission), owners_of(plan.placed))


def best_placement(config: LpuConfig, graph: Graph, passes: Sequence[Pass], effort: int = 0) -> Placement:
    """Of some placements the one with the fastest schedule, judged by two iterations of each block.

    Raises CompileError where the first does not fit.
    """
    short = PLACEMENTS if len(passes) <= SHORT and all(p.block is None for p in passes) else 1
    rounds = ROUNDS if effort > 0 else ((short, 0),)
    found = [(0, place(config, graph, passes))]
    for trial in range(1, rounds[0][0]):
        with suppress(CompileError):
            found.append((trial, place(config, graph, passes, trial)))
    for most, orders in rounds:
        if orders <= max(effort, rounds[0][1]) and len(found) > 1:
            found = _fastest(config, passes, found[:most], min(orders, effort))
    return found[0][1]


def _fastest(
    config: LpuConfig, passes: Sequence[Pass], found: Sequence[tuple[int, Placement]], effort: int
) -> list[tuple[int, Placement]]:
    """Placements and their trials, the fastest first. Raises CompileError where the first one cannot be lowered."""
    rated = []
    for trial, placement in found:
        try:
            rated.append((_estimate(config, passes, placement, effort), trial, placement))
        except CompileError:
            if trial == 0:
                raise
    return [(trial, placement) for _, trial, placement in sorted(rated, key=lambda one: one[:2])]


def _estimate(config: LpuConfig, passes: Sequence[Pass], placement: Placement, effort: int) -> int:
    """Cycles of a program, all iterations of a block but two left out and made up for by its period."""
    few = [p for p in passes if p.block is None or p.block.number < 2]
    later = Counter({p.block.name: p.block.number - 1 for p in passes if p.block is not None})
    plan = schedule(config, list(lower(config, few, placement)), effort)
    end = max(start + bundle.length for bundle, start in plan.placed)
    return end + sum(n * block.period for n, block in zip(later.values(), plan.blocks, strict=True))


def _fitting(
    config: LpuConfig, graph: Graph, passes: Sequence[Pass], steps: int | None, effort: int
) -> tuple[Placement, Schedule, Emission]:
    """The fastest schedule; where its programs are too long, one of those that are about as fast, else one of less
    effort, else that in the bundles' own order, which is more regular.

    Where that is too long as well, one of the other placements may have rows that follow each other more regularly.
    """
    too_long: list[CompileError] = []
    for tried in (effort, effort // LESS) if effort >= LESS else (effort,):
        placement = best_placement(config, graph, passes, tried)
        _check_tensors(graph, placement)
        try:
            return _emitted(config, passes, placement, tried, steps)
        except CompileError as error:
            too_long.append(error)
    for trial in range(PLACEMENTS):
        with suppress(CompileError):
            other = placement if trial == 0 else place(config, graph, passes, trial)
            return _emitted(config, passes, other, OWN_ORDER, steps)
    raise too_long[0]


def _emitted(
    config: LpuConfig, passes: Sequence[Pass], placement: Placement, effort: int, steps: int | None
) -> tuple[Placement, Schedule, Emission]:
    """The first schedule whose programs are short enough. Raises TooLongError where none is."""
    too_long: TooLongError | None = None
    for plan in schedules(config, list(lower(config, passes, placement)), effort):
        try:
            return placement, plan, emit(config, plan.issues, plan.blocks, steps)
        except TooLongError as error:
            too_long = too_long or error
    assert too_long is not None
    raise too_long


# ----------------------------------------------------------------------- tensors


def _check_tensors(graph: Graph, placement: Placement) -> None:
    """Outputs are in SRAM, and no tensor has the name of one that an operator adds. Raises CompileError."""
    for tensor in graph.outputs:
        if tensor not in placement.kinds:
            raise CompileError(f"graph '{graph.name}': output {tensor}: no operator uses this state")
    for name, count in Counter(tensor.name for tensor in placement.kinds).items():
        if count > 1:
            raise CompileError(f"graph '{graph.name}': tensor '{name}': an operator adds one of this name")


def _tensors(passes: Sequence[Pass], placement: Placement, plan: Schedule, lead: int) -> tuple[TensorInfo, ...]:
    """Tensors and their lives, of a repeated graph those in its first step."""
    lives = _lives(passes, placement, plan)
    unread = (-lead, -lead)
    return tuple(
        placement.info(tensor, *(cycle + lead for cycle in lives.get(tensor, unread))) for tensor in placement.kinds
    )


def _lives(passes: Sequence[Pass], placement: Placement, plan: Schedule) -> Mapping[Tensor, tuple[int, int]]:
    """First and last cycle in which an access touches each tensor; states live all the time."""
    by_name = {p.name: p for p in passes}
    end = max((start + slot.end for bundle, start in plan.placed for slot in bundle.slots), default=0)
    lives = {tensor: (0, end) for tensor in placement.kinds if tensor.mutable}
    for bundle, start in plan.placed:
        for slot in bundle.slots:
            tensor = _touched(by_name[bundle.group], slot, placement)
            if tensor is not None:
                tensor = placement.shared.get(tensor, tensor)
                first, last = lives.get(tensor, (start + slot.cycle, 0))
                lives[tensor] = min(first, start + slot.cycle), max(last, start + slot.end - 1)
    return lives


def _touched(p: Pass, slot: Slot, placement: Placement) -> Tensor | None:
    """The tensor of pass ``p`` that an instruction reads or writes; one instruction stays within one tensor."""
    op = slot.instruction.op
    tensors = (*p.reads, *p.in_weight_groups, *p.writes) if op in READS else p.writes if op in WRITES else ()
    for tensor in tensors:
        at = placement[tensor]
        if at.unit == slot.queue.unit and at.addr <= slot.instruction["addr"] < at.addr + at.rows:
            if slot.instruction["wide"] == at.wide_access:
                return tensor
    return None


# ------------------------------------------------------------------------ memory


def _memory(config: LpuConfig, placement: Placement, tensors: Sequence[TensorInfo]) -> tuple[MemoryBlock, ...]:
    """Constants and the first values of states, as blocks of consecutive addresses."""
    values = {tensor.name: tensor.value for tensor in placement.kinds if tensor.value is not None}
    rows: dict[tuple[str, int], np.ndarray] = {}
    for info in tensors:
        if info.name in values:
            packed = pack_tensor(config, info, values[info.name].astype(DTYPES[info.dtype]))
            rows.update({(unit, addr): row for unit, addr, row in packed})
    return tuple(_blocks(rows))


def _blocks(rows: Mapping[tuple[str, int], np.ndarray]) -> Iterator[MemoryBlock]:
    block: list[tuple[str, int]] = []
    for place_ in sorted(rows):
        if block and place_ != (block[-1][0], block[-1][1] + 1):
            yield MemoryBlock(*block[0], np.stack([rows[key] for key in block]))
            block = []
        block.append(place_)
    if block:
        yield MemoryBlock(*block[0], np.stack([rows[key] for key in block]))


def input_rows(config: LpuConfig, tensors: Sequence[TensorInfo]) -> Iterator[tuple[str, int, int]]:
    """Rows that the host writes before a run."""
    for info in tensors:
        if info.kind == "input":
            yield from ((info.unit, addr, 1) for addr in tensor_addresses(config, info))
