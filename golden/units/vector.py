"""Twin of the vector unit: its pipes, their result registers and the flag, one element at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden.numerics import Bools, Int32, add_pipe, int_alu, mul_pipe, requant_alu, sfu_pipe
from hdl.config import LpuConfig, PipeKind
from hdl.isa import (
    REGISTERS,
    AddOp,
    Element,
    Instruction,
    IntOp,
    MulOp,
    RequantOp,
    SfuOp,
    Source,
    first_of_fold,
    operations,
    reads_y,
    sources,
)


class VectorError(ValueError):
    """An operation or operand source that the pipe does not have; names instruction, value and rule."""


@dataclass
class Entering:
    """An element as it enters its pipe: its instruction, and what the streams gave for x and y (None: not streams).

    Of lanes that have ``entered``: what stood in the pipe's own register ``before``, and the ``result``.
    """

    pipe: PipeKind
    element: Element
    x: Int32 | None
    y: Int32 | None
    entered: Bools | bool = False
    before: Int32 | int = 0
    result: Int32 | int = 0


class VectorTwin:
    """The vector unit on words [lanes]; the caller keeps the time.

    ``enter`` lets some lanes of an element enter and reads their result registers as they stand: all in T + 1, or
    one by one from then on. The caller lets the result ``leave`` latency cycles later. Registers and flag begin with 0.
    """

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self.registers: dict[PipeKind, Int32] = {pipe: np.zeros(config.lanes, np.int32) for pipe in config.pipes}
        self._flag: Bools = np.zeros(config.lanes, np.bool_)

    def enter(self, entering: Entering, lanes: Bools | bool = True) -> Int32:
        """The result of an element so far, from the registers and the flag of this cycle; a comparison sets the flag.

        Raises VectorError.
        """
        pipe, instruction = entering.pipe, entering.element.instruction
        entering.before = np.where(entering.entered, entering.before, self.registers[pipe])
        op = self._operation(pipe, entering.element)
        x = self._operand(entering, "x", entering.x)
        y = self._operand(entering, "y", entering.y) if reads_y(pipe, op) else x
        match pipe:
            case PipeKind.INT:
                result, flag = int_alu(IntOp(op), x, y, self._flag, instruction["imm"])
                self._flag = np.where(lanes, flag, self._flag)
            case PipeKind.REQUANT:
                result = requant_alu(self.config, RequantOp(op), x, y)
            case PipeKind.MUL:
                result = mul_pipe(MulOp(op), x, y)
            case PipeKind.ADD:
                result = add_pipe(AddOp(op), x, y)
            case PipeKind.SFU:
                result = sfu_pipe(SfuOp(op), x)
        entering.entered, entering.result = lanes | entering.entered, np.where(lanes, result, entering.result)
        return entering.result

    def leave(self, pipe: PipeKind, value: Int32, lanes: Bools) -> None:
        """A result into the register of its pipe, in these lanes."""
        self.registers[pipe] = np.where(lanes, value, self.registers[pipe])

    def _operation(self, pipe: PipeKind, element: Element) -> int:
        op = element.instruction["op"]
        if op not in operations(self.config, pipe):
            raise VectorError(f"{element.instruction}: op = {op}: must be an operation of the {pipe.name} pipe")
        return first_of_fold(pipe, op) if element.instruction["fold"] and element.first else op

    def _operand(self, entering: Entering, field: str, streamed: Int32 | None) -> Int32:
        pipe, instruction = entering.pipe, entering.element.instruction
        source = Source(instruction[f"{field}_from"])
        if source not in sources(self.config, pipe, field):
            raise VectorError(f"{instruction}: {field}_from = {source.name}: must be a source of the {pipe.name} pipe")
        if source is Source.IMM:
            return np.full(self.config.lanes, instruction["imm"], np.int32)
        if source is Source.SWAP:
            return self._swapped(np.asarray(entering.before), instruction["swap"])
        if source in REGISTERS:
            return self.registers[REGISTERS[source]]
        assert streamed is not None, "the caller reads the streams"
        return streamed

    def _swapped(self, register: Int32, distance: int) -> Int32:
        """register[i XOR 2^distance] in lane i of each superlane."""
        lanes = np.arange(self.config.lanes)
        return register[lanes ^ (1 << distance)]


def streamed_operands(pipe: PipeKind, instruction: Instruction) -> tuple[str, ...]:
    """The operands that an instruction takes from streams."""
    fields = ("x", "y") if reads_y(pipe, instruction["op"]) else ("x",)
    return tuple(field for field in fields if instruction[f"{field}_from"] == Source.STREAM)


def is_wide(pipe: PipeKind, instruction: Instruction, name: str) -> bool:
    """Whether ``x``, ``y`` or ``out`` is an SG4; only the INT pipe knows single streams."""
    return pipe is not PipeKind.INT or bool(instruction[f"{name}_wide"])
