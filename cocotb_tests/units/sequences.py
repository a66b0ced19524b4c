"""Random programs of the sequencing instructions, for any queue kind; what the units would do does not matter."""

from __future__ import annotations

import random
from collections.abc import Callable

from hdl.config import LpuConfig
from hdl.isa import Instruction, Opcode, QueueKind, control_fields, has_address, queues, unit_fields, unit_opcodes

END = Instruction.of(Opcode.END)
NOTIFIER = "w0.w"
"""The queue that goes on notifying, so that most SYNCs are released."""


class SequenceWriter:
    """Random programs; short counts and loops, and now and then the greatest value a field can hold."""

    def __init__(self, config: LpuConfig, rng: random.Random) -> None:
        self._config, self._rng = config, rng

    def programs(self) -> dict[str, list[Instruction]]:
        written = {q.name: [*self._block(q.kind, 0, 8), END] for q in queues(self._config)}
        kind = QueueKind.MEM_WRITE
        if not self._config.loop_levels:
            pairs = [[self._fill(Opcode.NOP, kind, n=n), Instruction.of(Opcode.NOTIFY)] for n in (3, 9, 5, 7, 12, 4)]
            written[NOTIFIER] = [*(step for pair in pairs for step in pair), END]
            return written
        nop = self._fill(Opcode.NOP, kind, n=self._rng.randint(3, 12))
        inner, outer = (self._fill(Opcode.LOOP, kind, n=n, length=m) for n, m in ((15, 2), (4, 3)))
        written[NOTIFIER] = [outer, inner, nop, Instruction.of(Opcode.NOTIFY), END]
        return written

    def _fill(self, op: Opcode, kind: QueueKind, **given: int) -> Instruction:
        """A control instruction; its stride is random."""
        fields = control_fields(self._config, kind)[op]
        strides = {f.name: self._rng.randint(f.minimum, f.maximum) for f in fields if f.name == "stride"}
        return Instruction.of(op, **{**strides, **given})

    def _unit(self, kind: QueueKind) -> Instruction:
        rng = self._rng
        values = {f.name: rng.randint(f.minimum, f.maximum) for f in unit_fields(self._config, kind)}
        if rng.random() < 0.9:
            values |= {"count": rng.randint(1, 4), "gap": rng.choice((0, 0, 1, 3))}
        return Instruction.of(rng.choice(unit_opcodes(self._config, kind)), **values)

    def _counted(self, kind: QueueKind) -> list[Instruction]:
        """A unit instruction or NOP, with REPEATs of it."""
        rng = self._rng
        first = self._unit(kind) if rng.random() < 0.7 else self._fill(Opcode.NOP, kind, n=rng.randint(1, 9))
        if rng.random() < 0.6 or not self._config.loop_levels:
            return [first]
        gap = rng.choice((0, 0, 1, 2, (1 << self._config.gap_bits) - 1))
        return [first, self._fill(Opcode.REPEAT, kind, n=rng.randint(1, 3), d=gap)]

    def _loop(self, kind: QueueKind, depth: int) -> list[Instruction]:
        block = self._block(kind, depth + 1, 3)
        return [self._fill(Opcode.LOOP, kind, n=self._rng.randint(1, 3), length=len(block)), *block]

    def _block(self, kind: QueueKind, depth: int, items: int) -> list[Instruction]:
        choices: list[Callable[[], list[Instruction]]] = [lambda: self._counted(kind)] * 5
        choices += [lambda: [Instruction.of(Opcode.SYNC)], lambda: [Instruction.of(Opcode.NOTIFY)]]
        if depth < self._config.loop_levels:
            choices += [lambda: self._loop(kind, depth)] * 2
        block: list[Instruction] = []
        for _ in range(self._rng.randint(1, items)):
            block += self._rng.choice(choices)()
        return block


def reads_with_loops(config: LpuConfig) -> list[Instruction]:
    """Two nested loops that end together, each adding its own stride to some of the addresses of reads in between."""
    outer = Instruction.of(Opcode.LOOP, n=3, length=5, stride=16)
    inner = Instruction.of(Opcode.LOOP, n=2, length=3, stride=-3)
    reads = [Instruction.of(Opcode.READ, addr=40, mask=mask, count=2, stride=1) for mask in (3, 1, 2)]
    assert has_address(QueueKind.MEM_READ) and config.loop_levels >= 2
    return [outer, reads[2], inner, *reads, END]
