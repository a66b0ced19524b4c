"""Switch tiles with their rotor against ``golden.units.switch``: every operation and amount, exact cycles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cocotb_tests.units.content import StreamContent, as_int, codes, driven, on_streams
from cocotb_tests.units.harness import Bench, Cycle, Stimulus
from golden.numerics import Bytes, planes_to_int32
from golden.trace import digest, lane_words, transpose_words
from golden.units.switch import switch, transpose
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, MemoryGroup, SwitchOp, Unit, preset
from hdl.emit import Shared, shared
from hdl.isa import Instruction, Opcode, QueueKind, timing, west
from hdl.layouts import issue_layout, lane_bits
from hdl.streams import Reach, drive_ports, view_ports
from hdl.switch.rotor import Rotor
from hdl.switch.tile import SwitchTile

pytestmark = pytest.mark.rtl
NANO = preset("tiny").replace(trace=True)
DUO = preset("duo").replace(trace=True, streams_east=8, streams_west=20)
ULX3S = preset("ulx3s").replace(trace=True, switch_ops=tuple(SwitchOp), last_bytes=False, short_queues=())
FOUR = ULX3S.replace(streams_west=8, weight_streams=4, weight_groups=(MemoryGroup(4, 64),))
"""Four elements of a block: the transposition takes longer than the other operations."""


class OneTile(SwitchTile, Shared):
    """A switch tile that is emitted once for all superlanes; the core has one per superlane module."""

    module_name = "one_tile"


class SwitchUnit(wiring.Component):
    """Rotor and tiles as the core wires them: superlane r gets the command r cycles late, amount less r*S."""

    def __init__(self, config: LpuConfig) -> None:
        self._config, self._unit = config, config.unit("sxm0")
        self._reads, self._drives = Reach.reads(config, self._unit), Reach.drives(config, self._unit)
        width = lane_bits(config)
        ports: dict[str, wiring.Member] = {"issue": In(issue_layout(config, QueueKind.SWITCH))}
        for r in range(config.superlanes):
            tile = {**view_ports(self._reads, width), **drive_ports(config, self._drives)}
            tile |= {"bus_in": In(data.ArrayLayout(width, config.weight_streams)), "drive_bus": Out(1)}
            tile |= {"bus": Out(data.ArrayLayout(width, config.weight_streams)), "valid": Out(1), "digest": Out(32)}
            ports |= {f"{name}{r}": member for name, member in tile.items()}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rotor = rotor = Rotor(self._config)
        command: Value = self.issue
        for r in range(self._config.superlanes):
            tile = OneTile(self._config, self._unit)
            m.submodules[f"tile{r}"] = shared(tile, platform)
            m.d.comb += [tile.issue.eq(command), rotor.x[r].eq(tile.rotor_x), tile.rotor_out.eq(rotor.out[r])]
            if r == 0:
                m.d.comb += rotor.issue.eq(tile.rotor_issue)
            for name in (*view_ports(self._reads, 1), "bus_in"):
                m.d.comb += Value.cast(getattr(tile, name)).eq(Value.cast(getattr(self, f"{name}{r}")))
            outputs = {name: getattr(tile, name) for name in drive_ports(self._config, self._drives) if name != "lanes"}
            outputs |= {name: getattr(tile, name) for name in ("drive_bus", "bus", "valid", "digest")}
            for name, value in outputs.items():
                m.d.comb += Value.cast(getattr(self, f"{name}{r}")).eq(Value.cast(value))
            lanes = getattr(self, f"lanes{r}")
            m.d.comb += [seen.eq(lane | tile.single) for seen, lane in zip(lanes, tile.lanes, strict=True)]
            after = Signal(tile.issue.shape(), name=f"command{r}")
            m.d.sync += [after.eq(command), after.amount.eq(tile.issue.amount - self._config.superlane_lanes)]
            command = after
        return m


def all_amounts(config: LpuConfig) -> Iterator[tuple[Opcode, int]]:
    """Every legal amount of every operation that has one; SHIFT also beyond the vector and in both directions."""
    lanes = config.lanes
    for amount in range(-lanes - 1, lanes + 2):
        yield Opcode.SHIFT, amount
    for amount in range(lanes):
        yield Opcode.ROTATE, amount
        yield Opcode.DISTRIBUTE, amount
    for amount in range(lanes + 1):
        yield Opcode.SELECT, amount


def cases(config: LpuConfig, rng: np.random.Generator) -> list[Instruction]:
    """All amounts narrow and wide, and many of the other operations, in random order."""
    kinds = [(op, amount, wide) for op, amount in all_amounts(config) for wide in (0, 1)]
    kinds += [(Opcode.PERMUTE, 0, 0), (Opcode.PERMUTE, 1, 0), (Opcode.TRANSPOSE, 0, 0)] * 25
    reads, drives = (which(config, config.unit("sxm0")) for which in (Reach.reads, Reach.drives))
    built = []
    for i in rng.permutation(len(kinds)):
        op, amount, wide = kinds[i]
        x, y, out = (int(rng.choice(codes(reach, bool(wide)))) for reach in (reads, reads, drives))
        built.append(Instruction.of(op, wide=wide, x=x, y=y, out=out, amount=amount))
    return built


class SmallMaps(StreamContent):
    """Random content in which half of the bytes are lane numbers, so that PERMUTE finds sources."""

    def __init__(self, config: LpuConfig, rng: np.random.Generator, cycles: int) -> None:
        super().__init__(config, rng, cycles)
        for content in self._bytes.values():
            small = rng.integers(0, config.superlane_lanes + 2, content.shape, np.uint8)
            content[:] = np.where(rng.integers(2, size=content.shape, dtype=bool), small, content)


def result_of(config: LpuConfig, content: StreamContent, t: int, instruction: Instruction) -> Bytes:
    count = STREAMS_PER_GROUP if instruction["wide"] else 1
    x, y = content.read(t, instruction["x"], count), None
    if instruction.op in (Opcode.PERMUTE, Opcode.SELECT):
        y = content.read(t, instruction["y"], count if instruction.op is Opcode.SELECT else 1)
    return switch(config, instruction, x, y)


class Expectation:
    """What superlane 0 does by cycle; superlane r does the same with its lanes r cycles later."""

    def __init__(self, config: LpuConfig, content: StreamContent, issued: dict[int, Instruction]) -> None:
        self.config, self.side = config, config.superlane_lanes
        self.drives: dict[int, tuple[int, Bytes]] = {}
        self.buses: dict[int, Bytes] = {}
        self.digests: dict[int, np.ndarray] = {}
        func = timing(config, QueueKind.SWITCH, Opcode.SHIFT).func
        assert func == 3 + config.superlanes - 1
        logged = max(func, config.turn_cycles)
        for t, instruction in issued.items():
            if instruction.op is Opcode.TRANSPOSE:
                self._transpose(content, t, logged)
                continue
            out = result_of(config, content, t, instruction)
            self.drives[t + func] = instruction["out"], out
            values = planes_to_int32(out) if instruction["wide"] else out[0].astype(np.int32)
            self.digests[t + logged] = digest(lane_words(config, values))

    def _transpose(self, content: StreamContent, first: int, logged: int) -> None:
        """A block whose first element comes in cycle ``first``."""
        ws, size = self.config.weight_streams, self.config.turn_cycles
        rows = np.concatenate([content.read(first + i, west(0), ws) for i in range(size)])
        turned = transpose(self.config, rows)
        for i in range(size):
            bus = self.buses[first + size + i] = turned[i * ws : (i + 1) * ws]
            self.digests[first + logged + i] = digest(transpose_words(self.config, bus))

    def check(self, t: int, r: int, outputs: Cycle, unit: Unit) -> None:
        place, now, lanes = f"cycle {t}, superlane {r}", t - r, slice(r * self.side, (r + 1) * self.side)
        expected = {}
        if now in self.drives:
            code, vectors = self.drives[now]
            expected = on_streams(code, vectors[:, lanes])
        assert driven(Reach.drives(self.config, unit), outputs, str(r)) == expected, place
        assert outputs[f"drive_bus{r}"] == (now in self.buses), place
        if now in self.buses:
            bus = [outputs[f"bus{r}"][s] for s in range(self.config.weight_streams)]
            assert bus == [as_int(vector[lanes]) for vector in self.buses[now]], place
        assert outputs[f"valid{r}"] == (now in self.digests), place
        assert now not in self.digests or outputs[f"digest{r}"] == self.digests[now][r], place


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(NANO, id="tiny"),
        pytest.param(ULX3S, id="ulx3s"),
        pytest.param(FOUR, id="four", marks=pytest.mark.slow),
        pytest.param(DUO, id="duo", marks=pytest.mark.slow),
    ],
)
def test_switch(config: LpuConfig) -> None:
    """All operations at full rate with some pauses."""
    rng, unit, stimulus = np.random.default_rng(21), config.unit("sxm0"), Stimulus()
    issued: dict[int, Instruction] = {}
    now = 0
    for instruction in cases(config, rng):
        issued[now] = instruction
        block = config.turn_cycles if instruction.op is Opcode.TRANSPOSE else 1
        now += block - 1 + int(rng.choice([1, 1, 1, 2, 5]))
    cycles = now + 8
    content, reach = SmallMaps(config, rng, cycles), Reach.reads(config, unit)
    for t in range(cycles):
        for r in range(config.superlanes):
            for direction, streams in reach.streams.items():
                stimulus.at(t, **{f"{direction.name.lower()}{r}": content.port(t, direction, streams, r)})
            stimulus.at(t, **{f"bus_in{r}": content.port(t, Direction.WEST, range(config.weight_streams), r)})
    for t, instruction in issued.items():
        block = config.turn_cycles if instruction.op is Opcode.TRANSPOSE else 1
        for i in range(block):
            place = {"first": int(i == 0), "last": int(i == block - 1)}
            stimulus.at(t + i, issue={**dict(instruction.args), "valid": 1, "op": int(instruction.op), **place})
    expectation = Expectation(config, content, issued)
    for t, outputs in enumerate(Bench(SwitchUnit(config)).run(stimulus)):
        for r in range(config.superlanes):
            expectation.check(t, r, outputs, unit)
