"""REQUANT of some lanes at a time against ``golden.numerics.requant_alu``: every word of every cycle."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.units.harness import Bench, Stimulus
from golden.numerics import Int32, requant_alu
from hdl.config import LpuConfig, MemoryGroup, PipeKind, preset
from hdl.isa import RequantOp, pipe_cycles, pipe_latency
from hdl.vector.requant_unit import RequantUnit

pytestmark = pytest.mark.rtl
NANO = preset("nano")
EIGHT = NANO.replace(
    name="eight", lanes=8, weight_streams=8, streams_west=12, weight_groups=(MemoryGroup(8, 16),), mult_bits=16
)
FIRST = 4
"""Cycles from the command to the results of the first lanes."""
ELEMENTS = 400


def elements(config: LpuConfig, rng: np.random.Generator) -> list[tuple[int, int, Int32, Int32]]:
    """(cycle, op, x [L], y [L]), as close as the unit can take them, now and then with a pause; most shifts small."""
    cycle, made = 0, []
    for _ in range(ELEMENTS):
        x = rng.integers(-(2**31), 2**31, config.lanes) >> rng.integers(0, 32, config.lanes)
        shift = rng.integers(0, int(rng.choice([8, 24, 64])), config.lanes)
        y = shift << config.mult_bits | rng.integers(0, 1 << config.mult_bits, config.lanes)
        made.append((cycle, int(rng.choice(list(RequantOp))), x.astype(np.int32), y.astype(np.int32)))
        cycle += config.requant_cycles + int(rng.choice([0, 0, 0, 1, 5]))
    return made


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(NANO, id="1_of_4"),
        pytest.param(NANO.replace(requant_lanes=2), id="2_of_4"),
        pytest.param(EIGHT.replace(requant_lanes=2), id="2_of_8_wide"),
    ],
)
def test_requant_unit(config: LpuConfig) -> None:
    """Lanes come block by block and stay; beside the command operands are garbage."""
    rng, stimulus = np.random.default_rng(3), Stimulus()
    issued = elements(config, rng)
    for t in range(issued[-1][0] + 1):
        x, y = rng.integers(0, 1 << 32, (2, config.lanes))
        stimulus.at(t, command={"valid": 0, "op": int(rng.integers(4))}, x=x.tolist(), y=y.tolist())
    changes: dict[int, list[tuple[int, int]]] = {}
    at_once = config.lanes // config.requant_cycles
    for t, op, x, y in issued:
        stimulus.at(t, command={"valid": 1, "op": op}, x=x.view(np.uint32).tolist(), y=y.view(np.uint32).tolist())
        results = requant_alu(config, RequantOp(op), x, y).view(np.uint32).tolist()
        for lane, value in enumerate(results):
            changes.setdefault(t + FIRST + lane // at_once, []).append((lane, value))
    shown: dict[int, int] = {}
    for t, outputs in enumerate(Bench(RequantUnit(config)).run(stimulus, extra=FIRST + config.requant_cycles)):
        shown |= dict(changes.get(t, []))
        assert {lane: outputs["result"][lane] for lane in shown} == shown, f"cycle {t}"
    assert len(shown) == config.lanes


@pytest.mark.parametrize(("at_once", "cycles", "latency"), [(None, 1, 3), (4, 1, 3), (2, 2, 5), (1, 4, 7)])
def test_what_it_costs(at_once: int | None, cycles: int, latency: int) -> None:
    """docs/timing.md: the commanding cycle, one to keep the operands, three for the first block, one a block more."""
    config = NANO.replace(requant_lanes=at_once)
    assert pipe_cycles(config, PipeKind.REQUANT) == cycles
    assert pipe_latency(config, PipeKind.REQUANT) == latency
    assert pipe_latency(config, PipeKind.INT) == 1
