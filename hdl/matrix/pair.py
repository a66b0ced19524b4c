"""Two int8 products in one multiplier of an iCE40."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology

_MULTIPLIER = """\
module {name}(
  input clk, input rst, input install, input hold, input [15:0] weights, input [15:0] x, output [31:0] products
);
  SB_MAC16 #(
    .MODE_8x8(1'b1), .A_SIGNED(1'b1), .B_SIGNED(1'b1), .A_REG({a_reg}), .B_REG(1'b1),
    .TOP_8x8_MULT_REG(1'b1), .BOT_8x8_MULT_REG(1'b1), .TOPOUTPUT_SELECT(2'b10), .BOTOUTPUT_SELECT(2'b10)
  ) multiplier (
    .CLK(clk), .CE(1'b1), .A(weights), .B(x), .C(16'b0), .D(16'b0), .O(products),
    .AHOLD({a_hold}), .BHOLD(hold), .CHOLD(1'b0), .DHOLD(1'b0),
    .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(1'b0), .ORSTBOT(1'b0), .OLOADTOP(1'b0), .OLOADBOT(1'b0),
    .OHOLDTOP(1'b0), .OHOLDBOT(1'b0), .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0)
  );
endmodule
"""


class ProductPair(Shared):
    """products[16j +: 16] = array[8j +: 8] * x[8j +: 8], both int8, for j in 0, 1; array := weights with ``install``.

    ``x`` and ``install`` in T, products in T + 2. With ``hold`` in T, x is that of T - 1. A pair that does not
    ``keep`` its array takes ``weights`` in T + 1 for it. All registers are those of an SB_MAC16, of which an UP5K has
    eight: they take what yosys 0.70 would make of two products and their sum, which is wrong (its ice40_dsp lets one
    register be the operand of an adder in one SB_MAC16 and the product's register of another).
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        super().__init__({"install": In(1), "hold": In(1), "weights": In(16), "x": In(16), "products": Out(32)})

    @property
    def module_name(self) -> str:
        return "lpu_product_pair" if self._keep else "lpu_product_pair_open"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for j in range(2):
            span = slice(8 * j, 8 * j + 8)
            x = Signal(signed(8), name=f"x{j}", reset_less=True)
            with m.If(~self.hold):
                m.d.sync += x.eq(self.x[span])
            m.d.sync += self.products[16 * j : 16 * j + 16].eq(self._array(m, span, j) * x)
        return m

    def _array(self, m: Module, span: slice, j: int) -> Value:
        weights = self.weights[span].as_signed()
        if not self._keep:
            return weights
        array = Signal(signed(8), name=f"array{j}", reset_less=True)
        with m.If(self.install):
            m.d.sync += array.eq(weights)
        return array

    def verilog(self, technology: Technology) -> str | None:
        if technology is not Technology.ICE40:
            return None
        a_reg, a_hold = ("1'b1", "~install") if self._keep else ("1'b0", "1'b0")
        return _MULTIPLIER.format(name=self.module_name, a_reg=a_reg, a_hold=a_hold)
