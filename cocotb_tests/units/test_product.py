"""The multiplier of an ECP5 as the matrix array has it, on a model of MULT18X18D after Lattice's sysDSP guide."""

from __future__ import annotations

import pytest

from cocotb_tests.units.counting import COUNTS, counted
from hdl.emit import TOP as PRODUCT
from hdl.emit import Technology, VerilogWriter
from hdl.matrix.product import Product

pytestmark = pytest.mark.rtl
TOP = "product_bench"


def _pins(name: str, bits: int, kind: str) -> str:
    return ", ".join(f"{kind} {name}{i}" for i in range(bits))


def _word(name: str, bits: int) -> str:
    return "{" + ", ".join(f"{name}{i}" for i in reversed(range(bits))) + "}"


MULTIPLIER = f"""\
// A register of an operand follows CLK0 where its parameter says so, when the pin of its CE parameter is 1.
module MULT18X18D ({_pins("A", 18, "input")}, {_pins("B", 18, "input")}, {_pins("P", 36, "output")},
    input CLK0, input CE0, input CE1, input RST0, input SIGNEDA, input SIGNEDB, input SOURCEA, input SOURCEB);
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    wire [17:0] a = {_word("A", 18)}, b = {_word("B", 18)};
    reg [17:0] a_held, b_held;
    always @(posedge CLK0) begin
        if (RST0) a_held <= 0; else if (REG_INPUTA_CE == "CE0" ? CE0 : CE1) a_held <= a;
        if (RST0) b_held <= 0; else if (REG_INPUTB_CE == "CE0" ? CE0 : CE1) b_held <= b;
    end
    wire [17:0] x = REG_INPUTA_CLK == "CLK0" ? a_held : a, y = REG_INPUTB_CLK == "CLK0" ? b_held : b;
    wire signed [35:0] p = $signed({{SIGNEDA & x[17], x}}) * $signed({{SIGNEDB & y[17], y}});
    assign {_word("P", 36)} = SOURCEA | SOURCEB ? 36'bx : p;
endmodule
"""
BENCH = f"""\
// Weight n is there in cycle 256 n only, with install; x is the cycle's number.
module {TOP} (input logic clk, input logic rst, output logic done);
    logic [16:0] number, one, two;
    logic signed [15:0] expected;
    integer compared, wrong, counts;
    wire [15:0] product;
    wire install = number[7:0] == 0;

    {PRODUCT} unit (.clk(clk), .rst(rst), .install(install), .weight(install ? number[15:8] : ~number[7:0]),
        .x(number[7:0]), .product(product));

    assign expected = $signed(two[15:8]) * $signed(two[7:0]);

    always_ff @(posedge clk) begin
        if (rst) begin
            number <= 0;
            done <= 0;
            compared <= 0;
            wrong <= 0;
        end else if (!done) begin
            number <= number + 1;
            one <= number;
            two <= one;
            if (number >= 2) begin
                compared <= compared + 1;
                if (product != expected) wrong <= wrong + 1;
            end
            if (compared == 65536) begin
                counts = $fopen("{COUNTS}", "w");
                $fwrite(counts, "%0d %0d", compared, wrong);
                $fclose(counts);
                done <= 1;
            end
        end
    end
endmodule
"""


def count(technology: Technology, change: tuple[str, str] = ("", "")) -> tuple[int, int]:
    """Products compared, and how many were wrong."""
    component = Product()
    component._MustUse__used = True
    text = component.verilog(technology) or VerilogWriter().write(component, component.module_name)
    text = text.replace(component.module_name, PRODUCT).replace(*change)
    return counted(Product.__name__, MULTIPLIER + text, BENCH, TOP)


@pytest.mark.parametrize("technology", [Technology.GENERIC, Technology.ECP5])
def test_all_operands(technology: Technology) -> None:
    assert count(technology) == (1 << 16, 0)


def test_a_wrong_pin_is_noticed() -> None:
    compared, wrong = count(Technology.ECP5, (".A8(weight[7])", ".A8(weight[6])"))
    assert compared == 1 << 16
    assert wrong > 0
