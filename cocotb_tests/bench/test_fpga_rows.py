"""`lpu bench fpga`: what is shown of the rows that are kept, and of one that was refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bench.fpga
from fpga import FpgaError
from fpga.boards import Board, board
from hdl.config import LpuConfig
from lpu.main import main

BUILT = {
    **{"part": "P", "clock_mhz": 21.0, "lut": 4197, "ff": 2192, "dsp": 8, "bram": 28, "met": 1},
    **{"fmax_mhz_median": 23.59, "fmax_mhz_best": 24.46, "critical_path": "a ... b"},
    **{"unit": "image", "cycles": 440, "rate": 47727},
}
REFUSED = {"part": "P", "clock_mhz": 50.0, "unit": "token", "cycles": 3261, "refused": "needs BRAM 288 of 208"}


def stored(monkeypatch: pytest.MonkeyPatch, path: Path, content: str) -> Result:
    path.write_text(content)
    monkeypatch.setattr(bench.fpga.load_baseline, "__defaults__", (path,))
    return CliRunner().invoke(main, ["bench", "fpga", "--stored"])


def test_a_column_for_each_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = {"icebreaker/nano": BUILT, "ulx3s_85f/small": REFUSED}
    result = stored(monkeypatch, tmp_path / "fpga.json", json.dumps(rows))
    assert result.exit_code == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert ["LUT", "4,197", "-"] in cells and ["SPRAM", "-", "-"] not in cells
    assert ["clock, MHz", "21.0", "50.0"] in cells and ["built", "clock met", "refused"] in cells
    assert ["images/s", "47,727", "-"] in cells and ["cycles", "440", "3,261"] in cells
    assert "ulx3s_85f/small: needs BRAM 288 of 208" in result.stdout


def test_all_rows_that_are_kept_fit_a_narrow_terminal() -> None:
    rows = bench.fpga.load_baseline()
    result = CliRunner().invoke(main, ["bench", "fpga", "--stored"], env={"COLUMNS": "80"})
    lines = result.stdout.splitlines()
    boards, presets = ([cell.strip() for cell in line.split("┃")[2:-1]] for line in lines[2:4])
    assert [f"{place}/{core}" for place, core in zip(boards, presets, strict=True)] == list(rows)
    assert all(len(line) <= 80 for line in lines if line.startswith(tuple("┏┃┡│└")))
    tokens = next(line for line in lines if line.startswith("│tokens/s"))
    assert f"{rows['ulx3s_85f/ulx3s_narrow']['rate']:,}" in tokens


def test_a_refused_build_is_a_row_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FpgaError("'nano' is not routed; log: /some/where")

    monkeypatch.setattr(bench.fpga, "build", refuse)
    row = bench.fpga.measure(bench.fpga.CASES["icebreaker/nano"], lambda job, phase: None)
    assert row["refused"] == "'nano' is not routed" and row["cycles"] == 440
    assert "rate" not in row


def test_a_row_is_built_at_its_own_clock_or_at_the_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def refuse(place: Board, config: LpuConfig, clock_mhz: float, *_: object) -> None:
        asked.append(clock_mhz)
        raise FpgaError("no")

    monkeypatch.setattr(bench.fpga, "build", refuse)
    case = replace(bench.fpga.CASES["ulx3s_85f/ulx3s_narrow"], cycles=lambda config: 1)
    for clock_mhz in (None, 50):
        row = bench.fpga.measure(replace(case, clock_mhz=clock_mhz), lambda job, phase: None)
        assert row["clock_mhz"] == asked[-1]
    assert asked == [board("ulx3s_85f").clock_mhz, 50]


@pytest.mark.parametrize(("content", "message"), [("{", "not JSON"), ("[]", "must map the name of each row")])
def test_rows_that_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, message: str) -> None:
    result = stored(monkeypatch, tmp_path / "fpga.json", content)
    assert result.exit_code == 2
    assert f"{tmp_path}/fpga.json: {message}" in result.stderr and result.stderr.count("\n") == 1
