"""Two int8 products in one multiplier: every pair of weights with every activation, against Verilog's own products."""

from __future__ import annotations

import pytest

from cocotb_tests.units.counting import COUNTS, counted
from hdl.emit import TOP as PAIR
from hdl.emit import VerilogWriter
from hdl.matrix.column_pair import ColumnPair

pytestmark = pytest.mark.rtl
TOP = "pair_bench"
BENCH = f"""\
// Counts through all operands; the pair's products are those of the operands of the cycle before.
module {TOP} (input logic clk, input logic rst, output logic done);
    logic [23:0] number;
    logic [23:0] earlier;
    logic started;
    logic signed [15:0] first, second;
    integer compared, wrong, counts;
    wire [31:0] products;

    {PAIR} pair (.clk(clk), .rst(rst), .weights(number[15:0]), .x(number[23:16]), .products(products));

    assign first = $signed(earlier[7:0]) * $signed(earlier[23:16]);
    assign second = $signed(earlier[15:8]) * $signed(earlier[23:16]);

    always_ff @(posedge clk) begin
        if (rst) begin
            number <= 0;
            started <= 0;
            done <= 0;
            compared <= 0;
            wrong <= 0;
        end else if (!done) begin
            earlier <= number;
            started <= 1;
            number <= number + 1;
            if (started) begin
                compared <= compared + 1;
                if (products != {{second, first}}) wrong <= wrong + 1;
            end
            if (compared == {(1 << 24) - 1}) begin
                counts = $fopen("{COUNTS}", "w");
                $fwrite(counts, "%0d %0d", compared + 1, products == {{second, first}} ? wrong : wrong + 1);
                $fclose(counts);
                done <= 1;
            end
        end
    end
endmodule
"""


def test_all_operands() -> None:
    assert counted(ColumnPair.__name__, VerilogWriter().write(ColumnPair()), BENCH, TOP) == (1 << 24, 0)
