"""One of four vectors, in two LUTs a bit."""

from __future__ import annotations

from amaranth.hdl import Module, Value
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology
from hdl.streams import choose

_PORTS = """\
module {name}(
  input clk, input rst, input [{top}:0] x0, input [{top}:0] x1, input [{top}:0] x2, input [{top}:0] x3,
  input [1:0] index, output [{top}:0] chosen
);
"""
_BEHAVIOUR = """\
  assign chosen = index[1] ? (index[0] ? x3 : x2) : (index[0] ? x1 : x0);
endmodule
"""
_LUTS = """\
  wire [{top}:0] first;
  genvar i;
  generate for (i = 0; i <= {top}; i = i + 1) begin : bits
    SB_LUT4 #(.LUT_INIT(16'hF0CA)) lower (.I0(x0[i]), .I1(x1[i]), .I2(index[0]), .I3(index[1]), .O(first[i]));
    SB_LUT4 #(.LUT_INIT(16'hE4AA)) upper (.I0(first[i]), .I1(x2[i]), .I2(x3[i]), .I3(index[1]), .O(chosen[i]));
  end endgenerate
endmodule
"""


class Choice(Shared):
    """chosen = x[index]. On an iCE40 the first LUT of a bit hands index[0] on where the second one chooses by it: two
    LUTs of four inputs, where yosys finds three. Combinational.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        super().__init__({**{f"x{i}": In(width) for i in range(4)}, "index": In(2), "chosen": Out(width)})

    @property
    def module_name(self) -> str:
        return f"lpu_choice_{self._width}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.chosen.eq(choose([self.x0, self.x1, self.x2, self.x3], self.index))
        return m

    def among(self, m: Module, values: list[Value], index: Value) -> Value:
        """Connect it."""
        m.d.comb += [port.eq(value) for port, value in zip((self.x0, self.x1, self.x2, self.x3), values, strict=True)]
        m.d.comb += self.index.eq(index)
        return self.chosen

    def verilog(self, technology: Technology) -> str:
        body = _LUTS if technology is Technology.ICE40 else _BEHAVIOUR
        return (_PORTS + body).format(name=self.module_name, top=self._width - 1)
