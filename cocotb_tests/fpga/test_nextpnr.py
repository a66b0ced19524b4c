"""fpga/nextpnr.py and fpga/room.py: when a placement is given up, and the LUTs that it leaves free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fpga import FpgaError, nextpnr, room, tools
from fpga import build as flow
from fpga.boards import board

COUNTER = """module lpu_board(input clk, input rst, input rx, output tx, output running);
  reg [63:0] count;
  always @(posedge clk) count <= rst ? 0 : count + rx;
  assign tx = count[63], running = &count;
endmodule
"""


def iterations(overused: Sequence[int]) -> str:
    """What router2 says."""
    lines = (f"iter={k} wires=700000 overused={n} overuse={n + 5} archfail=NA" for k, n in enumerate(overused, 1))
    return "".join(f"Info:     {line}\n" for line in lines)


def run(said: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The phases of a nextpnr that says ``said`` and goes on with the shell command ``then``."""
    script, phases = tmp_path / "nextpnr-ecp5", list[str]()
    script.write_text(f"#!/bin/sh\ncat <<END\n{said}END\n{then}\n")
    script.chmod(0o755)
    monkeypatch.setattr(nextpnr, "tool", lambda name: tools.Tool(name, str(script), "1"))
    nextpnr.run_nextpnr("ecp5", ["--seed", "1"], tmp_path / "log", "preset 'x' on y", phases.append, tmp_path)
    return phases


SLICES = ("SLICEA", "SLICEB", "SLICEC", "SLICED")
STALLED = [60_000, 40_000, 30_000, 29_000, 28_900, 28_800, 28_700, 28_600, 28_500]
"""The ninth is the first that is not a twentieth less than the one six before."""


def test_routing_that_gets_no_further_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    said = "Info: Routing globals...\n" + iterations(STALLED)
    with pytest.raises(FpgaError) as caught:
        run(said, "exec sleep 60", tmp_path, monkeypatch)
    assert str(caught.value) == (
        "preset 'x' on y is not routed: after 9 iterations 28,500 of 700,000 wires are wanted twice, "
        f"30,000 were 6 iterations before; log: {tmp_path}/log"
    )
    assert time.monotonic() - begun < 30
    assert (tmp_path / "log").read_text() == said


@pytest.mark.parametrize(
    "overused",
    [
        [int(60_000 * 0.9**k) for k in range(90)],
        [5000, 3000, 2000, 999, 998, 998, 997, 998, 999, 996, 3, 3, 3, 3, 3, 3, 3, 0],
        STALLED[:8],
    ],
    ids=["slowly", "the last ones", "not long"],
)
def test_routing_that_becomes_better_goes_on(
    overused: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = run("Info: Packing IOs..\n" + iterations(overused), "exit 0", tmp_path, monkeypatch)
    assert phases[0] == "packing" and len(phases) == 1 + len(overused)
    assert phases[-1] == f"routing, iteration {len(overused)}: {overused[-1]:,} wires wanted twice"


@pytest.mark.parametrize("said", ["", iterations(STALLED[:2])], ids=["silent", "in its second iteration"])
def test_routing_that_takes_too_long_is_stopped(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(nextpnr, "ROUTING_MINUTES", 0.02)
    after = ": after 2 iterations 40,000 of 700,000 wires are wanted twice" if said else ""
    with pytest.raises(FpgaError, match=f"y is not routed in 0.02 minutes{after}; log: "):
        run("Info: Routing globals...\n" + said, "exec sleep 60", tmp_path, monkeypatch)
    assert time.monotonic() - begun < 30


def test_a_nextpnr_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FpgaError, match="nextpnr-ecp5 failed on preset 'x' on y: ERROR: no pin; log: "):
        run("ERROR: no pin\nInfo: 1 error\n", "exit 1", tmp_path, monkeypatch)


def test_one_row_of_three_keeps_its_luts() -> None:
    """Every other tile has at least two LUTs left, in one slice."""
    assert room.LUTS == 83_640
    tiles: dict[tuple[int, int], set[str]] = {}
    for place in room.taken():
        x, y, lut = place.split("/")
        tiles.setdefault((int(x[1:]), int(y[1:])), set()).add(lut)
    assert sum(map(len, tiles.values())) == len(room.taken()) == 39_852
    assert all(y % 3 and x in room.COLUMNS and y in room.ROWS for x, y in tiles) and len(tiles) == 54 * 123
    for luts in tiles.values():
        slices = {lut.partition(".")[0] for lut in luts}
        assert luts == {f"{name}.K{k}" for name in slices for k in (0, 1)} and slices < set(SLICES)


@pytest.mark.parametrize(
    ("device", "lut", "scarce", "roomy"),
    [
        ("--85k", 25_000, False, False),
        ("--85k", 25_100, True, True),
        ("--85k", 37_600, True, True),
        ("--85k", 37_700, True, False),
        ("--45k", 30_000, False, False),
    ],
)
def test_wires_are_scarce_where_luts_are_many(device: str, lut: int, scarce: bool, roomy: bool) -> None:
    """There is room where the LUTs fit beside those that are taken."""
    units = {"vxm0": {"lut": lut - 1000, "ff": 9}, "mxm0": {"lut": 1000, "ff": 70_000}}
    assert room.has_scarce_wires(["nextpnr-ecp5", device], units) == scarce
    assert room.has_room(["nextpnr-ecp5", device], units) == roomy
    assert not roomy or lut < room.LUTS - len(room.taken())


def test_fillers_have_nets_of_their_own() -> None:
    cell = {"type": "LUT4", "connections": {"A": ["0"], "Z": [7]}}
    module = {"cells": {"a": cell}, "netnames": {"n": {"bits": [3, "x"]}}, "ports": {}}
    netlist = {"creator": "yosys", "modules": {"top": module, "LUT4": {}}}
    made = room.with_fillers(netlist)
    cells = made["modules"]["top"]["cells"]
    assert set(module) == {"cells", "netnames", "ports"} and len(cells) == 1 + len(room.taken())
    outputs = [bit for name, cell in cells.items() for bit in cell["connections"]["Z"]]
    assert len(set(outputs)) == len(outputs) and min(outputs) == 7
    assert sorted(c["attributes"]["BEL"] for n, c in cells.items() if n != "a") == sorted(room.taken())
    assert made["creator"] == "yosys" and "LUT4" in made["modules"]


@pytest.mark.parametrize(("seed", "given"), [(0, []), (3, ["--seed", "3"])])
def test_seed_0_is_nextpnrs_own(seed: int, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Sequence[str]] = []

    def noted(family: str, arguments: Sequence[str], *others: object) -> None:
        found.append(arguments)
        raise FpgaError("not placed")

    monkeypatch.setattr(flow, "run_nextpnr", noted)
    (tmp_path / "cells.json").write_text("{}")
    made = flow.Flow("ecp5", {}, ("nextpnr-ecp5", "--85k", "--json", "../top.json"), ("ecppack",))
    with pytest.raises(FpgaError, match="not placed"):
        flow.place(tmp_path, made, seed, "x on y", lambda job, phase: None)
    assert found == [["--85k", "--json", "../top.json", *given, "--report", "report.json", "--timing-allow-fail"]]


@pytest.mark.slow
def test_a_design_between_fillers_is_a_bitstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fillers are placed where they are to be, nothing else is there, and they are not counted."""
    monkeypatch.setattr(flow, "FOLDER", tmp_path)
    monkeypatch.setattr(room, "MANY", 0)
    place = board("ulx3s_85f")
    pll, clock_hz = flow.clock_setting(place, 50)
    report = flow.build_design(place, "counter", COUNTER, pll, clock_hz, [1], lambda job, phase: None)
    assert report.met and report.bitstream is not None
    assert 64 <= report.used["LUT"] < 300
    (text,) = tmp_path.glob("*/seed-1/top.config")
    assert text.stat().st_size > 1000
