"""One lane of the vector unit: the chain of ALUs and the operands each takes from the streams."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import AluKind, LpuConfig
from hdl.emit import Shared, shared
from hdl.isa import QueueKind, Source
from hdl.layouts import issue_layout
from hdl.streams import Reach, StreamView, one_of, view_ports
from hdl.vector.alu_int import ALU_COMMAND, IntAlu
from hdl.vector.alu_requant import RequantAlu


def operand_layout(config: LpuConfig) -> data.StructLayout:
    """Where an operand comes from: a stream, int8 or int32, or the immediate."""
    stream = issue_layout(config, QueueKind.VECTOR)["x"].shape
    return data.StructLayout({"stream": stream, "wide": 1, "source": 2, "imm": signed(32)})


class Lane(Shared):
    """result = ALU_k(... ALU_0(x, y0) ..., y_k) on int32; ``narrow`` saturates it to int8.

    ``x`` and ``y[k]`` choose the operands in the cycle they are on the streams; ``alus[k]`` is wanted one cycle later,
    when the operand is registered. ``narrow`` belongs to the cycle of the result.
    """

    def __init__(self, config: LpuConfig, reach: Reach) -> None:
        self._config = config
        self._reach = reach
        count = len(config.alus)
        super().__init__(
            {
                **view_ports(reach, 8),
                "x": In(operand_layout(config)),
                "y": In(data.ArrayLayout(operand_layout(config), count)),
                "alus": In(data.ArrayLayout(ALU_COMMAND, count)),
                "narrow": In(1),
                "result": Out(32),
            }
        )

    @property
    def module_name(self) -> str:
        return "lpu_lane"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before: Value | data.View = Cat(self._operand(m, self.x, "x"), Const(0, 1))
        for k, kind in enumerate(self._config.alus):
            alu = IntAlu() if kind is AluKind.INT else RequantAlu(self._config.mult_bits)
            m.submodules[f"alu{k}"] = shared(alu, platform)
            m.d.comb += [
                Value.cast(alu.before).eq(before),
                alu.y.eq(self._operand(m, self.y[k], f"y{k}")),
                alu.command.eq(self.alus[k]),
            ]
            before = alu.after
        self._saturate(m, before.value)
        return m

    def _operand(self, m: Module, choice: data.View, name: str) -> Signal:
        group = StreamView(self, self._reach, 8).group(choice.stream)
        operand = Signal(signed(32), name=name, reset_less=True)
        byte = one_of(group, choice.stream).as_signed()
        from_stream = Mux(choice.wide, Cat(group).as_signed(), byte)
        m.d.sync += operand.eq(Mux(choice.source == Source.IMM, choice.imm, from_stream))
        return operand

    def _saturate(self, m: Module, value: Value) -> None:
        byte = Mux(value > 127, Const(127, 8), Mux(value < -128, Const(0x80, 8), value[:8]))
        m.d.comb += self.result.eq(Mux(self.narrow, byte, value))
