"""Passes -> bundles: which instructions, how far apart, for each step of each operator.

MATMUL: a bundle computes one output tile of up to acc_rows activation rows. For each k tile the weights are installed
in the cycle of the first feed; feeds follow every max(tile_load_cycles, rows) cycles, so loads hide behind feeds.
With a tile a cycle, one row is fed at a time and all its k tiles are one instruction.
SRAM: a bundle takes one row of one tile through the vector unit.
MAX_KEY: a bundle reduces the keys of one row: over tiles in the vector unit (MAX with SELF), over lanes in the switch.

Results leave for their SRAM rows as soon as they exist, constants are read so that they arrive with their operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compiler.bundle import Bundle, BundleBuilder, Flow, Width, hops
from compiler.fuse import Pass, Source
from compiler.ir import CompileError, DType, Tensor
from compiler.place import Allocation, Placement, overlap
from compiler.schedule import fits_alone
from hdl.config import AluKind, Direction, LpuConfig, Unit, UnitKind
from hdl.isa import LW_TO_IW, Instruction, IntOp, Opcode, QueueKind, Timing, alu_offset, timing
from hdl.isa import Source as AluSource

MAX_PITCH = 8
"""Largest distance of a bundle's results that is tried when its own operands collide at a smaller one."""


def lower(config: LpuConfig, passes: Sequence[Pass], placement: Placement) -> Iterator[Bundle]:
    """The bundles of all passes, in an order that respects their data dependencies."""
    for number, p in enumerate(passes):
        overwrites = _overwrites(config, p, passes[:number], placement)
        yield from _LOWERINGS[p.source](config, p, placement, overwrites).bundles()


def _overwrites(config: LpuConfig, p: Pass, before: Sequence[Pass], placement: Placement) -> tuple[str, ...]:
    """Names of the earlier passes with a tensor in rows that ``p`` writes."""
    at = placement[p.output]
    return tuple(q.name for q in before if any(overlap(config, at, placement[t]) for t in (q.output, *q.reads)))


class _Lowering:
    """What the lowerings of all sources share: units, operand reads, the vector chain, the way back to SRAM."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        self.config, self.p, self.placement, self.overwrites = config, p, placement, overwrites
        self.vxm = config.units_of(UnitKind.VECTOR)[0]
        self.out = placement[p.output]

    def bundles(self) -> Iterator[Bundle]:
        raise NotImplementedError

    def builder(self) -> BundleBuilder:
        return BundleBuilder(self.config, self.p.name, self.overwrites)

    def unit(self, kind: UnitKind) -> Unit:
        """The first unit of a kind in the west hemisphere."""
        return next(unit for unit in self.config.units_of(kind) if unit.outward is Direction.WEST)

    def chain_timing(self) -> Timing:
        return timing(self.config, QueueKind.VECTOR, Opcode.CHAIN)

    def chain(self, b: BundleBuilder, x: Flow, m: int, tile: int, row_stride: int = 1) -> Flow:
        """The pass's stages on ``x`` (rows m, m + row_stride, ... of a tile), ending at the output's unit."""
        fields: dict[str, int] = {"x_wide": int(x.width is Width.WIDE), "imm": self.p.imm}
        flows = {"x": x}
        for stage in self.p.stages:
            fields[f"op{stage.alu}"] = stage.op
            if isinstance(stage.operand, Tensor):
                arrival = x.arrival + alu_offset(self.config, stage.alu)
                flows[f"y{stage.alu}"] = self.operand(b, stage.operand, arrival, x, m, tile)
                fields[f"y{stage.alu}_wide"] = int(stage.operand.dtype is DType.INT32)
            else:
                fields[f"src{stage.alu}"] = AluSource.IMM
        return self.issue_chain(b, x, fields, flows, self.p.output.dtype is DType.INT32, self.out.unit)

    def operand(self, b: BundleBuilder, tensor: Tensor, arrival: int, x: Flow, m: int, tile: int) -> Flow:
        """READ of the rows of an operand that go with those of ``x``; a [1, N] operand serves all rows.

        What would need the read queue of ``x`` in the same cycle is read earlier and passes through the switch.
        """
        at = self.placement[tensor]
        per_row = tensor.shape[0] > 1
        addr, stride = at.row_addr(m if per_row else 0, tile), at.tiles if per_row else 0
        if x.driver == at.unit and arrival == x.arrival:
            return x if tensor is self.p.x else self._delayed(b, at, arrival, addr)
        return b.read(at, self.vxm, arrival, addr, x.count, stride, x.pitch)

    def _delayed(self, b: BundleBuilder, at: Allocation, arrival: int, addr: int) -> Flow:
        """READ of one row that takes the longer way through the switch."""
        switch = self.unit(UnitKind.SWITCH)
        func = timing(self.config, QueueKind.SWITCH, Opcode.ROTATE).func
        assert func is not None
        issue = arrival - hops(switch, self.vxm) - func
        row = b.read(at, switch, issue, addr)
        result = b.flow(switch, self.vxm, issue + func, row.width)
        b.issue(switch.name, issue, Instruction.of(Opcode.ROTATE, wide=int(at.wide)), x=row, out=result)
        return result

    def issue_chain(
        self, b: BundleBuilder, x: Flow, fields: dict[str, int], flows: dict[str, Flow], wide: bool, to: Unit
    ) -> Flow:
        """One CHAIN instruction over all vectors of ``x``; returns its result on the way to ``to``."""
        func = self.chain_timing().func
        assert func is not None
        single = bool(fields.get("last_only"))
        drive = x.arrival + func + ((x.count - 1) * x.pitch if single else 0)
        width = Width.WIDE if wide else Width.NARROW
        result = b.flow(self.vxm, to, drive, width, 1 if single else x.count, 1 if single else x.pitch)
        if x.count > 1:
            fields = {**fields, "count": x.count, "gap": x.pitch - 1}
        instruction = Instruction.of(Opcode.CHAIN, **fields, out_wide=int(wide))
        b.issue(self.vxm.name, x.arrival, instruction, out=result, **flows)
        return result


# ------------------------------------------------------------------------ matmul


class _Matmul(_Lowering):
    """y[m, n] = stages(sum_k x[m, k] * w[n, k]), tile by tile."""

    def __init__(self, config: LpuConfig, p: Pass, placement: Placement, overwrites: tuple[str, ...]) -> None:
        super().__init__(config, p, placement, overwrites)
        assert p.weights is not None
        self.mxm = self.unit(UnitKind.MATRIX)
        self.weights, self.x = placement[p.weights], placement[p.x]
        self.load_cycles = config.tile_load_cycles
        self.blocks = _even_blocks(p.x.shape[0], 1 if self.load_cycles == 1 else config.acc_rows)
        self.pitch = _smallest_pitch(p.name, lambda pitch: self.bundle(0, self.blocks[0], 0, pitch))

    def bundles(self) -> Iterator[Bundle]:
        m = 0
        for rows in self.blocks:
            for tile in range(self.out.tiles):
                yield self.bundle(m, rows, tile, self.pitch)
            m += rows

    def bundle(self, m: int, rows: int, tile: int, pitch: int) -> Bundle:
        """Rows m .. m + rows - 1 of output tile ``tile``; the first feed is in cycle 0 before ``build``."""
        b = self.builder()
        feed = self._feed_row if self.load_cycles == 1 else self._feed_block
        sums = feed(b, m, rows, tile, pitch)
        result = self.chain(b, sums, m, tile) if self.p.stages else sums
        b.write(self.out, result, self.out.row_addr(m, tile), self.out.tiles)
        return b.build()

    def _feed_row(self, b: BundleBuilder, m: int, rows: int, tile: int, pitch: int) -> Flow:
        """One activation row, a k tile a cycle, in instructions as long as count allows."""
        tiles, most = self.x.tiles, (1 << self.config.count_bits) - 1
        sums = self._sums(b, tiles - 1, 1, 1, tiles)
        for k in range(0, tiles, most):
            n = min(most, tiles - k)
            self._load(b, k, tile * tiles + k, n)
            flow = b.read(self.x, self.mxm, k, self.x.row_addr(m, k), n, 1)
            self._multiply(b, k, flow, {"start": int(k == 0), "emit": int(k + n == tiles)}, sums)
        return sums

    def _feed_block(self, b: BundleBuilder, m: int, rows: int, tile: int, pitch: int) -> Flow:
        """``rows`` activation rows per k tile, each in an accumulator row of its own."""
        tiles = self.x.tiles
        step = max(self.load_cycles, (rows - 1) * pitch + 1)
        last = (tiles - 1) * step
        sums = self._sums(b, last, rows, pitch, last + (rows - 1) * pitch + 1)
        for k in range(tiles):
            self._load(b, k * step, tile * tiles + k, 1)
            flow = b.read(self.x, self.mxm, k * step, self.x.row_addr(m, k), rows, self.x.tiles, pitch)
            self._multiply(b, k * step, flow, {"walk": 1, "start": int(k == 0), "emit": int(k == tiles - 1)}, sums)
        return sums

    def _sums(self, b: BundleBuilder, emit: int, rows: int, pitch: int, busy: int) -> Flow:
        """The int32 results of the feeds from cycle ``emit`` on; accumulators are held for ``busy`` cycles."""
        func = timing(self.config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
        assert func is not None
        b.hold(f"{self.mxm.name}.acc", 0, busy)
        reader = self.vxm if self.p.stages else self.out.unit
        return b.flow(self.mxm, reader, emit + func, Width.WIDE, rows, pitch)

    def _load(self, b: BundleBuilder, install: int, tile: int, n: int) -> None:
        """``n`` tiles on their way into the array, the first installed in cycle ``install``."""
        loads = n * self.load_cycles
        first = install - LW_TO_IW - self.load_cycles + 1
        b.read(self.weights, self.mxm, first, self.weights.addr + tile * self.load_cycles, loads, 1)
        b.issue(f"{self.mxm.name}.w", first, Instruction.of(Opcode.LW, count=loads, install=1))

    def _multiply(self, b: BundleBuilder, cycle: int, x: Flow, fields: dict[str, int], sums: Flow) -> None:
        b.hold(f"{self.mxm.name}.array", cycle, (x.count - 1) * x.pitch + 1)
        flows = {"stream": x, "out": sums} if fields["emit"] else {"stream": x}
        abc = Instruction.of(Opcode.ABC, count=x.count, gap=x.pitch - 1, **fields)
        b.issue(f"{self.mxm.name}.a", cycle, abc, **flows)


def _even_blocks(rows: int, most: int) -> list[int]:
    """``rows`` in as few blocks of at most ``most`` as possible, larger ones first: small blocks wait for loads."""
    count = -(-rows // most)
    base, extra = divmod(rows, count)
    return [base + 1] * extra + [base] * (count - extra)


def _smallest_pitch(name: str, bundle: Callable[[int], Bundle]) -> int:
    for pitch in range(1, MAX_PITCH + 1):
        if fits_alone(bundle(pitch)):
            return pitch
    raise CompileError(f"{name}: its operands need more streams or read queues than the core has")


# ------------------------------------------------------------------ element-wise


class _ElementWise(_Lowering):
    """y[m, tile] = stages(x[m, tile])."""

    def bundles(self) -> Iterator[Bundle]:
        x = self.placement[self.p.x]
        for m in range(self.p.x.shape[0]):
            for tile in range(x.tiles):
                b = self.builder()
                flow = b.read(x, self.vxm, 0, x.row_addr(m, tile))
                b.write(self.out, self.chain(b, flow, m, tile), self.out.row_addr(m, tile))
                yield b.build()


# ------------------------------------------------------------------------ argmax


class _MaxKey(_Lowering):
    """y[m, 0] = (key & mask) ^ mask of the largest key of row m; mask is 2^b - 1 in lane 0 and 0 elsewhere."""

    def bundles(self) -> Iterator[Bundle]:
        keys = self.placement[self.p.x]
        for m in range(self.p.x.shape[0]):
            b = self.builder()
            largest = self._over_lanes(b, self._over_tiles(b, keys, m))
            b.write(self.out, self._decode(b, largest), self.out.row_addr(m, 0))
            yield b.build()

    def _over_tiles(self, b: BundleBuilder, keys: Allocation, m: int) -> Flow:
        if keys.tiles == 1:
            return b.read(keys, self.unit(UnitKind.SWITCH), 0, keys.row_addr(m, 0))
        x = b.read(keys, self.vxm, 0, keys.row_addr(m, 0), keys.tiles, 1)
        alu = self._int_alus()[0]
        fields = {"x_wide": 1, "last_only": 1, f"op{alu}": IntOp.MAX, f"src{alu}": AluSource.SELF}
        return self.issue_chain(b, x, fields, {"x": x}, True, self.unit(UnitKind.SWITCH))

    def _over_lanes(self, b: BundleBuilder, x: Flow) -> Flow:
        switch = x.reader
        func = timing(self.config, QueueKind.SWITCH, Opcode.MAXLANE).func
        assert func is not None
        result = b.flow(switch, self.vxm, x.arrival + func, Width.WIDE)
        b.issue(switch.name, x.arrival, Instruction.of(Opcode.MAXLANE, wide=1), x=x, out=result)
        return result

    def _decode(self, b: BundleBuilder, key: Flow) -> Flow:
        assert self.p.mask is not None
        fields, flows = {"x_wide": 1}, {"x": key}
        for alu, op in zip(self._int_alus(), (IntOp.AND, IntOp.XOR), strict=False):
            fields |= {f"op{alu}": op, f"y{alu}_wide": 1}
            flows[f"y{alu}"] = self.operand(b, self.p.mask, key.arrival + alu_offset(self.config, alu), key, 0, 0)
        return self.issue_chain(b, key, fields, flows, True, self.out.unit)

    def _int_alus(self) -> list[int]:
        return [k for k, kind in enumerate(self.config.alus) if kind is AluKind.INT]


_LOWERINGS = {Source.MATMUL: _Matmul, Source.SRAM: _ElementWise, Source.MAX_KEY: _MaxKey}
