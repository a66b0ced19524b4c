"""Vectors through the pipes of the vector unit: when each element issues and what must not happen in between.

An operation is put on a pipe at the first cycle at which its operands are there. Results stay in the pipe's register
until the next element of that pipe completes, so taking one later than it appears holds the pipe free for as long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from compiler.bundle import BundleBuilder, Flow, Width, hops
from compiler.ir import CompileError
from compiler.place import Allocation
from hdl.config import LpuConfig, PipeKind
from hdl.isa import (
    FLAG_OPS,
    PIPE_OPS,
    PIPE_QUEUES,
    AddOp,
    Instruction,
    IntOp,
    MulOp,
    Opcode,
    QueueKind,
    RequantOp,
    SfuOp,
    Source,
    pipe_cycles,
    pipe_latency,
    timing,
)

Op = IntOp | RequantOp | MulOp | AddOp | SfuOp
SEARCH = 256
"""Cycles tried for an operation before its operands are taken not to fit at all."""
FLAG = "vxm0.flag"
"""The flag of the INT pipe, as a state that a bundle holds."""


class PipelineError(CompileError):
    """An operation finds no cycle, because its operands come at fixed times; a larger pitch may help."""


@dataclass(frozen=True)
class Rows:
    """Where an operand is read from or a result is written: row ``addr + i*stride`` of ``at`` for element i."""

    at: Allocation
    addr: int
    stride: int = 0


@dataclass(frozen=True)
class Imm:
    """An immediate word."""

    word: int

    @classmethod
    def of(cls, value: float) -> Imm:
        """The fp32 nearest to ``value``."""
        return cls(int(np.float32(value).view(np.int32)))


@dataclass(frozen=True)
class Swap:
    """The pipe's own register in lane i XOR ``distance``; ``reg`` says which result that is."""

    reg: Reg
    distance: int


@dataclass(frozen=True)
class Own:
    """Accumulation: element i takes what the pipe gave ``reg.count`` elements before, the first ones ``reg``."""

    reg: Reg


@dataclass(frozen=True, eq=False)
class Reg:
    """Results of a pipe: element i can be taken by an issue in ``ready + i*pitch`` or later; ``flow`` if driven."""

    pipe: PipeKind
    ready: int
    count: int
    pitch: int
    flow: Flow | None = None

    def element(self, i: int, count: int = 1) -> Reg:
        """Elements i .. i + count - 1."""
        return Reg(self.pipe, self.ready + i * self.pitch, count, self.pitch)


Operand = Rows | Imm | Reg | Swap | Own | Flow


@dataclass(frozen=True)
class Via:
    """Who reads a driven result besides a WRITE: queue and operand field."""

    queue: str
    field: str
    wide: bool = True


@dataclass
class Pipeline:
    """Operations of one bundle. ``op`` returns where the result stands; with ``to`` it is driven as well."""

    config: LpuConfig
    b: BundleBuilder
    _issued: dict[PipeKind, set[int]] = field(default_factory=lambda: defaultdict(set))
    _kept: dict[PipeKind, set[int]] = field(default_factory=lambda: defaultdict(set))
    _reads: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _written: dict[tuple[str, int], int] = field(default_factory=dict)
    _compared: int = 0

    def op(
        self,
        op: Op,
        x: Operand,
        y: Operand | None = None,
        *,
        count: int = 1,
        pitch: int = 1,
        earliest: int = -SEARCH,
        to: Rows | Via | None = None,
        imm: int = 0,
    ) -> Reg:
        """``count`` elements of ``op``, one every ``pitch`` cycles; ``imm``: of PICK. Raises PipelineError."""
        use = _Use(self.config, op, {"x": x} if y is None else {"x": x, "y": y}, count, pitch, imm)
        start = self._start(use, earliest)
        self._take(use, start)
        flow = self._emit(use, start, to)
        return Reg(use.pipe, start + pipe_latency(self.config, use.pipe), count, pitch, flow)

    # -------------------------------------------------------------------- time

    def _start(self, use: _Use, earliest: int) -> int:
        fixed = {operand.arrival for operand in use.operands.values() if isinstance(operand, Flow)}
        ready = max([earliest, *use.ready, *self._after_writes(use)])
        first = 0 if ready == -SEARCH else ready
        for start in sorted(fixed) or range(first, first + SEARCH):
            if start >= ready and len(fixed) <= 1 and self._fits(use, start):
                return start
        raise PipelineError(f"{self.b.group}: no cycle for {use.op.name} of the {use.pipe.name} pipe")

    def _after_writes(self, use: _Use) -> Iterator[int]:
        """First issues with which a row that the bundle itself writes is read in the cycle after that or later."""
        func = timing(self.config, QueueKind.MEM_READ, Opcode.READ).func
        assert func is not None
        for rows in use.rows:
            way = func + hops(rows.at.unit, self.config.unit("vxm0"))
            for i in range(use.count):
                written = self._written.get((rows.at.unit.name, rows.addr + i * rows.stride))
                if written is not None:
                    yield written + 1 + way - i * use.pitch

    def _fits(self, use: _Use, start: int) -> bool:
        mine = use.cycles(start)
        if mine & (self._issued[use.pipe] | self._kept[use.pipe]) or not self._has_time(use, mine):
            return False
        for kind, cycles in use.keeps(start):
            if cycles & (self._issued[kind] | (mine if kind is use.pipe else set())):
                return False
        units = [rows.at.unit.name for rows in use.rows]
        return len(set(units)) == len(units) and not any(self._reads[unit] & mine for unit in units)

    def _has_time(self, use: _Use, mine: set[int]) -> bool:
        """Whether the elements leave the pipe the cycles that it takes for one."""
        others = mine | self._issued[use.pipe]
        return not any(cycle + i in others for cycle in mine for i in _between(use.busy))

    def _take(self, use: _Use, start: int) -> None:
        self._issued[use.pipe] |= use.cycles(start)
        working = {cycle + i for cycle in use.cycles(start) for i in range(1, use.busy)}
        for kind, cycles in (*use.keeps(start), (use.pipe, working)):
            for first, length in _runs(cycles - self._kept[kind]):
                self.b.hold(queue_name(kind), first, length)
            self._kept[kind] |= cycles
        for rows in use.rows:
            self._reads[rows.at.unit.name] |= use.cycles(start)
        if use.pipe is PipeKind.INT:
            self._take_flag(use, start)

    def _take_flag(self, use: _Use, start: int) -> None:
        """The flag is held from each comparison to the selection that takes it, of as many elements and that pitch."""
        if use.op in FLAG_OPS:
            self._compared = start
        elif use.op in (IntOp.SELECT, IntOp.PICK):
            for i in range(use.count):
                self.b.hold(FLAG, self._compared + i * use.pitch, start - self._compared)

    # ------------------------------------------------------------ instructions

    def _emit(self, use: _Use, start: int, to: Rows | Via | None) -> Flow | None:
        fields, flows = {"op": int(use.op)}, self._flows(use, start)
        fields |= {"imm": use.imm} if use.imm else {}
        for name, operand in use.operands.items():
            fields |= use.source(name, operand)
            if use.pipe is PipeKind.INT and name in flows:
                fields[f"{name}_wide"] = int(flows[name].width is Width.WIDE)
        if to is not None:
            flows["out"] = self._out(use, start, to)
            fields |= {"drive": 1, **({"out_wide": int(_is_wide(to))} if use.pipe is PipeKind.INT else {})}
        together = use.count if use.pitch == 1 else 1
        fields |= {"count": together} if together > 1 else {}
        for i in range(0, use.count, together):
            self.b.issue(queue_name(use.pipe), start + i * use.pitch, Instruction.of(Opcode.ALU, **fields), flows)
        if isinstance(to, Rows):
            self.b.write(to.at, flows["out"], to.addr, to.stride)
            for i in range(use.count):
                self._written[to.at.unit.name, to.addr + i * to.stride] = flows["out"].arrival + i * use.pitch
        return flows.get("out")

    def _flows(self, use: _Use, start: int) -> dict[str, Flow]:
        """The flows of the stream operands; rows that are both x and y are read once."""
        flows = {name: operand for name, operand in use.operands.items() if isinstance(operand, Flow)}
        for rows in use.rows:
            names = [name for name, operand in use.operands.items() if operand is rows]
            readers = [(queue_name(use.pipe), name) for name in names]
            flow = self.b.read(rows.at, readers, start, rows.addr, use.count, rows.stride, use.pitch)
            flows |= dict.fromkeys(names, flow)
        return flows

    def _out(self, use: _Use, start: int, to: Rows | Via) -> Flow:
        name = queue_name(use.pipe)
        func = timing(self.config, PIPE_QUEUES[use.pipe], Opcode.ALU).func
        assert func is not None
        reader = (f"{to.at.unit.name}.w", "stream") if isinstance(to, Rows) else (to.queue, to.field)
        width = Width.WIDE if _is_wide(to) else Width.NARROW
        return self.b.flow(name, [reader], start + func, width, use.count, use.pitch)


@dataclass(frozen=True, eq=False)
class _Use:
    """``count`` elements of an operation on its operands."""

    config: LpuConfig
    op: Op
    operands: Mapping[str, Operand]
    count: int
    pitch: int
    imm: int

    @property
    def pipe(self) -> PipeKind:
        return next(kind for kind, ops in PIPE_OPS.items() if isinstance(self.op, ops))

    @property
    def registers(self) -> list[Reg]:
        """The results that the operation takes from registers."""
        operands = self.operands.values()
        return [o if isinstance(o, Reg) else o.reg for o in operands if isinstance(o, Reg | Swap | Own)]

    @property
    def ready(self) -> Iterator[int]:
        """First issues at which each register has its result; SWAP wants all lanes of it."""
        for operand in self.operands.values():
            if isinstance(operand, Reg):
                yield operand.ready
            elif isinstance(operand, Own):
                yield operand.reg.ready
            elif isinstance(operand, Swap):
                yield operand.reg.ready + self.config.vector_cycles - 1

    @property
    def rows(self) -> list[Rows]:
        return list(dict.fromkeys(o for o in self.operands.values() if isinstance(o, Rows)))

    def cycles(self, start: int) -> set[int]:
        return {start + i * self.pitch for i in range(self.count)}

    def keeps(self, start: int) -> Iterator[tuple[PipeKind, set[int]]]:
        """Cycles in which a pipe may not issue, so that its register still holds what the operation takes."""
        for reg in self.registers:
            latency = pipe_latency(self.config, reg.pipe)
            for i in range(reg.count):
                taken = start + (self.count - 1 if self._is_kept(reg) else i) * self.pitch
                produced = reg.ready - latency + i * reg.pitch
                yield reg.pipe, set(range(produced + 1, taken - latency + 1))
        for own in (o.reg for o in self.operands.values() if isinstance(o, Own)):
            if own.count * self.pitch < pipe_latency(self.config, own.pipe):
                # Elements that come before the first of them is back take what ``own`` left.
                last = own.element(own.count - 1).ready - pipe_latency(self.config, own.pipe)
                yield own.pipe, set(range(last + 1, start))
            for i in range(self.count - own.count):
                issue = start + i * self.pitch
                yield (
                    own.pipe,
                    set(range(issue + 1, issue + own.count * self.pitch - pipe_latency(self.config, own.pipe) + 1)),
                )

    @property
    def busy(self) -> int:
        """Cycles that an element takes the pipe."""
        return pipe_cycles(self.config, self.pipe)

    def _is_kept(self, reg: Reg) -> bool:
        """Whether all elements take the one result of ``reg``."""
        return reg.count == 1 and not any(isinstance(o, Own) and o.reg is reg for o in self.operands.values())

    def source(self, name: str, operand: Operand) -> dict[str, int]:
        match operand:
            case Imm():
                return {f"{name}_from": Source.IMM, "imm": operand.word}
            case Reg():
                return {f"{name}_from": Source[operand.pipe.name]}
            case Own():
                return {f"{name}_from": Source[operand.reg.pipe.name]}
            case Swap():
                return {f"{name}_from": Source.SWAP, "swap": operand.distance.bit_length() - 1}
        return {}


def queue_name(pipe: PipeKind) -> str:
    """The queue of a pipe of the vector unit."""
    return f"vxm0{PIPE_QUEUES[pipe].value.removeprefix('vxm')}"


def _is_wide(to: Rows | Via) -> bool:
    return to.at.wide if isinstance(to, Rows) else to.wide


def _between(cycles: int) -> list[int]:
    """Distances smaller than ``cycles``."""
    return [i for i in range(1 - cycles, cycles) if i]


def _runs(cycles: set[int]) -> Iterator[tuple[int, int]]:
    """(first, length) of each run of consecutive cycles."""
    ordered = sorted(cycles)
    starts = [c for c in ordered if c - 1 not in cycles]
    ends = [c for c in ordered if c + 1 not in cycles]
    yield from ((first, last - first + 1) for first, last in zip(starts, ends, strict=True))
