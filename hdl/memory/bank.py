"""One SRAM bank: the part of a memory slice that lies in one superlane."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.emit import Shared, Technology


class Bank(Shared):
    """``depth`` rows of ``width`` bits, one read and one write a cycle; read latency 1 cycle.

    ``read_data`` is zero after a cycle without ``read_en``: that is the reset of a block RAM's output, and lets banks
    of which one is read be merged by OR. The block RAM of an iCE40 has no such reset; without ``clears``, read_data is
    anything then. The caller never reads the row that is written in the same cycle.
    """

    def __init__(self, depth: int, width: int, clears: bool = True) -> None:
        self._depth, self._width, self._clears = depth, width, clears
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
        return f"lpu_bank_{self._depth}x{self._width}" + ("" if self._clears else "_keeping")

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

    def verilog(self, technology: Technology) -> str:
        """The same memory without an initial value per row, which every tool maps to block RAM and loads fast.

        ``no_rw_check`` tells yosys what the caller guarantees; without it a bank grows comparators and a bypass.
        A depth that is no power of two is several memories, merged by OR: left to itself, yosys takes equal parts and
        three LUTs a bit to choose among them.
        """
        row_bits = (self._depth - 1).bit_length()
        parts = list(enumerate(_parts(self._depth)))
        memories = "".join(self._memory(number, base, rows) for number, (base, rows) in parts)
        merged = " | ".join(f"data{number}" for number, _ in parts)
        return f"""\
module {self.module_name}(
  input clk, input rst,
  input read_en, input [{row_bits - 1}:0] read_row, output [{self._width - 1}:0] read_data,
  input write_en, input [{row_bits - 1}:0] write_row, input [{self._width - 1}:0] write_data
);
{memories}  assign read_data = {merged};
endmodule
"""

    def _memory(self, number: int, base: int, rows: int) -> str:
        """The memory of ``rows`` rows from ``base`` on, a multiple of their number rounded up to a power of two."""
        row_bits, bits = (self._depth - 1).bit_length(), (rows - 1).bit_length()
        tag = f" && {{port}}_row[{row_bits - 1}:{bits}] == {row_bits - bits}'d{base >> bits}" if bits < row_bits else ""
        clear = f" else data{number} <= 0;" if self._clears or rows < self._depth else ""
        enable = {port: f"{port}_en{tag.format(port=port)}" for port in ("read", "write")}
        return f"""\
  (* no_rw_check *) reg [{self._width - 1}:0] rows{number} [0:{rows - 1}];
  reg [{self._width - 1}:0] data{number};
  always @(posedge clk) begin
    if ({enable["write"]}) rows{number}[write_row[{bits - 1}:0]] <= write_data;
    if ({enable["read"]}) data{number} <= rows{number}[read_row[{bits - 1}:0]];{clear}
  end
"""


SMALLEST_PART = 512
"""Rows of a block RAM at its widest: fewer are not worth a memory of their own."""


def _parts(depth: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of memories that make up ``depth``: powers of two, the greatest first."""
    base = 0
    while (left := depth - base) > SMALLEST_PART:
        rows = 1 << (left.bit_length() - 1)
        yield base, rows
        base += rows
    if left:
        yield base, left
