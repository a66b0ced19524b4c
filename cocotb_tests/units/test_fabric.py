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
CONFIG = preset("nano")
DRIVERS = (
    *((Direction.EAST, position, 0) for position in (0, 2, 2, 3)),
    *((Direction.WEST, position, 1) for position in (4, 3, 1, 1)),
    (Direction.EAST, 1, 7),
)
"""(direction, position, stream) of each driver; at two places there are two."""


class FabricUnit(wiring.Component):
    """Drivers of a few streams, and those streams at every position."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        ports: dict[str, wiring.Member] = {"conflict": Out(1)}
        for k in range(len(DRIVERS)):
            ports |= {f"enable{k}": In(1), f"vector{k}": In(lane_bits(config))}
        for direction, index in sorted({(d, s) for d, _, s in DRIVERS}):
            for position in range(config.positions):
                ports[self.seen(direction, position, index)] = Out(lane_bits(config))
        super().__init__(ports)

    @staticmethod
    def seen(direction: Direction, position: int, index: int) -> str:
        return f"{direction.name.lower()}_{index}_at_{position}"

    def elaborate(self, platform: object) -> Module:
        m, fabric = Module(), StreamFabric(self._config)
        for k, (direction, position, index) in enumerate(DRIVERS):
            fabric.drive(direction, position, index, getattr(self, f"enable{k}"), getattr(self, f"vector{k}"))
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


def test_values_hop_and_are_replaced(bench: Bench) -> None:
    """Random drives, one per place and cycle, while everything else passes on."""
    rng, golden, stimulus = np.random.default_rng(2), StreamRegisters(CONFIG), Stimulus()
    expected = []
    for t in range(400):
        golden.advance(t)
        expected.append({place: as_int(golden.read(place[1], stream(place[0], place[2]))) for place in places()})
        taken = set()
        for k in rng.permutation(len(DRIVERS)):
            place, vector = DRIVERS[k], rng.integers(0, 256, (1, CONFIG.lanes), np.uint8)
            enable = rng.random() < 0.3 and place not in taken
            stimulus.at(t, **{f"enable{k}": int(enable), f"vector{k}": as_int(vector)})
            if enable:
                taken.add(place)
                golden.drive(place[1], stream(place[0], place[2]), vector)
    for t, outputs in enumerate(bench.run(stimulus)):
        assert {place: outputs[FabricUnit.seen(*place)] for place in places()} == expected[t], f"cycle {t}"
        assert not outputs["conflict"]


@pytest.mark.parametrize("pair", [(a, b) for b in range(len(DRIVERS)) for a in range(b)])
def test_conflict_is_two_drives_of_one_place(bench: Bench, pair: tuple[int, int]) -> None:
    stimulus = Stimulus()
    stimulus.at(1, **{f"enable{k}": 1 for k in pair})
    stimulus.at(2, **{f"enable{pair[0]}": 1})
    expected = DRIVERS[pair[0]] == DRIVERS[pair[1]]
    assert [outputs["conflict"] for outputs in bench.run(stimulus)] == [0, expected, 0]
