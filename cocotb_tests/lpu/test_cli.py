"""The `lpu` command: what it prints, what it writes, how it fails."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from compiler.build import compile_graph
from compiler.workloads import matmul_graph, matmul_input
from hdl.config import PRESETS, preset
from lpu.main import main
from sim.compare import Comparison

NANO = preset("tiny")


def lpu(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_help_lists_every_subcommand() -> None:
    result = lpu()
    assert result.exit_code == 0
    for name in ("bench", "calibrate", "demo", "digits", "eval", "fuzz", "isa", "run", "verilog"):
        assert f"\n  {name}  " in result.stdout


@pytest.mark.parametrize(
    "name", ["demo", "digits", "eval", "fuzz", "isa", "run", "verilog", "bench matmul", "bench synth"]
)
def test_every_subcommand_explains_itself(name: str) -> None:
    result = lpu(*name.split(), "--help")
    assert result.exit_code == 0 and f"Usage: main {name} " in result.stdout


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["bench", "nonsense"], "No such command 'nonsense'."),
        (["verilog", "--preset", "giant"], f"unknown preset 'giant'; presets: {', '.join(PRESETS)}"),
        (["isa", "-o", "file"], "-o needs --markdown"),
        (["fuzz", "--seeds", "9-3"], "Invalid value for '--seeds': '9-3': must be A or A-B with A <= B"),
        (["fuzz", "--seeds", "x"], "Invalid value for '--seeds': 'x': must be A or A-B with A <= B"),
        (["bench", "matmul", "1", "2"], "Missing argument 'N'."),
        (["bench", "matmul", "1", "0", "2"], "Invalid value for 'K': 0 is not in the range x>=1."),
        (["run", "no-such-image"], "Invalid value for 'MODEL|IMAGE': Path 'no-such-image' does not exist."),
        (["run", "pyproject.toml", "--input", "x"], "Invalid value for '--input': 'x': must be NAME=FILE.npy"),
        (["run", "pyproject.toml", "--input", "x=none.npy"], "[Errno 2] No such file or directory: 'none.npy'"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(args: list[str], text: str) -> None:
    result = lpu(*args)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"lpu: error: {text}\n")


@pytest.mark.parametrize(("command", "found"), [("disasm", "magic "), ("run", "not a llama2.c checkpoint")])
def test_a_file_that_is_no_image_is_one_line(tmp_path: Path, command: str, found: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1000))
    result = lpu(command, path)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(f"lpu: error: {path}: {found}") and result.stderr.count("\n") == 1


def test_a_program_that_does_not_fit_is_one_line() -> None:
    result = lpu("bench", "matmul", 1, 4096, 4096, "--preset", "tiny")
    assert result.exit_code == 2 and result.stderr.startswith("lpu: error: ") and result.stderr.count("\n") == 1


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr("lpu.commands.verilog.core_verilog", broken)
    result = lpu("verilog", "--preset", "tiny")
    assert isinstance(result.exception, ValueError) and not isinstance(result.exception, click.ClickException)


def test_verilog_writes_the_whole_core(tmp_path: Path) -> None:
    path = tmp_path / "new" / "core.v"
    assert lpu("verilog", "--preset", "tiny", "-o", path).exit_code == 0
    text = path.read_text()
    assert "module lpu_core(" in text and text.rstrip().endswith("endmodule") and "trace__" not in text
    assert lpu("verilog", "--preset", "tiny").stdout == text


def test_isa_shows_every_instruction_with_its_bits() -> None:
    result = lpu("isa", "--preset", "tiny", "--markdown")
    assert result.exit_code == 0
    assert "| READ | 8 |  | 2 | stream <- SRAM[addr]." in result.stdout
    assert "| count | 12:5 | 8 | 1 .. 255 | elements to issue |" in result.stdout
    for heading in ("mem.r: instructions", "mxm.a: fields", "sxm: control", "vxm: ALU operations"):
        assert f"\n## {heading}\n" in result.stdout


def test_docs_isa_is_up_to_date() -> None:
    assert Path("docs/isa.md").read_text() == lpu("isa", "--markdown").stdout, "run `make docs`"


@pytest.mark.rtl
def test_fuzz_counts_programs_and_differences() -> None:
    result = lpu("fuzz", "--preset", "tiny", "--seeds", "4-5", "--length", "60")
    assert result.exit_code == 0
    assert "2 programs on tiny, " in result.stdout and result.stdout.rstrip().endswith(": 0 differ")


def test_fuzz_names_the_seed_that_differs_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [Comparison(100, 50, None), Comparison(90, 40, "cycle 7, queue d0.r: issue in rtl only")]
    monkeypatch.setattr("lpu.commands.fuzz.compare_random", lambda *_: results)
    result = lpu("fuzz", "--preset", "tiny", "--seeds", "8-9")
    assert result.exit_code == 1
    assert "seed 9: cycle 7, queue d0.r: issue in rtl only\n" in result.stdout and "seed 8" not in result.stdout
    assert "2 programs on tiny, 90 elements in 190 cycles: 1 differ" in result.stdout


@pytest.mark.rtl
def test_bench_matmul_measures_what_was_predicted(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    result = lpu("bench", "matmul", 2, 8, 4, "--preset", "tiny", "--json", path)
    assert result.exit_code == 0
    assert "8 of 8 values equal the golden operators; +0 cycles off" in result.stdout
    figures = json.loads(path.read_text())
    assert figures["measured_cycles"] == figures["cycles"] >= figures["bound_cycles"] > 0


@pytest.mark.rtl
def test_run_writes_outputs_figures_and_trace(tmp_path: Path) -> None:
    image = compile_graph(NANO, matmul_graph(NANO, 2, 8, 4)).image
    image.save(tmp_path / "image")
    np.save(tmp_path / "x.npy", matmul_input(2, 8, 0))
    files = {name: tmp_path / name for name in ("figures", "trace", "out")}
    args: list[object] = ["--preset", "tiny", "--input", f"x={tmp_path / 'x.npy'}"]
    args += ["--output", files["out"], "--json", files["figures"], "--trace", files["trace"]]
    result = lpu("run", tmp_path / "image", *args)
    assert result.exit_code == 0 and "RTL = golden" in result.stdout
    figures = json.loads(files["figures"].read_text())
    assert figures == {"predicted_cycles": image.cycles, "measured_cycles": image.cycles, "equal": {"y": True}}
    assert np.load(files["out"] / "y.npy").shape == (2, 4)
    assert any(line.startswith("I 0 ") for line in files["trace"].read_text().splitlines())


def test_run_wants_the_images_preset(tmp_path: Path) -> None:
    image = compile_graph(NANO, matmul_graph(NANO, 1, 4, 4)).image
    image.save(tmp_path / "image")
    result = lpu("run", tmp_path / "image", "--preset", "small")
    assert result.exit_code == 2 and "('tiny'): must be" in result.stderr and result.stderr.count("\n") == 1
