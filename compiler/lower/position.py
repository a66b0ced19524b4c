"""Operators by position: what a token's place in the sequence selects. The position is data, the program is static."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.bundle import Bundle, BundleBuilder, Flow, Width, hops
from compiler.ir import CompileError, Tensor
from compiler.lower.base import Lowering, binary
from compiler.lower.pipeline import Imm, Own, Pipeline, PipelineError, Reg, Rows, Via, queue_name
from compiler.operands import INDEX
from compiler.place import Allocation
from hdl.config import PipeKind, UnitKind
from hdl.isa import AddOp, Instruction, IntOp, MulOp, Opcode, QueueKind, RequantOp, SfuOp, pipe_latency, timing

_INFINITY = 0x7F800000


class _Indexed(Lowering):
    """Accesses of row ``index`` of a tensor in a data group: its tiles follow one another from index * tiles on."""

    def index(self, v: Pipeline, tensor: Tensor, tiles: int, tile: int) -> Reg:
        """index * tiles + tile in the INT register, by doublings and additions from the top bit of ``tiles`` down."""
        rows = self.over_tiles(tensor, 0)
        value = v.op(IntOp.PASS, rows)
        for bit in bin(tiles)[3:]:
            value = v.op(IntOp.ADD, value, value)
            if bit == "1":
                value = v.op(IntOp.ADD, value, rows)
        return v.op(IntOp.ADD, value, Imm(tile)) if tile else value

    @property
    def passing(self) -> tuple[AddOp | RequantOp, int]:
        """What sends an index while INT sends the row, and its latency."""
        has_add = PipeKind.ADD in self.config.pipes
        pipe = PipeKind.ADD if has_add else PipeKind.REQUANT
        return AddOp.PASS if has_add else RequantOp.PASS, pipe_latency(self.config, pipe)

    def access(self, b: BundleBuilder, opcode: Opcode, at: Allocation, index: Flow, data: Flow) -> None:
        """GATHER or SCATTER of as many tiles as ``index`` has vectors."""
        name = f"{at.unit.name}.{'r' if opcode is Opcode.GATHER else 'w'}"
        fields = {"addr": at.addr, "wide": int(at.wide_access)}
        if index.count > 1:
            fields |= {"count": index.count, "stride": 1}
        b.issue(name, index.arrival, Instruction.of(opcode, **fields), {"stream": data}, at.rows)


class Gather(_Indexed):
    """y = table[index]: the index leaves on its SG4, the rows come back to the vector unit and go to their place.

    A bundle is as many tiles as the INT pipe can send the index for before the first of them is back.
    """

    def bundles(self) -> Iterator[Bundle]:
        op = self.op
        at = self.placement[op.inputs[0]]
        read = timing(self.config, QueueKind.MEM_READ, Opcode.GATHER).func
        send = timing(self.config, QueueKind.VXM_INT, Opcode.ALU).func
        assert read is not None and send is not None
        most = send + read + 2 * hops(self.unit(UnitKind.VECTOR), at.unit)
        for tile in range(0, at.tiles, most):
            yield self._bundle(read, tile, min(most, at.tiles - tile))

    def _bundle(self, read: int, tile: int, n: int) -> Bundle:
        op = self.op
        table, index = op.inputs
        at = self.placement[table]
        b = self.builder()
        v = Pipeline(self.config, b)
        reader = f"{at.unit.name}.r"
        row = v.op(IntOp.PASS, Own(self.index(v, index, at.tiles, tile)), count=n, to=Via(reader, INDEX))
        assert row.flow is not None
        width = Width.WIDE if at.wide else Width.NARROW
        found = b.flow(reader, [(queue_name(PipeKind.INT), "x")], row.flow.arrival + read, width, n)
        self.access(b, Opcode.GATHER, at, row.flow, found)
        v.op(IntOp.PASS, found, count=n, to=self.to(self.p.output, 0, tile))
        return b.build()


class Scatter(_Indexed):
    """cache[index] = row, in a data group: index through ADD (or REQUANT) and row through INT arrive together.

    A bundle is as many tiles as take the index from the INT register before the first tile of the row replaces it.
    """

    def bundles(self) -> Iterator[Bundle]:
        op = self.op
        (passing, most), tiles = self.passing, self.placement[op.inputs[0]].tiles
        for tile in range(0, tiles, most):
            yield self._bundle(passing, tile, min(most, tiles - tile))

    def _bundle(self, passing: AddOp | RequantOp, tile: int, n: int) -> Bundle:
        op = self.op
        cache, row, index = op.inputs
        at = self.placement[cache]
        b = self.builder()
        v = Pipeline(self.config, b)
        writer = f"{at.unit.name}.w"
        place = v.op(passing, self.index(v, index, at.tiles, tile), count=n, to=Via(writer, INDEX))
        rows, to = self.over_tiles(row, 0, tile), Via(writer, "stream", at.wide)
        data = v.op(IntOp.PASS, rows, count=n, earliest=place.ready - pipe_latency(self.config, PipeKind.INT), to=to)
        if place.flow is None or data.flow is None or data.flow.arrival != place.flow.arrival:
            raise PipelineError(f"{op.name}: index and row do not arrive together")
        self.access(b, Opcode.SCATTER, at, place.flow, data.flow)
        return b.build()


class Put(_Indexed):
    """cache[index] = row with one lane replaced, on its way from the INT pipe; a later pitch where reads collide."""

    def bundles(self) -> Iterator[Bundle]:
        yield self.at_pitch(self._bundle)

    def _bundle(self, pitch: int) -> Bundle:
        cache, row, lane, value, index = self.op.inputs
        at = self.placement[cache]
        b = self.builder()
        v, writer = Pipeline(self.config, b), f"{at.unit.name}.w"
        here = v.op(IntOp.EQ, v.op(IntOp.PASS, self.over_tiles(lane, 0)), self.over_tiles(self.p.consts[0], 0))
        new = v.op(IntOp.PASS, self.over_tiles(value, 0), earliest=here.ready)
        to = Via(writer, "stream")
        data = v.op(IntOp.SELECT, new, self.over_tiles(row, 0), earliest=new.ready + pitch - 1, to=to)
        passing, ahead = self.passing
        place = v.op(passing, self.over_tiles(index, 0), earliest=data.ready - ahead, to=Via(writer, INDEX))
        assert data.flow is not None and place.flow is not None
        if data.flow.arrival != place.flow.arrival:
            raise PipelineError(f"{self.op.name}: index and row do not arrive together")
        self.access(b, Opcode.SCATTER, at, place.flow, data.flow)
        return b.build()


class KvScatter(Lowering):
    """cache[position] = row, in a weight group: every slice writes, all but one of them behind the cache."""

    def bundles(self) -> Iterator[Bundle]:
        op = self.op
        cache, row, index = op.inputs
        at, source = self.placement[cache], self.placement[row]
        b = self.builder()
        writer, tiles = f"{at.unit.name}.w", source.tiles
        at_index = self.placement[index]  # of several tiles, the first has the lanes of all slices
        indices = Rows(at_index, at_index.addr)
        place = Pipeline(self.config, b).op(IntOp.PASS, indices, count=tiles, to=Via(writer, INDEX))
        assert place.flow is not None
        data = b.read(source, [(writer, "stream")], place.flow.arrival, source.addr, tiles, 1)
        fields = {"addr": at.addr, "wide": 1, "spread": 1}
        if tiles > 1:
            fields |= {"count": tiles, "stride": self.config.tile_load_cycles}
        scatter = Instruction.of(Opcode.SCATTER, **fields)
        b.issue(writer, place.flow.arrival, scatter, {"stream": data}, at.rows + at.spare)
        yield b.build()


class KvIndex(Lowering):
    """Where row p of a cache lies in slice j: (p // L) * tiles * steps + (p // ws) mod steps if p mod ws == j.

    Other slices get the number of rows of the cache: their write goes behind it. d * (p // d) is p without its low bits
    for a power of two d; quotients, products and sums of such numbers are exact in fp32.
    """

    def bundles(self) -> Iterator[Bundle]:
        op = self.op
        config, at = self.config, self.placement[op.inputs[1]]
        if config.lanes & (config.lanes - 1):
            raise CompileError(f"{op.name}: lanes = {config.lanes}: must be a power of two")
        b = self.builder()
        v = Pipeline(config, b)
        position = self.over_tiles(op.inputs[0], 0)
        offset = v.op(SfuOp.F2I, self._offset(v, position, at))
        place = v.op(IntOp.AND, position, Imm(config.weight_streams - 1))
        v.op(IntOp.EQ, place, self.over_tiles(self.p.consts[0], 0))
        v.op(IntOp.SELECT, offset, Imm(at.rows), to=Rows(self.out, self.out.addr))
        yield b.build()

    def _offset(self, v: Pipeline, position: Rows, at: Allocation) -> Reg:
        """(p // ws) + (p // L) * (tiles - 1) * steps, as fp32."""
        config = self.config
        if config.tile_load_cycles == 1:
            return self._quotient(v, position, config.lanes, at.tiles)
        block = v.op(IntOp.PASS, self._quotient(v, position, config.weight_streams, 1))
        tile = self._quotient(v, position, config.lanes, (at.tiles - 1) * config.tile_load_cycles)
        return v.op(AddOp.FADD, block, tile)

    def _quotient(self, v: Pipeline, position: Rows, divisor: int, factor: int) -> Reg:
        """(position // divisor) * factor as fp32."""
        multiple = v.op(IntOp.AND, position, Imm(-divisor))
        return v.op(MulOp.FMUL, v.op(AddOp.I2F, multiple), Imm.of(factor / divisor))


class CausalLimit(Lowering):
    """y[i] = -inf where i > position, else +inf."""

    visible = _INFINITY

    def bundles(self) -> Iterator[Bundle]:
        yield self.at_pitch(self._bundle)

    def _bundle(self, pitch: int) -> Bundle:
        b = self.builder()
        v = Pipeline(self.config, b)
        numbers, least = (self.over_tiles(tensor, 0) for tensor in self.p.consts)
        n = self.tiles
        later = binary(v, IntOp.GT, numbers, self.over_tiles(self.p.x, 0), n, pitch)
        v.op(IntOp.PICK, later, least, count=n, pitch=pitch, to=self.to(self.p.output, 0), imm=self.visible)
        return b.build()


class CausalMask(CausalLimit):
    """y[i] = -inf where the position of i is a later one, else 0."""

    visible = 0
