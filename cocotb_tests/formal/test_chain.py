"""Proofs about timing: what an element of the vector unit reads and drives, and when, whatever issues around it."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from formal.chain import CHAINS, CONFIG, LEAD, OTHER_LANES_FREE, ChainTiming
from formal.faulty import Faulty, late
from formal.mul import FREE_PRODUCTS
from formal.run import Verdict, check
from hdl.config import LpuConfig, PipeKind
from hdl.emit import Shared
from hdl.isa import PIPE_LATENCY
from hdl.vector.lane import pipe_component

DEEPEST = LEAD + 2 + max(PIPE_LATENCY[pipe] for pipe in CONFIG.pipes)
"""Cycles until every element that drives has issued since the first."""


def timing(name: str, early: int = 0, products: tuple[str, ...] = FREE_PRODUCTS) -> Verdict:
    """From any state of the tile; multipliers give anything unless the chain multiplies."""
    top = ChainTiming(CHAINS[name], early)
    return check(top, "tile", max(top.cycles + 1, DEEPEST), (*OTHER_LANES_FREE, *products))


@pytest.mark.parametrize(
    ("name", "products"), [("INT", FREE_PRODUCTS), ("ADD-INT", FREE_PRODUCTS), ("ADD-MUL-INT", ())]
)
def test_chain(name: str, products: tuple[str, ...]) -> None:
    assert timing(name, products=products).holds


def test_an_element_that_issues_a_cycle_early_misses_the_result() -> None:
    found = timing("ADD-INT", early=1)
    assert found.broken == {"result"}
    assert "$enddefinitions" in found.counterexample


def test_a_pipe_a_cycle_slow_is_found() -> None:
    def component(config: LpuConfig, pipe: PipeKind) -> Shared:
        right = pipe_component(config, pipe)
        return Faulty(right, late) if pipe is PipeKind.INT else right

    with patch("hdl.vector.lane.pipe_component", component):
        assert timing("INT").broken == {"result"}


def test_a_drive_a_cycle_late_is_found() -> None:
    late = {**PIPE_LATENCY, PipeKind.ADD: PIPE_LATENCY[PipeKind.ADD] + 1}
    with patch("hdl.vector.tile.whole_latency", lambda config, pipe: late[pipe]):
        broken = timing("INT").broken
    assert broken and all(rule.startswith("drive_") for rule in broken)
