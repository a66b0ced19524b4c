"""The compiled digits classifier on the golden machine, and what counts as an exact evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cocotb_tests.compiler.reference import run_image
from hdl.config import preset
from models.digits import golden
from models.digits.data import load_split
from models.digits.evaluate import Evaluation, compile_digits
from models.digits.model import FloatModel, quantise


@pytest.mark.parametrize("name", ["nano", "small", "ulx3s", "ulx3s_narrow", "duo"])
def test_the_compiled_classifier_computes_the_golden_logits(name: str) -> None:
    config = preset(name)
    int8 = quantise(FloatModel.load())
    compiled = compile_digits(config, int8)
    images = load_split().test_images[:3]
    runs = run_image(compiled.image, *({"image": image[None, :]} for image in images))
    for run, logits in zip(runs, golden.logits(config, int8, images), strict=True):
        assert run.outputs["logits"].tolist() == [logits.tolist()]
        assert run.outputs["digit"].tolist() == [[logits.argmax()]]
        assert run.cycles == compiled.report.cycles


def evaluation() -> Evaluation:
    logits = np.arange(20, dtype=np.int32).reshape(2, 10)
    digits = np.array([9, 9])
    return Evaluation(np.array([9, 3]), digits, digits, logits, digits, logits.copy(), np.array([7, 7]), 7, 1.0)


def test_an_equal_run_is_exact_even_where_the_model_is_wrong() -> None:
    assert evaluation().exact
    assert evaluation().accuracy(evaluation().rtl_digits) == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"rtl_logits": np.arange(1, 21, dtype=np.int32).reshape(2, 10)},
        {"rtl_digits": np.array([9, 8])},
        {"cycles": np.array([7, 8])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_difference_is_not_exact(changes: dict[str, Any]) -> None:
    assert not replace(evaluation(), **changes).exact
