"""An int8 product in a multiplier of an ECP5."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology

_MULTIPLIER = """\
module {name}(
  input clk, input rst, input install, input [7:0] weight, input [7:0] x, output reg [15:0] product
);
  wire [15:0] p;
  always @(posedge clk) product <= p;
  MULT18X18D #(
    .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE1"), .REG_INPUTA_RST("RST0"),
    .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE0"), .REG_INPUTB_RST("RST0")
  ) multiplier (
    .CLK0(clk), .CE0(1'b1), .CE1(install), .RST0(1'b0), .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
    {a},
    {b},
    {p}
  );
endmodule
"""
_WIDTH = 18


class Product(Shared):
    """product = array * x, both int8; array := weight with ``install``.

    ``x`` and ``install`` in T, product in T + 2. The operands' registers are those of a MULT18X18D, so that the ways to
    it and from it, across a row of such multipliers, are not in one cycle.
    """

    def __init__(self) -> None:
        super().__init__({"install": In(1), "weight": In(8), "x": In(8), "product": Out(16)})

    @property
    def module_name(self) -> str:
        return "lpu_product"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array, x = (Signal(signed(8), name=name, reset_less=True) for name in ("array", "x_held"))
        with m.If(self.install):
            m.d.sync += array.eq(self.weight)
        m.d.sync += [x.eq(self.x), self.product.eq(array * x)]
        return m

    def verilog(self, technology: Technology) -> str | None:
        if technology is not Technology.ECP5:
            return None
        operands = {"a": "weight", "b": "x"}
        pins = {
            side: ", ".join(f".{side.upper()}{i}({operand}[{min(i, 7)}])" for i in range(_WIDTH))
            for side, operand in operands.items()
        }
        return _MULTIPLIER.format(name=self.module_name, **pins, p=", ".join(f".P{i}(p[{i}])" for i in range(16)))
