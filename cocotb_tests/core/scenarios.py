"""For every unit instruction the smallest program that uses it: operands out of SRAM, the result back into SRAM.

Items are placed by ``hdl.isa.timing`` and the floorplan. Each operand and the result pass their position for one cycle
only, so the expected rows come back if and only if the timing table is right.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from cocotb_tests.core.programs import Item, address, random_bytes, rows_block, wide_blocks
from compiler.image import MemoryBlock
from compiler.operands import readable
from golden.numerics import Bytes, Int32, int32_to_planes, wrap32
from golden.units.switch import switch, transpose
from hdl.config import STREAMS_PER_GROUP, LpuConfig, PipeKind, SwitchOp
from hdl.isa import (
    IW_TO_ABC,
    LW_TO_IW,
    PIPE_QUEUES,
    AddOp,
    Instruction,
    IntOp,
    MulOp,
    Opcode,
    RequantOp,
    SfuOp,
    Source,
    east,
    pipe_cycles,
    pipe_latency,
    queue,
    sources,
    timing,
    west,
)

ISSUE = 60
"""Issue cycle of the instruction under test."""
SOURCE_ROW, RESULT_ROW = 3, 11


@dataclass
class Scenario:
    """A program around one instruction, its SRAM before, and the rows (unit, addr, bytes) that it must leave.

    An item that moves (:func:`shifts`) gives other rows.
    """

    config: LpuConfig
    under_test: str
    seed: int
    items: list[Item] = field(default_factory=list)
    memory: list[MemoryBlock] = field(default_factory=list)
    results: list[tuple[str, int, Bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.weight_index = self.config.weight_streams

    def _hops(self, a: str, b: str) -> int:
        return abs(self.config.unit(a).position - self.config.unit(b).position)

    def func(self, queue_name: str, op: Opcode) -> int:
        func = timing(self.config, queue(self.config, queue_name).kind, op).func
        assert func is not None
        return func

    def skew(self, op: Opcode, operand: str) -> int:
        return timing(self.config, queue(self.config, self.under_test).kind, op).skew[operand]

    def add(self, role: str, queue_name: str, cycle: int, op: Opcode, /, **fields: int) -> None:
        self.items.append(Item(role, queue_name, cycle, Instruction.of(op, **fields)))

    def operand(self, role: str, memory: str, code: int, cycle: int, rows: Bytes | None = None, at: str = "") -> Bytes:
        """Bytes [1 or 4, L] that memory puts on the stream (or SG4) ``code`` in ``cycle`` at the unit under test."""
        unit = self.config.unit(memory)
        data = random_bytes(self.rng, 1, self.config.lanes) if rows is None else rows
        row = SOURCE_ROW + len(self.memory)
        self.memory += wide_blocks(self.config, unit, row, data[:, np.newaxis])
        issue = cycle - self.func(f"{memory}.r", Opcode.READ) - self._hops(memory, at or self.under_test.split(".")[0])
        addr = address(self.config, unit, 0, row)
        self.add(role, f"{memory}.r", issue, Opcode.READ, stream=code, addr=addr, wide=int(len(data) > 1))
        return data

    def tile(self, memory: str, at: str, cycle: int) -> Bytes:
        """A weight tile [slices, n, L] on the weight bus of unit ``at`` from ``cycle`` on."""
        unit, count = self.config.unit(memory), self.config.tile_load_cycles
        data = random_bytes(self.rng, self.config.weight_streams, count, self.config.lanes)
        self.memory += wide_blocks(self.config, unit, SOURCE_ROW, data)
        issue = cycle - self.func(f"{memory}.r", Opcode.READ) - self._hops(memory, at)
        self.add("weights", f"{memory}.r", issue, Opcode.READ, addr=SOURCE_ROW, stride=1, count=count, wide=1)
        return data

    def vectors(self, role: str, memory: str, code: int, cycle: int, words: Int32) -> None:
        """words [n, L] that memory puts on the SG4 ``code`` at the vector unit from ``cycle`` on, one a cycle."""
        planes = np.stack([int32_to_planes(word) for word in words], axis=1)
        row = SOURCE_ROW + len(self.memory)
        self.memory += wide_blocks(self.config, self.config.unit(memory), row, planes)
        issue = cycle - self.func(f"{memory}.r", Opcode.READ) - self._hops(memory, "vxm0")
        self.add(role, f"{memory}.r", issue, Opcode.READ, stream=code, addr=row, stride=1, count=len(words), wide=1)

    def result(self, source: str, memory: str, code: int, driven: int, rows: Bytes) -> None:
        """rows [1 or 4, L], driven by unit ``source`` in cycle ``driven``, end in ``memory``.

        Memories read outward streams: what is driven inward passes through the INT pipe.
        """
        unit, wide = self.config.unit(memory), len(rows) > 1
        if source != "vxm0":
            issue, x = driven + self._hops(source, "vxm0"), {"x": code, "x_wide": int(wide)}
            code = west(self.config.weight_streams)
            self.add("result", "vxm0.i", issue, Opcode.ALU, **x, drive=1, out=code, out_wide=int(wide))
            source, driven = "vxm0", issue + self.func("vxm0.i", Opcode.ALU)
        cycle = driven + self._hops(source, memory)
        addr = address(self.config, unit, 0, RESULT_ROW)
        self.add("result", f"{memory}.w", cycle, Opcode.WRITE, stream=code, addr=addr, wide=int(wide))
        self.returned(memory, rows)

    def returned(self, memory: str, rows: Bytes, row: int = RESULT_ROW) -> None:
        unit = self.config.unit(memory)
        for slice_, data in enumerate(rows):
            at = address(self.config, unit, slice_, row)
            self.memory.append(rows_block(self.config, unit, row, np.zeros_like(data)[np.newaxis], slice_))
            self.results.append((memory, at, data))


Builder = Callable[[LpuConfig, int], Scenario]


# ---------------------------------------------------------------------------- memory


def read(config: LpuConfig, seed: int) -> Scenario:
    s = Scenario(config, "w0.r", seed)
    data = random_bytes(s.rng, 1, config.lanes)
    s.memory = [rows_block(config, config.unit("w0"), SOURCE_ROW, data)]
    s.add("tested", "w0.r", ISSUE, Opcode.READ, addr=SOURCE_ROW, stream=east(1))
    s.result("w0", "d0", east(1), ISSUE + s.func("w0.r", Opcode.READ), data)
    return s


def gather(config: LpuConfig, seed: int) -> Scenario:
    """The index is 40: SOURCE_ROW + 40 is read."""
    s, unit, lane = Scenario(config, "w0.r", seed), config.unit("w0"), 2
    index = random_bytes(s.rng, 1, config.lanes)
    index[0, lane] = 40
    s.operand("index", "d0", west(config.index_streams(unit)[0]), ISSUE + s.skew(Opcode.GATHER, "index"), index)
    data = random_bytes(s.rng, 41, config.lanes)
    s.memory.append(rows_block(config, unit, SOURCE_ROW, data))
    s.add("tested", "w0.r", ISSUE, Opcode.GATHER, addr=SOURCE_ROW, stream=east(2), lane=lane)
    s.result("w0", "d0", east(2), ISSUE + s.func("w0.r", Opcode.GATHER), data[40:])
    return s


def write(config: LpuConfig, seed: int) -> Scenario:
    s = Scenario(config, "w0.w", seed)
    data = s.operand("stream", "d0", west(s.weight_index + 2), ISSUE + s.skew(Opcode.WRITE, "stream"))
    s.add("tested", "w0.w", ISSUE, Opcode.WRITE, addr=RESULT_ROW, stream=west(s.weight_index + 2))
    s.returned("w0", data)
    return s


def scatter(config: LpuConfig, seed: int) -> Scenario:
    s, unit, lane = Scenario(config, "w0.w", seed), config.unit("w0"), 1
    index = random_bytes(s.rng, 1, config.lanes)
    index[0, lane] = 9
    code = west(config.index_streams(unit)[0])
    s.operand("index", "d0", code, ISSUE + s.skew(Opcode.SCATTER, "index"), index)
    data = s.operand("stream", "d1", west(s.weight_index + 2), ISSUE + s.skew(Opcode.SCATTER, "stream"))
    s.add("tested", "w0.w", ISSUE, Opcode.SCATTER, addr=RESULT_ROW, stream=west(s.weight_index + 2), lane=lane)
    s.returned("w0", data, RESULT_ROW + 9)
    return s


# ---------------------------------------------------------------------------- matrix


def _multiply(s: Scenario, installed: int, array: Bytes) -> None:
    """ABC in the first cycle that sees the tile installed in ``installed``: y = array [n, k] x x."""
    cycle = installed + IW_TO_ABC
    skew = timing(s.config, queue(s.config, "mxm0.a").kind, Opcode.ABC).skew["stream"]
    x = s.operand("x", "d1", west(s.weight_index), cycle + skew, at="mxm0")
    y = array.view(np.int8).astype(np.int32) @ x[0].view(np.int8).astype(np.int32)
    s.add("product", "mxm0.a", cycle, Opcode.ABC, stream=west(s.weight_index), out=east(0), start=1, emit=1)
    s.result("mxm0", "d0", east(0), cycle + s.func("mxm0.a", Opcode.ABC), int32_to_planes(y.astype(np.int32)))


def _in_order(tile: Bytes) -> Bytes:
    """Tile [slices, n, L] -> array [L, L]: element i brings rows i*ws .. of it."""
    return tile.transpose(1, 0, 2).reshape(-1, tile.shape[2])


def load_weights(config: LpuConfig, seed: int) -> Scenario:
    """LW, IW and ABC at their least distances."""
    s, count = Scenario(config, "mxm0.w", seed), config.tile_load_cycles
    tile = s.tile("w0", "mxm0", ISSUE + s.skew(Opcode.LW, "weights"))
    s.add("tested", "mxm0.w", ISSUE, Opcode.LW, count=count)
    install = ISSUE + count - 1 + LW_TO_IW
    s.add("install", "mxm0.w", install, Opcode.IW)
    _multiply(s, install, _in_order(tile))
    return s


def load_and_install(config: LpuConfig, seed: int) -> Scenario:
    """LW that installs by itself."""
    s, count = Scenario(config, "mxm0.w", seed), config.tile_load_cycles
    tile = s.tile("w0", "mxm0", ISSUE + s.skew(Opcode.LW, "weights"))
    s.add("tested", "mxm0.w", ISSUE, Opcode.LW, count=count, install=1)
    _multiply(s, ISSUE + count - 1 + LW_TO_IW, _in_order(tile))
    return s


# ---------------------------------------------------------------------------- vector


def _floats(rng: np.random.Generator, n: int, lanes: int) -> Int32:
    """Words [n, lanes] of fp32 numbers in 1..1000: nothing is subnormal, 0 or beyond int32."""
    return rng.uniform(1, 1000, (n, lanes)).astype(np.float32).view(np.int32)


def _alu(pipe: PipeKind, x: Int32, y: Int32) -> Int32:
    """x + y, x * y or int32(x), whatever the pipe does on words [lanes]."""
    floats = x.view(np.float32), y.view(np.float32)
    match pipe:
        case PipeKind.INT:
            return x + y
        case PipeKind.REQUANT:
            return wrap32(x.astype(np.int64) * y)
        case PipeKind.MUL:
            return (floats[0] * floats[1]).view(np.int32)
        case PipeKind.ADD:
            return (floats[0] + floats[1]).view(np.int32)
        case PipeKind.SFU:
            return np.rint(floats[0]).astype(np.int32)


_OPERATIONS: Mapping[PipeKind, enum.IntEnum] = {
    PipeKind.INT: IntOp.ADD,
    PipeKind.REQUANT: RequantOp.MUL,
    PipeKind.MUL: MulOp.FMUL,
    PipeKind.ADD: AddOp.FADD,
    PipeKind.SFU: SfuOp.F2I,
}
"""What :func:`_alu` computes."""


def _pipe_queue(pipe: PipeKind) -> str:
    return f"vxm0{PIPE_QUEUES[pipe].value.removeprefix('vxm')}"


def _stream_fields(config: LpuConfig, pipe: PipeKind) -> dict[str, int]:
    """Streams of x and, where the pipe has one, y: the first SG4 that each may name."""
    fields = [field for field in ("x", "y") if sources(config, pipe, field)]
    names = {field: readable(config, queue(config, _pipe_queue(pipe)), field)[0] for field in fields}
    if pipe is PipeKind.MUL:
        names["y"] = readable(config, queue(config, _pipe_queue(PipeKind.INT)), "y")[0]
    wide = {f"{field}_wide": 1 for field in (*fields, "out")} if pipe is PipeKind.INT else {}
    return names | wide | {"op": _OPERATIONS[pipe]}


def _computes(pipe: PipeKind) -> Builder:
    """x and y from streams, the result driven."""

    def build(config: LpuConfig, seed: int) -> Scenario:
        s = Scenario(config, _pipe_queue(pipe), seed)
        fields, out = _stream_fields(config, pipe), west(s.weight_index)
        words = {field: _floats(s.rng, 1, config.lanes) for field in ("x", "y")}
        if pipe is PipeKind.REQUANT:
            words["y"] = s.rng.integers(1, 1 << (config.mult_bits - 1), (1, config.lanes), np.int32)
        for operand, memory in (("x", "d0"), ("y", "d1")):
            if operand in fields:
                s.vectors(operand, memory, fields[operand], ISSUE + s.skew(Opcode.ALU, operand), words[operand])
        s.add("tested", s.under_test, ISSUE, Opcode.ALU, **fields, drive=1, out=out)
        result = int32_to_planes(_alu(pipe, words["x"][0], words["y"][0]))
        s.result("vxm0", "d0", out, ISSUE + s.func(s.under_test, Opcode.ALU), result)
        return s

    return build


def _forwards(pipe: PipeKind) -> Builder:
    """Three results of the pipe, one right after another; another pipe takes the middle one from the register."""

    def build(config: LpuConfig, seed: int) -> Scenario:
        taker = PipeKind.INT if pipe is not PipeKind.INT else config.pipes[-2] if config.has_floats else config.pipes[1]
        s = Scenario(config, _pipe_queue(taker), seed)
        fields, words = _stream_fields(config, pipe), _floats(s.rng, 3, config.lanes)
        imm = 3 if pipe in (PipeKind.INT, PipeKind.REQUANT) else int(np.float32(3).view(np.int32))
        if "y" in fields:
            fields |= {"y_from": Source.IMM, "imm": imm}
        made = [_alu(pipe, word, np.full_like(word, imm)) for word in words]
        out, cycles = west(s.weight_index), pipe_cycles(config, pipe)
        first = ISSUE - pipe_latency(config, pipe) - cycles
        s.vectors("producer", "d0", fields["x"], first, np.repeat(words, cycles, axis=0))
        s.add("producer", _pipe_queue(pipe), first, Opcode.ALU, **fields, count=3, gap=cycles - 1)
        wide = {"out_wide": 1} if taker is PipeKind.INT else {}
        s.add("tested", s.under_test, ISSUE, Opcode.ALU, x_from=Source[pipe.name], drive=1, out=out, **wide)
        s.result("vxm0", "d0", out, ISSUE + s.func(s.under_test, Opcode.ALU), int32_to_planes(made[1]))
        return s

    return build


# ---------------------------------------------------------------------------- switch


def _switch(op: Opcode, wide: bool, amount: int) -> Builder:
    def build(config: LpuConfig, seed: int) -> Scenario:
        s, count = Scenario(config, "sxm0", seed), STREAMS_PER_GROUP if wide else 1
        codes = {"x": west(s.weight_index), "y": west(s.weight_index + 1)}
        operands: dict[str, Bytes | None] = {"x": None, "y": None}
        for name, memory in (("x", "d0"), ("y", "d1")):
            if name in timing(config, queue(config, "sxm0").kind, op).skew:
                data = random_bytes(s.rng, count, config.lanes)
                if op is Opcode.PERMUTE and name == "y":
                    data = (data - 1) % np.uint8(config.superlane_lanes)
                operands[name] = s.operand(name, memory, codes[name], ISSUE + s.skew(op, name), data)
        x, y = operands["x"], operands["y"]
        assert x is not None
        instruction = Instruction.of(op, out=east(0), wide=int(wide), amount=amount, **codes)
        s.items.append(Item("tested", "sxm0", ISSUE, instruction))
        rows = switch(config, instruction, x, y)
        s.result("sxm0", "d0", east(0), ISSUE + s.func("sxm0", op), rows)
        return s

    return build


def transpose_(config: LpuConfig, seed: int) -> Scenario:
    """The transposed tile is loaded one hop further, and multiplied."""
    s, count = Scenario(config, "sxm0", seed), config.tile_load_cycles
    tile = s.tile("w0", "sxm0", ISSUE + s.skew(Opcode.TRANSPOSE, "weights"))
    s.add("tested", "sxm0", ISSUE, Opcode.TRANSPOSE, count=count)
    load = ISSUE + s.func("sxm0", Opcode.TRANSPOSE) + 1
    s.add("load", "mxm0.w", load, Opcode.LW, count=count, install=1)
    side, array = config.superlane_lanes, _in_order(tile)
    turned = [transpose(config, array[first : first + side]) for first in range(0, config.lanes, side)]
    _multiply(s, load + count - 1 + LW_TO_IW, np.concatenate(turned))
    return s


def scenarios(config: LpuConfig) -> dict[str, Builder]:
    """By name; every instruction, every pipe and the register of every pipe of the core has one."""
    found: dict[str, Builder] = {
        "READ": read,
        "GATHER": gather,
        "WRITE": write,
        "SCATTER": scatter,
        "LW IW ABC": load_weights,
        "LW install": load_and_install,
    }
    moves = {
        "SHIFT": _switch(Opcode.SHIFT, False, 1),
        "wide SHIFT": _switch(Opcode.SHIFT, True, 1),
        "ROTATE": _switch(Opcode.ROTATE, False, 3),
        "PERMUTE": _switch(Opcode.PERMUTE, False, 0),
        "DISTRIBUTE": _switch(Opcode.DISTRIBUTE, False, 2),
        "SELECT": _switch(Opcode.SELECT, False, 2),
        "TRANSPOSE": transpose_,
    }
    found |= {name: build for name, build in moves.items() if SwitchOp[name.split()[-1]] in config.switch_ops}
    for pipe in config.pipes:
        found |= {f"{pipe.name} pipe": _computes(pipe), f"{pipe.name} register": _forwards(pipe)}
    return found


def shifts(scenario: Scenario) -> Iterator[tuple[str, int]]:
    """(role, cycles) of every item but the one under test, a cycle early and a cycle late.

    Not IW a cycle early: its queue is busy with LW.
    """
    for role in dict.fromkeys(item.role for item in scenario.items):
        for cycles in (-1, 1):
            if role != "tested" and (role, cycles) != ("install", -1):
                yield role, cycles
