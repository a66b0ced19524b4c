"""A matrix plane with its two controls against ``golden.units.matrix``: weights, installs, sums, exact latency."""

from __future__ import annotations

import random

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cocotb_tests.units.content import StreamContent
from cocotb_tests.units.harness import Bench, Stimulus
from golden.numerics import Int32
from golden.units.matrix import MatrixTwin
from hdl.config import Direction, LpuConfig, MemoryGroup, preset
from hdl.emit import Technology
from hdl.isa import LW_TO_IW, Element, Instruction, Opcode, QueueKind, stream, timing, west
from hdl.layouts import block_of, issue_layout, lane_bits, result_layout
from hdl.matrix.control import ActivationControl, WeightControl
from hdl.matrix.plane import MatrixPlane

pytestmark = pytest.mark.rtl
TINY = preset("tiny").replace(acc_rows=4)
DUO = preset("duo").replace(weight_streams=8, weight_groups=(MemoryGroup(8, 512),))
"""Two superlanes, and two blocks per supercell, so that a tile takes four cycles."""
FEW = DUO.replace(mac_rows=4, acc_rows=2)
"""An element of ABC takes four cycles as well."""
ULX3S = preset("ulx3s").replace(acc_rows=1)
X_INDEX = 8
"""Stream of the activations in the random content; the weight bus is the streams below ``weight_streams``."""


class MatrixUnit(wiring.Component):
    """Plane and controls as the core wires them; weight commands reach superlane r r cycles late."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        rows, width = config.superlanes, lane_bits(config)
        bus = data.ArrayLayout(width, config.weight_streams)
        super().__init__(
            {
                "w": In(issue_layout(config, QueueKind.MXM_WEIGHTS)),
                "a": In(issue_layout(config, QueueKind.MXM_ACTIVATIONS)),
                "weights": In(data.ArrayLayout(bus, rows)),
                "x": In(data.ArrayLayout(width, rows)),
                "results": Out(data.ArrayLayout(result_layout(config), rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.plane = plane = MatrixPlane(self._config)
        m.submodules.weight_control = weights = WeightControl(self._config)
        m.submodules.activation_control = activations = ActivationControl(self._config)
        command = weights.command
        block = block_of(self._config, activations.at_issue)
        if self._config.abc_cycles > 1:
            block = Cat(block, activations.at_issue.valid)
        for r in range(self._config.superlanes):
            m.d.comb += [plane.commands[r].eq(command), Value.cast(plane.x[r]).eq(Cat(self.x[r], block))]
            later = Signal(weights.command.shape(), name=f"command{r}")
            later_block = Signal(3, name=f"block{r}")
            m.d.sync += [later.eq(command), later_block.eq(block)]
            command, block = later, later_block[: len(block)]
        m.d.comb += [
            weights.issue.eq(self.w),
            activations.issue.eq(self.a),
            plane.weights.eq(self.weights),
            plane.accumulate.eq(activations.command),
            self.results.eq(plane.results),
        ]
        return m


def random_weights(config: LpuConfig, rng: random.Random) -> Instruction:
    """LW of part of a tile, of one or of several; IW."""
    if rng.random() < 0.4:
        return Instruction.of(Opcode.IW, count=rng.randint(1, 2))
    count = rng.choice((1, 2, config.tile_load_cycles, config.tile_load_cycles, 3 * config.tile_load_cycles))
    return Instruction.of(Opcode.LW, count=count, gap=rng.choice((0, 0, 2)), install=rng.randint(0, 1))


def random_activations(config: LpuConfig, rng: random.Random) -> Instruction:
    flags = {name: rng.randint(0, 1) for name in ("walk", "start", "emit")}
    row, out = rng.randrange(config.acc_rows), stream(Direction.EAST, 4 * rng.randint(0, 1))
    gap = rng.choice((0, 0, 1)) + config.abc_cycles - 1
    return Instruction.of(Opcode.ABC, count=rng.randint(1, 6), gap=gap, row=row, out=out, **flags)


def schedule(instructions: list[Instruction], rng: random.Random, cycles: int = 1) -> dict[int, Element]:
    """Elements by cycle, each of which takes ``cycles``: back to back, sometimes with a pause."""
    issued: dict[int, Element] = {}
    now = 0
    for instruction in instructions:
        now += rng.choice((0, 0, 0, 1, 4))
        for i in range(instruction["count"]):
            cycle = now + i * (instruction["gap"] + 1)
            issued[cycle] = Element(cycle, 0, instruction, i, 0)
        now = cycle + cycles
    return issued


def out_of_the_way(config: LpuConfig, loads: dict[int, Element], products: dict[int, Element]) -> dict[int, Element]:
    """The products of instructions that no IW meets at work."""
    steps = config.tile_load_cycles
    installs = set()
    for t, e in loads.items():
        if e.instruction.op is Opcode.IW:
            installs.add(t)
        elif e.instruction["install"] and e.number % steps == steps - 1:
            installs.add(t + LW_TO_IW)
    met = {id(e.instruction) for t, e in products.items() if installs & set(range(t + 1, t + config.abc_cycles))}
    return {t: e for t, e in products.items() if id(e.instruction) not in met}


def expected_results(
    config: LpuConfig, content: StreamContent, loads: dict[int, Element], products: dict[int, Element]
) -> dict[int, tuple[int, Int32]]:
    """(out, sums [L]) by the cycle in which superlane 0 has them."""
    twin, install_at, results = MatrixTwin(config), -1, {}
    func = timing(config, QueueKind.MXM_ACTIVATIONS, Opcode.ABC).func
    assert func is not None
    for t in range(max([*loads, *products]) + 1):
        if t == install_at:
            twin.install()
        if (load := loads.get(t)) and load.instruction.op is Opcode.IW:
            twin.install()
        elif load:
            complete = twin.load_weights(load, content.read(t, west(0), config.weight_streams))
            install_at = t + LW_TO_IW if complete and load.instruction["install"] else install_at
        if product := products.get(t):
            emitted = twin.multiply(product, content.read(t, west(X_INDEX))[0])
            if emitted is not None:
                results[t + func] = (product.instruction["out"], emitted)
    return results


def stimulate(
    config: LpuConfig, content: StreamContent, loads: dict[int, Element], products: dict[int, Element], cycles: int
) -> Stimulus:
    stimulus, rows = Stimulus(), range(config.superlanes)
    bus, x = range(config.weight_streams), range(X_INDEX, X_INDEX + 1)
    for t in range(cycles):
        weights = [content.port(t, Direction.WEST, bus, r) for r in rows]
        stimulus.at(t, x=[content.port(t, Direction.WEST, x, r) for r in rows])
        stimulus.at(t, weights=sum(w << r * config.weight_streams * lane_bits(config) for r, w in enumerate(weights)))
    for port, elements in (("w", loads), ("a", products)):
        for t, e in elements.items():
            fields = {name: value for name, value in e.instruction.args if name not in ("count", "gap")}
            issue = {**fields, "valid": 1, "op": int(e.instruction.op), "first": int(e.first), "last": int(e.last)}
            stimulus.at(t, **{port: issue})
    return stimulus


@pytest.mark.parametrize(
    ("config", "count"),
    [
        pytest.param(preset("nano"), 250, id="nano"),
        pytest.param(preset("nano").replace(name="cells"), 250, id="nano_cells"),
        pytest.param(TINY, 250, id="tiny"),
        pytest.param(ULX3S, 60, id="ulx3s"),
        pytest.param(DUO, 120, id="duo", marks=pytest.mark.slow),
        pytest.param(FEW, 120, id="few", marks=pytest.mark.slow),
    ],
)
def test_matrix_plane(config: LpuConfig, count: int) -> None:
    """Weights and activations of random programs, both queues at once; every result, nothing but results.

    ``nano_cells``: the iCE40's. Sums that stand for a stream's register are there a cycle after their announcement.
    """
    rng = random.Random(5)
    loads = schedule([random_weights(config, rng) for _ in range(count)], rng)
    products = schedule([random_activations(config, rng) for _ in range(count)], rng, config.abc_cycles)
    products = out_of_the_way(config, loads, products)
    cycles = max([*loads, *products]) + 16
    content = StreamContent(config.replace(streams_west=12), np.random.default_rng(6), cycles)
    results = expected_results(config, content, loads, products)
    technology = Technology.ICE40 if config.name == "cells" else Technology.GENERIC
    response = Bench(MatrixUnit(config), technology).run(stimulate(config, content, loads, products, cycles))
    side = config.superlane_lanes
    for t, outputs in enumerate(response):
        for r in range(config.superlanes):
            seen, place = outputs["results"][r], f"cycle {t}, superlane {r}"
            assert seen["valid"] == (t - r in results), place
            if t - r in results:
                out, sums = results[t - r]
                lanes = sums[r * side : (r + 1) * side].view(np.uint32)
                assert seen["out"] == out, place
                there = response[t + config.sums_on_streams]["results"][r]["sums"]
                assert [there[i] for i in range(side)] == lanes.tolist(), place


def test_extreme_sums() -> None:
    """All products -128 * -128, then all -128 * 127: the largest and the smallest psum."""
    config, stimulus, func = TINY, Stimulus(), 5
    low, high = int.from_bytes(bytes([0x80] * 4), "little"), int.from_bytes(bytes([0x7F] * 4), "little")
    bus = sum(low << 32 * s for s in range(4))
    stimulus.at(0, w={"valid": 1, "op": int(Opcode.LW), "first": 1, "last": 1}, weights=bus)
    stimulus.at(1, w={"valid": 1, "op": int(Opcode.IW), "first": 1, "last": 1})
    for t, x in ((1, low), (2, high)):
        first = {"valid": 1, "op": int(Opcode.ABC), "first": 1, "last": 1, "start": 1, "emit": 1, "row": t}
        stimulus.at(t, a=first, x=[x])
    response = Bench(MatrixUnit(config)).run(stimulus, extra=8)
    assert response[1 + func]["results"][0]["sums"][3] == 4 * 128 * 128
    assert response[2 + func]["results"][0]["sums"][0] == 2**32 - 4 * 128 * 127
