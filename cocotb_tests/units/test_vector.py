"""The vector tile against ``golden.units.vector``, in exact cycles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cocotb_tests.units.content import StreamContent, codes, on_streams
from cocotb_tests.units.harness import Bench, Stimulus
from golden.numerics import Bools, Int32, int32_to_planes, planes_to_int32, saturate_int8
from golden.trace import digest, lane_words
from golden.units.vector import Entering, VectorTwin, is_wide, streamed_operands
from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, MemoryGroup, PipeKind, preset
from hdl.isa import (
    PIPE_QUEUES,
    Element,
    Instruction,
    IntOp,
    Opcode,
    Source,
    operations,
    pipe_cycles,
    pipe_latency,
    sources,
    stream,
    stream_index,
    unit_fields,
)
from hdl.layouts import vector_lead
from hdl.streams import Reach
from hdl.vector.serial import SerialTile
from hdl.vector.tile import VectorTile, drives_of, reads_of

pytestmark = pytest.mark.rtl
TINY = preset("tiny").replace(trace=True)
NANO = preset("nano").replace(trace=True)
"""Lane by lane."""
FEW = {"lanes": 4, "weight_streams": 4, "weight_groups": (MemoryGroup(4, 16),), "trace": True}
"""A build takes a time in proportion to the lanes."""
SMALL = preset("small").replace(**FEW)
BOARD = preset("ulx3s").replace(
    **FEW, mac_rows=None, paired_columns=0, short_queues=(), operand_registers=tuple(preset("ulx3s").pipes)
)
"""Two lanes take turns in an SFU pipe, and there are operand registers."""
DUO = preset("duo").replace(hemispheres=2, **FEW)
INSTRUCTIONS = 150
"""Per pipe; about four elements each."""


class FloatContent(StreamContent):
    """Random words on the SG4s, most of them fp32 of a magnitude near 1, so that sums and products stay apart."""

    def __init__(self, config: LpuConfig, rng: np.random.Generator, cycles: int) -> None:
        super().__init__(config, rng, cycles)
        for content in self._bytes.values():
            top = content[:, STREAMS_PER_GROUP - 1 :: STREAMS_PER_GROUP]
            near_one = rng.choice(np.array([0x3E, 0x3F, 0x40, 0x41, 0xBE, 0xBF, 0xC0], np.uint8), top.shape)
            top[:] = np.where(rng.random(top.shape) < 0.8, near_one, top)


def readable(config: LpuConfig, pipe: PipeKind, name: str) -> Reach:
    return Reach(config.readable(config.unit("vxm0"), name, pipe))


def named(config: LpuConfig, reach: Reach, wide: bool) -> list[int]:
    """Stream codes that an instruction may name."""
    return [code for code in codes(reach, wide) if wide or config.single(stream_index(code))]


def random_instruction(config: LpuConfig, rng: np.random.Generator, pipe: PipeKind) -> Instruction:
    """Any operation on any sources; about half of the results are driven."""
    fields = {f.name: f for f in unit_fields(config, PIPE_QUEUES[pipe])}
    values = {name: int(rng.integers(0, 2)) for name in fields if fields[name].bits == 1}
    gap = int(rng.choice([0, 0, 0, 1, 3])) + pipe_cycles(config, pipe) - 1
    values |= {"count": int(rng.integers(1, 7)), "gap": gap}
    values["op"] = int(rng.choice([int(op) for op in operations(config, pipe)]))
    for name in ("x", "y"):
        if allowed := sources(config, pipe, name):
            values[f"{name}_from"] = int(rng.choice([int(source) for source in allowed]))
        if name in fields:
            wide = pipe is not PipeKind.INT or bool(values[f"{name}_wide"])
            if name in fields:
                values[name] = int(rng.choice(named(config, readable(config, pipe, name), wide)))
    if "imm" in fields:
        low, high = fields["imm"].minimum, fields["imm"].maximum
        values["imm"] = int(rng.choice([int(rng.integers(low, high)), int(rng.integers(-300, 300)), low, high]))
    if "fold" in fields:
        values["fold"] &= values["y_from"] == Source[pipe.name]
        values["swap"] = int(rng.integers(config.superlane_lanes.bit_length() - 1))
    if "out" in fields:
        wide = pipe is not PipeKind.INT or bool(values["out_wide"])
        values["out"] = int(rng.choice(named(config, drives_of(config), wide)))
    return Instruction.of(Opcode.ALU, **values)


def random_elements(config: LpuConfig, rng: np.random.Generator, pipe: PipeKind) -> Iterator[Element]:
    """The elements of one queue: mostly as fast as the pipe goes, now and then none."""
    cycle = 0
    for _ in range(INSTRUCTIONS):
        cycle += int(rng.choice([0, 0, 0, 2, 5]))
        instruction = random_instruction(config, rng, pipe)
        for number in range(instruction["count"]):
            yield Element(cycle + number * (instruction["gap"] + 1), 0, instruction, number, 0)
        cycle += instruction.duration + pipe_cycles(config, pipe) - 1


def issued(element: Element) -> dict[str, int]:
    """The element as the tile's issue port shows it."""
    fields = {name: value for name, value in element.instruction.args if name not in ("count", "gap", "op")}
    place = {"valid": 1, "first": int(element.first), "last": int(element.last)}
    return {**fields, **place, "op": int(Opcode.ALU), "operation": element.instruction["op"]}


@dataclass
class Expected:
    """Digests by (cycle, pipe), vectors by cycle and stream, and how many drives each stream of a cycle has."""

    digests: dict[tuple[int, PipeKind], int] = field(default_factory=dict)
    vectors: defaultdict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    drives: defaultdict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, config: LpuConfig, pipe: PipeKind, element: Element, cycle: int, value: Int32) -> None:
        instruction = element.instruction
        self.digests[cycle, pipe] = int(digest(lane_words(config, value))[0])
        if instruction["drive"] and (element.last or not instruction["last_only"]):
            narrow = saturate_int8(value).view(np.uint8)[np.newaxis]
            planes = int32_to_planes(value) if is_wide(pipe, instruction, "out") else narrow
            driven = on_streams(instruction["out"], planes)
            self.vectors[cycle] |= driven
            self.drives[cycle].update(driven.keys())


def streamed(content: StreamContent, config: LpuConfig, pipe: PipeKind, element: Element) -> dict[str, Int32]:
    read = {}
    for name in streamed_operands(pipe, element.instruction):
        wide = is_wide(pipe, element.instruction, name)
        planes = content.read(element.cycle, element.instruction[name], STREAMS_PER_GROUP if wide else 1)
        read[name] = planes_to_int32(planes) if wide else planes[0].view(np.int8).astype(np.int32)
    return read


def expect(config: LpuConfig, content: StreamContent, elements: Mapping[PipeKind, list[Element]]) -> Expected:
    """What the tile must do: streams in T, registers in T + 1 (or T + 1 + lane), the result a latency later."""
    twin, expected, steps = VectorTwin(config), Expected(), config.vector_cycles
    entering: defaultdict[int, list[tuple[int, Entering]]] = defaultdict(list)
    leaving: defaultdict[int, list[tuple[PipeKind, Int32, Bools]]] = defaultdict(list)
    for pipe, queue in elements.items():
        for element in queue:
            read = streamed(content, config, pipe, element)
            each = Entering(pipe, element, read.get("x"), read.get("y"))
            for step in range(steps):
                entering[element.cycle + 1 + step].append((step, each))
    for cycle in range(max(entering) + 1):
        for left in leaving[cycle]:
            twin.leave(*left)
        for step, each in entering[cycle]:
            lanes = np.arange(config.lanes) % steps == step
            due, value = cycle + pipe_latency(config, each.pipe), twin.enter(each, lanes)
            leaving[due].append((each.pipe, value, lanes))
            if step == steps - 1:
                expected.add(config, each.pipe, each.element, due, value)
    return expected


def driven(config: LpuConfig, outputs: Mapping[str, Any]) -> dict[int, int]:
    """Vectors by stream code."""
    found = {}
    for direction, streams in drives_of(config).streams.items():
        name = direction.name.lower()
        for k, s in enumerate(streams):
            if outputs[f"drive_{name}"] >> k & 1:
                found[stream(direction, s)] = outputs[f"{name}_out"][k]
    return found


def check(config: LpuConfig, t: int, outputs: Mapping[str, Any], expected: Expected) -> None:
    drives = expected.drives[t]
    conflict = any(count > 1 for count in drives.values())
    assert outputs["conflict"] == conflict, f"cycle {t}"
    if conflict:
        assert driven(config, outputs).keys() == drives.keys(), f"cycle {t}"
    else:
        assert driven(config, outputs) == expected.vectors[t], f"cycle {t}"
    for pipe in config.pipes:
        valid = (t, pipe) in expected.digests
        assert outputs[f"{pipe.value}_valid"] == valid, f"cycle {t}, {pipe.name}"
        if valid:
            assert outputs[f"{pipe.value}_digest"] == expected.digests[t, pipe], f"cycle {t}, {pipe.name}"


@pytest.mark.parametrize("config", [NANO, TINY, SMALL, BOARD, DUO], ids=lambda config: config.name)
def test_vector_tile(config: LpuConfig) -> None:
    """Random elements in all pipes at once on random streams: result, cycle, streams and digest of every element."""
    rng, stimulus, lead = np.random.default_rng(11), Stimulus(), vector_lead(config)
    elements = {pipe: list(random_elements(config, rng, pipe)) for pipe in config.pipes}
    cycles = max(queue[-1].cycle for queue in elements.values()) + 1
    content = FloatContent(config, rng, cycles)
    for t in range(cycles):
        bubbles = {f"issue_{pipe.value}": {**issued(elements[pipe][t % 7]), "valid": 0} for pipe in config.pipes}
        stimulus.at(t, **bubbles)
        stimulus.at(t + lead, **content.ports(t, reads_of(config)))
    for pipe, queue in elements.items():
        for element in queue:
            stimulus.at(element.cycle, **{f"issue_{pipe.value}": issued(element)})
    expected = expect(config, content, elements)
    meet = any(count > 1 for drives in expected.drives.values() for count in drives.values())
    assert meet != config.lane_by_lane, "INT alone drives, then"
    tile = SerialTile if config.lane_by_lane else VectorTile
    for t, outputs in enumerate(Bench(tile(config)).run(stimulus, extra=9)):
        check(config, t - lead, outputs, expected)


def test_saturation() -> None:
    """int8 results around both limits, and far beyond them; INT drives in T + 2."""
    values = [0, 1, -1, 126, 127, 128, 129, 255, 256, 32767, -127, -128, -129, -130, -256, -32768]
    stimulus, out = Stimulus(), codes(drives_of(TINY), wide=False)[1]
    fields = {"valid": 1, "first": 1, "last": 1, "op": int(Opcode.ALU), "drive": 1, "out": out}
    fields |= {"y_from": int(Source.IMM), "operation": int(IntOp.ADD)}
    for t, value in enumerate(values):
        stimulus.at(t, issue_int={**fields, "imm": value})
    response = Bench(VectorTile(TINY)).run(stimulus, extra=2 + vector_lead(TINY))
    for t, value in enumerate(values):
        expected = np.full((1, TINY.lanes), min(max(value, -128), 127), np.int8).view(np.uint8)
        assert driven(TINY, response[vector_lead(TINY) + t + 2]) == on_streams(out, expected), value


def test_both_directions_are_read_and_driven_between_two_hemispheres() -> None:
    for reach in (reads_of(DUO), drives_of(DUO)):
        assert set(reach.streams) == set(Direction)
