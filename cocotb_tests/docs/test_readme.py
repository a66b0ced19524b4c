"""README.md: its tables agree with the code, its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from hdl.config import PRESETS
from lpu.commands.bench import bench
from lpu.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()


def commands(group: click.Group) -> set[str]:
    return set(group.list_commands(click.Context(group)))


@pytest.mark.parametrize("name", PRESETS)
def test_the_preset_table_states_the_config(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE, re.MULTILINE)
    config = PRESETS[name]
    lanes, macs, sram, hemispheres = row.split(" | ")
    assert (int(lanes), int(macs.replace(",", "")), int(hemispheres)) == (config.lanes, config.macs, config.hemispheres)
    size, unit = sram.split()
    assert float(size) == pytest.approx(config.sram_bytes / {"KiB": 1 << 10, "MiB": 1 << 20}[unit], rel=0.01)


@pytest.mark.parametrize(("row", "figure"), [("cycles a token", "cycles"), ("program bytes", "program_bytes")])
def test_the_story_shows_the_figures_of_the_baseline(row: str, figure: str) -> None:
    """The baseline is what CI compares with the compiler's."""
    baseline = json.loads((ROOT / "bench" / "baseline.json").read_text())
    (shown,) = re.findall(rf"^│ {row} +│(.*)│$", PAGE, re.MULTILINE)
    numbers = [int(number.replace(",", "")) for number in shown.split("│")]
    assert numbers == [baseline[f"small/llama {size}/{figure}"] for size in (32, 64, 128)]


def test_every_command_is_listed_and_no_other() -> None:
    listed = set(re.findall(r"^\| `lpu ((?:bench )?[a-z]+)", PAGE, re.MULTILINE))
    assert listed == (commands(main) - {"bench"}) | {f"bench {name}" for name in commands(bench)}


@pytest.mark.rtl
def test_the_example_runs_and_multiplies_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    printed = capsys.readouterr().out
    assert [int(number) for number in re.findall(r"\d+", printed)[:64]] == list(range(64))
