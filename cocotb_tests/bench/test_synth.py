"""bench/synth.py: cells counted through the hierarchy, attributed to units; yosys' own report on a small netlist."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import synth
from fpga.tools import Tool
from hdl.config import preset

OWN = {
    "lpu_core": Counter({"CCU2C": 8, "lpu_superlane": 2, "plane": 1}),
    "lpu_superlane": Counter({"TRELLIS_FF": 100, "lane": 4, "bank": 1}),
    "plane": Counter({"LUT4": 3, "cell": 4}),
    "cell": Counter({"MULT18X18D": 1, "TRELLIS_FF": 16}),
    "lane": Counter({"LUT4": 10}),
    "bank": Counter({"DP16KD": 5, "TRELLIS_DPR16X4": 2}),
}
NETLISTS = {
    "lpu_core": {"superlane0": "lpu_superlane", "superlane1": "lpu_superlane", "mxm0": "plane"},
    "lpu_superlane": {"vxm0": "lane", "lane1": "lane", "sxm0": "lane", "w0": "lane", "d0": "bank"},
}
ZERO = dict(lut4=0, ccu2c=0, ff=0, dsp=0, bram=0, dist_ram=0)

VERILOG = """
module leaf(input clk, input signed [7:0] a, b, output reg signed [15:0] o);
  always @(posedge clk) o <= a * b;
endmodule

module \\lpu_core.pair (input clk, input signed [7:0] a, b, output [31:0] o);
  leaf \\left$1  (
    .clk(clk), .a(a), .b(b), .o(o[15:0])
  );
  leaf right (
    .clk(clk), .a(b), .b(a), .o(o[31:16])
  );
endmodule

module lpu_core(input clk, input signed [7:0] a, b, output [31:0] o);
  \\lpu_core.pair  mxm0 (
    .clk(clk), .a(a), .b(b), .o(o)
  );
endmodule
"""


def test_cells_below_an_instance_count_once_per_instance() -> None:
    assert synth.cost("plane", OWN) == Counter(LUT4=3, MULT18X18D=4, TRELLIS_FF=64)
    assert synth.cost("lpu_superlane", OWN) == Counter(TRELLIS_FF=100, LUT4=40, DP16KD=5, TRELLIS_DPR16X4=2)


def test_superlanes_are_split_into_their_units() -> None:
    found = synth.report("toy", NETLISTS, OWN)
    assert found.units == {
        "matrix": ZERO | dict(lut4=3, ff=64, dsp=4),
        "vector": ZERO | dict(lut4=20),
        "switch": ZERO | dict(lut4=20),
        "memory": ZERO | dict(lut4=20, bram=10, dist_ram=4),
        "other": ZERO | dict(lut4=20),
        "streams": ZERO | dict(ff=200),
        "top": ZERO | dict(ccu2c=8),
    }
    assert found.total == dict(lut4=83, ccu2c=8, ff=264, dsp=4, bram=10, dist_ram=4)
    assert found.modules["plane"] == ZERO | dict(lut4=3)


@pytest.mark.parametrize(
    ("instance", "unit"),
    [
        ("mxm0_w_control", "matrix"),
        ("w0", "memory"),
        ("d12_r_head", "memory"),
        ("vxm0", "vector"),
        ("sxm1_rotor", "switch"),
        ("controller", "control"),
        ("host_port", "link"),
        ("U$3", "other"),
    ],
)
def test_instances_belong_to_the_unit_their_name_says(instance: str, unit: str) -> None:
    assert synth.unit_of(instance) == unit


def test_modules_and_their_instances_are_read_from_the_text() -> None:
    modules = synth.split_modules(VERILOG)
    assert list(modules) == ["leaf", "lpu_core.pair", "lpu_core"]
    assert modules["leaf"].startswith("module leaf(") and modules["leaf"].endswith("endmodule")
    assert synth.instances(modules["lpu_core.pair"], modules) == {"left$1": "leaf", "right": "leaf"}
    assert synth.instances(modules["lpu_core"], modules) == {"mxm0": "lpu_core.pair"}


def test_yosys_counts_the_multipliers_of_a_known_netlist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "core_verilog", lambda config: VERILOG)
    steps: list[int] = []
    found = synth.synth(preset("tiny"), steps.append, tmp_path)
    assert steps == [1, 2, 3]
    assert (found.total["dsp"], found.modules["leaf"]["dsp"]) == (2, 1)
    assert found.units["matrix"] == found.total
    assert found.units["top"] == ZERO


def test_an_unchanged_module_is_not_synthesised_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = synth.split_modules(VERILOG)
    first = synth.module_cells("leaf", modules, tmp_path)
    monkeypatch.setattr(synth, "tool", lambda name: Tool(name, "no-such-yosys", "none"))
    assert synth.module_cells("leaf", modules, tmp_path) == first
    with pytest.raises(FileNotFoundError):
        synth.module_cells("leaf", modules | {"leaf": modules["leaf"].replace("a * b", "a + b")}, tmp_path)


def test_a_yosys_failure_names_the_module(tmp_path: Path) -> None:
    with pytest.raises(synth.SynthError, match=r"yosys on module 'broken' in .* failed: .*ERROR"):
        synth.module_cells("broken", {"broken": "module broken(; endmodule"}, tmp_path)
    assert not list(tmp_path.glob("*.json"))
