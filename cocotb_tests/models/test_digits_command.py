"""`lpu digits` around a simulator that is stood in for: what it prints, writes, and when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compiler.build import CompiledProgram
from lpu.commands import digits
from models.digits import golden
from models.digits.data import Split
from models.digits.evaluate import Evaluation
from models.digits.model import FloatModel, Int8Model

Invoke = Callable[..., Result]


def perfect(compiled: CompiledProgram, model: FloatModel, int8: Int8Model, split: Split, progress: Any) -> Evaluation:
    """A core that answers what the golden model answers, in the predicted cycles."""
    pixels, cycles = split.test_images, compiled.report.cycles
    config = compiled.image.config
    logits, digits = golden.logits(config, int8, pixels), golden.digits(config, int8, pixels)
    measured = np.full(len(pixels), cycles)
    return Evaluation(split.test_labels, digits, digits, logits, digits, logits, measured, cycles, 2.0)


def late(*args: Any) -> Evaluation:
    found = perfect(*args)
    return replace(found, cycles=found.cycles + (np.arange(len(found.labels)) == 3))


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    monkeypatch.setattr(digits, "build", lambda config: None)
    monkeypatch.setattr(digits, "PICTURE", tmp_path / "digits.png")

    def run(evaluate: Callable[..., Evaluation], *args: str) -> Result:
        monkeypatch.setattr(digits, "evaluate", evaluate)
        return CliRunner().invoke(digits.digits, ["--images", "5", *args])

    return run


def test_an_exact_run_prints_its_figures_and_the_picture(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(perfect, "--json", str(tmp_path / "digits.json"))
    assert result.exit_code == 0
    assert "images with predicted cycles" in result.output
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "digits.json").read_text())
    assert (figures["preset"], figures["images"], figures["images_with_equal_logits"]) == ("small", 5, 5)
    assert figures["simulated_images_per_second"] == 2.5


def test_one_image_off_by_a_cycle_fails(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(late, "--json", str(tmp_path / "digits.json"))
    assert result.exit_code == 1
    assert json.loads((tmp_path / "digits.json").read_text())["images_with_predicted_cycles"] == 4


def test_terminal_art_shades_from_empty_to_full() -> None:
    image = np.zeros(64, np.int8)
    image[0], image[9], image[63] = 16, 8, 1
    lines = digits.terminal_art(image).split("\n")
    assert [len(line) for line in lines] == [16] * 8
    assert (lines[0], lines[1]) == ("@@" + 14 * " ", "  ==" + 12 * " ")
    assert lines[7] == 16 * " "
