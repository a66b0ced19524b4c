"""Attention of one token: scores, probabilities and their products with the values, a head at a time on its way.

The positions go in groups of S, the lanes of a superlane, and every superlane works on the same ones: a weight tile of
keys has the S keys of a group once for each superlane, so that scores and probabilities stand in all of them; a tile of
values has, for superlane c, channels of superlane c alone, turned into weight rows by the switch. Sums of probabilities
come from the matrix unit as well, by a tile of ones.

Stages of head r, each a bundle or a few, through SRAM in between: scores with their mask; their maximum; probabilities;
sum and weight; product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.bundle import Bundle, BundleBuilder, Flow, Width
from compiler.fuse import Pass
from compiler.lower.base import Lowering, binary, check_transpose
from compiler.lower.pipeline import Pipeline, Reg, Rows, queue_name
from compiler.lower.reduce import over_tiles, within_superlanes
from compiler.place import Allocation, Placement
from hdl.config import LpuConfig, PipeKind, UnitKind
from hdl.isa import LW_TO_IW, PIPE_LATENCY, AddOp, Instruction, IntOp, MulOp, Opcode, QueueKind, SfuOp, timing

BLOCK = PIPE_LATENCY[PipeKind.ADD]
"""Tiles of scores that follow one another: the ADD pipe takes each again, for the mask, when it leaves it.

With idle cycles between them, a tile that has its mask would leave the pipe where the next one has to be taken.
"""


class Attention(Lowering):
    """Rows of q are heads; ``heads`` of them share a tile of the result."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        super().__init__(config, p, placement, overwrites)
        check_transpose(self)
        self.q, self.keys, self.values, self.mask, self.scale, self.factor = self.op.inputs
        self.ones, self.most = p.consts
        self.scores, self.largest, self.codes, self.weight, self.part = p.scratch
        self.rows, self.heads = self.q.shape[0], self.op.number
        self.groups = self.mask.shape[1] // config.lanes
        self.steps = config.tile_load_cycles
        self.block = BLOCK if self.steps == 1 else 1
        self.shared = self.rows // self.heads * config.lanes // self.keys.shape[1]

    def bundles(self) -> Iterator[Bundle]:
        for r in range(self.rows):
            for group in range(0, self.groups, self.block):
                yield self._scores(r, group, min(self.block, self.groups - group))
            yield self._largest(r)
            for group in range(0, self.groups, BLOCK):
                yield self._probabilities(r, group, min(BLOCK, self.groups - group))
            yield self._weight(r)
            yield self._product(r)

    def _key_tile(self, r: int) -> int:
        return r // self.heads // self.shared

    def _at(self, tensor: Allocation, r: int, group: int = 0) -> Rows:
        return Rows(tensor, tensor.row_addr(r, group), 1)

    # --------------------------------------------------------------- vector unit

    def _scores(self, r: int, group: int, n: int) -> Bundle:
        b = self.builder("scores")
        v = Pipeline(self.config, b)
        sums = self._feed_scores(b, r, group, n)
        values = v.op(AddOp.I2F, sums, count=n, pitch=self.steps)
        mask, to = self.over_tiles(self.mask, 0, group), self.to(self.scores, r, group)
        v.op(AddOp.FADD, values, mask, count=n, pitch=self.steps, to=to)
        return b.build()

    def _largest(self, r: int) -> Bundle:
        b = self.builder("largest")
        v = Pipeline(self.config, b)
        first, rest = v.op(IntOp.PASS, self.over_tiles(self.scores, r)), self.over_tiles(self.scores, r, 1)
        largest = within_superlanes(self, v, IntOp.FMAX, over_tiles(v, IntOp.FMAX, first, rest, self.groups - 1))
        v.op(IntOp.PASS, largest, to=self.to(self.largest, r))
        return b.build()

    def _probabilities(self, r: int, group: int, n: int) -> Bundle:
        b = self.builder("probabilities")
        v = Pipeline(self.config, b)
        scores, largest = self.over_tiles(self.scores, r, group), self.over_tiles(self.largest, r)
        below = binary(v, AddOp.FSUB, scores, largest, n)
        power = v.op(MulOp.FMUL, below, self.over_tiles(self.scale, r), count=n)
        p = v.op(SfuOp.EXP2, power, count=n)
        code = v.op(MulOp.FMUL, self.over_tiles(self.most, 0), p, count=n)
        v.op(IntOp.F2I8, code, count=n, to=self.to(self.codes, r, group))
        return b.build()

    def _weight(self, r: int) -> Bundle:
        b = self.builder("weight")
        v = Pipeline(self.config, b)
        inverse = v.op(SfuOp.RECIP, v.op(AddOp.I2F, self._feed_sum(b, r)))
        v.op(MulOp.FMUL, self.over_tiles(self.factor, r), inverse, to=self.to(self.weight, r))
        return b.build()

    def _product(self, r: int) -> Bundle:
        b = self.builder("product")
        v = Pipeline(self.config, b)
        o: Reg = v.op(AddOp.I2F, self._feed_values(b, r))
        tile, head = divmod(r, self.heads)
        part, last = self.to(self.part, tile), head == self.heads - 1
        o = v.op(MulOp.FMUL, o, self.over_tiles(self.weight, r), to=part if head == 0 and not last else None)
        if head:
            o = v.op(AddOp.FADD, o, self.over_tiles(self.part, tile), to=None if last else part)
        if last:
            v.op(IntOp.F2I8, o, to=self.to(self.p.output, 0, tile))
        return b.build()

    # --------------------------------------------------------------- matrix unit

    def _feed_scores(self, b: BundleBuilder, r: int, group: int, n: int) -> Flow:
        keys, j = self.placement[self.keys], self._key_tile(r)
        self._load(b, keys, [a for g in range(group, group + n) for a in self._steps(keys, j, 0, g)])
        flow = self._read(b, Rows(self.placement[self.q], self.placement[self.q].row_addr(r, 0)), n, self.steps)
        return self._multiply(b, flow, {"walk": 1, "start": 1, "emit": 1})

    def _feed_values(self, b: BundleBuilder, r: int) -> Flow:
        values, first = self.placement[self.values], self._key_tile(r) * self.config.superlanes
        addresses = [a for group in range(self.groups) for a in self._steps(values, first, 1, group)]
        self._load(b, values, addresses, transpose=True)
        flow = self._read(b, self.over_tiles(self.codes, r), self.groups, self.steps)
        return self._multiply(b, flow, {"start": 1, "emit": 1})

    def _feed_sum(self, b: BundleBuilder, r: int) -> Flow:
        ones = self.placement[self.ones]
        self._load(b, ones, [ones.addr + i for i in range(self.steps)])
        flow = self._read(b, self.over_tiles(self.codes, r), self.groups, 1)
        return self._multiply(b, flow, {"start": 1, "emit": 1})

    def _steps(self, at: Allocation, tile: int, per_superlane: int, group: int) -> Iterator[int]:
        """Rows of a cache that hold a group of positions, in the order in which a tile of weights is loaded.

        ``per_superlane``: how many tiles further the channels of the next superlane are.
        """
        config, size = self.config, self.config.superlane_lanes // self.config.weight_streams
        first = at.addr + group * config.superlane_lanes // config.lanes * at.tiles * self.steps
        for superlane in range(config.superlanes):
            row = first + (tile + superlane * per_superlane) * self.steps
            yield from (row + (group * size + i) % self.steps for i in range(size))

    def _read(self, b: BundleBuilder, rows: Rows, n: int, pitch: int) -> Flow:
        """Activations, the first in cycle 0."""
        mxm = f"{self.unit(UnitKind.MATRIX).name}.a"
        return b.read(rows.at, [(mxm, "stream")], 0, rows.addr, n, rows.stride, pitch)

    def _multiply(self, b: BundleBuilder, x: Flow, fields: dict[str, int]) -> Flow:
        """Feeds of ``x``; the results that they emit, on their way to the ADD pipe."""
        mxm = self.unit(UnitKind.MATRIX).name
        func = timing(self.config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
        assert func is not None
        busy = (x.count - 1) * x.pitch + 1
        emits, at = (x.count, func) if fields.get("walk") else (1, busy - 1 + func)
        reader = [(queue_name(PipeKind.ADD), "x")]
        sums = b.flow(f"{mxm}.a", reader, at, Width.WIDE, emits, x.pitch if emits > 1 else 1)
        for resource in ("acc", "array"):
            b.hold(f"{mxm}.{resource}", 0, busy)
        abc = Instruction.of(Opcode.ABC, count=x.count, gap=x.pitch - 1, **fields)
        b.issue(f"{mxm}.a", 0, abc, {"stream": x, "out": sums})
        return sums

    def _load(self, b: BundleBuilder, at: Allocation, addresses: Sequence[int], transpose: bool = False) -> None:
        """Weight rows from ``addresses``, one after another; the first tile is installed in cycle 0."""
        weights = f"{self.unit(UnitKind.MATRIX).name}.w"
        first = 1 - LW_TO_IW - self.steps
        b.issue(weights, first, Instruction.of(Opcode.LW, count=len(addresses), install=1), {})
        if not transpose:
            self._stream(b, at, weights, first, addresses)
            return
        switch = self.unit(UnitKind.SWITCH)
        func = timing(self.config, QueueKind.SWITCH, Opcode.TRANSPOSE).func
        assert func is not None
        turned = first - func - abs(switch.position - self.unit(UnitKind.MATRIX).position)
        b.flow(switch.name, [(weights, "")], turned + func, Width.BUS, len(addresses))
        b.issue(switch.name, turned, Instruction.of(Opcode.TRANSPOSE, count=len(addresses)), {})
        self._stream(b, at, switch.name, turned, addresses)

    def _stream(self, b: BundleBuilder, at: Allocation, reader: str, arrival: int, addresses: Sequence[int]) -> None:
        """READs of constant stride that follow one another."""
        i = 0
        while i < len(addresses):
            n, stride = _run(addresses[i:])
            b.read(at, [(reader, "")], arrival + i, addresses[i], n, stride)
            i += n


def _run(addresses: Sequence[int]) -> tuple[int, int]:
    """How many of ``addresses``, from the first on, are in constant steps, and the step."""
    if len(addresses) == 1:
        return 1, 0
    stride, n = addresses[1] - addresses[0], 2
    while n < len(addresses) and addresses[n] - addresses[n - 1] == stride:
        n += 1
    return n, stride
