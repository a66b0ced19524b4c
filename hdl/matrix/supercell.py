"""The supercell: S x S stationary int8 weights, the multipliers of mac_rows x S of them, and their sum: one step of the
systolic array.
"""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared, Technology, shared, technology_of
from hdl.layouts import activations_layout, block_of, lane_bits, weights_layout
from hdl.matrix.column_pair import ColumnPair
from hdl.matrix.pair import ProductPair
from hdl.matrix.product import Product
from hdl.streams import choose


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
        products = self._all_products(m, self._buffer(m), platform)
        for n, row_products in enumerate(products):
            domain = m.d.comb if self._config.sums_on_streams else m.d.sync
            domain += self.psum_out[n].eq(self.psum_in[n] + self._sum(m, n, row_products))
        return m

    def _all_products(self, m: Module, buffer: list[Signal], platform: object) -> list[list[Value]]:
        """Of each row of ``psum_out``: by what the technology has multipliers for. The logic cell of an iCE40 chooses
        before its register for nothing, so that there the array moves; elsewhere rows are chosen out of it.
        """
        technology, rows, is_whole = technology_of(platform), len(self.psum_out), self._config.abc_cycles == 1
        if technology is Technology.ICE40:
            working = buffer if is_whole else self._array(m, buffer, moves=True)[:rows]
            return [self._paired(m, n, row, platform) for n, row in enumerate(working)]
        if technology is Technology.ECP5 and is_whole and not self._config.paired_columns:
            return [self._multiplied(m, n, row, platform) for n, row in enumerate(buffer)]
        array = self._array(m, buffer)
        chosen = [self._row(m, n, array[n::rows]) for n in range(rows)]
        products = [self._products(m, n, row) for n, row in enumerate(chosen)]
        self._pair_columns(m, chosen, products, platform)
        return products

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

    def _array(self, m: Module, buffer: list[Signal], moves: bool = False) -> list[Signal]:
        """The rows of the array. Where it ``moves``, those that are worked on come first: with each block of an element
        they move on, and once round in all.
        """
        rows = [Signal(len(row), name=f"array{n}", reset_less=True) for n, row in enumerate(buffer)]
        if moves:
            at_once = len(rows) // self._config.abc_cycles
            with m.If(self.x_next.works):
                m.d.sync += [row.eq(rows[(n + at_once) % len(rows)]) for n, row in enumerate(rows)]
        with m.If(self.command.install):
            m.d.sync += [row.eq(loaded) for row, loaded in zip(rows, buffer, strict=True)]
        return rows

    def _row(self, m: Module, n: int, rows: list[Signal]) -> Signal:
        """The one of ``rows``, each of a block, that multiplier row ``n`` works on."""
        row = Signal(lane_bits(self._config), name=f"row{n}")
        m.d.comb += row.eq(choose(rows, block_of(self._config, self.x_next)))
        return row

    # sum_k row[k] * x[k] in three cycles: products, sums of four, total (the total is not registered)

    def _products(self, m: Module, n: int, row: Signal) -> list[Value]:
        products: list[Value] = [Const(0, 1)] * self._config.paired_columns
        for k in range(self._config.paired_columns, self._side):
            product = Signal(signed(16), name=f"product{n}_{k}", reset_less=True)
            weight, x = (word[8 * k : 8 * k + 8] for word in (row, self.x_next.lanes))
            m.d.sync += product.eq(weight.as_signed() * x.as_signed())
            products.append(product)
        return products

    def _pair_columns(self, m: Module, rows: list[Signal], products: list[list[Value]], platform: object) -> None:
        """The products of the paired columns, of two rows by a multiplier."""
        for k, n in itertools.product(range(self._config.paired_columns), range(0, len(rows), 2)):
            pair, span = ColumnPair(), slice(8 * k, 8 * k + 8)
            m.submodules[f"column{k}_{n}"] = shared(pair, platform)
            m.d.comb += [pair.weights.eq(Cat(rows[n][span], rows[n + 1][span])), pair.x.eq(self.x_next.lanes[span])]
            for j in range(2):
                products[n + j][k] = pair.products[16 * j : 16 * j + 16].as_signed()

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

    def _multiplied(self, m: Module, n: int, row: Signal, platform: object) -> list[Value]:
        """The products of a row, each in a multiplier that holds its part of the array."""
        products: list[Value] = []
        for k in range(self._side):
            product, span = Product(), slice(8 * k, 8 * k + 8)
            m.submodules[f"multiplier{n}_{k}"] = shared(product, platform)
            m.d.comb += [product.install.eq(self.command.install), product.weight.eq(row[span])]
            m.d.comb += product.x.eq(self.x.lanes[span])
            products.append(product.product.as_signed())
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
