"""bench/synth.py: cells counted through the hierarchy, attributed to units; yosys' own report on a small netlist."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import synth

MODULES = {
    "\\lpu_core": {"num_cells_by_type": {"CCU2C": 8, "lpu_superlane": 2, "plane": 1}},
    "\\lpu_superlane": {"num_cells_by_type": {"TRELLIS_FF": 100, "lane": 4, "bank": 1}},
    "\\plane": {"num_cells_by_type": {"LUT4": 3, "cell": 4}},
    "\\cell": {"num_cells_by_type": {"MULT18X18D": 1, "TRELLIS_FF": 16}},
    "\\lane": {"num_cells_by_type": {"LUT4": 10}},
    "\\bank": {"num_cells_by_type": {"DP16KD": 5, "TRELLIS_DPR16X4": 2}},
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
module lpu_superlane(input clk, input signed [7:0] a, b, output [15:0] o);
  leaf vxm0(.clk(clk), .a(b), .b(a), .o(o));
endmodule
module lpu_core(input clk, input signed [7:0] a, b, output [31:0] o);
  leaf mxm0(.clk(clk), .a(a), .b(b), .o(o[15:0]));
  lpu_superlane superlane0(.clk(clk), .a(a), .b(b), .o(o[31:16]));
endmodule
"""


def test_cells_below_an_instance_count_once_per_instance() -> None:
    own = synth.cells_by_module(MODULES)
    assert synth.cost("plane", own) == Counter(LUT4=3, MULT18X18D=4, TRELLIS_FF=64)
    assert synth.cost("lpu_superlane", own) == Counter(TRELLIS_FF=100, LUT4=40, DP16KD=5, TRELLIS_DPR16X4=2)


def test_superlanes_are_split_into_their_units() -> None:
    found = synth.report("toy", NETLISTS, synth.cells_by_module(MODULES))
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


def test_primitive_cells_are_no_instances() -> None:
    netlist = {"cells": {"mxm0": {"type": "tile"}, "$add$1": {"type": "$add"}}}
    assert synth.instances(netlist, {"tile": Counter()}) == {"mxm0": "tile"}


def test_yosys_counts_the_multipliers_of_a_known_netlist(tmp_path: Path) -> None:
    synth.run_yosys(tmp_path, VERILOG)
    found = synth.read_report("toy", tmp_path)
    assert found.total["dsp"] == 2
    assert found.units["matrix"] == found.units["vector"]
    assert found.units["matrix"]["ff"] == 16
    assert found.units["streams"] == found.units["top"] == ZERO


def test_a_yosys_failure_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(synth.SynthError, match=r"yosys on .*core\.v failed: .*ERROR"):
        synth.run_yosys(tmp_path, "module lpu_core(; endmodule")
    assert not (tmp_path / "stat.json").exists()
