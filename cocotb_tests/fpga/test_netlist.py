"""The synthesised core of an iCE40, cell by cell, does what the RTL does: every event, every cycle, every output."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpga.netlist import ice40_netlist
from hdl.config import preset
from models.digits.data import load_split
from models.digits.evaluate import compile_digits, evaluate
from models.digits.model import FloatModel, quantise
from sim.build import Simulator, build
from sim.compare import fuzz
from sim.run import run_image

pytestmark = [pytest.mark.rtl, pytest.mark.slow]

CORE = preset("nano").replace(trace=True)


@pytest.fixture(scope="module")
def netlist() -> Simulator:
    return build(CORE, ice40_netlist(CORE))


def test_random_programs_on_the_netlist(netlist: Simulator) -> None:
    results = fuzz(CORE, range(6), 300, simulator=netlist)
    assert [result.difference for result in results if result.difference] == []
    assert sum(result.elements for result in results) > 1000


def test_digits_on_netlist_and_rtl(netlist: Simulator, tmp_path: Path) -> None:
    """Same events, logits, digits and cycles; the cycles are the predicted ones."""
    compiled = compile_digits(CORE, quantise(FloatModel.load()))
    images = [{"image": row[None, :]} for row in load_split().test_images[:5]]
    on_netlist = run_image(CORE, compiled.image, images, trace=tmp_path / "netlist", simulator=netlist)
    on_rtl = run_image(CORE, compiled.image, images, trace=tmp_path / "rtl")
    assert (tmp_path / "netlist").read_text() == (tmp_path / "rtl").read_text() != ""
    for gates, rtl in zip(on_netlist, on_rtl, strict=True):
        assert gates.cycles == rtl.cycles == compiled.report.cycles
        assert {k: v.tolist() for k, v in gates.outputs.items()} == {k: v.tolist() for k, v in rtl.outputs.items()}


def test_the_digits_of_that_core_are_the_golden_ones() -> None:
    model = FloatModel.load()
    int8 = quantise(model)
    assert evaluate(compile_digits(CORE, int8), model, int8, load_split().first(40)).exact


def test_a_broken_netlist_is_noticed() -> None:
    """The multipliers take their weights as unsigned."""
    broken = build(CORE, ice40_netlist(CORE, change="setparam -set A_SIGNED 1'b0 t:SB_MAC16"))
    assert [result.difference for result in fuzz(CORE, range(2), 300, simulator=broken) if result.difference]
