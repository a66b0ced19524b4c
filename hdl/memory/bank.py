"""One SRAM bank: the part of a memory slice that lies in one superlane."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared


class Bank(Shared):
    """``depth`` rows of ``width`` bits, one read and one write a cycle; read latency 1 cycle.

    ``read_data`` is zero after a cycle without ``read_en``: that is the reset of a block RAM's output, and lets banks
    of which one is read be merged by OR. The caller never reads the row that is written in the same cycle.
    """

    def __init__(self, depth: int, width: int) -> None:
        self._depth = depth
        self._width = width
        row_bits = (depth - 1).bit_length()
        super().__init__(
            {
                "read_en": In(1),
                "read_row": In(row_bits),
                "read_data": Out(width),
                "write_en": In(1),
                "write_row": In(row_bits),
                "write_data": In(width),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_bank_{self._depth}x{self._width}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = Memory(shape=self._width, depth=self._depth, init=[])
        read, write = rows.read_port(), rows.write_port()
        was_read = Signal(name="was_read")
        m.d.sync += was_read.eq(self.read_en)
        m.d.comb += [
            read.en.eq(self.read_en),
            read.addr.eq(self.read_row),
            self.read_data.eq(Mux(was_read, read.data, 0)),
            write.en.eq(self.write_en),
            write.addr.eq(self.write_row),
            write.data.eq(self.write_data),
        ]
        return m

    def verilog(self) -> str:
        """The same memory without an initial value per row, which every tool maps to block RAM and loads fast.

        ``no_rw_check`` tells yosys what the caller guarantees; without it a bank grows comparators and a bypass.
        """
        row_bits = (self._depth - 1).bit_length()
        return f"""\
module {self.module_name}(
  input clk, input rst,
  input read_en, input [{row_bits - 1}:0] read_row, output reg [{self._width - 1}:0] read_data,
  input write_en, input [{row_bits - 1}:0] write_row, input [{self._width - 1}:0] write_data
);
  (* no_rw_check *) reg [{self._width - 1}:0] rows [0:{self._depth - 1}];
  always @(posedge clk) begin
    if (write_en) rows[write_row] <= write_data;
    if (read_en) read_data <= rows[read_row]; else read_data <= 0;
  end
endmodule
"""
