"""`lpu fpga run` on simulated boards: program, serial line, bridge and core, all of them as on a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cocotb_tests.fpga.pty_board import PATIENCE, simulated_board
from cocotb_tests.models.llama_files import ak42_bytes, random_llama, small_shape, tokenizer_bytes
from hdl.config import preset
from lpu.main import main

pytestmark = [pytest.mark.rtl, pytest.mark.slow]


@pytest.fixture(scope="module")
def nano() -> Iterator[str]:
    with simulated_board(preset("nano")) as port:
        yield port


def fpga_run(*args: object) -> Result:
    return CliRunner().invoke(main, ["fpga", "run", *map(str, args), "--patience", str(PATIENCE)])


def test_digits_on_nano(nano: str, tmp_path: Path) -> None:
    result = fpga_run("digits", "--board", "icebreaker", "--port", nano, "--images", 12, "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["images_with_equal_logits"] == figures["images_with_predicted_cycles"] == 12


def test_another_core_is_refused(nano: str) -> None:
    result = fpga_run("digits", "--board", "icebreaker", "--port", nano, "--preset", "small")
    assert result.exit_code == 2
    assert "core 0x" in result.output and "preset 'small'" in result.output


def test_a_llama_on_small(tmp_path: Path) -> None:
    """Every byte of a Llama of two layers goes over the line, and its tokens come back."""
    shape = small_shape(dim=32, hidden=40, layers=2, heads=4, kv_heads=2, context=32)
    (tmp_path / "model.bin").write_bytes(ak42_bytes(random_llama(shape, seed=3)))
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bytes())
    (tmp_path / "text").write_text("abcd eee efgh ab")
    files = tmp_path / "model.bin", "--calibrate", tmp_path / "text", "--json", tmp_path / "figures.json"
    with simulated_board(preset("small")) as port:
        where = "--board", "ulx3s_85f", "--preset", "small", "--port", port
        result = fpga_run(*files, *where, "--prompt", "ab", "--tokens", 3)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["tokens"], figures["differs_from_golden"]) == (3, "nothing")
    assert figures["launches"] == figures["launches_in_predicted_cycles"] == figures["launches_equal_to_golden"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("digits", "--board", "none"), "unknown board 'none'; boards: icebreaker"),
        (("digits", "--board", "versa_ecp5"), "board 'versa_ecp5': has no serial line that has been tried"),
        (("no.bin", "--board", "ulx3s_85f"), "no.bin: no such model: must be a file, a folder or 'digits'"),
        (("digits", "--board", "icebreaker", "--preset", "mini"), "unknown preset 'mini'"),
        (("digits", "--board", "icebreaker"), "port /dev/null/none at 1000000 baud: "),
        (("digits", "--board", "icebreaker", "--baud", 0), "0 is not in the range 300<=x<=12000000"),
    ],
)
def test_mistakes_are_one_line(args: tuple[object, ...], text: str) -> None:
    result = fpga_run(*args, "--port", "/dev/null/none")
    assert result.exit_code == 2
    assert text in result.stderr and result.stderr.count("\n") == 1
