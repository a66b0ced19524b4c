"""One queue's issues folded into a program: counts, then REPEAT, then LOOP, with NOPs between.

From the inside out
    count    accesses of one kind with a constant period and address step become one READ, WRITE or ALU
    REPEAT   equal instructions with a constant period and address step
    LOOP     blocks that recur with a constant period, each address moving by 0 or by the loop's one stride; a LOOP
             takes LOOP_CYCLES before its block, so it stands where the queue is idle for that long
    pause    idle cycles before a single element are its instruction's gap, where that can be so large
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.ir import CompileError
from hdl.config import LpuConfig
from hdl.isa import (
    LOOP_CYCLES,
    Instruction,
    Opcode,
    Queue,
    QueueKind,
    control_fields,
    has_address,
    unit_fields,
)

LONGEST_BLOCK = 256
"""Instructions of the longest block that is tried as the body of a LOOP."""

Issue = tuple[int, Instruction]
"""(cycle, instruction)."""
Merge = Callable[[Sequence[Issue]], list[Issue]]
"""A way to make fewer instructions of the same accesses."""


@dataclass(frozen=True)
class _Run:
    """An instruction issued in ``cycle`` and, by REPEAT, ``n`` more times after ``d`` idle cycles each."""

    cycle: int
    instruction: Instruction
    n: int = 0
    d: int = 0
    stride: int = 0

    @property
    def end(self) -> int:
        return self.cycle + self.instruction.duration + self.n * (self.d + self.instruction.duration)

    @property
    def addr(self) -> int:
        return self.instruction["addr"]

    @property
    def shape(self) -> tuple[object, ...]:
        """What equal runs have in common: all but cycle and address."""
        return (_family(self.instruction, "addr"), self.n, self.d, self.stride)

    @property
    def rows(self) -> int:
        return 1 + (self.n > 0)


@dataclass(frozen=True)
class _Loop:
    """A LOOP issued in ``cycle``: ``n`` iterations of ``body``, ``period`` cycles each, moving by ``stride``."""

    cycle: int
    n: int
    period: int
    stride: int
    body: tuple[_Run | _Loop, ...]

    @property
    def end(self) -> int:
        return self.cycle + LOOP_CYCLES + self.n * self.period


_Node = _Run | _Loop


@dataclass(frozen=True)
class Span:
    """Cycles ``start`` .. ``start + n * period`` in which a queue does n times, n > 1, what it does in the first."""

    start: int
    n: int
    period: int


def fold(
    config: LpuConfig,
    queue: Queue,
    issues: Sequence[Issue],
    end: int,
    spans: Sequence[Span] = (),
    whole: Span | None = None,
) -> tuple[Instruction, ...]:
    """The shortest program found for one queue's ``issues``, in order; its END is in or before cycle ``end``.

    ``spans`` become LOOPs as they are; ``whole``: a LOOP around everything, ``issues`` being its first iteration.
    Raises CompileError for a span in which addresses move by more than one stride.
    """
    issues = [(c, i.replace(gap=0) if i.pause else i) for c, i in issues]
    programs = []
    for least in (2, 3):  # pairs save little, and may hide the period of a block
        folder = _Folder(config, queue.kind, least)
        variants = (lambda i, f=folder: f.merge_runs(f.merge_singles(i)), folder.merge_singles, list)
        programs += [folder.program(issues, variant, end, spans, whole) for variant in variants]
    return min(programs, key=len)


def is_mergeable(config: LpuConfig, instruction: Instruction) -> bool:
    """Whether the instruction's elements are independent of their number, so that two of them may become one."""
    if instruction.op is Opcode.ALU:
        return not instruction["fold"] and not instruction["last_only"]
    by_itself = (Opcode.LW,) if config.tile_load_cycles == 1 else ()
    return instruction.op in (Opcode.READ, Opcode.WRITE, *by_itself)


def _family(instruction: Instruction, *without: str) -> tuple[object, ...]:
    return (instruction.op, tuple(arg for arg in instruction.args if arg[0] not in without))


class _Folder:
    """Folding of one queue; runs shorter than ``least`` stay apart."""

    def __init__(self, config: LpuConfig, kind: QueueKind, least: int) -> None:
        self._config, self.least = config, least
        self.levels = config.loop_levels
        self._half = 1 << (config.addr_bits - 1)
        self._steepest = 1 << (config.stride_width - 1)
        self._has_address = has_address(kind)
        fields = {f.name: f.maximum for f in unit_fields(config, kind)}
        self._most_count, self._most_gap = fields["count"], fields["gap"]
        self._most_nop = control_fields(config, kind)[Opcode.NOP][0].maximum

    def program(
        self, issues: Sequence[Issue], merge: Merge, end: int, spans: Sequence[Span], whole: Span | None
    ) -> tuple[Instruction, ...]:
        if not issues:
            return (Instruction.of(Opcode.END),)
        level, start = (0, 0) if whole is None else (1, whole.start)
        nodes: list[_Node] = []
        for span in spans:
            before = [issue for issue in issues if start <= issue[0] < span.start]
            nodes += self._loops(self._runs(before, merge), start, span.start - LOOP_CYCLES, level)
            nodes.append(self._span(issues, span, merge, level))
            start = nodes[-1].end
        nodes += self._loops(self._runs([issue for issue in issues if issue[0] >= start], merge), start, end, level)
        if whole is not None:
            nodes = [_Loop(whole.start - LOOP_CYCLES, whole.n, whole.period, 0, tuple(nodes))]
        return (*self._flat(nodes, 0, nodes[-1].end), Instruction.of(Opcode.END))

    def _runs(self, issues: Sequence[Issue], merge: Merge) -> list[_Run]:
        return self._repeats([_Run(cycle, instruction) for cycle, instruction in merge(issues)])

    def _span(self, issues: Sequence[Issue], span: Span, merge: Merge, level: int) -> _Loop:
        """The LOOP over a span; addresses that are others in its second iteration move, all by one stride."""
        ends = [span.start + i * span.period for i in range(3)]
        first, second = (
            [issue for issue in issues if a <= issue[0] < b] for a, b in zip(ends[:2], ends[1:], strict=True)
        )
        steps = [self._step(a["addr"], b["addr"]) for (_, a), (_, b) in zip(first, second, strict=True)]
        moves = sorted({0, *steps})
        if len(moves) > 2:
            raise CompileError(f"a block of {span.n} iterations: addresses move by {moves}: must be one stride a queue")
        body = [(c, _with_mask(i, level) if step else i) for (c, i), step in zip(first, steps, strict=True)]
        inner = self._loops(self._runs(body, merge), span.start, span.start + span.period, level + 1)
        return _Loop(span.start - LOOP_CYCLES, span.n, span.period, sum(moves), tuple(inner))

    def _step(self, a: int, b: int) -> int:
        """The signed address step from a to b, modulo 2^addr_bits."""
        return (b - a + self._half) % (2 * self._half) - self._half

    def _fits(self, step: int) -> bool:
        """Whether a stride can be so large."""
        return -self._steepest <= step < self._steepest

    def _constant_runs(self, size: int, continues: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
        """(first, length) of greedy runs, where ``continues(i, j)`` says that j goes on as i and i+1 began.

        A pair is taken apart where its second member begins a longer run.
        """

        def run_length(i: int) -> int:
            j = i + 1
            while j < size and continues(i, j):
                j += 1
            return j - i

        i = 0
        while i < size:
            length = run_length(i)
            if length < self.least or (length == 2 and run_length(i + 1) > 2):
                length = 1
            yield i, length
            i += length

    # ------------------------------------------------------------------- count

    def merge_singles(self, issues: Sequence[Issue]) -> list[Issue]:
        """Single-element accesses in constant steps -> one instruction with count, gap and stride."""
        merged: list[Issue] = []
        runs = [_Run(cycle, instruction) for cycle, instruction in issues]
        for first, length in self._constant_runs(len(runs), lambda i, j: self._merges(runs, i, j)):
            cycle, instruction = issues[first]
            if length > 1:
                gap = issues[first + 1][0] - cycle - 1
                fields = {"count": length, "gap": gap}
                if self._has_address:
                    fields["stride"] = self._step(instruction["addr"], issues[first + 1][1]["addr"])
                instruction = instruction.replace(**fields)
            merged.append((cycle, instruction))
        return merged

    def _merges(self, runs: Sequence[_Run], i: int, j: int) -> bool:
        """Whether run j continues the constant run that i and i+1 begin."""
        if runs[j].instruction["count"] > 1 or not is_mergeable(self._config, runs[j].instruction):
            return False
        return j - i < self._most_count and self._continues(runs, i, j)

    def merge_runs(self, issues: Sequence[Issue]) -> list[Issue]:
        """Accesses that go on where the one before ends, in the same steps -> one instruction."""
        merged: list[Issue] = []
        for cycle, instruction in issues:
            if merged and self._goes_on(*merged[-1], cycle, instruction):
                start, before = merged[-1]
                merged[-1] = (start, before.replace(count=before["count"] + instruction["count"]))
            else:
                merged.append((cycle, instruction))
        return merged

    def _goes_on(self, start: int, before: Instruction, cycle: int, instruction: Instruction) -> bool:
        count = before["count"]
        return (
            is_mergeable(self._config, instruction)
            and min(count, instruction["count"]) > 1
            and count + instruction["count"] <= self._most_count
            and _family(before, "addr", "count") == _family(instruction, "addr", "count")
            and cycle == start + count * (before["gap"] + 1)
            and self._step(before["addr"] + count * before["stride"], instruction["addr"]) == 0
        )

    # ------------------------------------------------------------------ REPEAT

    def _repeats(self, runs: Sequence[_Run]) -> list[_Run]:
        if not self.levels:
            return list(runs)
        folded = []
        for first, length in self._constant_runs(len(runs), lambda i, j: self._continues(runs, i, j)):
            run = runs[first]
            if length > 1:
                period = runs[first + 1].cycle - run.cycle
                stride = self._step(run.addr, runs[first + 1].addr)
                run = replace(run, n=length - 1, d=period - run.instruction.duration, stride=stride)
            folded.append(run)
        return folded

    def _continues(self, runs: Sequence[_Run], i: int, j: int) -> bool:
        a, b, before, last = runs[i], runs[i + 1], runs[j - 1], runs[j]
        period = b.cycle - a.cycle
        return (
            last.shape == a.shape
            and last.cycle - before.cycle == period
            and 0 <= period - a.instruction.duration <= self._most_gap
            and self._step(before.addr, last.addr) == self._step(a.addr, b.addr)
            and self._fits(self._step(a.addr, b.addr))
            and j - i <= self._most_count
        )

    # -------------------------------------------------------------------- LOOP

    def _loops(self, runs: Sequence[_Run], start: int, end: int, level: int) -> list[_Node]:
        """``runs`` in order, blocks that recur replaced by LOOPs; the queue is free from ``start`` to ``end``."""
        nodes: list[_Node] = []
        shapes = _numbered([run.shape for run in runs])
        i, free = 0, start
        while i < len(runs):
            length, n = 0, 0
            if level < self.levels and runs[i].cycle - free >= LOOP_CYCLES:
                length, n = self._best_block(runs, shapes, i, end)
            node: _Node = self._loop(runs[i : i + 2 * length], n, level) if n else runs[i]
            nodes.append(node)
            free = node.end
            i += max(1, length * n)
        return nodes

    def _best_block(self, runs: Sequence[_Run], shapes: Sequence[int], i: int, end: int) -> tuple[int, int]:
        """(length, n) of the block at i whose n recurrences save most instructions; n = 0 if none does."""
        best, most_saved = (0, 0), 0
        for length in range(1, min(LONGEST_BLOCK, (len(runs) - i) // 2) + 1):
            period = runs[i + length].cycle - runs[i].cycle
            last = i + length - 1
            if shapes[last] != shapes[last + length] or runs[last + length].cycle - runs[last].cycle != period:
                continue
            n = self._recurrences(runs, shapes, i, length, end)
            saved = (n - 1) * sum(run.rows + 1 for run in runs[i : i + length]) - 1 if n > 1 else 0
            if saved > most_saved:
                best, most_saved = (length, n), saved
        return best

    def _recurrences(self, runs: Sequence[_Run], shapes: Sequence[int], i: int, length: int, end: int) -> int:
        """How often the block at i recurs, the idle cycles after its last run included."""
        period = runs[i + length].cycle - runs[i].cycle
        stride, j = 0, i + length
        while j < len(runs) and shapes[j] == shapes[j - length] and runs[j].cycle - runs[j - length].cycle == period:
            step = self._step(runs[j - length].addr, runs[j].addr)
            first = self._step(runs[i + (j - i) % length].addr, runs[i + (j - i) % length + length].addr)
            if step != first or (stride and step not in (0, stride)) or not self._fits(step):
                break
            stride, j = stride or step, j + 1
        n = min((j - i) // length, self._most_count)
        after = runs[i + n * length].cycle if i + n * length < len(runs) else end
        return n if after >= runs[i].cycle + n * period else n - 1

    def _loop(self, blocks: Sequence[_Run], n: int, level: int) -> _Loop:
        """The LOOP over the first of two consecutive blocks; what differs between them moves with it."""
        length = len(blocks) // 2
        steps = [self._step(a.addr, b.addr) for a, b in zip(blocks[:length], blocks[length:], strict=True)]
        stride = next((step for step in steps if step), 0)
        body = [_moving(run, level) if step else run for run, step in zip(blocks[:length], steps, strict=True)]
        start, period = blocks[0].cycle, blocks[length].cycle - blocks[0].cycle
        inner = self._loops(body, start, start + period, level + 1)
        return _Loop(start - LOOP_CYCLES, n, period, stride, tuple(inner))

    # ----------------------------------------------------------------- program

    def _flat(self, nodes: Sequence[_Node], start: int, end: int) -> Iterator[Instruction]:
        """Instructions of ``nodes`` with NOPs around them, from cycle ``start`` to ``end``."""
        cycle = start
        for node in nodes:
            idle = node.cycle - cycle
            if isinstance(node, _Loop):
                yield from (*self._nops(idle), *self._flat_loop(node))
            else:
                pauses = self.levels and node.instruction["count"] == 1 and idle <= self._most_gap
                yield from () if pauses else self._nops(idle)
                yield from self._flat_run(node, idle if pauses else 0)
            cycle = node.end
        yield from self._nops(end - cycle)

    def _flat_run(self, run: _Run, pause: int) -> Iterator[Instruction]:
        yield run.instruction.replace(gap=pause) if pause else run.instruction
        if run.n:
            stride = {"stride": run.stride} if self._has_address else {}
            yield Instruction.of(Opcode.REPEAT, n=run.n, d=run.d, **stride)

    def _flat_loop(self, loop: _Loop) -> Iterator[Instruction]:
        start = loop.cycle + LOOP_CYCLES
        body = tuple(self._flat(loop.body, start, start + loop.period))
        stride = {"stride": loop.stride} if self._has_address else {}
        yield Instruction.of(Opcode.LOOP, n=loop.n, length=len(body), **stride)
        yield from body

    def _nops(self, cycles: int) -> Iterator[Instruction]:
        longest, rest = divmod(cycles, self._most_nop)
        repeats = longest > 1 and self.levels > 0
        for _ in range(1 if repeats else longest):
            yield Instruction.of(Opcode.NOP, n=self._most_nop)
        if repeats:
            yield Instruction.of(Opcode.REPEAT, n=longest - 1, d=0)
        if rest:
            yield Instruction.of(Opcode.NOP, n=rest)


def _moving(run: _Run, level: int) -> _Run:
    return replace(run, instruction=_with_mask(run.instruction, level))


def _with_mask(instruction: Instruction, level: int) -> Instruction:
    return instruction.replace(mask=instruction["mask"] | 1 << level)


def _numbered(shapes: Sequence[tuple[object, ...]]) -> list[int]:
    """Equal shapes -> equal numbers."""
    numbers: dict[tuple[object, ...], int] = {}
    return [numbers.setdefault(shape, len(numbers)) for shape in shapes]
