"""Operators -> passes: what one trip through the matrix and vector units computes.

A pass is ``output = stages(source)``, where the source is ``x`` read from SRAM, ``x @ weights.T``, or the index of the
largest key. Element-wise operators join the pass of their operand as further ALUs of the vector chain:

    matmul -> bias (ALU 0) -> requantise (ALU 1) -> relu (ALU 2)        on the chain int, requant, int

An operator joins when its operand has no other reader, an ALU of the right kind is left, its other operand exists
before the pass, and no saturation is lost: a pass saturates to int8 once, at its end, so after a stage that may leave
the int8 range only max and min may follow, which commute with saturation.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compiler.ir import CompileError, DType, Graph, Op, OpKind, Tensor
from golden.numerics import NumericsError, pack_requant_word
from hdl.config import AluKind, LpuConfig
from hdl.isa import IntOp, RequantOp


class Source(enum.StrEnum):
    """Where the values of a pass come from."""

    SRAM = "sram"
    MATMUL = "matmul"
    MAX_KEY = "max_key"


@dataclass(frozen=True, eq=False)
class Stage:
    """ALU ``alu`` of the chain does ``op`` with y = ``operand``: a tensor, or the pass's immediate."""

    alu: int
    op: IntOp | RequantOp
    operand: Tensor | int


@dataclass(frozen=True, eq=False)
class Pass:
    """``output = stages(source(x))``; ``weights`` for MATMUL; ``mask`` [1, 1], 2^b - 1 for MAX_KEY.

    ``saturates``: whether a stage's value may exceed int8 before the final saturation.
    """

    name: str
    source: Source
    x: Tensor
    output: Tensor
    weights: Tensor | None = None
    mask: Tensor | None = None
    stages: tuple[Stage, ...] = ()
    saturates: bool = False

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """Tensors that the stages (or the decoding of a key) read."""
        tensors = tuple(stage.operand for stage in self.stages if isinstance(stage.operand, Tensor))
        return tensors if self.mask is None else (*tensors, self.mask)

    @property
    def reads(self) -> tuple[Tensor, ...]:
        return (self.x, *self.operands)

    @property
    def imm(self) -> int:
        return next((stage.operand for stage in self.stages if isinstance(stage.operand, int)), 0)


@dataclass(frozen=True, eq=False)
class _Step:
    """An element-wise operator as one ALU operation on chain value ``x``."""

    x: Tensor
    op: IntOp | RequantOp
    operand: Tensor | int
    output: Tensor
    saturates: bool = False

    @property
    def kind(self) -> AluKind:
        return AluKind.INT if isinstance(self.op, IntOp) else AluKind.REQUANT

    @property
    def commutes_with_saturation(self) -> bool:
        return self.op in (IntOp.MAX, IntOp.MIN) and self.kind is AluKind.INT


_INT_OPS = {OpKind.ADD: IntOp.ADD, OpKind.SUB: IntOp.SUB, OpKind.MAXIMUM: IntOp.MAX, OpKind.MINIMUM: IntOp.MIN}
_LOWEST = -(1 << 31)


def fuse(config: LpuConfig, graph: Graph) -> list[Pass]:
    """The passes of a graph, in execution order.

    Raises CompileError when no ALU of the chain can do an operator, or its numbers do not fit the core.
    """
    fuser = _Fuser(config, graph)
    for op in graph.ops:
        fuser.add(op)
    return fuser.passes


@dataclass
class _Fuser:
    config: LpuConfig
    graph: Graph
    passes: list[Pass] = field(default_factory=list)
    uses: Counter[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.uses = self.graph.uses()

    def add(self, op: Op) -> None:
        if op.kind is OpKind.MATMUL:
            self.passes.append(Pass(op.name, Source.MATMUL, op.inputs[0], op.output, weights=op.inputs[1]))
        elif op.kind is OpKind.ARGMAX:
            self._argmax(op)
        else:
            self._element_wise(op.name, self._steps(op))

    # ------------------------------------------------------------- element-wise

    def _steps(self, op: Op) -> list[_Step]:
        """The ways to compute ``op`` as one ALU operation; the first operand of each is the chain's value."""
        x = op.inputs[0]
        saturates = op.output.dtype is DType.INT8
        match op.kind:
            case OpKind.RELU:
                return [_Step(x, IntOp.MAX, 0, op.output)]
            case OpKind.BIAS:
                return [_Step(x, IntOp.ADD, op.inputs[1], op.output)]
            case OpKind.REQUANTISE:
                return [_Step(x, RequantOp.REQUANT, self._requant_words(op), op.output, saturates)]
            case OpKind.MUL:
                return self._mul_steps(op)
        a, b = op.inputs
        forward = _INT_OPS[op.kind]
        backward = IntOp.RSUB if forward is IntOp.SUB else forward
        saturates &= op.kind in (OpKind.ADD, OpKind.SUB)
        return [_Step(a, forward, b, op.output, saturates), _Step(b, backward, a, op.output, saturates)]

    def _requant_words(self, op: Op) -> Tensor | int:
        try:
            pairs = zip(op.multiplier, op.shift, strict=True)
            words = [pack_requant_word(self.config, multiplier, shift) for multiplier, shift in pairs]
        except NumericsError as error:
            raise CompileError(f"{op.name}: {error}") from error
        if len(words) == 1:
            return words[0]
        return _constant(f"{op.name}.scale", words)

    def _mul_steps(self, op: Op) -> list[_Step]:
        a, b = op.inputs
        saturates = op.output.dtype is DType.INT8
        steps = [
            _Step(x, RequantOp.MUL, y, op.output, saturates) for x, y in ((a, b), (b, a)) if self._fits_multiplier(y)
        ]
        if not steps:
            bits = self.config.mult_bits
            raise CompileError(
                f"{op.name}: {a} * {b}: one operand must be int8 or a constant of {bits} signed bits (mult_bits)"
            )
        return steps

    def _fits_multiplier(self, y: Tensor) -> bool:
        half = 1 << (self.config.mult_bits - 1)
        if y.value is not None:
            return bool(y.value.min() >= -half and y.value.max() < half)
        return y.dtype is DType.INT8 and half >= 1 << 7

    def _element_wise(self, name: str, steps: Sequence[_Step]) -> None:
        """Join the latest pass that one of ``steps`` continues, or start a new one with the first of them."""
        joins = [(number, step) for step in steps for number, p in enumerate(self.passes) if p.output is step.x]
        for number, step in sorted(joins, key=lambda join: -join[0]):
            alu = self._free_alu(self.passes[number], step)
            if alu is not None and self._may_join(number, step):
                self.passes[number] = self._joined(self.passes[number], step, alu)
                return
        fresh = next((step for step in steps if not step.x.is_const), steps[0])
        start = Pass(name, Source.SRAM, fresh.x, fresh.x)
        alu = self._free_alu(start, fresh)
        if alu is None:
            chain = ", ".join(self.config.alus)
            raise CompileError(f"{name}: {fresh.op.name}: needs a {fresh.kind.value} ALU; the chain has {chain}")
        self.passes.append(self._joined(start, fresh, alu))

    def _free_alu(self, p: Pass, step: _Step) -> int | None:
        first = 1 + max((stage.alu for stage in p.stages), default=-1)
        return next((k for k in range(first, len(self.config.alus)) if self.config.alus[k] is step.kind), None)

    def _may_join(self, number: int, step: _Step) -> bool:
        p = self.passes[number]
        ready = {later.output for later in self.passes[number:]}
        return (
            p.source is not Source.MAX_KEY
            and self.uses[step.x] <= 1
            and step.x not in self.graph.outputs
            and step.operand not in ready
            and (not p.saturates or step.commutes_with_saturation)
        )

    def _joined(self, p: Pass, step: _Step, alu: int) -> Pass:
        operand = step.operand
        if isinstance(operand, int) and not self._is_immediate(p, operand):
            operand = _constant(f"{step.output.name}.word", [operand] * step.output.shape[1])
        stages = (*p.stages, Stage(alu, step.op, operand))
        return replace(p, stages=stages, output=step.output, saturates=p.saturates or step.saturates)

    def _is_immediate(self, p: Pass, value: int) -> bool:
        """Whether the chain's one immediate is free or has this value, and can hold it."""
        taken = any(isinstance(stage.operand, int) for stage in p.stages)
        half = 1 << (self.config.imm_bits - 1)
        return (not taken or p.imm == value) and -half <= value < half

    # ------------------------------------------------------------------- argmax

    def _argmax(self, op: Op) -> None:
        """Keys x * 2^b + (2^b - 1 - n), padding -2^31; then the index of the largest key of each row.

        Among equal values the lowest n has the largest key; padding lanes hold x = 0, so theirs is the lowest.
        """
        x, columns = op.inputs[0], op.inputs[0].shape[1]
        bits = (columns - 1).bit_length()
        if 1 << bits >= 1 << self.config.mult_bits:
            raise CompileError(f"{op.name}: {x}: 2^{bits} must fit mult_bits = {self.config.mult_bits} unsigned bits")
        if self.config.alus.count(AluKind.INT) < 2:
            raise CompileError(f"{op.name}: needs two int ALUs; the chain has {', '.join(self.config.alus)}")
        scaled = Tensor(f"{op.name}.scaled", x.shape, DType.INT32)
        keys = Tensor(f"{op.name}.keys", x.shape, DType.INT32)
        padded = -(-columns // self.config.lanes) * self.config.lanes
        tail = [(1 << bits) - 1 - n for n in range(columns)] + [_LOWEST] * (padded - columns)
        self._element_wise(op.name, [_Step(x, RequantOp.SHR, 1 << bits, scaled)])
        self._element_wise(f"{op.name}.order", [_Step(scaled, IntOp.ADD, _constant(f"{op.name}.order", tail), keys)])
        mask = _constant(f"{op.name}.mask", [(1 << bits) - 1])
        self.passes.append(Pass(f"{op.name}.index", Source.MAX_KEY, keys, op.output, mask=mask))


def _constant(name: str, values: Sequence[int]) -> Tensor:
    array = np.asarray([values], dtype=np.int64)
    return Tensor(name, (1, array.shape[1]), DType.INT32, array)
