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
    ``short``: as far as :func:`lut_columns` says, made of LUTs; only for parts that have RAM of LUTs.
    """

    def __init__(self, depth: int, width: int, clears: bool = True, short: bool = False) -> None:
        self._depth, self._width, self._clears = depth, width, clears
        self._lut_columns = lut_columns(depth, width) if short else 0
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
        name = f"lpu_{'short_bank' if self._lut_columns else 'bank'}_{self._depth}x{self._width}"
        return name + ("" if self._clears else "_keeping")

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
        row_bits, split = (self._depth - 1).bit_length(), self._width - self._lut_columns
        text = self._columns(0, split, _parts(self._depth)) + self._columns(split, self._width, _lut_parts(self._depth))
        return f"""\
module {self.module_name}(
  input clk, input rst,
  input read_en, input [{row_bits - 1}:0] read_row, output [{self._width - 1}:0] read_data,
  input write_en, input [{row_bits - 1}:0] write_row, input [{self._width - 1}:0] write_data
);
{text}endmodule
"""

    def _columns(self, low: int, high: int, parts: Iterator[tuple[int, int]]) -> str:
        """Bits low .. high - 1 of each row, in memories of their own for ``parts`` of the rows."""
        if low == high:
            return ""
        names, texts = [], []
        for number, (base, rows) in enumerate(parts):
            names.append(f"data{low}_{number}" if low else f"data{number}")
            texts.append(self._memory(names[-1], slice(low, high), base, rows))
        return f"{''.join(texts)}  assign read_data[{high - 1}:{low}] = {' | '.join(names)};\n"

    def _memory(self, data: str, columns: slice, base: int, rows: int) -> str:
        """The memory of ``rows`` rows from ``base`` on, a multiple of their number rounded up to a power of two."""
        row_bits, bits = (self._depth - 1).bit_length(), (rows - 1).bit_length()
        tag = f" && {{port}}_row[{row_bits - 1}:{bits}] == {row_bits - bits}'d{base >> bits}" if bits < row_bits else ""
        clear = f" else {data} <= 0;" if self._clears or rows < self._depth else ""
        enable = {port: f"{port}_en{tag.format(port=port)}" for port in ("read", "write")}
        low, high = columns.start, columns.stop
        in_luts = high > self._width - self._lut_columns
        memory = data.replace("data", "rows")
        style = ', ram_style = "distributed"' if in_luts else ""
        return f"""\
  (* no_rw_check{style} *) reg [{high - low - 1}:0] {memory} [0:{rows - 1}];
  reg [{high - low - 1}:0] {data};
  always @(posedge clk) begin
    if ({enable["write"]}) {memory}[write_row[{bits - 1}:0]] <= write_data[{high - 1}:{low}];
    if ({enable["read"]}) {data} <= {memory}[read_row[{bits - 1}:0]];{clear}
  end
"""


SMALLEST_PART = 512
"""Rows of a block RAM at its widest: fewer are not worth a memory of their own."""
BLOCK_COLUMNS = 36
"""Columns of a block RAM at its widest."""
LUT_ROWS = 16
"""Rows of a RAM made of LUTs."""
ALL_IN_LUTS = 160
"""Most rows of a short memory that is made of LUTs altogether."""


def lut_columns(depth: int, width: int) -> int:
    """How many columns of a short memory to make of LUTs: all, or those beyond whole block RAMs."""
    return width if depth <= ALL_IN_LUTS else width % BLOCK_COLUMNS


def _parts(depth: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of memories that make up ``depth``: powers of two, the greatest first."""
    base = 0
    while (left := depth - base) > SMALLEST_PART:
        rows = 1 << (left.bit_length() - 1)
        yield base, rows
        base += rows
    if left:
        yield base, left


def _lut_parts(depth: int) -> Iterator[tuple[int, int]]:
    """The same for LUTs: an OR of registers takes fewer of them than a multiplexer."""
    return ((base, min(LUT_ROWS, depth - base)) for base in range(0, depth, LUT_ROWS))
