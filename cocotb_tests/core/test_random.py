"""Random legal programs: RTL and golden machine agree on every event, the cycles, the flags (none) and the SRAM."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hdl.config import PipeKind, SwitchOp, preset
from sim.compare import fuzz

TOTAL = 100_000
"""Elements that the whole suite compares at least."""


@dataclass(frozen=True)
class Size:
    """Programs of a preset, their length in cycles, and the elements that they have together at least."""

    programs: int
    length: int
    elements: int


SIZES = {
    "nano": Size(24, 1000, 5_000),
    "tiny": Size(36, 1000, 15_000),
    "small": Size(8, 5000, 45_000),
    "ulx3s": Size(6, 5000, 20_000),
    "ulx3s_narrow": Size(4, 5000, 13_000),
    "duo": Size(8, 5000, 40_000),
}


LESS: dict[str, dict[str, object]] = {
    "no_switch": {"switch_ops": ()},
    "transpose": {"switch_ops": (SwitchOp.TRANSPOSE,)},
    "select": {"switch_ops": (SwitchOp.SELECT,)},
    "rotate": {"switch_ops": (SwitchOp.ROTATE, SwitchOp.PERMUTE, SwitchOp.TRANSPOSE)},
    "straight": {"loop_levels": 0, "program_rows": 256},
    "no_index": {"indexed": False},
    "plain": {"plain_groups": ("d0", "w0"), "lane0_index": True},
    "last_bytes": {"last_bytes": True, "switch_ops": (SwitchOp.TRANSPOSE,)},
    "steps": {"stride_bits": 3, "count_bits": 5, "gap_bits": 4},
    "host_weights": {"weights_from_host": True, "mac_rows": 2},
    "lane_by_lane": {"lane_by_lane": True, "streams_east": 4, "acc_rows": 2},
    "registers": {"operand_registers": (PipeKind.INT, PipeKind.REQUANT)},
    "arithmetic": {"bitwise": False, "weights_beside_data": True},
}
"""Cores that lack something, as changes of ``tiny``."""


def test_the_sizes_add_up() -> None:
    assert sum(size.elements for size in SIZES.values()) >= TOTAL


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_random_programs(name: str) -> None:
    size = SIZES[name]
    results = fuzz(preset(name), range(size.programs), size.length)
    differences = {seed: result.difference for seed, result in enumerate(results) if result.difference}
    assert differences == {}
    assert sum(result.elements for result in results) >= size.elements


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("name", LESS)
def test_random_programs_of_a_core_that_lacks_something(name: str) -> None:
    config = preset("tiny").replace(name=name, **LESS[name])
    assert [result.difference for result in fuzz(config, range(8), 600) if result.difference] == []
