"""The supercells of one superlane, one per superlane of outputs."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, shared
from hdl.layouts import activations_layout, lane_bits, weights_layout
from hdl.matrix.supercell import Supercell, psum_layout


class MatrixRow(Shared):
    """psum_out[c] = psum_in[c] + (weights of column c) x (this superlane's 16 activations), for R columns c.

    ``command``, ``weights`` and ``x`` enter column 0 in the issue cycle T of this superlane and hop one column a cycle;
    ``psum_out[c]`` is there in T + 4 + c; later row blocks of an element follow cycle by cycle.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        psums = data.ArrayLayout(psum_layout(config), config.superlanes)
        super().__init__(
            {
                "command": In(weights_layout(config)),
                "weights": In(data.ArrayLayout(lane_bits(config), config.weight_streams)),
                "x": In(activations_layout(config)),
                "psum_in": In(psums),
                "psum_out": Out(psums),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_matrix_row_{self._config.superlanes}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        command, weights, x = self.command, self.weights, self.x
        for c in range(self._config.superlanes):
            cell = Supercell(self._config)
            m.submodules[f"supercell{c}"] = shared(cell, platform)
            m.d.comb += [
                cell.command.eq(command),
                cell.weights.eq(weights),
                cell.x.eq(x),
                cell.psum_in.eq(self.psum_in[c]),
                self.psum_out[c].eq(cell.psum_out),
            ]
            command, weights, x = cell.command_next, cell.weights_next, cell.x_next
        return m
