"""Matrix products: y[m, n] = stages(sum_k x[m, k] * w[n, k]), tile by tile.

A bundle computes one output tile of up to acc_rows activation rows. For each k tile the weights are installed in the
cycle of the first feed; feeds follow every max(tile_load_cycles, rows * abc_cycles) cycles, so loads hide behind feeds.
A row by itself, and every row where tiles come as fast as they are multiplied, has all its k tiles in one instruction.

Of such a row with at most acc_rows output tiles a bundle computes all of them, k tile by k tile, if the row is a
temporary, which comes tile by tile: nothing but the last feed of each waits for the last k tile, and their sums leave
one right after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from compiler.bundle import Bundle, BundleBuilder, Flow, Width
from compiler.fuse import Pass
from compiler.ir import Tensor
from compiler.lower.base import Lowering, chain
from compiler.lower.pipeline import Pipeline, Rows, queue_name
from compiler.place import Placement
from hdl.config import LpuConfig, PipeKind, UnitKind
from hdl.isa import LW_TO_IW, Instruction, Opcode, QueueKind, Source, sources, timing


class Matmul(Lowering):
    """The tiles of one product, output tile by output tile."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        super().__init__(config, p, placement, overwrites)
        self.mxm = self.unit(UnitKind.MATRIX).name
        self.weights, self.x = placement[p.in_weight_groups[0]], placement[p.x]
        self.load_cycles = config.tile_load_cycles
        self.is_fast = self.load_cycles <= config.abc_cycles
        self.blocks = _even_blocks(p.x.shape[0], 1 if self.is_fast else config.acc_rows)
        self._pitch = config.abc_cycles if max(self.blocks) > 1 else 1

    def bundles(self) -> Iterator[Bundle]:
        if self.is_fast and self._comes_late and 1 < self.out.tiles <= self.config.acc_rows:
            for m in range(self.p.x.shape[0]):
                yield self.at_pitch(partial(self._row, m))
            return
        m = 0
        for rows in self.blocks:
            for tile in range(self.out.tiles):
                yield self.at_pitch(partial(self._bundle, m, rows, tile))
            m += rows

    def _bundle(self, m: int, rows: int, tile: int, pitch: int) -> Bundle:
        """Rows m .. m + rows - 1 of output tile ``tile``; the first feed is in cycle 0 before ``build``."""
        b = self.builder()
        sums = self.feed(b, m, rows, tile, pitch, self._first_pipe)

        def operand(tensor: Tensor) -> Rows:
            return self.over_rows(tensor, m, tile)

        to = partial(self.to, m=m, tile=tile, stride=self.out.tiles)
        chain(Pipeline(self.config, b), self.p.stages, sums, operand, to, self.p.output, rows, pitch)
        return b.build()

    @property
    def _comes_late(self) -> bool:
        x = self.placement.shared.get(self.p.x, self.p.x)
        return self.placement.kinds[x] == "temp"

    def _row(self, m: int, pitch: int) -> Bundle:
        """All output tiles of row m, their sums ``pitch`` cycles apart."""
        b, n = self.builder(), self.out.tiles
        step = max(pitch, self.config.abc_cycles)
        sums = self._feed_across(b, m, step)
        operand, to = partial(self.over_tiles, m=m), partial(self.to, m=m, tile=0)
        chain(Pipeline(self.config, b), self.p.stages, sums, operand, to, self.p.output, n, step)
        return b.build()

    @property
    def _first_pipe(self) -> PipeKind:
        """What takes the sums: the first stage's pipe, if it takes streams."""
        first = self.p.stages[0].pipe if self.p.stages else PipeKind.INT
        return first if Source.STREAM in sources(self.config, first, "x") else PipeKind.INT

    def feed(self, b: BundleBuilder, m: int, rows: int, tile: int, pitch: int, to: PipeKind) -> Flow:
        """The int32 sums of ``rows`` activation rows from m on for output tile ``tile``, on their way to a pipe."""
        if self.is_fast:
            return self._feed_row(b, m, tile, to)
        return self._feed_block(b, m, rows, tile, pitch, to)

    def _feed_row(self, b: BundleBuilder, m: int, tile: int, to: PipeKind) -> Flow:
        """One activation row, k tiles as fast as they are multiplied, in instructions as long as count allows."""
        tiles, step = self.x.tiles, self.config.abc_cycles
        most = ((1 << self.config.count_bits) - 1) // self.load_cycles
        sums = self._sums(b, (tiles - 1) * step, 1, 1, tiles * step, to)
        for k in range(0, tiles, most):
            n = min(most, tiles - k)
            together = n if self.load_cycles == step else 1
            for i in range(k, k + n, together):
                self._load(b, i * step, tile * tiles + i, together)
            flow = b.read(self.x, [(f"{self.mxm}.a", "stream")], k * step, self.x.row_addr(m, k), n, 1, step)
            self._multiply(b, k * step, flow, {"start": int(k == 0), "emit": int(k + n == tiles)}, sums)
        return sums

    def _feed_across(self, b: BundleBuilder, m: int, last_step: int) -> Flow:
        """The sums of all output tiles, each in an accumulator row of its own; the last k tile ``last_step`` apart."""
        n, tiles, step = self.out.tiles, self.x.tiles, self.config.abc_cycles
        last = (tiles - 1) * n * step
        busy = last + (n - 1) * last_step + self.config.abc_cycles
        sums = self._sums(b, last, n, last_step, busy, self._first_pipe)
        for k in range(tiles):
            is_last, cycle = k == tiles - 1, k * n * step
            pitch = last_step if is_last else step
            for i in range(n):
                self._load(b, cycle + i * pitch, i * tiles + k, 1)
            flow = b.read(self.x, [(f"{self.mxm}.a", "stream")], cycle, self.x.row_addr(m, k), n, 0, pitch)
            self._multiply(b, cycle, flow, {"walk": 1, "start": int(k == 0), "emit": int(is_last)}, sums)
        return sums

    def _feed_block(self, b: BundleBuilder, m: int, rows: int, tile: int, pitch: int, to: PipeKind) -> Flow:
        """``rows`` activation rows per k tile, each in an accumulator row of its own."""
        tiles = self.x.tiles
        busy = (rows - 1) * pitch + self.config.abc_cycles
        step = max(self.load_cycles, busy)
        last = (tiles - 1) * step
        sums = self._sums(b, last, rows, pitch, last + busy, to)
        for k in range(tiles):
            self._load(b, k * step, tile * tiles + k, 1)
            readers = [(f"{self.mxm}.a", "stream")]
            flow = b.read(self.x, readers, k * step, self.x.row_addr(m, k), rows, self.x.tiles, pitch)
            self._multiply(b, k * step, flow, {"walk": 1, "start": int(k == 0), "emit": int(k == tiles - 1)}, sums)
        return sums

    def _sums(self, b: BundleBuilder, emit: int, rows: int, pitch: int, busy: int, to: PipeKind) -> Flow:
        """The int32 results of the feeds from cycle ``emit`` on; accumulators are held for ``busy`` cycles."""
        func = timing(self.config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
        assert func is not None
        b.hold(f"{self.mxm}.acc", 0, busy)
        return b.flow(f"{self.mxm}.a", [(queue_name(to), "x")], emit + func, Width.WIDE, rows, pitch)

    def _load(self, b: BundleBuilder, install: int, tile: int, n: int) -> None:
        """``n`` tiles on their way into the array, the first installed in cycle ``install``."""
        loads = n * self.load_cycles
        first = install - LW_TO_IW - self.load_cycles + 1
        b.read(self.weights, [(f"{self.mxm}.w", "")], first, self.weights.addr + tile * self.load_cycles, loads, 1)
        b.issue(f"{self.mxm}.w", first, Instruction.of(Opcode.LW, count=loads, install=1), {})

    def _multiply(self, b: BundleBuilder, cycle: int, x: Flow, fields: dict[str, int], sums: Flow) -> None:
        b.hold(f"{self.mxm}.array", cycle, (x.count - 1) * x.pitch + self.config.abc_cycles)
        flows = {"stream": x, "out": sums} if fields["emit"] else {"stream": x}
        abc = Instruction.of(Opcode.ABC, count=x.count, gap=x.pitch - 1, **fields)
        b.issue(f"{self.mxm}.a", cycle, abc, flows)


def _even_blocks(rows: int, most: int) -> list[int]:
    """``rows`` in as few blocks of at most ``most`` as possible, larger ones first: small blocks wait for loads."""
    count = -(-rows // most)
    base, extra = divmod(rows, count)
    return [base + 1] * extra + [base] * (count - extra)
