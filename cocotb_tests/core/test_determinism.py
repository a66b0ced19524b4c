"""Time does not depend on data: a program takes the same cycles and issues the same, whatever is in the SRAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.core.programs import traced
from compiler.image import MemoryBlock
from compiler.random_program import random_program
from golden.trace import read_trace
from sim.run import Job, run_programs

pytestmark = [pytest.mark.rtl, pytest.mark.slow]
FILLS = 4


@pytest.mark.parametrize("preset_name", ["tiny", "small"])
@pytest.mark.parametrize("seed", [100, 101])
def test_cycles_and_issues_do_not_depend_on_data(preset_name: str, seed: int, tmp_path: Path) -> None:
    """Random bytes, also for indices and requantisation words; all zeros; the results differ, their cycles do not."""
    config = traced(preset_name)
    programs, memory = random_program(config, seed, 600)
    rng, jobs = np.random.default_rng(seed), []
    for fill in range(FILLS):
        high = 256 if fill else 1
        blocks = [MemoryBlock(b.unit, b.addr, rng.integers(0, high, b.rows.shape, np.uint8)) for b in memory]
        jobs.append(Job(programs, blocks, (), tmp_path / str(fill)))
    results = run_programs(config, jobs)
    traces = [read_trace((tmp_path / str(fill)).read_text().splitlines()) for fill in range(FILLS)]
    assert len({result.status.cycles for result in results}) == 1
    events = [[(e.cycle, e.queue, e.kind, e.place) for e in trace] for trace in traces]
    assert len(events[0]) > 300 and all(other == events[0] for other in events[1:])
    assert len({tuple(trace) for trace in traces}) == FILLS
