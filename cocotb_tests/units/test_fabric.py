"""The stream registers of a superlane against ``golden.streams``: every position, every cycle."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cocotb_tests.units.content import as_int
from cocotb_tests.units.harness import Bench, Stimulus
from golden.streams import StreamRegisters
from hdl.config import Direction, LpuConfig, preset
from hdl.fabric import StreamFabric
from hdl.isa import stream
from hdl.layouts import lane_bits

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny")
DRIVERS = (
    *((Direction.EAST, position, 0) for position in (0, 2, 2, 3)),
    *((Direction.WEST, position, 1) for position in (4, 3, 1, 1)),
    (Direction.EAST, 1, 7),
)
"""(direction, position, stream) of each driver; at two places there are two."""
FORETOLD = ((Direction.EAST, 2, 0),)
"""Places whose drivers say a cycle before that they drive."""


class FabricUnit(wiring.Component):
    """Drivers of a few streams, and those streams at every position."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        ports: dict[str, wiring.Member] = {"conflict": Out(1)}
        for k in range(len(DRIVERS)):
            ports |= {f"enable{k}": In(1), f"soon{k}": In(1), f"vector{k}": In(lane_bits(config))}
        for direction, index in sorted({(d, s) for d, _, s in DRIVERS}):
            for position in range(config.positions):
                ports[self.seen(direction, position, index)] = Out(lane_bits(config))
        super().__init__(ports)

    @staticmethod
    def seen(direction: Direction, position: int, index: int) -> str:
        return f"{direction.name.lower()}_{index}_at_{position}"

    def elaborate(self, platform: object) -> Module:
        m, fabric = Module(), StreamFabric(self._config)
        for k, place in enumerate(DRIVERS):
            soon = getattr(self, f"soon{k}") if place in FORETOLD else None
            fabric.drive(*place, getattr(self, f"enable{k}"), getattr(self, f"vector{k}"), soon)
        for direction, index in sorted({(d, s) for d, _, s in DRIVERS}):
            for position in range(self._config.positions):
                port = getattr(self, self.seen(direction, position, index))
                m.d.comb += port.eq(fabric.value(direction, position, index))
        m.d.comb += self.conflict.eq(fabric.build(m))
        return m


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(FabricUnit(CONFIG))


def places() -> list[tuple[Direction, int, int]]:
    return [(d, p, s) for d, s in sorted({(d, s) for d, _, s in DRIVERS}) for p in range(CONFIG.positions)]


def reached() -> set[tuple[Direction, int, int]]:
    """Places downstream of a driver of their stream."""
    found = set()
    for direction, position, index in DRIVERS:
        downstream = range(position + 1, CONFIG.positions) if direction is Direction.EAST else range(position)
        found |= {(direction, place, index) for place in downstream}
    return found


def test_values_hop_and_are_replaced(bench: Bench) -> None:
    """Random drives, one per place and cycle, while all else passes on; what was never driven is not compared."""
    rng, golden, stimulus = np.random.default_rng(2), StreamRegisters(CONFIG), Stimulus()
    driven, ones = StreamRegisters(CONFIG), np.full((1, CONFIG.lanes), 0xFF, np.uint8)
    expected = []
    for t in range(1, 400):
        golden.advance(t)
        driven.advance(t)
        seen = {place: (place[1], stream(place[0], place[2])) for place in places()}
        expected.append({place: as_int(golden.read(*at)) for place, at in seen.items() if driven.read(*at).all()})
        taken = set()
        for k in rng.permutation(len(DRIVERS)):
            place, vector = DRIVERS[k], rng.integers(0, 256, (1, CONFIG.lanes), np.uint8)
            enable = rng.random() < 0.3 and place not in taken
            stimulus.at(t, **{f"enable{k}": int(enable), f"vector{k}": as_int(vector)})
            stimulus.at(t - 1, **{f"soon{k}": int(enable)})
            if enable:
                taken.add(place)
                golden.drive(place[1], stream(place[0], place[2]), vector)
                driven.drive(place[1], stream(place[0], place[2]), ones)
    assert {place for places_ in expected for place in places_} == reached()
    for t, (outputs, values) in enumerate(zip(bench.run(stimulus)[1:], expected, strict=True), 1):
        assert {place: outputs[FabricUnit.seen(*place)] for place in values} == values, f"cycle {t}"
        assert not outputs["conflict"]


def test_nothing_arrives_where_nothing_drives(bench: Bench) -> None:
    """Upstream of the first driver of a stream there is no register."""
    stimulus = Stimulus()
    for t in range(CONFIG.positions + 2):
        stimulus.at(
            t, **{f"enable{k}": 1 for k in range(len(DRIVERS))}, **{f"vector{k}": 1 for k in range(len(DRIVERS))}
        )
    for outputs in bench.run(stimulus):
        assert not any(outputs[FabricUnit.seen(*place)] for place in set(places()) - reached())


@pytest.mark.parametrize("pair", [(a, b) for b in range(len(DRIVERS)) for a in range(b)])
def test_conflict_is_two_drives_of_one_place(bench: Bench, pair: tuple[int, int]) -> None:
    stimulus = Stimulus()
    stimulus.at(1, **{f"enable{k}": 1 for k in pair})
    stimulus.at(2, **{f"enable{pair[0]}": 1})
    expected = DRIVERS[pair[0]] == DRIVERS[pair[1]]
    assert [outputs["conflict"] for outputs in bench.run(stimulus)] == [0, expected, 0]
