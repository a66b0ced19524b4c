"""golden.llama.reference against transformers, and against itself token by token.

The recorded logits were made by record_transformers.py; test_llama_transformers.py computes them again.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.models import record_transformers as recorded
from cocotb_tests.models.llama_files import ak42_bytes, legacy_bytes, random_llama, small_shape, write_huggingface
from golden.llama.reference import Reference, attention, logits, perplexity, rms_norm
from models.llama.huggingface import read_huggingface
from models.llama.llama2c import read_llama2c
from models.llama.model import Floats, Llama, LlamaShape

TOLERANCE = 1e-4
ROUNDING = 5e-5
"""Of logits up to 10, when numpy multiplies matrices of other sizes."""
NAMES = list(recorded.CASES)


def shown(model: Llama) -> Floats:
    return logits(model, recorded.case_tokens(model.shape.vocabulary).tolist())[recorded.SHOWN]


def stored(name: str) -> Floats:
    result: Floats = np.load(recorded.DATA / f"{name}.npz")["logits"]
    return result


@pytest.mark.parametrize("name", NAMES)
def test_random_models_agree_with_transformers(name: str, tmp_path: Path) -> None:
    """The folder that transformers was given, through the front end."""
    shape, is_tied = recorded.CASES[name]
    model = read_huggingface(write_huggingface(recorded.case_model(name), tmp_path))
    assert (model.shape, model.is_tied) == (shape, is_tied)
    assert np.abs(shown(model) - stored(name)).max() < TOLERANCE


@pytest.mark.parametrize("to_bytes", [legacy_bytes, ak42_bytes])
def test_the_same_model_as_a_checkpoint_agrees(to_bytes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "model.bin"
    path.write_bytes(to_bytes(recorded.case_model("heads8_of_8")))
    assert np.abs(shown(read_llama2c(path)) - stored("heads8_of_8")).max() < TOLERANCE


def test_the_story_model_agrees_with_transformers() -> None:
    data = np.load(recorded.DATA / "stories.npz")
    assert data["weights"] == recorded.digest(recorded.STORIES), "run cocotb_tests.models.record_transformers again"
    assert np.abs(shown(read_llama2c(recorded.STORIES)) - data["logits"]).max() < TOLERANCE


@pytest.fixture(scope="module")
def model() -> Llama:
    return random_llama(small_shape(), seed=5)


TOKENS = [3, 250, 7, 7, 0, 287, 31, 12]


def test_token_by_token_equals_the_whole_text(model: Llama) -> None:
    reference = Reference(model)
    steps = np.array([reference.step(token, position) for position, token in enumerate(TOKENS)])
    assert steps.dtype == np.float32
    assert np.abs(steps - logits(model, TOKENS)).max() < ROUNDING


def test_a_text_may_be_taken_up_at_an_earlier_position(model: Llama) -> None:
    reference = Reference(model)
    reference.extend(TOKENS, 0)
    changed = [*TOKENS[:3], 100]
    assert np.abs(reference.step(100, 3) - logits(model, changed)[3]).max() < ROUNDING
    assert np.abs(reference.step(9, 4) - logits(model, [*changed, 9])[4]).max() < ROUNDING


def test_later_tokens_do_not_change_earlier_logits(model: Llama) -> None:
    other = [*TOKENS[:5], 1, 2, 3]
    difference = np.abs(logits(model, TOKENS) - logits(model, other)).max(axis=1)
    assert difference[:5].max() < ROUNDING
    assert difference[5:].min() > 0.1


@pytest.mark.parametrize(
    ("token", "position", "message"),
    [
        (-1, 0, r"tokens must be in 0\.\.287"),
        (288, 0, r"tokens must be in 0\.\.287"),
        (0, -1, r"position -1: "),
        (0, 1, r"position 1: the cache holds positions 0\.\.-1"),
    ],
)
def test_steps_out_of_range_are_refused(model: Llama, token: int, position: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reference(model).step(token, position)


def test_a_text_longer_than_the_context_is_refused(model: Llama) -> None:
    with pytest.raises(ValueError, match="position 32: the context is 32"):
        logits(model, [0] * 33)


def test_a_large_context_costs_nothing() -> None:
    model = random_llama(small_shape(context=1 << 20), seed=5)
    assert np.isfinite(Reference(model).step(1, 0)).all()


def test_scores_far_apart_stay_finite() -> None:
    """Neither a key in the future nor a large negative gate leaves a NaN."""
    q = np.full((2, 1, 2), 100, np.float32)
    keys = np.array([[[-100, -100]], [[100, 100]]], np.float32)
    values = np.array([[[1, 2]], [[3, 4]]], np.float32)
    assert attention(q, keys, values).tolist() == [[[1, 2]], [[3, 4]]]
    shape = LlamaShape(dim=2, hidden=1, layers=1, heads=1, kv_heads=1, vocabulary=2, context=4)
    deep = random_llama(shape, seed=0)
    deep.layers[0].w1[:] = -1e4
    assert np.isfinite(logits(deep, [0, 1])).all()


def test_rms_norm_of_a_vector_by_hand() -> None:
    x, gain = np.array([3, 4], np.float32), np.array([1, 10], np.float32)
    expected = [3 / math.sqrt(12.5 + 0.5), 40 / math.sqrt(12.5 + 0.5)]
    assert rms_norm(x, gain, 0.5).tolist() == pytest.approx(expected, rel=1e-6)


def test_perplexity_by_hand() -> None:
    """Chances 1/4 and 1/2: exp of the mean of their negative logarithms is sqrt(8)."""
    scores = np.log(np.array([[1, 1, 1, 1], [2, 4, 1, 1]], np.float32)) + np.float32(500)
    assert perplexity(scores, [2, 1]) == pytest.approx(math.sqrt(8), rel=1e-5)
    assert perplexity(np.zeros((3, 96), np.float32), [0, 5, 95]) == pytest.approx(96)
