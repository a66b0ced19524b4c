"""Reductions of a row: over its tiles in a pipe's register, over lanes by SWAP, over superlanes through the switch.

The order of a sum is that of ``golden.operators.row_sum``, the same for every number of lanes: rows of 64 in sequence,
then halves. With fewer than 64 lanes, tile t adds to the tile 64/L before it, which has just left the ADD pipe when
tiles follow at a pitch of latency * L / 64. With 8 lanes no pitch is that small: there are only rows of up to 64, and
tile t adds to the tile four before it, the first of the halves. Terms are not negative, so a missing tile is a +0.0
that need not be added.
"""

from __future__ import annotations

from compiler.bundle import Flow, Width
from compiler.ir import CompileError
from compiler.lower.base import Lowering
from compiler.lower.pipeline import Imm, Op, Own, Pipeline, Reg, Rows, Swap, Via, queue_name
from golden.operators import SUM_WIDTH
from hdl.config import LpuConfig, PipeKind, SwitchOp
from hdl.isa import PIPE_LATENCY, AddOp, Instruction, IntOp, MulOp, Opcode, QueueKind, pipe_latency, timing


def sum_pitch(config: LpuConfig) -> int:
    """Cycles between the tiles of a sum."""
    if SUM_WIDTH % config.lanes:
        raise CompileError(f"config '{config.name}': lanes = {config.lanes}: fp32 sums need a divisor of {SUM_WIDTH}")
    if PipeKind.ADD in config.operand_registers:
        raise CompileError(f"config '{config.name}': operand_registers: fp32 sums need an ADD pipe without them")
    return max(1, PIPE_LATENCY[PipeKind.ADD] * config.lanes // SUM_WIDTH)


def _classes(config: LpuConfig, count: int) -> int:
    """Tiles between one and that which it adds to."""
    apart = SUM_WIDTH // config.lanes
    if apart > PIPE_LATENCY[PipeKind.ADD]:
        if count > apart or apart > 2 * PIPE_LATENCY[PipeKind.ADD]:
            rule = f"at most {SUM_WIDTH} elements with 8 lanes, any number with more"
            raise CompileError(f"config '{config.name}': fp32 sum of {count * config.lanes} elements: must be {rule}")
        apart = PIPE_LATENCY[PipeKind.ADD]
    return min(apart, count)


def sum_row(low: Lowering, v: Pipeline, terms: Reg) -> Reg:
    """The sum of all tiles and lanes of ``terms``, which follow at :func:`sum_pitch`, in every lane."""
    classes = _classes(low.config, terms.count)
    sums = v.op(AddOp.PASS, terms.element(0, classes), count=classes, pitch=terms.pitch)
    if terms.count > classes:
        rest = terms.count - classes
        every = v.op(AddOp.FADD, terms.element(classes, rest), Own(sums), count=rest, pitch=terms.pitch)
        sums = _latest(sums, every, classes)
    return over_lanes(low, v, AddOp.FADD, _halves(v, [sums.element(i) for i in range(classes)]))


def _latest(first: Reg, rest: Reg, classes: int) -> Reg:
    """The last ``classes`` results of two runs of one pipe, the second right behind the first."""
    count = first.count + rest.count
    every = Reg(rest.pipe, first.ready, count, first.pitch)
    return every.element(count - classes, classes)


def _halves(v: Pipeline, sums: list[Reg]) -> Reg:
    """(s0 + s2) + (s1 + s3) of up to four results that leave the ADD pipe one after another."""
    if len(sums) == 1:
        return sums[0]
    if len(sums) == 2:
        return v.op(AddOp.FADD, v.op(IntOp.PASS, sums[0]), sums[1])
    first = v.op(IntOp.PASS, sums[0])
    second = v.op(MulOp.FMUL, sums[1], Imm.of(1.0))
    even = v.op(AddOp.FADD, first, sums[2])
    if len(sums) == 3:
        return v.op(AddOp.FADD, even, second)
    odd_term = v.op(IntOp.PASS, sums[3])
    odd = v.op(AddOp.FADD, odd_term, second)
    return v.op(AddOp.FADD, v.op(IntOp.PASS, even), odd)


def over_tiles(v: Pipeline, op: Op, first: Reg, rest: Rows, count: int) -> Reg:
    """``op`` over ``first`` and ``count`` rows, an INT operation as soon as it has the result of the row before."""
    pitch = max(pipe_latency(v.config, PipeKind.INT), v.config.vector_cycles)
    return v.op(op, rest, Own(first), count=count, pitch=pitch).element(count - 1) if count else first


def over_lanes(low: Lowering, v: Pipeline, op: Op, value: Reg) -> Reg:
    """``op`` over all lanes of a register of its own pipe, in every lane: superlanes apart first, then within one."""
    config = low.config
    superlanes = config.superlanes
    if superlanes & (superlanes - 1):
        raise CompileError(f"config '{config.name}': {superlanes} superlanes: reductions need a power of two")
    apart = superlanes // 2
    while apart:
        value, partner = _rotated(low, v, value, apart * config.superlane_lanes)
        value = v.op(op, value, partner)
        apart //= 2
    return within_superlanes(low, v, op, value)


def within_superlanes(low: Lowering, v: Pipeline, op: Op, value: Reg) -> Reg:
    """``op`` over the lanes of each superlane of a register of its own pipe, in every lane of it."""
    distance = low.config.superlane_lanes // 2
    while distance:
        value = v.op(op, value, Swap(value, distance))
        distance //= 2
    return value


def _rotated(low: Lowering, v: Pipeline, value: Reg, amount: int) -> tuple[Reg, Flow]:
    """Where ``value`` stands, and the same rotated by ``amount`` lanes on its way back to operand y of its pipe."""
    switch = low.switch(SwitchOp.ROTATE).name
    in_int = value.pipe is PipeKind.INT
    driven = v.op(IntOp.PASS, Own(value) if in_int else value, to=Via(switch, "x"))
    func = timing(low.config, QueueKind.SWITCH, Opcode.ROTATE).func
    assert driven.flow is not None and func is not None
    back = v.b.flow(switch, [(queue_name(value.pipe), "y")], driven.flow.arrival + func, Width.WIDE)
    rotate = Instruction.of(Opcode.ROTATE, wide=1, amount=amount)
    v.b.issue(switch, driven.flow.arrival, rotate, {"x": driven.flow, "out": back})
    return driven if in_int else value, back
