"""Random legal programs: RTL and golden machine agree on every event, the cycles, the flags (none) and the SRAM."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hdl.config import SwitchOp, preset
from sim.compare import fuzz

TOTAL = 100_000
"""Elements that the whole suite compares at least."""


@dataclass(frozen=True)
class Size:
    """Programs of a preset, their length in cycles, and the elements that they have together at least."""

    programs: int
    length: int
    elements: int


SIZES = {"nano": Size(36, 1000, 15_000), "small": Size(8, 5000, 45_000), "duo": Size(8, 5000, 40_000)}


SWITCHES = {
    "none": (),
    "transpose": (SwitchOp.TRANSPOSE,),
    "select": (SwitchOp.SELECT,),
    "rotate": (SwitchOp.ROTATE, SwitchOp.PERMUTE, SwitchOp.TRANSPOSE),
}


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
@pytest.mark.parametrize("name", SWITCHES)
def test_random_programs_with_a_part_of_the_switch(name: str) -> None:
    config = preset("nano").replace(name=f"switch_{name}", switch_ops=SWITCHES[name])
    assert [result.difference for result in fuzz(config, range(8), 600) if result.difference] == []
