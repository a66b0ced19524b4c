"""Random legal programs: dense, together using every instruction, operation, operand source and sequencing form.

Bundles are built backwards from their consumers, then placed one after another at the earliest cycle where queues,
streams, SRAM rows and matrix state allow; queues are synchronised in idle time; the result is verified.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from compiler.image import MemoryBlock
from compiler.random_program.builder import BundleBuilder
from compiler.random_program.coverage import all_features, coverage
from compiler.random_program.memory import MemoryPlan
from compiler.random_program.pattern import END, Item, StuckError
from compiler.random_program.placement import ROWS_KEPT, Placer
from compiler.verify import verify
from hdl.config import LpuConfig, UnitKind
from hdl.isa import LOOP_CYCLES, SYNC_LATENCY, Instruction, Opcode, queues

__all__ = ["all_features", "coverage", "random_program"]

Program = tuple[Instruction, ...]
_FAILURES = 30
"""Bundles in a row that find no place before the program counts as full."""


def random_program(config: LpuConfig, seed: int, length: int) -> tuple[dict[str, Program], list[MemoryBlock]]:
    """(programs by queue, initial memory) of at most about ``length`` cycles; the same for the same arguments.

    Shorter when the program memory of a busy queue is full. Raises VerifyError if a rule were broken.
    """
    rng, plan = random.Random(f"{config.name} {seed} {length}"), MemoryPlan(config, seed)
    placer = Placer(config, plan)
    _fill(config, rng, placer, length)
    _synchronise(rng, placer)
    programs = {q.name: _assemble(config, rng, placer.items[q.name]) for q in queues(config)}
    blocks = plan.blocks()
    verify(config, programs, blocks)
    return programs, blocks


def _fill(config: LpuConfig, rng: random.Random, placer: Placer, length: int) -> None:
    """Place bundles, an installed tile per plane first, until many in a row find no place."""
    planes, failures = list(config.units_of(UnitKind.MATRIX)), 0
    while failures < _FAILURES:
        builder = BundleBuilder(config, rng, placer.plan, placer.full())
        try:
            bundle = builder.build_weights(planes[0]) if planes else builder.build()
        except StuckError:
            failures += 1
            continue
        placed = placer.place(bundle, length)
        failures = 0 if placed else failures + 1
        planes = planes[1:] if placed else planes


def _synchronise(rng: random.Random, placer: Placer) -> None:
    """NOTIFYs in idle cycles of some queues, and SYNCs that they release in idle cycles of others."""
    by_name, earlier = {q.name: q for q in queues(placer.config)}, 0
    for cycle in range(rng.randrange(8), placer.end, rng.randint(20, 60)):
        room = [n for n in by_name if placer.rows_used(n) < placer.config.rows_of(n) - ROWS_KEPT]
        idle = [name for name in room if not placer.held.get(name, 0) >> cycle & 1]
        if not idle:
            continue
        notifier = rng.choice(idle)
        placer.add(Item(by_name[notifier], cycle, 1, (Instruction.of(Opcode.NOTIFY),)))
        for name in room:
            start = rng.randint(max(earlier, cycle - 12), cycle + 1)
            window = (1 << (cycle + SYNC_LATENCY - start)) - 1
            if name != notifier and rng.random() < 0.7 and not placer.held.get(name, 0) >> start & window:
                sync = Item(by_name[name], start, cycle + SYNC_LATENCY - start, (Instruction.of(Opcode.SYNC),))
                placer.add(sync)
        earlier = cycle + SYNC_LATENCY


def _assemble(config: LpuConfig, rng: random.Random, items: Sequence[Item]) -> Program:
    """One queue's program: its items in order, the gaps between them waited out."""
    program: list[Instruction] = []
    cycle = 0
    for item in sorted(items, key=lambda item: item.start):
        first, idle = item.program[0], item.start - cycle
        pauses = 0 < idle < 1 << config.gap_bits and config.loop_levels and not first.is_control and rng.random() < 0.5
        if pauses and first["count"] == 1:
            program += [first.replace(gap=idle), *item.program[1:]]
        else:
            program += [*_wait(config, rng, idle), *item.program]
        cycle = item.start + item.length
    return (*program, END)


def _wait(config: LpuConfig, rng: random.Random, cycles: int) -> list[Instruction]:
    """Instructions that take exactly that many cycles: a NOP, a repeated NOP, or a LOOP of NOPs."""
    longest, longest_gap = (1 << config.count_bits) - 1, (1 << config.gap_bits) - 1
    if cycles > longest:
        return [Instruction.of(Opcode.NOP, n=longest), *_wait(config, rng, cycles - longest)]
    if not config.loop_levels:
        return [Instruction.of(Opcode.NOP, n=cycles)] if cycles else []
    style, n = rng.random(), rng.randint(1, 5)
    times, rest = divmod(cycles - LOOP_CYCLES, n)
    if style < 0.1 and times > 0 and not rest:
        return [Instruction.of(Opcode.LOOP, n=times, length=1), Instruction.of(Opcode.NOP, n=n)]
    idle = cycles - 2 * n
    if style > 0.85 and 0 <= idle <= longest_gap:
        return [Instruction.of(Opcode.NOP, n=n), Instruction.of(Opcode.REPEAT, n=1, d=idle)]
    return [Instruction.of(Opcode.NOP, n=cycles)] if cycles else []
