"""The supercell: S x S stationary int8 weights, the multipliers of mac_rows x S of them, and their sum: one step of the
systolic array.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, Technology, shared, technology_of
from hdl.layouts import activations_layout, block_of, lane_bits, weights_layout
from hdl.matrix.pair import ProductPair


def psum_bits(config: LpuConfig) -> int:
    """Width that holds a sum of L products of two int8: 16 + log2(L)."""
    return 16 + (config.lanes - 1).bit_length()


def psum_layout(config: LpuConfig) -> data.ArrayLayout:
    """A partial sum per row of a supercell that has multipliers."""
    return data.ArrayLayout(signed(psum_bits(config)), config.superlane_lanes // config.abc_cycles)


class Supercell(Shared):
    """psum_out[n] = psum_in[n] + sum_k W[b*rows + n][k] * x[k], n < rows = mac_rows, k < S, W int8 weight-stationary.

    Block b of the rows is b cycles behind block 0 and has the same x, which is taken while ``x.block`` is 0.
    All cycles are local: supercell (superlane r, column c) is r + c cycles behind the command's issue T.
    Weights: rows of block ``command.block`` are captured from ``weights`` in T when ``command.column`` is 0;
    ``install`` in T copies the buffer to the array. Both hop on to the next column, with ``column`` one less.
    Activations: ``x`` in T, products in T + 2, sums of 4 in T + 3, ``psum_out`` in T + 4 (T + 3 where a ``SumRegister``
    has its register: ``sums_on_streams``). ``psum_in`` is wanted in T + 3, which is the ``psum_out`` cycle of the
    superlane above. ``x_next`` is x one cycle late, for the next column.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._side = config.superlane_lanes
        bus = data.ArrayLayout(lane_bits(config), config.weight_streams)
        super().__init__(
            {
                "command": In(weights_layout(config)),
                "weights": In(bus),
                "x": In(activations_layout(config)),
                "psum_in": In(psum_layout(config)),
                "command_next": Out(weights_layout(config)),
                "weights_next": Out(bus),
                "x_next": Out(activations_layout(config)),
                "psum_out": Out(psum_layout(config)),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_supercell_{self._side}x{self._side}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [self.command_next.eq(self.command), self.weights_next.eq(self.weights)]
        m.d.sync += self.command_next.column.eq(self.command.column - 1)
        self._activations(m)
        working, rows = self._buffer(m), len(self.psum_out)
        in_pairs = technology_of(platform) is Technology.ICE40
        if not in_pairs or self._config.abc_cycles > 1:
            working = self._array(m, working)[:rows]
        for n, row in enumerate(working):
            products = self._paired(m, n, row, platform) if in_pairs else self._products(m, n, row)
            domain = m.d.comb if self._config.sums_on_streams else m.d.sync
            domain += self.psum_out[n].eq(self.psum_in[n] + self._sum(m, n, products))
        return m

    def _activations(self, m: Module) -> None:
        """Kept for as long as the element takes."""
        m.d.sync += self.x_next.eq(self.x)
        with m.If(block_of(self._config, self.x).any()):
            m.d.sync += self.x_next.lanes.eq(self.x_next.lanes)

    def _buffer(self, m: Module) -> list[Signal]:
        """The rows of the load buffer."""
        width = lane_bits(self._config)
        per_block = self._config.weight_streams
        load = self.command.load & (self.command.column == 0)
        rows = []
        for n in range(self._side):
            buffer = Signal(width, name=f"buffer{n}", reset_less=True)
            with m.If(load & (self.command.block == n // per_block)):
                m.d.sync += buffer.eq(self.weights[n % per_block])
            rows.append(buffer)
        return rows

    def _array(self, m: Module, buffer: list[Signal]) -> list[Signal]:
        """The rows that are worked on come first; with each block of an element they move on, and once round in all."""
        rows = [Signal(len(row), name=f"array{n}", reset_less=True) for n, row in enumerate(buffer)]
        if (blocks := self._config.abc_cycles) > 1:
            after = [*rows[len(rows) // blocks :], *rows[: len(rows) // blocks]]
            with m.If(self.x_next.works):
                m.d.sync += [row.eq(following) for row, following in zip(rows, after, strict=True)]
        with m.If(self.command.install):
            m.d.sync += [row.eq(loaded) for row, loaded in zip(rows, buffer, strict=True)]
        return rows

    # sum_k row[k] * x[k] in three cycles: products, sums of four, total (the total is not registered)

    def _products(self, m: Module, n: int, row: Signal) -> list[Value]:
        products: list[Value] = []
        for k in range(self._side):
            product = Signal(signed(16), name=f"product{n}_{k}", reset_less=True)
            span = slice(8 * k, 8 * k + 8)
            m.d.sync += product.eq(row[span].as_signed() * self.x_next.lanes[span].as_signed())
            products.append(product)
        return products

    def _paired(self, m: Module, n: int, row: Signal, platform: object) -> list[Value]:
        """The products of a row by two in a multiplier; where all rows have some, they hold the array."""
        products: list[Value] = []
        for k in range(0, self._side, 2):
            pair, span = ProductPair(keep=self._config.abc_cycles == 1), slice(8 * k, 8 * k + 16)
            m.submodules[f"pair{n}_{k}"] = shared(pair, platform)
            m.d.comb += [pair.install.eq(self.command.install), pair.weights.eq(row[span])]
            m.d.comb += [pair.x.eq(self.x.lanes[span]), pair.hold.eq(block_of(self._config, self.x).any())]
            products += [pair.products[:16].as_signed(), pair.products[16:].as_signed()]
        return products

    def _sum(self, m: Module, n: int, products: list[Value]) -> Value:
        partial: list[Value] = []
        for first in range(0, self._side, 4):
            quad = Signal(signed(18), name=f"quad{n}_{first // 4}", reset_less=True)
            m.d.sync += quad.eq(_tree(m, products[first : first + 4], f"pair{n}_{first // 4}"))
            partial.append(quad)
        return _tree(m, partial, f"total{n}")


def _tree(m: Module, terms: list[Value], name: str) -> Value:
    """Sum of a power of two of terms by adders of two.

    ``keep``: yosys would otherwise merge them into one adder of many operands, which takes twice the logic of the
    carry chains.
    """
    level = terms
    while len(level) > 1:
        sums = [a + b for a, b in zip(level[::2], level[1::2], strict=True)]
        level = [Signal(s.shape(), name=f"{name}_{len(sums)}_{i}", attrs={"keep": 1}) for i, s in enumerate(sums)]
        m.d.comb += [held.eq(value) for held, value in zip(level, sums, strict=True)]
    return level[0]
