"""The sequencing rule of ``hdl/isa``, executable: programs -> issued elements with absolute cycles."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdl.config import LpuConfig
from hdl.isa import (
    LOOP_CYCLES,
    SYNC_LATENCY,
    Element,
    Instruction,
    Opcode,
    Queue,
    control_fields,
    has_address,
    queues,
    unit_opcodes,
)

_END_ONLY = (Instruction.of(Opcode.END),)


class SequenceError(ValueError):
    """A program breaks a sequencing rule; the message names queue, pc and rule."""


@dataclass(frozen=True)
class Expansion:
    """What all queues issue: ``elements`` per queue in issue order, ``ends`` the cycle of each END.

    ``cycles`` is the length of the program, max(ends) + R.
    """

    elements: dict[str, list[Element]]
    ends: dict[str, int]
    cycles: int


def expand(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]]) -> Expansion:
    """Elements of every queue, with absolute issue cycles and final addresses; absent queues only END.

    Element addresses include LOOP offsets named by the mask, REPEAT and element strides, modulo 2^addr_bits.

    Raises SequenceError for an unknown queue, a malformed program, or a SYNC that nothing releases.
    """
    known = {queue.name: queue for queue in queues(config)}
    for name in programs:
        if name not in known:
            raise SequenceError(f"queue {name}: not a queue of config '{config.name}'; queues: {', '.join(known)}")
    runs = [_QueueRun(config, queue, programs.get(name, _END_ONLY)) for name, queue in known.items()]
    for run in runs:
        check_structure(config, run.queue, run.program)
    _run_all(runs)
    ends = {run.queue.name: run.cycle for run in runs}
    return Expansion({run.queue.name: run.elements for run in runs}, ends, max(ends.values()) + config.superlanes)


# ------------------------------------------------------------------ static rules


def _error(queue: Queue, pc: int, instruction: Instruction, rule: str) -> SequenceError:
    return SequenceError(f"queue {queue.name}, pc {pc}: {instruction}: {rule}")


def check_structure(config: LpuConfig, queue: Queue, program: Sequence[Instruction]) -> None:
    """Rules that hold without running: length, opcodes, END, REPEAT partners, LOOP blocks. Raises SequenceError.

    What follows the first END is unreachable and only its opcodes are checked.
    """
    rows = config.rows_of(queue.name)
    if len(program) > rows:
        raise SequenceError(
            f"queue {queue.name}, pc {rows}: {len(program)} instructions: must be at most program_rows = {rows}"
        )
    allowed = {*control_fields(config, queue.kind), *unit_opcodes(config, queue.kind)}
    for pc, instruction in enumerate(program):
        if instruction.op not in allowed:
            raise _error(queue, pc, instruction, f"not an instruction of a {queue.kind.value} queue")
    if not any(instruction.op is Opcode.END for instruction in program):
        raise SequenceError(f"queue {queue.name}, pc {len(program)}: missing END: a program must reach END")
    _check_blocks(config, queue, program)


def _check_blocks(config: LpuConfig, queue: Queue, program: Sequence[Instruction]) -> None:
    open_blocks: list[int] = []  # last pc of each enclosing block, outermost first
    for pc, instruction in enumerate(program):
        depth_before = len(open_blocks)
        while open_blocks and open_blocks[-1] < pc:
            open_blocks.pop()
        if instruction.op is Opcode.END:
            return
        if instruction.op is Opcode.REPEAT:
            same_block = len(open_blocks) == depth_before
            if pc == 0 or not same_block or not _repeatable(program[pc - 1]):
                rule = "REPEAT must directly follow a unit instruction or NOP of its block"
                raise _error(queue, pc, instruction, rule)
        if instruction.op is Opcode.LOOP:
            _check_loop(config, queue, program, pc, open_blocks)
            open_blocks.append(pc + instruction["length"])


def _repeatable(instruction: Instruction) -> bool:
    return not instruction.is_control or instruction.op is Opcode.NOP


def _check_loop(
    config: LpuConfig, queue: Queue, program: Sequence[Instruction], pc: int, open_blocks: list[int]
) -> None:
    instruction, last = program[pc], pc + program[pc]["length"]
    if instruction["n"] < 1 or instruction["length"] < 1:
        raise _error(queue, pc, instruction, "LOOP needs n >= 1 and length >= 1")
    if last >= len(program):
        raise _error(queue, pc, instruction, f"LOOP block runs past the program end ({len(program)} instructions)")
    if any(inner.op is Opcode.END for inner in program[pc + 1 : last + 1]):
        raise _error(queue, pc, instruction, "LOOP block must not contain END")
    if open_blocks and last > open_blocks[-1]:
        raise _error(queue, pc, instruction, f"LOOP block must end within its outer block (pc {open_blocks[-1]})")
    if len(open_blocks) >= config.loop_levels:
        raise _error(queue, pc, instruction, f"LOOP nested deeper than loop_levels = {config.loop_levels}")


# ----------------------------------------------------------------------- running


@dataclass
class _Loop:
    """A running LOOP: pcs of its block, iterations, and the address stride per iteration."""

    first: int
    last: int
    n: int
    stride: int
    iteration: int = 0


@dataclass
class _QueueRun:
    """One queue's state: ``cycle`` is the issue cycle of the instruction at ``pc``."""

    config: LpuConfig
    queue: Queue
    program: Sequence[Instruction]
    cycle: int = 0
    pc: int = 0
    loops: list[_Loop] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)

    def run_to_sync(self, notifies: list[int]) -> bool:
        """Run until a SYNC (True) or END (False); cycles of the NOTIFYs on the way go into ``notifies``, sorted."""
        while True:
            instruction = self.program[self.pc]
            match instruction.op:
                case Opcode.END:
                    return False
                case Opcode.SYNC:
                    return True
                case Opcode.NOTIFY:
                    insort(notifies, self.cycle)
                    self.cycle += 1
                case Opcode.NOP:
                    self.cycle += instruction.duration
                case Opcode.LOOP:
                    self._enter(instruction)
                case Opcode.REPEAT:
                    self._repeat(instruction)
                case _:
                    self.cycle += instruction.pause if self.config.loop_levels else 0
                    self._issue(self.pc, instruction, self._base(instruction))
            self._next_pc()

    def release(self, notify_cycle: int) -> None:
        """Leave the SYNC at ``pc``."""
        self.cycle = notify_cycle + SYNC_LATENCY
        self._next_pc()

    def _next_pc(self) -> None:
        while self.loops and self.pc == self.loops[-1].last:
            loop = self.loops[-1]
            if loop.iteration + 1 < loop.n:
                loop.iteration += 1
                self.pc = loop.first
                return
            self.loops.pop()
        self.pc += 1

    def _enter(self, instruction: Instruction) -> None:
        last = self.pc + instruction["length"]
        self.loops.append(_Loop(self.pc + 1, last, instruction["n"], instruction["stride"]))
        self.cycle += LOOP_CYCLES

    def _base(self, instruction: Instruction) -> int:
        mask = instruction["mask"]
        offsets = (loop.iteration * loop.stride for level, loop in enumerate(self.loops) if mask >> level & 1)
        return instruction["addr"] + sum(offsets)

    def _issue(self, pc: int, instruction: Instruction, base: int) -> None:
        """Elements of one pass over a unit instruction from ``cycle`` on, which moves to the next instruction's."""
        step, stride, start = instruction["gap"] + 1, instruction["stride"], self.cycle
        addr_mask = (1 << self.config.addr_bits) - 1 if has_address(self.queue.kind) else 0
        self.elements.extend(
            Element(start + i * step, pc, instruction, i, (base + i * stride) & addr_mask)
            for i in range(instruction["count"])
        )
        self.cycle += instruction.duration

    def _repeat(self, instruction: Instruction) -> None:
        partner, n, idle = self.program[self.pc - 1], instruction["n"], instruction["d"]
        if partner.op is Opcode.NOP:
            self.cycle += n * (idle + partner.duration)
            return
        base = self._base(partner)
        for i in range(1, n + 1):
            self.cycle += idle
            self._issue(self.pc - 1, partner, base + i * instruction["stride"])


def _run_all(runs: Sequence[_QueueRun]) -> None:
    """Run every queue to END. A SYNC reached in T is released by the earliest NOTIFY at or after T - 1."""
    notifies: list[int] = []
    waiting = [run for run in runs if run.run_to_sync(notifies)]
    while waiting:
        releases = []
        for run in waiting:
            found = bisect_left(notifies, run.cycle - 1)
            if found < len(notifies):
                releases.append(notifies[found])
        if not releases:
            run = waiting[0]
            raise _error(run.queue, run.pc, run.program[run.pc], f"waits from cycle {run.cycle}, no NOTIFY releases it")
        # Later NOTIFYs of waiting queues come at least SYNC_LATENCY after the earliest release: it cannot change.
        _release(waiting, notifies, min(releases))
        waiting = [run for run in waiting if run.program[run.pc].op is Opcode.SYNC]


def _release(waiting: Sequence[_QueueRun], notifies: list[int], notify_cycle: int) -> None:
    for run in [run for run in waiting if run.cycle - 1 <= notify_cycle]:
        run.release(notify_cycle)
        run.run_to_sync(notifies)
