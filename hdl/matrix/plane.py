"""One plane of the matrix unit: the L x L systolic array of supercells with its accumulators."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import shared
from hdl.layouts import activations_layout, lane_bits, result_layout, weights_layout
from hdl.matrix.accumulator import AccumulatorColumn, accumulate_layout
from hdl.matrix.row import MatrixRow


class MatrixPlane(wiring.Component):
    """y[n] = sum_k W[n][k] * x[k] over the whole vector: rows of supercells along k, psums flowing down the superlanes.

    Port r of ``commands``, ``weights`` and ``x`` is superlane r's, r cycles after superlane 0. ``accumulate`` is wanted
    in T + 4 + (R - 1), and in the cycle after that for the next block of rows. Superlane c finds its S sums on
    ``results[c]`` in T + 5 + (n - 1) + 2(R - 1) + c, n = S / mac_rows.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        rows = config.superlanes
        super().__init__(
            {
                "commands": In(data.ArrayLayout(weights_layout(config), rows)),
                "weights": In(data.ArrayLayout(data.ArrayLayout(lane_bits(config), config.weight_streams), rows)),
                "x": In(data.ArrayLayout(activations_layout(config), rows)),
                "accumulate": In(accumulate_layout(config)),
                "results": Out(data.ArrayLayout(result_layout(config), rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        psums = None
        for r in range(self._config.superlanes):
            row = MatrixRow(self._config)
            m.submodules[f"row{r}"] = shared(row, platform)
            m.d.comb += [row.command.eq(self.commands[r]), row.weights.eq(self.weights[r]), row.x.eq(self.x[r])]
            if psums is not None:
                m.d.comb += row.psum_in.eq(psums)
            psums = row.psum_out
        assert psums is not None
        command = self.accumulate
        for c in range(self._config.superlanes):
            column = AccumulatorColumn(self._config)
            m.submodules[f"column{c}"] = shared(column, platform)
            m.d.comb += [column.command.eq(command), column.psums.eq(psums[c]), self.results[c].eq(column.result)]
            command = column.command_next
        return m
