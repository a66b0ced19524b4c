"""The digits classifier on the RTL: every image against the golden model, cycles against the compiler."""

from __future__ import annotations

import pytest

from hdl.config import preset
from models.digits.data import HELD_OUT, load_split
from models.digits.evaluate import Evaluation, compile_digits, evaluate
from models.digits.model import FloatModel, quantise


def run(name: str, images: int) -> Evaluation:
    config, model = preset(name), FloatModel.load()
    int8 = quantise(model)
    return evaluate(compile_digits(config, int8), model, int8, load_split().first(images))


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(("name", "images"), [("small", HELD_OUT), ("nano", 50)])
def test_the_core_equals_the_golden_model_and_the_compiler(name: str, images: int) -> None:
    found = run(name, images)
    assert found.rtl_logits.tolist() == found.golden_logits.tolist()
    assert found.rtl_digits.tolist() == found.golden_digits.tolist()
    assert found.cycles.tolist() == [found.predicted] * images
    assert found.exact
    assert found.accuracy(found.rtl_digits) >= 0.95
