"""models/digits: the stored weights reach the stated accuracy, in float32 and in int8."""

from __future__ import annotations

import numpy as np
import pytest

from hdl.config import LpuConfig, preset
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


def scaled_by_word(acc: int, scale: float, mult_bits: int) -> int:
    """acc * m / 2^s with the largest m = round(scale * 2^s) of ``mult_bits`` bits; exact in float64."""
    shift = max(s for s in range(64) if round(scale * 2**s) < 1 << mult_bits)
    return round(acc * round(scale * 2**shift) / 2**shift)


def scaled_by_fp32(acc: int, scale: float) -> int:
    """The sum is exact in fp32; one product, rounded to nearest even twice."""
    return round(float(np.float32(acc) * np.float32(scale)))


def reference_logits(config: LpuConfig, model: Int8Model, image: np.ndarray) -> list[int]:
    """The network on one image in Python numbers, sharing nothing with golden/."""
    hidden = []
    for n in range(len(model.w1)):
        acc = sum(int(w) * int(x) for w, x in zip(model.w1[n], image, strict=True)) + int(model.c1[n])
        scale = float(model.scale[n])
        scaled = scaled_by_fp32(acc, scale) if config.has_floats else scaled_by_word(acc, scale, config.mult_bits)
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
    recognised = golden.digits(preset(name), quantise(model), split.test_images)
    accuracy = float((recognised == split.test_labels).mean())
    assert accuracy >= 0.95
    assert abs(accuracy - model.accuracy(split.test_images, split.test_labels)) <= 0.01


@pytest.mark.parametrize("name", ["nano", "small"])
def test_golden_logits_equal_python_arithmetic(name: str, model: FloatModel, split: Split) -> None:
    config, int8 = preset(name), quantise(model)
    images = split.test_images[:20]
    expected = [reference_logits(config, int8, image) for image in images]
    assert golden.logits(config, int8, images).tolist() == expected


def test_sums_are_exact_in_fp32(model: FloatModel, split: Split) -> None:
    """Which is what makes one rounding of the scaled sum of :func:`scaled_by_fp32`."""
    int8 = quantise(model)
    largest = np.abs(int8.w1.astype(int)).sum(axis=1) * PIXEL_MAX + np.abs(int8.c1)
    assert largest.max() < 1 << 24


def test_cores_with_and_without_floating_point_recognise_nearly_the_same(model: FloatModel, split: Split) -> None:
    """Layer 1 is scaled in fp32 or by a word of mult_bits; codes that this rounds differently change few logits."""
    found = [golden.logits(preset(name), quantise(model), split.test_images) for name in ("nano", "small", "duo")]
    assert np.array_equal(found[1], found[2])
    assert (found[0].argmax(axis=1) == found[1].argmax(axis=1)).mean() >= 0.99
    assert not np.array_equal(found[0], found[1])


def test_weight_codes_are_symmetric_and_rebuild_the_weights(model: FloatModel) -> None:
    int8 = quantise(model)
    assert int8.w1.min() >= -127 and int8.w2.min() >= -127
    step = np.abs(model.w1).max(axis=0) / 127
    used = np.abs(model.w1).max(axis=0) > np.abs(model.w1).max() / 1024
    error = np.abs(int8.w1.T * step - model.w1)[:, used]
    assert (error <= 0.501 * step[used]).all()
    assert not int8.w1[~used].any()


@pytest.mark.parametrize("name", ["nano", "small"])
def test_the_graph_declares_the_outputs_the_demo_reads(name: str, model: FloatModel) -> None:
    graph = digits_graph(preset(name), quantise(model))
    assert {(t.name, t.dtype.value, t.shape) for t in graph.outputs} == {
        ("logits", "int32", (1, 10)),
        ("digit", "int32", (1, 1)),
    }
    assert [(t.name, t.shape) for t in graph.inputs] == [("image", (1, 64))]
