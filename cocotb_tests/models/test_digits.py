"""models/digits: the stored weights reach the stated accuracy, in float32 and in int8."""

from __future__ import annotations

import numpy as np
import pytest

from hdl.config import preset
from models.digits import golden
from models.digits.data import CLASSES, HELD_OUT, PIXEL_MAX, PIXELS, Split, load_split
from models.digits.graph import digits_graph
from models.digits.model import WEIGHTS_FILE, FloatModel, Int8Model, quantise

STATED = 0.9778
"""README.md of the model."""


@pytest.fixture(scope="module")
def split() -> Split:
    return load_split()


@pytest.fixture(scope="module")
def model() -> FloatModel:
    return FloatModel.load()


def reference_logits(model: Int8Model, image: np.ndarray) -> list[int]:
    """The network on one image in Python integers and fractions of two, sharing nothing with golden/."""
    hidden = []
    for n in range(len(model.w1)):
        acc = sum(int(w) * int(x) for w, x in zip(model.w1[n], image, strict=True)) + int(model.c1[n])
        scaled = round(acc * int(model.multiplier[n]) / 2 ** int(model.shift[n]))  # exact in float64; ties to even
        hidden.append(min(max(scaled, 0), 127))
    return [
        sum(int(w) * h for w, h in zip(model.w2[n], hidden, strict=True)) + int(model.c2[n]) for n in range(CLASSES)
    ]


def test_the_split_is_stratified_and_pixels_are_codes(split: Split) -> None:
    assert split.test_images.shape == (HELD_OUT, PIXELS)
    assert (split.test_images.min(), split.test_images.max()) == (0, PIXEL_MAX)
    assert np.bincount(split.test_labels).min() >= HELD_OUT // CLASSES - 2
    seen = {image.tobytes() for image in split.train_images}
    assert not any(image.tobytes() in seen for image in split.test_images)


def test_float_accuracy_is_the_stated_one(model: FloatModel, split: Split) -> None:
    assert model.accuracy(split.test_images, split.test_labels) == pytest.approx(STATED, abs=5e-5)


def test_the_weights_are_small_and_calibrated_on_the_training_images(model: FloatModel, split: Split) -> None:
    assert WEIGHTS_FILE.stat().st_size < 50_000
    assert model.hidden(split.train_images).max() == pytest.approx(model.hidden_max, rel=1e-5)


@pytest.mark.parametrize("name", ["nano", "small"])
def test_int8_is_within_a_point_of_float(name: str, model: FloatModel, split: Split) -> None:
    recognised = golden.digits(quantise(model, preset(name)), split.test_images)
    accuracy = float((recognised == split.test_labels).mean())
    assert accuracy >= 0.95
    assert abs(accuracy - model.accuracy(split.test_images, split.test_labels)) <= 0.01


@pytest.mark.parametrize("name", ["nano", "small"])
def test_golden_logits_equal_integer_arithmetic(name: str, model: FloatModel, split: Split) -> None:
    int8 = quantise(model, preset(name))
    images = split.test_images[:20]
    assert golden.logits(int8, images).tolist() == [reference_logits(int8, image) for image in images]


@pytest.mark.parametrize("name", ["nano", "small"])
def test_multipliers_fit_the_core_and_logits_fit_their_width(name: str, model: FloatModel, split: Split) -> None:
    config = preset(name)
    int8 = quantise(model, config)
    assert 0 < int8.multiplier.max() < 1 << config.mult_bits
    limit = 1 << (int8.logit_bits - 1)
    found = golden.logits(int8, split.test_images)
    assert -limit <= found.min() and found.max() < limit
    assert int8.logit_bits + (CLASSES - 1).bit_length() <= 32


def test_only_the_requantisation_depends_on_the_core(model: FloatModel) -> None:
    nano, small = quantise(model, preset("nano")), quantise(model, preset("small"))
    for name in ("w1", "c1", "w2", "c2"):
        assert np.array_equal(getattr(nano, name), getattr(small, name))
    scale = nano.multiplier / 2.0**nano.shift
    assert scale == pytest.approx(small.multiplier / 2.0**small.shift, rel=2**-8)
    assert not np.array_equal(nano.multiplier, small.multiplier)


def test_weight_codes_are_symmetric_and_rebuild_the_weights(model: FloatModel) -> None:
    int8 = quantise(model, preset("small"))
    assert int8.w1.min() >= -127 and int8.w2.min() >= -127
    step = np.abs(model.w1).max(axis=0) / 127
    used = np.abs(model.w1).max(axis=0) > np.abs(model.w1).max() / 1024
    error = np.abs(int8.w1.T * step - model.w1)[:, used]
    assert (error <= 0.501 * step[used]).all()
    assert not int8.w1[~used].any()


def test_the_graph_declares_the_outputs_the_demo_reads(model: FloatModel) -> None:
    graph = digits_graph(quantise(model, preset("small")))
    assert {(t.name, t.dtype.value, t.shape) for t in graph.outputs} == {
        ("logits", "int32", (1, 10)),
        ("digit", "int32", (1, 1)),
    }
    assert [(t.name, t.shape) for t in graph.inputs] == [("image", (1, 64))]
