"""The REQUANT pipe's product, in two multipliers of an iCE40."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology

X_BITS, FACTOR_BITS = 32, 16
_BEHAVIOUR = """\
module {name}(
  input clk, input rst, input [{x_top}:0] x, input [{f_top}:0] factor, output reg [{p_top}:0] product
);
  always @(posedge clk) product <= $signed(x) * $signed(factor);
endmodule
"""
_MULTIPLIERS = """\
module {name}(input clk, input rst, input [31:0] x, input [15:0] factor, output [47:0] product);
  wire [15:0] carried;
  SB_MAC16 #(
    .A_SIGNED(1'b0), .B_SIGNED(1'b1), .TOPOUTPUT_SELECT(2'b11),
    .BOTADDSUB_LOWERINPUT(2'b10), .BOTADDSUB_UPPERINPUT(1'b1), .BOTOUTPUT_SELECT(2'b01)
  ) low (
    .CLK(clk), .CE(1'b1), .A(x[15:0]), .B(factor), .C(16'b0), .D(16'b0), .O({{carried, product[15:0]}}),
    {tied}
  );
  SB_MAC16 #(
    .A_SIGNED(1'b1), .B_SIGNED(1'b1),
    .TOPADDSUB_LOWERINPUT(2'b10), .TOPADDSUB_UPPERINPUT(1'b1), .TOPADDSUB_CARRYSELECT(2'b10), .TOPOUTPUT_SELECT(2'b01),
    .BOTADDSUB_LOWERINPUT(2'b10), .BOTADDSUB_UPPERINPUT(1'b1), .BOTOUTPUT_SELECT(2'b01)
  ) high (
    .CLK(clk), .CE(1'b1), .A(x[31:16]), .B(factor), .C({{16{{carried[15]}}}}), .D(carried), .O(product[47:16]),
    {tied}
  );
endmodule
"""
_TIED = (
    ".AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0), .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(1'b0),\n"
    "    .ORSTBOT(1'b0), .OLOADTOP(1'b0), .OLOADBOT(1'b0), .OHOLDTOP(1'b0), .OHOLDBOT(1'b0), .ADDSUBTOP(1'b0),\n"
    "    .ADDSUBBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0)"
)


class Product(Shared):
    """product = x * factor, int32 times a signed factor, a cycle later.

    On an iCE40 two SB_MAC16 where the factor has 16 bits: the lower half of x times the factor, whose upper bits the
    other one adds to its own product; the registers are theirs.
    """

    def __init__(self, factor_bits: int) -> None:
        self._factor_bits = factor_bits
        bits = X_BITS + factor_bits
        super().__init__({"x": In(X_BITS), "factor": In(factor_bits), "product": Out(signed(bits))})

    @property
    def module_name(self) -> str:
        return f"lpu_product_{self._factor_bits}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.product.eq(self.x.as_signed() * self.factor.as_signed())
        return m

    def verilog(self, technology: Technology) -> str:
        if technology is Technology.ICE40 and self._factor_bits == FACTOR_BITS:
            return _MULTIPLIERS.format(name=self.module_name, tied=_TIED)
        tops = {"x_top": X_BITS - 1, "f_top": self._factor_bits - 1, "p_top": X_BITS + self._factor_bits - 1}
        return _BEHAVIOUR.format(name=self.module_name, **tops)
