"""The timing table measured in the RTL: d_skew of every operand and d_func of every result, for every instruction."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.core.programs import Item, programs, traced
from cocotb_tests.core.scenarios import Scenario, scenarios, shifts
from golden.trace import Event, read_trace
from hdl.config import LpuConfig
from hdl.isa import CONTROL_OPCODES, SWITCH_LATENCY, Opcode, queue, timing
from sim.run import Job, JobResult, run_programs

pytestmark = [pytest.mark.rtl, pytest.mark.slow]
PRESETS = ("tiny", "small", "ulx3s", "duo")


def job(scenario: Scenario, items: list[Item], trace: Path | None = None) -> Job:
    read_back = [(unit, addr, 1) for unit, addr, _ in scenario.results]
    return Job(programs(scenario.config, items), scenario.memory, read_back, trace)


def with_all_choices(preset_name: str) -> LpuConfig:
    """The preset, but for streams and indices that only some cores may name: they take no other time."""
    return traced(preset_name).replace(last_bytes=False, lane0_index=False)


def is_right(scenario: Scenario, result: JobResult) -> bool:
    rows = [memory[0] for memory in result.memory]
    return all(np.array_equal(row, want) for row, (_, _, want) in zip(rows, scenario.results, strict=True))


@pytest.mark.parametrize("preset_name", PRESETS)
def test_operands_and_results_are_there_in_their_cycle_only(preset_name: str) -> None:
    """On time the result is right; with any one operand, or the one that takes the result, a cycle off it is wrong.

    But sums stay where they are until the next ones come where their register is the first of the streams, and so do
    results of an SFU in which lanes take turns.
    """
    config, cases = with_all_choices(preset_name), []
    jobs: list[Job] = []
    for name, build in scenarios(config).items():
        for role, cycles in (("nothing", 0), *shifts(build(config, 0))):
            scenario = build(config, len(jobs) + 1)
            items = [item.moved(cycles if item.role == role else 0) for item in scenario.items]
            stays = config.sums_on_streams and (role, cycles) == ("result", 1) and _multiplies(scenario)
            stays |= config.sfu_cycles > 1 and (name, role, cycles) == ("SFU register", "producer", -1)
            cases.append((f"{name}: {role} {cycles:+d}", scenario, role == "nothing" or stays))
            jobs.append(job(scenario, items))
    results = run_programs(config, jobs)
    wrong = [
        name
        for (name, scenario, on_time), result in zip(cases, results, strict=True)
        if is_right(scenario, result) != on_time
    ]
    assert wrong == []


def _multiplies(scenario: Scenario) -> bool:
    return any(item.queue == "mxm0.a" for item in scenario.items)


@pytest.mark.parametrize("preset_name", PRESETS)
def test_latencies_of_the_trace(preset_name: str) -> None:
    """Cycles from the issue event to the result event of each superlane."""
    config = with_all_choices(preset_name)
    built = [build(config, 7) for build in scenarios(config).values()]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) for i in range(len(built))]
        run_programs(config, [job(s, s.items, path) for s, path in zip(built, paths, strict=True)])
        traces = [read_trace(path.read_text().splitlines()) for path in paths]
    for scenario, trace in zip(built, traces, strict=True):
        for item in scenario.items:
            if item.role in ("tested", "product"):
                check_latency(config, item, trace)


def check_latency(config: LpuConfig, item: Item, trace: list[Event]) -> None:
    """TRANSPOSE reports with the other switch results, a WRITE when the SRAM takes its row, LW not at all, and a sum
    that stands for a stream's register a cycle after it is announced.
    """
    op, kind = item.instruction.op, queue(config, item.queue).kind
    func = SWITCH_LATENCY + config.superlanes - 1 if op is Opcode.TRANSPOSE else timing(config, kind, op).func
    latency = 1 if func is None else func + int(op is Opcode.ABC and config.sums_on_streams)
    own, count = [event for event in trace if event.queue == item.queue], item.instruction["count"]
    issued = range(item.cycle, item.cycle + count)
    assert {e.cycle for e in own if e.kind == "I"} >= set(issued)
    results = [(e.cycle, e.place) for e in own if e.kind == "R"]
    superlanes = [] if op is Opcode.LW else range(config.superlanes)
    expected = [(t + latency + r, r) for t in issued for r in superlanes]
    assert sorted(results) == sorted(expected), f"{op.name}: {results}"


def test_every_instruction_has_a_scenario() -> None:
    config = traced("small")
    used = {item.instruction.op for build in scenarios(config).values() for item in build(config, 0).items}
    assert used == set(Opcode) - CONTROL_OPCODES
