"""Twin of the vector unit: the chain of ALUs, one element at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from golden.numerics import Int32, int_alu, requant_alu
from hdl.config import AluKind, LpuConfig
from hdl.isa import Element, Instruction, IntOp, RequantOp, Source


class VectorTwin:
    """value = ALU_k(...ALU_0(x, y_0)..., y_k) per lane; ALU k's own last result is kept for Source.SELF."""

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self._own: list[Int32] = [np.zeros(config.lanes, np.int32) for _ in config.alus]

    def chain(self, element: Element, x: Int32, ys: Sequence[Int32 | None]) -> Int32:
        """CHAIN on x [lanes]; ``ys[k]`` is the stream operand of ALU k where it has one. Returns int32 [lanes]."""
        instruction, value = element.instruction, x
        predicate = np.zeros(self.config.lanes, np.bool_)
        for k, kind in enumerate(self.config.alus):
            y = self._operand(element, k, ys[k])
            if y is not None and kind is AluKind.INT:
                value, predicate = int_alu(IntOp(instruction[f"op{k}"]), value, y, predicate, instruction["imm"])
            elif y is not None:
                value = requant_alu(self.config, RequantOp(instruction[f"op{k}"]), value, y)
            self._own[k] = value
        return value

    def _operand(self, element: Element, k: int, stream: Int32 | None) -> Int32 | None:
        """Operand y of ALU k; None where SELF has no preceding element, and the ALU passes x on."""
        match Source(element.instruction[f"src{k}"]):
            case Source.STREAM:
                return stream
            case Source.IMM:
                return np.full(self.config.lanes, element.instruction["imm"], np.int32)
            case Source.SELF:
                return None if element.first else self._own[k]


def reads_stream(instruction: Instruction, k: int) -> bool:
    """Whether ALU k takes y from a stream."""
    return instruction[f"src{k}"] == Source.STREAM
