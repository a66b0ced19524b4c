"""Operators -> passes: what one trip from SRAM to SRAM computes.

A pass is ``output = stages(source)``, where the source is ``x`` read from SRAM or ``x @ weights.T``, or it is a whole
operator that ``compiler/lower`` knows how to do (ROW). Element-wise operators join the pass of their operand as further
operations on the pipes of the vector unit:

    matmul -> bias (INT) -> rescale (ADD, MUL, INT) -> relu (INT)

An operator joins when its operand has no other reader, its other operand exists before the pass, and no saturation is
lost: a pass saturates to int8 once, at its end, so after a stage that may leave the int8 range only max and min may
follow, which commute with saturation.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from compiler.ir import CompileError, DType, Graph, Iteration, Op, OpKind, Tensor
from compiler.needs import constant, needs
from golden.numerics import NumericsError, pack_requant_word
from hdl.config import LpuConfig, PipeKind
from hdl.isa import PIPE_OPS, AddOp, IntOp, MulOp, RequantOp, SfuOp, operations

MAX_STAGES = 8
"""Stages of one pass; a longer one would use each pipe several times for every vector."""

PipeOp = IntOp | RequantOp | MulOp | AddOp | SfuOp


class Source(enum.StrEnum):
    """Where the values of a pass come from."""

    SRAM = "sram"
    MATMUL = "matmul"
    ROW = "row"


@dataclass(frozen=True, eq=False)
class Stage:
    """A pipe does ``op`` with y = ``operand``: a tensor, an immediate word, or None where the operation has no y.

    ``copy``: where the value goes besides the next stage.
    """

    op: PipeOp
    operand: Tensor | int | None = None
    copy: Tensor | None = None

    @property
    def pipe(self) -> PipeKind:
        return next(kind for kind, ops in PIPE_OPS.items() if isinstance(self.op, ops))


@dataclass(frozen=True, eq=False)
class Pass:
    """``output = stages(source(x))``; ``weights`` for MATMUL. ROW: operator ``op`` as a whole.

    ``consts``: constants that the lowering of ``op`` needs besides its inputs; ``scratch``: tensors of its own.
    ``saturates``: whether a stage's value may exceed int8 before the final saturation. ``block``: of its operators.
    """

    name: str
    source: Source
    x: Tensor
    output: Tensor
    weights: Tensor | None = None
    stages: tuple[Stage, ...] = ()
    saturates: bool = False
    op: Op | None = None
    consts: tuple[Tensor, ...] = ()
    scratch: tuple[Tensor, ...] = ()
    block: Iteration | None = None

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """Tensors besides x that the pass reads."""
        if self.op is not None:
            return (*self.op.inputs[1:], *self.consts)
        return tuple(stage.operand for stage in self.stages if isinstance(stage.operand, Tensor))

    @property
    def reads(self) -> tuple[Tensor, ...]:
        return (self.x, *self.operands)

    @property
    def in_weight_groups(self) -> tuple[Tensor, ...]:
        """The tensors that the pass needs in a weight group."""
        if self.op is None:
            return () if self.weights is None else (self.weights,)
        named = (self.op.inputs[i] for i in _WEIGHT_INPUTS.get(self.op.kind, ()))
        return (*named, *(tensor for tensor in self.consts if tensor.dtype is DType.INT8))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that the pass touches, in an order that equal passes share."""
        return (*self.reads, *self.in_weight_groups, *self.writes)

    @property
    def writes(self) -> tuple[Tensor, ...]:
        copies = (stage.copy for stage in self.stages if stage.copy is not None)
        return (self.output, *copies, *(self.op.extra if self.op is not None else ()), *self.scratch)


@dataclass(frozen=True, eq=False)
class _Step:
    """An element-wise operator as pipe operations on chain value ``x``."""

    x: Tensor
    stages: tuple[Stage, ...]
    output: Tensor
    saturates: bool = False

    @property
    def operands(self) -> tuple[Tensor, ...]:
        return tuple(stage.operand for stage in self.stages if isinstance(stage.operand, Tensor))

    @property
    def commutes_with_saturation(self) -> bool:
        return all(stage.op in (IntOp.MAX, IntOp.MIN) and stage.pipe is PipeKind.INT for stage in self.stages)


_INT_OPS = {OpKind.ADD: IntOp.ADD, OpKind.SUB: IntOp.SUB, OpKind.MAXIMUM: IntOp.MAX, OpKind.MINIMUM: IntOp.MIN}
_FLOAT_OPS: dict[OpKind, tuple[PipeOp, PipeOp]] = {
    OpKind.ADD: (AddOp.FADD, AddOp.FADD),
    OpKind.SUB: (AddOp.FSUB, AddOp.FRSUB),
    OpKind.MUL: (MulOp.FMUL, MulOp.FMUL),
    OpKind.MAXIMUM: (IntOp.FMAX, IntOp.FMAX),
    OpKind.MINIMUM: (IntOp.FMIN, IntOp.FMIN),
}
"""The operation on (a, b), and the one on (b, a) that gives the same."""

_ROW_KINDS = frozenset(
    {
        OpKind.ARGMAX,
        OpKind.QUANTISE,
        OpKind.RMS_NORM,
        OpKind.CAUSAL_LIMIT,
        OpKind.SOFTMAX,
        OpKind.ROPE,
        OpKind.SILU_MUL,
        OpKind.GATHER,
        OpKind.SCATTER,
        OpKind.KV_INDEX,
        OpKind.KV_SCATTER,
        OpKind.INVERSE_NORM,
        OpKind.ROPE_PROJECT,
        OpKind.ROPE_CACHE,
        OpKind.CAUSAL_MASK,
        OpKind.ATTENTION,
        OpKind.EXP2_GATE,
        OpKind.ARGMAX_ROUNDED,
        OpKind.CLASSIFY,
        OpKind.EMBED,
        OpKind.QUOTIENT,
        OpKind.PICK,
        OpKind.PUT,
        OpKind.GIVEN_OR,
        OpKind.NOISE,
    }
)

_WEIGHT_INPUTS: dict[OpKind, tuple[int, ...]] = {
    OpKind.KV_INDEX: (1,),
    OpKind.KV_SCATTER: (0,),
    OpKind.ROPE_PROJECT: (1,),
    OpKind.ROPE_CACHE: (1, 6),
    OpKind.ATTENTION: (1, 2),
    OpKind.EMBED: (0,),
    OpKind.CLASSIFY: (1,),
    OpKind.EXP2_GATE: (1,),
}
"""Inputs of whole-row operators that are in a weight group, as are their int8 constants."""


def fuse(config: LpuConfig, graph: Graph) -> list[Pass]:
    """The passes of a graph, in execution order.

    Raises CompileError when the core lacks a pipe that an operator needs, or its numbers do not fit the core.
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
        if op.kind is OpKind.ASSIGN:
            self._assign(op)
        elif op.kind is OpKind.MATMUL:
            self.passes.append(
                Pass(op.name, Source.MATMUL, op.inputs[0], op.output, weights=op.inputs[1], block=op.block)
            )
        elif op.kind in _ROW_KINDS:
            self._row(op)
        else:
            self._element_wise(op.name, self._steps(op), op.block)

    # ------------------------------------------------------------- element-wise

    def _steps(self, op: Op) -> list[_Step]:
        """The ways to compute ``op`` on the pipes; the first operand of each is the chain's value."""
        x, out = op.inputs[0], op.output
        match op.kind:
            case OpKind.RELU:
                return [_Step(x, (Stage(IntOp.FMAX if x.dtype is DType.FP32 else IntOp.MAX, 0),), out)]
            case OpKind.TO_FLOAT:
                return [_Step(x, (Stage(AddOp.I2F),), out)]
            case OpKind.AND:
                return [_Step(x, (Stage(IntOp.AND, op.number),), out)]
            case OpKind.BIAS:
                return [_Step(x, (Stage(IntOp.ADD, op.inputs[1]),), out)]
            case OpKind.REQUANTISE:
                return [_Step(x, (Stage(RequantOp.REQUANT, self._requant_words(op)),), out, True)]
            case OpKind.RESCALE:
                return [_Step(x, (Stage(AddOp.I2F), Stage(MulOp.FMUL, op.inputs[1]), Stage(IntOp.F2I8)), out)]
            case OpKind.DEQUANTISE:
                scales = tuple(Stage(MulOp.FMUL, scale) for scale in op.inputs[1:])
                return [_Step(x, (Stage(AddOp.I2F), *scales), out)]
            case OpKind.QUANTISE_STATIC:
                return [_Step(x, (Stage(MulOp.FMUL, op.inputs[1]), Stage(IntOp.F2I8)), out)]
        return self._binary_steps(op)

    def _binary_steps(self, op: Op) -> list[_Step]:
        a, b = op.inputs
        if a.dtype is DType.FP32:
            forward, backward = _FLOAT_OPS[op.kind]
            steps = [_Step(a, (Stage(forward, b),), op.output), _Step(b, (Stage(backward, a),), op.output)]
            return steps if a.shape == b.shape else steps[:1]
        if op.kind is OpKind.MUL:
            return self._mul_steps(op)
        forward = _INT_OPS[op.kind]
        backward = IntOp.RSUB if forward is IntOp.SUB else forward
        saturates = op.output.dtype is DType.INT8 and op.kind in (OpKind.ADD, OpKind.SUB)
        return [
            _Step(a, (Stage(forward, b),), op.output, saturates),
            _Step(b, (Stage(backward, a),), op.output, saturates),
        ]

    def _requant_words(self, op: Op) -> Tensor | int:
        try:
            pairs = zip(op.multiplier, op.shift, strict=True)
            words = [pack_requant_word(self.config, multiplier, shift) for multiplier, shift in pairs]
        except NumericsError as error:
            raise CompileError(f"{op.name}: {error}") from error
        if len(words) == 1:
            return words[0]
        return constant(f"{op.name}.scale", words)

    def _mul_steps(self, op: Op) -> list[_Step]:
        a, b = op.inputs
        saturates = op.output.dtype is DType.INT8
        pairs = [(x, y) for x, y in ((a, b), (b, a)) if self._fits_multiplier(y)]
        if not pairs:
            bits = self.config.mult_bits
            raise CompileError(
                f"{op.name}: {a} * {b}: one operand must be int8 or a constant of {bits} signed bits (mult_bits)"
            )
        return [_Step(x, (Stage(RequantOp.MUL, y),), op.output, saturates) for x, y in pairs]

    def _fits_multiplier(self, y: Tensor) -> bool:
        half = 1 << (self.config.mult_bits - 1)
        if y.is_const and y.value is not None:
            return bool(y.value.min() >= -half and y.value.max() < half)
        return y.dtype is DType.INT8 and half >= 1 << 7

    def _element_wise(self, name: str, steps: Sequence[_Step], block: Iteration | None) -> None:
        """Join the latest pass that one of ``steps`` continues, or start a new one with the first of them."""
        self._require_pipes(name, steps[0].stages)
        joins = [(number, step) for step in steps for number, p in enumerate(self.passes) if p.output is step.x]
        for number, step in sorted(joins, key=lambda join: -join[0]):
            if self.passes[number].block == block and self._may_join(number, step):
                before, wide = _widened(step, block)
                self.passes[number : number + 1] = [*before, self._joined(self.passes[number], wide)]
                return
        if self._passes_on(steps[0], block):
            last = self.passes[-1]
            stages = (*last.stages[:-1], replace(last.stages[-1], copy=last.output))
            self.passes[-1] = self._joined(replace(last, stages=stages), steps[0])
            return
        before, fresh = _widened(next((step for step in steps if not step.x.is_const), steps[0]), block)
        self.passes += [*before, self._joined(Pass(name, Source.SRAM, fresh.x, fresh.x, block=block), fresh)]

    def _require_pipes(self, name: str, stages: Sequence[Stage]) -> None:
        known = ", ".join(self.config.pipes)
        for stage in stages:
            if stage.pipe not in self.config.pipes:
                raise CompileError(f"{name}: {stage.op.name}: needs a {stage.pipe.value} pipe; the core has {known}")
            if stage.op not in operations(self.config, stage.pipe):
                raise CompileError(f"{name}: {stage.op.name}: needs a pipe for fp32; the core has {known}")

    def _may_join(self, number: int, step: _Step) -> bool:
        p = self.passes[number]
        ready = {tensor for later in self.passes[number:] for tensor in later.writes}
        return (
            p.source is not Source.ROW
            and self.uses[step.x] <= 1
            and not step.x.mutable
            and step.x not in self.graph.outputs
            and not ready & set(step.operands)
            and (not p.saturates or step.commutes_with_saturation)
            and len(p.stages) + len(step.stages) <= MAX_STAGES
        )

    def _passes_on(self, step: _Step, block: Iteration | None) -> bool:
        """Whether the latest pass leaves ``step.x`` in a state and can go on with it as well."""
        last = self.passes[-1] if self.passes else None
        return (
            last is not None
            and last.output is step.x
            and step.x.mutable
            and step.x.dtype.is_wide
            and last.op is None
            and last.block == block
            and not set(last.writes) & set(step.operands)
            and len(last.stages) + len(step.stages) <= MAX_STAGES
        )

    def _joined(self, p: Pass, step: _Step) -> Pass:
        stages = p.stages + tuple(self._with_immediate(stage, step.output) for stage in step.stages)
        return replace(p, stages=stages, output=step.output, saturates=p.saturates or step.saturates)

    def _with_immediate(self, stage: Stage, output: Tensor) -> Stage:
        """The stage with a constant row in place of an immediate that the instruction cannot hold."""
        half = 1 << (self.config.imm_bits - 1)
        if not isinstance(stage.operand, int) or -half <= stage.operand < half:
            return stage
        return replace(stage, operand=constant(f"{output.name}.word", [stage.operand] * output.shape[1]))

    def _assign(self, op: Op) -> None:
        """The pass that gives the value writes it to the state, unless somebody else wants the value."""
        (value,) = op.inputs
        last = self.passes[-1] if self.passes else None
        joins = last is not None and last.output is value and last.op is None and last.block == op.block
        if last is not None and joins and self.uses[value] == 1:
            self.passes[-1] = replace(last, output=op.output)
        else:
            self.passes.append(
                Pass(op.name, Source.SRAM, value, op.output, stages=(Stage(IntOp.PASS),), block=op.block)
            )

    # --------------------------------------------------------------- whole rows

    def _row(self, op: Op) -> None:
        needs_floats = op.kind not in (OpKind.ARGMAX, OpKind.GATHER, OpKind.SCATTER, OpKind.KV_SCATTER)
        floats = needs_floats or op.inputs[0].dtype is DType.FP32
        if floats and not {PipeKind.MUL, PipeKind.ADD, PipeKind.SFU} <= set(self.config.pipes):
            raise CompileError(f"{op.name}: needs mul, add and sfu pipes; the core has {', '.join(self.config.pipes)}")
        consts, scratch = needs(self.config, op)
        x = op.inputs[0]
        p = Pass(op.name, Source.ROW, x, op.output, op=op, consts=consts, scratch=scratch, block=op.block)
        self.passes.append(p)


def _widened(step: _Step, block: Iteration | None) -> tuple[list[Pass], _Step]:
    """The step with an int8 operand of REQUANT, which reads only SG4s, as int32; and the pass that makes it so."""
    before, stages = [], []
    for stage in step.stages:
        y = stage.operand
        if stage.pipe is PipeKind.REQUANT and isinstance(y, Tensor) and y.dtype is DType.INT8:
            wide = Tensor(f"{step.output.name}.wide", y.shape, DType.INT32, y.value if y.is_const else None)
            if not y.is_const:
                before.append(Pass(wide.name, Source.SRAM, y, wide, stages=(Stage(IntOp.PASS),), block=block))
            stage = replace(stage, operand=wide)
        stages.append(stage)
    return before, replace(step, stages=tuple(stages))
