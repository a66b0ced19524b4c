"""The matrix array alone, for its area and Fmax: a supercell between shift registers, with the ports of ``lpu_board``.

Every input comes from a register of the first, which ``rx`` feeds; every output goes into a register of the second, a
signature register that ends at ``tx``. So neither pins nor the rest of the core are on the array's paths. It is the
array of a core of one superlane: there are no sums from above (``psum_in``) to be added.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fpga.design import TOP
from hdl.config import LpuConfig
from hdl.emit import Technology, VerilogWriter
from hdl.matrix.supercell import Supercell


class ScanHarness(wiring.Component):
    """signature' = (signature << 1) ^ outputs; the inputs are the last bits of ``rx``."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        super().__init__({"rx": In(1), "tx": Out(1), "running": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.supercell = cell = Supercell(self._config)
        ports = list(cell.signature.flatten(cell))
        inputs = Cat(Value.cast(value) for path, member, value in ports if member.flow is In and path[0] != "psum_in")
        outputs = Cat(Value.cast(value) for _, member, value in ports if member.flow is Out)
        scan, signature = Signal(len(inputs), reset_less=True), Signal(len(outputs))
        m.d.comb += [inputs.eq(scan), self.tx.eq(signature[-1])]
        m.d.sync += [scan.eq(Cat(self.rx, scan)), signature.eq(Cat(self.rx, signature[:-1]) ^ outputs)]
        return m


def matrix_verilog(config: LpuConfig) -> str:
    """Verilog of the harness, module ``lpu_board``."""
    return VerilogWriter(Technology.ECP5).write(ScanHarness(config), TOP)
