"""The switch operation on the weight bus: blocks of weights transposed."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.layouts import lane_bits


class Transposer(wiring.Component):
    """out_r[i] = in_i[r] for S x S bytes in n = S / weight_streams elements; r is stream r mod ws of element r // ws.

    Element i comes on ``bus_in`` in T + i, all of them ``valid``, the first of an instruction ``first``; it is on
    ``bus``, with ``drive_bus``, in T + n + i. The next n elements may come in T + n.

    The bytes are in n x n blocks of ws x ws, in which everything moves on by one in every cycle: along the rows, and,
    from the end of each n elements to the end of the next, along the columns. What came in along the rows, element i in
    column i, leaves row by row, and the other way round.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._streams, self._size = config.weight_streams, config.turn_cycles
        bus = data.ArrayLayout(lane_bits(config), self._streams)
        super().__init__(
            {"bus_in": In(bus), "valid": In(1), "first": In(1), "drive_bus": Out(1), "bus": Out(bus)},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n, bits = self._size, 8 * self._streams * self._streams
        down, coming = self._direction(m), [self._coming(c) for c in range(n)]
        grid = [[Signal(bits, name=f"block{a}_{b}", reset_less=True) for b in range(n)] for a in range(n)]
        for a in range(n):
            for b in range(n):
                along_row = grid[a][b + 1] if b < n - 1 else coming[a]
                along_column = grid[a + 1][b] if a < n - 1 else coming[b]
                m.d.sync += grid[a][b].eq(_either(down, along_column, along_row))
        self._leave(m, [_either(down, grid[0][i], grid[i][0]) for i in range(n)])
        drive = self.valid
        for i in range(n):
            after = Signal(name=f"drive{i}")
            m.d.sync += after.eq(drive)
            drive = after
        m.d.comb += self.drive_bus.eq(drive)
        return m

    def _direction(self, m: Module) -> Signal:
        """Whether this cycle moves down the columns; it changes with the last of n elements."""
        down, number, expected = Signal(name="down"), Signal(range(self._size)), Signal(range(self._size))
        if self._size == 1:
            return down
        m.d.comb += number.eq(Mux(self.first, 0, expected))
        with m.If(self.valid):
            m.d.sync += [expected.eq(number + 1), down.eq(down ^ (number == self._size - 1))]
        return down

    def _coming(self, c: int) -> Value:
        """Bytes c*ws .. of each stream of the element that comes."""
        bits = 8 * self._streams
        return Cat(stream[c * bits : (c + 1) * bits] for stream in self.bus_in)

    def _leave(self, m: Module, blocks: list[Value]) -> None:
        """Byte s of each stream of block i is lane i*ws .. of stream s of the element that leaves."""
        ws = self._streams
        for s in range(ws):
            lanes = [block[8 * (j * ws + s) : 8 * (j * ws + s) + 8] for block in blocks for j in range(ws)]
            m.d.comb += self.bus[s].eq(Cat(lanes))


def _either(condition: Signal, yes: Value, no: Value) -> Value:
    return yes if yes is no else Mux(condition, yes, no)
