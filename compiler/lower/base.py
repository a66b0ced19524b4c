"""What the lowerings of all passes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from compiler.bundle import Bundle, BundleBuilder, Flow
from compiler.fuse import Pass, Stage
from compiler.ir import CompileError, Tensor
from compiler.ir import Op as Operator
from compiler.ir import OpKind as Kind
from compiler.lower.pipeline import Imm, Op, Operand, Pipeline, PipelineError, Reg, Rows, Via
from compiler.occupancy import fits_alone
from compiler.place import Placement
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind, SwitchOp, Unit, UnitKind
from hdl.isa import IntOp, MulOp, Source, can_drive, sources

_INDEXED = frozenset({Kind.GATHER, Kind.SCATTER, Kind.PUT, Kind.KV_SCATTER, Kind.ROPE_CACHE, Kind.EMBED})
"""Operators that take an index from a vector."""
MAX_PITCH = 16
"""Largest distance of a bundle's results that is tried when its own operands collide at a smaller one."""


class Lowering:
    """The bundles of one pass. ``overwrites``: passes whose tensors lie in rows that this one writes."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        self.config, self.p, self.placement, self.overwrites = config, p, placement, overwrites
        if p.op is not None and p.op.kind in _INDEXED and not config.indexed:
            raise CompileError(f"config '{config.name}': indexed = False: {p.name} needs GATHER or SCATTER")
        self.out = placement[p.output]
        self.tiles = -(-p.output.shape[1] // config.lanes)
        self._pitch, self._pitch_fits = 1, False

    def bundles(self) -> Iterator[Bundle]:
        raise NotImplementedError

    @property
    def op(self) -> Operator:
        """The whole-row operator of the pass."""
        assert self.p.op is not None
        return self.p.op

    def builder(self, stage: str = "") -> BundleBuilder:
        return BundleBuilder(self.config, self.p.name, self.overwrites, stage, self.p.block)

    def unit(self, kind: UnitKind) -> Unit:
        """The first unit of a kind in the west hemisphere."""
        return next(unit for unit in self.config.units_of(kind) if unit.outward is Direction.WEST)

    def switch(self, op: SwitchOp) -> Unit:
        """The first switch of the west hemisphere. Raises CompileError on a core without the operation."""
        if op not in self.config.switch_ops:
            have = ", ".join(self.config.switch_ops) or "none"
            raise CompileError(f"config '{self.config.name}': switch_ops = {have}: {self.p.name} needs {op}")
        return self.unit(UnitKind.SWITCH)

    def over_tiles(self, tensor: Tensor, m: int, tile: int = 0) -> Rows:
        """Row m of a tensor, tile by tile from ``tile`` on; [1, N] serves every m, [M, 1] every tile."""
        at = self.placement[tensor]
        return Rows(at, at.row_addr(m if tensor.shape[0] > 1 else 0, tile if at.tiles > 1 else 0), int(at.tiles > 1))

    def over_rows(self, tensor: Tensor, m: int, tile: int) -> Rows:
        """One tile of a tensor, row by row from m on; [1, N] serves every row, [M, 1] every tile."""
        at, several = self.placement[tensor], tensor.shape[0] > 1
        addr = at.row_addr(m if several else 0, tile if at.tiles > 1 else 0)
        return Rows(at, addr, at.tiles if several else 0)

    def to(self, tensor: Tensor, m: int, tile: int = 0, stride: int = 1) -> Rows:
        """Where elements from (m, tile) on of a result go."""
        at = self.placement[tensor]
        return Rows(at, at.row_addr(m, tile), stride)

    def at_pitch(self, build: Callable[[int], Bundle]) -> Bundle:
        """The bundle at the smallest pitch at which it can be issued at all, never one that failed before.

        Raises CompileError.
        """
        for pitch in range(self._pitch, MAX_PITCH + 1):
            try:
                bundle = build(pitch)
            except PipelineError:
                continue
            if (pitch == self._pitch and self._pitch_fits) or fits_alone(bundle):
                self._pitch, self._pitch_fits = pitch, True
                return bundle
        raise CompileError(f"{self.p.name}: its operands need more streams or read queues than the core has")


class RowLowering(Lowering):
    """An operator on each row by itself; a bundle is a row."""

    def bundles(self) -> Iterator[Bundle]:
        for m in range(self.p.output.shape[0]):
            yield self.at_pitch(partial(self.row, m))

    def row(self, m: int, pitch: int) -> Bundle:
        """Row m; ``pitch``: cycles between its tiles where the pipes allow no less. Raises PipelineError."""
        raise NotImplementedError


def check_rate(low: Lowering) -> None:
    """Raises CompileError unless the matrix unit multiplies as fast as tiles come."""
    config = low.config
    if config.abc_cycles > config.tile_load_cycles:
        least = config.superlane_lanes // config.tile_load_cycles
        raise CompileError(f"{low.p.name}: mac_rows = {config.mac_rows}: must be at least {least} on '{config.name}'")


def binary(
    v: Pipeline, op: Op, x: Operand, y: Operand | None, count: int = 1, pitch: int = 1, to: Rows | Via | None = None
) -> Reg:
    """``op`` on x and y; x goes through INT first where both would be read from one unit in the same cycles.

    Rows that are both x and y need it as well, except in MUL: no other pipe reads both from one stream. So does x where
    the vector unit sees one SG4.
    """
    if isinstance(x, Rows | Flow) and isinstance(y, Rows | Flow) and _has_one_way(v.config):
        x = v.op(IntOp.PASS, x, count=count, pitch=pitch)
    if isinstance(x, Rows) and isinstance(y, Rows) and x.at.unit == y.at.unit:
        same = x is y
        if not (same and isinstance(op, MulOp)):
            x = v.op(IntOp.PASS, x, count=count, pitch=pitch)
            y = x if same and isinstance(op, IntOp) else y
    return v.op(op, x, y, count=count, pitch=pitch, to=to)


def _has_one_way(config: LpuConfig) -> bool:
    """Whether the vector unit sees one SG4 only, so that no two operands come on streams at once."""
    reach = config.readable(config.unit("vxm0"), "y", PipeKind.MUL)
    return sum(map(len, reach.values())) == STREAMS_PER_GROUP


def chain(
    v: Pipeline,
    stages: tuple[Stage, ...],
    x: Operand,
    operand: Callable[[Tensor], Rows],
    to: Callable[[Tensor], Rows],
    output: Tensor,
    count: int,
    pitch: int,
) -> Reg:
    """``stages`` one after another on x, the result written ``to`` where ``output`` is, and copies to theirs.

    INT PASS follows where only INT can drive the result, or drive it as int8.
    """
    steps = []
    for stage in stages:
        silent = stage.copy is not None and not can_drive(v.config, stage.pipe)
        steps += [replace(stage, copy=None), Stage(IntOp.PASS, copy=stage.copy)] if silent else [stage]
    last = steps[-1].pipe if steps else None
    if last is not PipeKind.INT and (last is None or not to(output).at.wide or not can_drive(v.config, last)):
        steps.append(Stage(IntOp.PASS))
    value: Operand = x
    for number, stage in enumerate(steps):
        y = operand(stage.operand) if isinstance(stage.operand, Tensor) else _immediate(stage.operand)
        if not _can_take(v.config, stage.pipe, value):
            value = v.op(IntOp.PASS, value, count=count, pitch=pitch)
        goal = output if number == len(steps) - 1 else stage.copy
        value = binary(v, stage.op, value, y, count, pitch, None if goal is None else to(goal))
    assert isinstance(value, Reg)
    return value


def _can_take(config: LpuConfig, pipe: PipeKind, x: Operand) -> bool:
    """Whether a pipe reads ``x`` itself: registers that it is wired to, and int8 only if it is INT."""
    if isinstance(x, Reg):
        return Source[x.pipe.name] in sources(config, pipe, "x")
    if isinstance(x, Rows | Flow) and Source.STREAM not in sources(config, pipe, "x"):
        return False
    return pipe is PipeKind.INT or not isinstance(x, Rows) or x.at.wide


def _immediate(word: int | None) -> Imm | None:
    return None if word is None else Imm(word)
