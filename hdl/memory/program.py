"""The program memory of an issue queue."""

from __future__ import annotations

from hdl.emit import Technology
from hdl.memory.bank import Bank

SPRAM_ROWS, SPRAM_BITS, SPRAMS = 1 << 14, 16, 4
"""Of an iCE40 UP5K: SB_SPRAM256KA, single port, four of them."""
_SPRAM = """\
  SB_SPRAM256KA ram{k} (
    .ADDRESS({{{pad}'b0, row}}), .DATAIN(word[{low} +: 16]), .MASKWREN(4'b1111), .WREN(write_en), .CHIPSELECT(1'b1),
    .CLOCK(clk), .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(out[{low} +: 16])
  );
"""


class ProgramMemory(Bank):
    """A :class:`Bank` that is read in every cycle but those in which it is written: one port would do.

    ``in_spram``: an iCE40 has it in its single-port RAMs, of which one such memory takes all.
    """

    def __init__(self, depth: int, width: int, short: bool, in_spram: bool) -> None:
        super().__init__(depth, width, short=short)
        self._in_spram = in_spram and width <= SPRAM_BITS * SPRAMS and depth <= SPRAM_ROWS

    @property
    def module_name(self) -> str:
        name = super().module_name.replace("bank", "program")
        return name + ("_spram" if self._in_spram else "")

    def verilog(self, technology: Technology) -> str:
        if technology is not Technology.ICE40 or not self._in_spram:
            return super().verilog(technology)
        row_bits = (self._depth - 1).bit_length()
        pad = (SPRAM_ROWS - 1).bit_length() - row_bits
        rams = "".join(_SPRAM.format(k=k, low=SPRAM_BITS * k, pad=pad) for k in range(-(-self._width // SPRAM_BITS)))
        return f"""\
module {self.module_name}(
  input clk, input rst,
  input read_en, input [{row_bits - 1}:0] read_row, output [{self._width - 1}:0] read_data,
  input write_en, input [{row_bits - 1}:0] write_row, input [{self._width - 1}:0] write_data
);
  wire [{row_bits - 1}:0] row = write_en ? write_row : read_row;
  wire [63:0] word = write_data, out;
{rams}  assign read_data = out[{self._width - 1}:0];
endmodule
"""
