"""bench/ops.py: every case exact on the golden machine and not below its bound; bounds against hand-counted chains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench import op_bounds, ops
from bench.op_bounds import Core, sum_depths
from bench.ops import Case, OpResult, measure
from cocotb_tests.compiler import reference
from compiler.evaluate import Arrays
from compiler.image import ProgramImage
from compiler.ir import CompileError
from hdl.config import LpuConfig, PipeKind, preset
from lpu.commands import bench_ops
from lpu.main import main

SMALL, DUO = Core(preset("small")), Core(preset("duo"))

SHAPES: Sequence[Case] = (
    ops.rms_norm(1, 16),
    ops.rms_norm(2, 96),
    ops.rms_norm(1, 172),
    ops.softmax(1, 16),
    ops.softmax(1, 40),
    ops.softmax(3, 64),
    ops.softmax(1, 256),
    ops.rope(2, 64),
    ops.silu_mul(1, 16),
    ops.silu_mul(2, 48),
    ops.residual_add(1, 16),
    ops.residual_add(3, 40),
    ops.quantise(1, 16),
    ops.quantise(3, 80),
    ops.quantise_static(1, 128),
    ops.dequantise(2, 64),
    ops.gather(48, 16),
    ops.gather(48, 64),
    ops.scatter(32, 16),
    ops.scatter(32, 80),
    ops.kv_scatter(64, 64),
    ops.causal_limit(16),
    ops.argmax(1, 16),
    ops.argmax(2, 100),
)
"""Besides ``ops.CASES``: one tile, partial tiles, several rows."""


def on_golden(image: ProgramImage, items: Sequence[Arrays]) -> ops.Runs:
    return [(run.outputs, run.cycles) for run in reference.run_image(image, *items)]


def _id(case: Case) -> str:
    return f"{case.name}-{case.shape}"


@pytest.mark.parametrize("name", ["small", "duo"])
@pytest.mark.parametrize("case", [*ops.CASES, *SHAPES], ids=_id)
def test_operators_are_exact_and_no_faster_than_their_bound(name: str, case: Case) -> None:
    result = measure(preset(name), case, on_golden)
    assert result.exact, (result.wrong_values, result.measured, result.predicted)
    assert result.ratio >= 1, result.as_dict()


def test_a_table_larger_than_a_slice_is_refused() -> None:
    """The index of a GATHER is added to the row alone, so a table must stay in its slice."""
    with pytest.raises(CompileError, match="out of memory"):
        measure(preset("small"), ops.gather(512, 64), on_golden)


@pytest.mark.parametrize("case", [ops.rms_norm(1, 64), ops.softmax(1, 128)], ids=_id)
def test_norm_and_softmax_are_close_to_their_bound(case: Case) -> None:
    small = preset("small")
    assert ops.compiled(small, case).report.cycles <= 1.5 * max(case.limits(Core(small)).values())


# ------------------------------------------------------------------ bounds by hand


@pytest.mark.parametrize(
    ("limits", "cycles"),
    [
        # READ 2 + hop 1 | I2F 4 + FMUL 3 | drive 1 + hop 1 | WRITE 1 + superlane 1
        (op_bounds.chain(SMALL, 1, 16, PipeKind.ADD, PipeKind.MUL), 14),
        # the same, 4 tiles
        (op_bounds.chain(SMALL, 1, 64, PipeKind.ADD, PipeKind.MUL), 17),
        # MUL takes 8 vectors between the first I2F and the last FADD: 3 | 4 + 7 + 3 + 4 | 4
        (op_bounds.chain(SMALL, 1, 64, PipeKind.ADD, PipeKind.MUL, PipeKind.MUL, PipeKind.ADD), 25),
        # 3 | squares of 4 tiles 6, 6 additions 24, 1/n 3, epsilon 4, rsqrt 4, 8 products 10 | 4
        (op_bounds.rms_norm(SMALL, 1, 64), 58),
        # 3 | 15 of INT, 4 halvings 19; 8 of ADD to SFU 18, 7 additions 28, recip 4, 8 products 10 | 4
        (op_bounds.softmax(SMALL, 1, 128), 86),
        # 3 | 4 tiles and 4 halvings 8, 1/127 3, recip 4, 4 products 6, F2I8 1 | 4
        (op_bounds.quantise(SMALL, 1, 64), 29),
        # 3 | 8 products 10, sum 4 | 4
        (op_bounds.rope(SMALL, 1, 64), 21),
        # 3 | 32 tiles and 4 halvings 36, 64 of INT, 4 halvings 68 | 4
        (op_bounds.argmax(SMALL, 1, 512), 111),
        # 3 | 2 doublings | drive 1 + hop 1 | GATHER 2, hop 1 | 4 tiles of PASS 4 | 4
        (op_bounds.gather(SMALL, 64), 18),
        # through the switch: READ 2, hops 2, ROTATE 4, hops 5 | FABS 1, 5 halvings, 3, 4, 3, 1 | 2 | 3
        (op_bounds.quantise(DUO, 1, 32), 35),
    ],
)
def test_bounds_equal_a_count_by_hand(limits: op_bounds.Limits, cycles: int) -> None:
    assert max(limits.values()) == cycles


@pytest.mark.parametrize(
    ("tiles", "lanes", "depths"),
    [
        (1, 16, [0]),
        (3, 16, [1 + 1, 1, 1 + 1]),
        (4, 16, [2, 2, 2, 2]),
        (8, 16, [3] * 8),
        (12, 16, [4] * 8 + [3] * 4),
        (3, 32, [2, 1, 2]),
        (3, 64, [2, 2, 1]),
    ],
)
def test_additions_of_each_tile_of_a_sum(tiles: int, lanes: int, depths: list[int]) -> None:
    assert sum_depths(tiles, lanes) == depths


# ------------------------------------------------------------------------ verdicts


def _result(change: int, off: int) -> OpResult:
    """A case whose runs have one wrong bit, or take other cycles than predicted."""

    def runner(image: ProgramImage, items: Sequence[Arrays]) -> ops.Runs:
        (outputs, cycles), *rest = on_golden(image, items)
        outputs["quantise_static0"][0, 3] ^= np.int8(change)
        return [(outputs, cycles + off), *rest]

    return measure(preset("small"), ops.quantise_static(1, 16), runner)


@pytest.mark.parametrize(("change", "off", "wrong"), [(0, 0, 0), (1, 0, 1), (0, 1, 0)])
def test_a_wrong_value_or_cycle_is_not_exact(change: int, off: int, wrong: int) -> None:
    result = _result(change, off)
    assert (result.wrong_values, result.exact) == (wrong, not change and not off)


# ----------------------------------------------------------------------- command


@pytest.mark.rtl
def test_the_command_prints_and_writes_what_the_rtl_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_ops, "CASES", (ops.rms_norm(1, 64), ops.softmax(1, 128)))
    result = CliRunner().invoke(main, ["bench", "ops", "--json", str(tmp_path / "ops.json")])
    assert result.exit_code == 0, result.output
    assert "2 of 2: every value equals the golden operators, every cycle as predicted" in result.output
    for figures in json.loads((tmp_path / "ops.json").read_text()):
        assert set(figures["measured_cycles"]) == {figures["predicted_cycles"]}
        assert 1 <= figures["ratio"] <= 1.5


def test_the_command_fails_on_a_wrong_value_and_names_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(config: LpuConfig, case: Case) -> OpResult:
        if case.name == "rope":
            raise CompileError("rope0: too wide")
        return _result(change=1, off=0)

    monkeypatch.setattr(bench_ops, "CASES", (ops.rope(1, 64), ops.quantise_static(1, 16)))
    monkeypatch.setattr(bench_ops, "measure", measured)
    result = CliRunner().invoke(main, ["bench", "ops"])
    assert result.exit_code == 1
    assert "not on this core: rope 1x64: rope0: too wide" in result.output
    assert "quantise_static 1x16: 1 wrong values" in result.output
    assert "0 of 1: every value" in result.output
