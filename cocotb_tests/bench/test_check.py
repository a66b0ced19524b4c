"""bench/check.py: what counts as a regression, and the committed baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.check import (
    AREA_PRESET,
    AREA_QUANTITIES,
    BaselineError,
    Change,
    Figures,
    compare,
    load_baseline,
    program_figures,
    save_baseline,
)
from bench.ops import CASES, Case

ANCHORS = {"64x64x64": 1100, "64x128x256": 8300, "1x64x64": 60, "1x256x256": 310, "1x128x128": 110}
"""The cycles the project has set itself as upper limits on ``small``."""


@pytest.mark.parametrize(
    ("quantity", "before", "now", "worse"),
    [
        ("cycles", 38, 39, True),
        ("cycles", 38, 37, False),
        ("program_bytes", 200, 201, True),
        ("dsp", 256, 257, True),
        ("lut4", 1000, 1020, False),
        ("lut4", 1000, 1021, True),
        ("ff", 1000, 1021, True),
    ],
)
def test_growth_beyond_the_slack_is_a_regression(quantity: str, before: int, now: int, worse: bool) -> None:
    (change,) = compare({f"small/x/{quantity}": before}, {f"small/x/{quantity}": now})
    assert change.regression is worse


def test_a_lost_figure_is_a_regression_and_a_new_one_is_not() -> None:
    assert compare({"a/b/cycles": 1}, {"a/c/cycles": 1}) == [
        Change("a/b/cycles", 1, None),
        Change("a/c/cycles", None, 1),
    ]
    assert [change.regression for change in compare({"a/b/cycles": 1}, {"a/c/cycles": 1})] == [True, False]


def test_regressions_come_first_and_equal_figures_not_at_all() -> None:
    changes = compare({"a/cycles": 5, "b/cycles": 5, "c/cycles": 5}, {"a/cycles": 4, "b/cycles": 5, "c/cycles": 6})
    assert [change.name for change in changes] == ["c/cycles", "a/cycles"]


def test_a_baseline_survives_the_file(tmp_path: Path) -> None:
    save_baseline({"b/cycles": 2, "a/cycles": 1}, tmp_path / "baseline.json")
    assert load_baseline(tmp_path / "baseline.json") == {"a/cycles": 1, "b/cycles": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"baseline\.json: no such file: run `lpu bench check --update`"),
        ("{", r"baseline\.json: not JSON"),
        ('{"a": 1.5}', r"baseline\.json: must map the name of each figure to an integer"),
    ],
)
def test_a_broken_baseline_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BaselineError, match=message):
        load_baseline(path)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return program_figures()


def test_programs_are_no_worse_than_the_committed_baseline(figures: Figures) -> None:
    stored = {name: value for name, value in load_baseline().items() if "/area/" not in name}
    assert [change for change in compare(stored, figures) if change.regression] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_figures_have_every_operator(figures: Figures, case: Case) -> None:
    place = f"small/{case.name} {case.shape}"
    assert figures[f"{place}/cycles"] > 0 and figures[f"{place}/program_bytes"] > 0


@pytest.mark.parametrize("shape", ANCHORS)
def test_the_baseline_keeps_to_the_anchors(shape: str) -> None:
    assert load_baseline()[f"small/matmul {shape}/cycles"] <= ANCHORS[shape]


def test_the_baseline_has_the_area() -> None:
    stored = load_baseline()
    assert all(stored[f"{AREA_PRESET}/area/{quantity}"] > 0 for quantity in AREA_QUANTITIES)
