"""Attention of one token: scores, probabilities and their products with the values, a head at a time on its way.

The positions go in groups of S, the lanes of a superlane, and every superlane works on the same ones: a weight tile of
keys has the S keys of a group once for each superlane, so that scores and probabilities stand in all of them; a tile of
values has, for superlane c, channels of superlane c alone, turned into weight rows by the switch. Sums of probabilities
come from the matrix unit as well, by a tile of ones.

A row of scores stops in SRAM until its largest one is known: that of each lane is carried from block to block of its
groups. Bundles are short, so that those of other heads fit between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.bundle import Bundle, BundleBuilder, Flow, Width
from compiler.fuse import Pass
from compiler.lower.base import Lowering, check_rate
from compiler.lower.pipeline import Imm, Pipeline, Reg, Rows, queue_name
from compiler.lower.reduce import within_superlanes
from compiler.place import Allocation, Placement
from hdl.config import LpuConfig, PipeKind, SwitchOp, UnitKind
from hdl.isa import (
    LW_TO_IW,
    AddOp,
    Instruction,
    IntOp,
    MulOp,
    Opcode,
    QueueKind,
    SfuOp,
    pipe_cycles,
    pipe_latency,
    timing,
)

BLOCK = 2
"""Groups of a bundle, of scores and of probabilities: in longer ones there is no room for those of other heads."""
CODES = 127
"""The largest code of a probability."""


class Attention(Lowering):
    """Rows of q are heads; ``heads`` of them share a tile of the result."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        super().__init__(config, p, placement, overwrites)
        check_rate(self)
        self.q, self.keys, self.values, self.mask, self.scale, self.divisor = self.op.inputs
        (self.ones,) = p.consts
        self.powers, self.inverse, self.partial, self.codes, self.part = p.scratch
        self.rows, self.heads = self.q.shape[0], self.op.number
        self.free = self.op.first // config.superlane_lanes
        self.groups = self.free + self.mask.shape[1] // config.lanes
        self.steps = config.tile_load_cycles
        # The ADD pipe takes each score again, for the mask, when the score leaves it; the SFU pipe takes all of them.
        room = pipe_latency(config, PipeKind.ADD) // self.steps
        as_fast = pipe_cycles(config, PipeKind.SFU) <= self.steps
        self.block = max(1, min(BLOCK, room, self.groups // 2)) if as_fast else 1
        self.shared = self.rows // self.heads * config.lanes // self.keys.shape[1]

    def bundles(self) -> Iterator[Bundle]:
        for r in range(self.rows):
            for group in range(0, self.groups, self.block):
                yield self._scores(r, group, min(self.block, self.groups - group))
        for r in range(self.rows):
            for group in range(0, self.groups, BLOCK):
                yield self._probabilities(r, group, min(BLOCK, self.groups - group))
        for r in range(self.rows):
            yield self._product(r)

    def _key_tile(self, r: int) -> int:
        return r // self.heads // self.shared

    # --------------------------------------------------------------- vector unit

    def _scores(self, r: int, group: int, n: int) -> Bundle:
        """Powers of some groups; with the last ones, the factor that makes 127 of the largest."""
        b = self.builder(f"scores {group}")
        v = Pipeline(self.config, b)
        powers = self._powers(b, v, r, group, n)
        if group + n < self.groups:
            self._largest(v, powers, r, group, self.to(self.partial, r))
            return b.build()
        largest = within_superlanes(self, v, IntOp.FMAX, self._largest(v, powers, r, group, None))
        step = v.op(MulOp.FMUL, largest, Imm.of(1 / CODES))
        v.op(SfuOp.RECIP, step, to=self.to(self.inverse, r))
        return b.build()

    def _powers(self, b: BundleBuilder, v: Pipeline, r: int, group: int, n: int) -> list[Reg]:
        """The powers of those groups that have no mask, and of those that have one; on their way to SRAM."""
        scores = v.op(AddOp.I2F, self._feed_scores(b, r, group, n), count=n, pitch=self.steps)
        free = min(max(self.free - group, 0), n)
        powers = [self._power(v, scores.element(0, free), r, group)] if free else []
        if free < n:
            mask, rest = self.over_tiles(self.mask, 0, group + free - self.free), scores.element(free, n - free)
            masked = v.op(AddOp.FADD, rest, mask, count=n - free, pitch=self.steps)
            powers.append(self._power(v, masked, r, group + free))
        return powers

    def _power(self, v: Pipeline, scores: Reg, r: int, group: int) -> Reg:
        n, to = scores.count, self.to(self.powers, r, group)
        exponents = v.op(MulOp.FMUL, scores, self.over_tiles(self.scale, r), count=n, pitch=self.steps)
        return v.op(SfuOp.EXP2, exponents, count=n, pitch=self.steps, to=to)

    def _largest(self, v: Pipeline, powers: Sequence[Reg], r: int, group: int, to: Rows | None) -> Reg:
        """The largest power of each lane, of these groups and the ones before; written to ``to`` if not None."""
        values = [run.element(i) for run in powers for i in range(run.count)]
        ends = [None] * (len(values) - 1) + [to]
        before = self.over_tiles(self.partial, r)
        largest = v.op(IntOp.FMAX, values[0], before, to=ends[0]) if group else v.op(IntOp.PASS, values[0], to=ends[0])
        for value, end in zip(values[1:], ends[1:], strict=True):
            largest = v.op(IntOp.FMAX, value, largest, to=end)
        return largest

    def _probabilities(self, r: int, group: int, n: int) -> Bundle:
        """Codes of the powers of some groups."""
        b = self.builder(f"probabilities {group}")
        v, powers, to = Pipeline(self.config, b), self.over_tiles(self.powers, r, group), self.to(self.codes, r, group)
        v.op(IntOp.F2I8, v.op(MulOp.FMUL, powers, self.over_tiles(self.inverse, r), count=n), count=n, to=to)
        return b.build()

    def _product(self, r: int) -> Bundle:
        """Both products of the probabilities, with ones and with the values, and the quotient of their results."""
        b = self.builder("product")
        v = Pipeline(self.config, b)
        whole = v.op(AddOp.I2F, self._feed_sum(b, r))
        inverse = v.op(SfuOp.RECIP, v.op(MulOp.FMUL, whole, self.over_tiles(self.divisor, r)))
        ready = pipe_latency(self.config, PipeKind.MUL) + pipe_latency(self.config, PipeKind.SFU)
        delay = max(0, ready - self.groups * self.steps)  # so that what divides the product with the values is there
        mixed = v.op(AddOp.I2F, self._feed_values(b, r, self.groups * self.config.abc_cycles + delay))
        tile, head = divmod(r, self.heads)
        part, is_last = self.to(self.part, tile), head == self.heads - 1
        o = v.op(MulOp.FMUL, mixed, inverse, to=None if is_last or head else part)
        if head:
            o = v.op(AddOp.FADD, o, self.over_rows(self.part, tile, 0), to=None if is_last else part)
        if is_last:
            v.op(IntOp.F2I8, o, to=self.to(self.p.output, 0, tile))
        return b.build()

    # --------------------------------------------------------------- matrix unit

    def _feed_scores(self, b: BundleBuilder, r: int, group: int, n: int) -> Flow:
        keys, j = self.placement[self.keys], self._key_tile(r)
        self._load(b, keys, [a for g in range(group, group + n) for a in self._steps(keys, j, 0, g)], 0)
        flow = self._read(b, Rows(self.placement[self.q], self.placement[self.q].row_addr(r, 0)), n, self.steps)
        return self._multiply(b, flow, {"walk": 1, "start": 1, "emit": 1})

    def _feed_sum(self, b: BundleBuilder, r: int) -> Flow:
        """The sum of the codes in every lane; the first is fed in cycle 0."""
        ones = self.placement[self.ones]
        self._load(b, ones, [ones.addr + i for i in range(self.steps)], 0)
        return self._multiply(
            b,
            self._read(b, self.over_tiles(self.codes, r), self.groups, self.config.abc_cycles),
            {"start": 1, "emit": 1},
        )

    def _feed_values(self, b: BundleBuilder, r: int, cycle: int) -> Flow:
        values, first = self.placement[self.values], self._key_tile(r) * self.config.superlanes
        addresses = [a for group in range(self.groups) for a in self._steps(values, first, 1, group)]
        cycle = max(cycle, self.steps + self.config.turn_cycles)  # the way through the switch is so much longer
        self._load(b, values, addresses, cycle, transpose=True)
        flow = self._read(b, self.over_tiles(self.codes, r), self.groups, self.steps, cycle)
        return self._multiply(b, flow, {"start": 1, "emit": 1}, cycle)

    def _steps(self, at: Allocation, tile: int, per_superlane: int, group: int) -> Iterator[int]:
        """Rows of a cache that hold a group of positions, in the order in which a tile of weights is loaded.

        ``per_superlane``: how many tiles further the channels of the next superlane are.
        """
        config, size = self.config, self.config.superlane_lanes // self.config.weight_streams
        first = at.addr + group * config.superlane_lanes // config.lanes * at.tiles * self.steps
        for superlane in range(config.superlanes):
            row = first + (tile + superlane * per_superlane) * self.steps
            yield from (row + (group * size + i) % self.steps for i in range(size))

    def _read(self, b: BundleBuilder, rows: Rows, n: int, pitch: int, cycle: int = 0) -> Flow:
        """Activations, the first at the matrix unit in ``cycle``."""
        mxm = f"{self.unit(UnitKind.MATRIX).name}.a"
        return b.read(rows.at, [(mxm, "stream")], cycle, rows.addr, n, rows.stride, pitch)

    def _multiply(self, b: BundleBuilder, x: Flow, fields: dict[str, int], cycle: int = 0) -> Flow:
        """Feeds of ``x`` from ``cycle`` on; the results that they emit, on their way to the ADD pipe."""
        mxm = self.unit(UnitKind.MATRIX).name
        func = timing(self.config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
        assert func is not None
        busy = (x.count - 1) * x.pitch + 1
        emits, at = (x.count, cycle + func) if fields.get("walk") else (1, cycle + busy - 1 + func)
        busy += self.config.abc_cycles - 1
        reader = [(queue_name(PipeKind.ADD), "x")]
        sums = b.flow(f"{mxm}.a", reader, at, Width.WIDE, emits, x.pitch if emits > 1 else 1)
        for resource in ("acc", "array"):
            b.hold(f"{mxm}.{resource}", cycle, busy)
        abc = Instruction.of(Opcode.ABC, count=x.count, gap=x.pitch - 1, **fields)
        b.issue(f"{mxm}.a", cycle, abc, {"stream": x, "out": sums})
        return sums

    def _load(
        self, b: BundleBuilder, at: Allocation, addresses: Sequence[int], install: int, transpose: bool = False
    ) -> None:
        """Weight rows from ``addresses``, one after another; the first tile is installed in cycle ``install``."""
        weights = f"{self.unit(UnitKind.MATRIX).name}.w"
        first = install + 1 - LW_TO_IW - self.steps
        b.issue(weights, first, Instruction.of(Opcode.LW, count=len(addresses), install=1), {})
        if not transpose:
            self._stream(b, at, weights, first, addresses)
            return
        switch = self.switch(SwitchOp.TRANSPOSE)
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
