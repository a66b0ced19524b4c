"""Operators around a token: its embedding by the matrix unit, and choices among a row's lanes."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.bundle import Bundle, BundleBuilder, Flow, Width
from compiler.ir import CompileError, DType
from compiler.lower.base import Lowering, check_rate
from compiler.lower.pipeline import Imm, Own, Pipeline, Reg, Rows, Via, queue_name
from compiler.lower.reduce import over_lanes
from compiler.operands import INDEX
from hdl.config import PipeKind, SwitchOp, UnitKind
from hdl.isa import LW_TO_IW, AddOp, Instruction, IntOp, MulOp, Opcode, QueueKind, SfuOp, timing

MAGIC = 1 << 23
"""2^23 as an fp32 has the weight 1 in its last bit: an integer below stands there as it is."""


def quotient(v: Pipeline, x: Reg, divisor: int, factor: int = 1, to: Rows | None = None) -> Reg:
    """x // divisor * factor of an int32 in the INT register, 0 <= x < 2^23, for a power of two.

    Where the factor divides it, a sum moves the last bit to the weight of their quotient.
    """
    multiple = v.op(IntOp.AND, x, Imm(-divisor))
    if divisor % factor:
        product = v.op(MulOp.FMUL, v.op(AddOp.I2F, multiple), Imm.of(factor / divisor))
        return v.op(IntOp.PASS, v.op(SfuOp.F2I, product), to=to)
    number = v.op(IntOp.OR, multiple, Imm.of(MAGIC))
    moved = v.op(AddOp.FADD, number, Imm.of(MAGIC * (divisor // factor) - MAGIC))
    return v.op(IntOp.AND, moved, Imm(MAGIC - 1), to=to)


class Quotient(Lowering):
    """x // d"""

    def bundles(self) -> Iterator[Bundle]:
        b = self.builder()
        v = Pipeline(self.config, b)
        quotient(v, v.op(IntOp.PASS, self.over_tiles(self.p.x, 0)), self.op.number, to=self.to(self.p.output, 0))
        yield b.build()


class Pick(Lowering):
    """The value of one lane in every lane: the largest of a row in which the other lanes hold the least value."""

    def bundles(self) -> Iterator[Bundle]:
        row, lane = self.op.inputs
        one_tile(self, row.shape[1])
        is_float = row.dtype is DType.FP32
        least = -(1 << 23) if is_float else -(1 << 31)  # the word of -inf, or the least int32
        b = self.builder()
        v = Pipeline(self.config, b)
        chosen = v.op(IntOp.EQ, v.op(IntOp.PASS, self.over_tiles(lane, 0)), self.over_tiles(self.p.consts[0], 0))
        value = v.op(IntOp.PICK, chosen, self.over_tiles(row, 0), imm=least)
        value = over_lanes(self, v, IntOp.FMAX if is_float else IntOp.MAX, value)
        v.op(IntOp.PASS, value, to=self.to(self.p.output, 0))
        yield b.build()


class GivenOr(Lowering):
    """given > -1 ? given : other"""

    def bundles(self) -> Iterator[Bundle]:
        given, other = self.op.inputs
        b = self.builder()
        v = Pipeline(self.config, b)
        value = v.op(IntOp.GT, self.over_tiles(given, 0), Imm(-1))
        v.op(IntOp.SELECT, value, self.over_tiles(other, 0), to=self.to(self.p.output, 0))
        yield b.build()


class Embed(Lowering):
    """Row v of a table of weights: a one-hot row times the tile that holds it, turned by the switch on its way."""

    def bundles(self) -> Iterator[Bundle]:
        config = self.config
        if config.superlanes > 1:
            raise CompileError(f"{self.op.name}: {config.superlanes} superlanes: must be one; use gather")
        check_rate(self)
        yield self._one_hot()
        yield self._row()

    def _one_hot(self) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        numbers, one = (self.over_tiles(tensor, 0) for tensor in self.p.consts)
        place = v.op(IntOp.AND, self.over_tiles(self.op.inputs[1], 0), Imm(self.config.lanes - 1))
        here = v.op(IntOp.EQ, place, numbers)
        v.op(IntOp.PICK, here, one, to=self.to(self.p.scratch[0], 0))
        return b.build()

    def _row(self) -> Bundle:
        config, b = self.config, self.builder()
        v = Pipeline(config, b)
        table = self.placement[self.op.inputs[0]]
        steps, n = config.tile_load_cycles, self.tiles * config.tile_load_cycles
        token = v.op(IntOp.PASS, self.over_tiles(self.op.inputs[1], 0))
        first = quotient(v, token, config.lanes, n)
        reader = f"{table.unit.name}.r"
        index = v.op(IntOp.PASS, Own(first), count=n, to=Via(reader, INDEX))
        assert index.flow is not None
        gather = Instruction.of(Opcode.GATHER, addr=table.addr, wide=1, count=n, stride=int(n > 1))
        b.issue(reader, index.flow.arrival, gather, {}, table.rows)
        install = self._turned(b, reader, index.flow.arrival, n) + steps - 1 + LW_TO_IW
        sums = self._multiply(b, install, steps)
        v.op(IntOp.PASS, sums, count=self.tiles, pitch=steps, to=self.to(self.p.output, 0))
        return b.build()

    def _turned(self, b: BundleBuilder, reader: str, gather: int, n: int) -> int:
        """The rows through the switch to the matrix unit; the cycle of the first LW."""
        switch, matrix = self.switch(SwitchOp.TRANSPOSE), self.unit(UnitKind.MATRIX)
        read = timing(self.config, QueueKind.MEM_READ, Opcode.GATHER).func
        turn = timing(self.config, QueueKind.SWITCH, Opcode.TRANSPOSE).func
        assert read is not None and turn is not None
        rows = b.flow(reader, [(switch.name, "")], gather + read, Width.BUS, n)
        turned = b.flow(switch.name, [(f"{matrix.name}.w", "")], rows.arrival + turn, Width.BUS, n)
        b.issue(switch.name, rows.arrival, Instruction.of(Opcode.TRANSPOSE, count=n), {})
        b.issue(f"{matrix.name}.w", turned.arrival, Instruction.of(Opcode.LW, count=n, install=1), {})
        return turned.arrival

    def _multiply(self, b: BundleBuilder, cycle: int, pitch: int) -> Flow:
        """The one-hot row with each tile, from ``cycle`` on; the results on their way to the INT pipe."""
        mxm, at = f"{self.unit(UnitKind.MATRIX).name}.a", self.placement[self.p.scratch[0]]
        func = timing(self.config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
        assert func is not None
        x = b.read(at, [(mxm, "stream")], cycle, at.addr, self.tiles, 0, pitch)
        sums = b.flow(mxm, [(queue_name(PipeKind.INT), "x")], cycle + func, Width.WIDE, self.tiles, pitch)
        for resource in ("acc", "array"):
            b.hold(f"{mxm.removesuffix('.a')}.{resource}", cycle, (self.tiles - 1) * pitch + self.config.abc_cycles)
        abc = Instruction.of(Opcode.ABC, count=self.tiles, gap=pitch - 1, walk=1, start=1, emit=1)
        b.issue(mxm, cycle, abc, {"stream": x, "out": sums})
        return sums


def one_tile(low: Lowering, columns: int) -> None:
    """Refuse a row of more lanes than the core has. Raises CompileError."""
    if columns > low.config.lanes:
        raise CompileError(f"{low.p.name}: a row of {columns}: must be at most {low.config.lanes}, the core's lanes")
