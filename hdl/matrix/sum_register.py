"""One lane of the only accumulator row of a core."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology

_PORTS = """\
module {name}(
  input clk, input rst, input enable, input start, input [31:0] old, input [31:0] term, output {kind} [31:0] sum
);
"""
_BEHAVIOUR = """\
  reg [31:0] held;
  wire [31:0] now = {early} ? held : term;
  always @(posedge clk) begin
    held <= term;
    if (enable) sum <= start ? now : old + now;
  end
endmodule
"""
_ADDER = """\
  SB_MAC16 #(
    .C_REG(1'b1), .D_REG(1'b1),
    .TOPADDSUB_LOWERINPUT(2'b00), .TOPADDSUB_UPPERINPUT(1'b1), .TOPADDSUB_CARRYSELECT(2'b10), .TOPOUTPUT_SELECT(2'b01),
    .BOTADDSUB_LOWERINPUT(2'b00), .BOTADDSUB_UPPERINPUT(1'b1), .BOTADDSUB_CARRYSELECT(2'b00), .BOTOUTPUT_SELECT(2'b01)
  ) adder (
    .CLK(clk), .CE(1'b1), .A(old[31:16]), .B(old[15:0]), .C(term[31:16]), .D(term[15:0]), .O(sum),
    .OLOADTOP(start), .OLOADBOT(start), .OHOLDTOP(~enable), .OHOLDBOT(~enable),
    .AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0), .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(1'b0),
    .ORSTBOT(1'b0), .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0)
  );
endmodule
"""


class SumRegister(Shared):
    """sum := (start ? 0 : old) + term modulo 2^32 with ``enable``; ``early``: term comes a cycle before the rest.

    That on an iCE40 is an SB_MAC16.
    """

    def __init__(self, early: bool) -> None:
        self._early = early
        super().__init__({"enable": In(1), "start": In(1), "old": In(32), "term": In(32), "sum": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_sum_register" + ("_early" if self._early else "")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(32, name="held", reset_less=True)
        m.d.sync += held.eq(self.term)
        with m.If(self.enable):
            m.d.sync += self.sum.eq(Mux(self.start, 0, self.old) + (held if self._early else self.term))
        return m

    def verilog(self, technology: Technology) -> str:
        is_dsp = self._early and technology is Technology.ICE40
        ports = _PORTS.format(name=self.module_name, kind="wire" if is_dsp else "reg")
        return ports + (_ADDER if is_dsp else _BEHAVIOUR.format(early=int(self._early)))
