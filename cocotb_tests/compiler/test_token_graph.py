"""The graph of one token: layouts of heads, on the golden machine and against the fp32 reference."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.compiler.reference import run_image
from cocotb_tests.models.llama_files import random_llama, small_shape
from compiler.build import compile_graph
from compiler.evaluate import Arrays, bits, evaluate
from compiler.ir import CompileError
from compiler.llama.calibration import calibrate
from compiler.llama.layout import EMPTY, HeadLayout
from compiler.llama.quantised import QuantisedLlama, quantise_llama
from compiler.llama.token_graph import token_graph
from golden.llama import reference
from hdl.config import LpuConfig, preset
from models.llama.model import LlamaShape

SMALL, DUO, MEDIUM = (preset(name) for name in ("small", "duo", "medium"))
LAYOUTS = {
    "two heads a tile, grouped": {"heads": 4, "kv_heads": 2},
    "one head a tile": {"heads": 2, "kv_heads": 2},
    "one kv head": {"heads": 4, "kv_heads": 1},
}


def quantised(shape: LlamaShape) -> tuple[QuantisedLlama, list[list[int]]]:
    """A random model, and sequences of tokens that it is calibrated on."""
    model = random_llama(shape, seed=3)
    rng = np.random.default_rng(4)
    texts = [[1, *rng.integers(0, shape.vocabulary, shape.context - 1).tolist()] for _ in range(3)]
    return quantise_llama(model, calibrate(model, texts)), texts


def shape_of(**changes: int) -> LlamaShape:
    return small_shape(
        **({"dim": 32, "hidden": 40, "layers": 2, "heads": 4, "kv_heads": 2, "vocabulary": 50, "context": 32} | changes)
    )


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("config", [SMALL, DUO], ids=lambda config: config.name)
def test_tokens_on_the_golden_machine(config: LpuConfig, name: str) -> None:
    model, (text, *_) = quantised(shape_of(**LAYOUTS[name]))
    graph = token_graph(config, model, 32, 32)
    compiled = compile_graph(config, graph, 2)
    start = {"token": np.array([[text[0]]], np.int32), "position": np.zeros((1, 1), np.int32)}
    states: Arrays = {name: value.copy() for name, value in start.items()}
    for run in run_image(compiled.image, start, {}):
        for _ in range(2):
            expected = evaluate(graph, {}, states)
        for output, value in expected.items():
            np.testing.assert_array_equal(bits(run.outputs[output]), bits(value), err_msg=output)
        assert run.cycles == compiled.image.cycles


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("config", [SMALL, MEDIUM], ids=lambda config: config.name)
def test_logits_are_near_the_reference(config: LpuConfig, name: str) -> None:
    """A random model has no margin: its int8 logits are compared with fp32's by correlation."""
    shape = shape_of(**LAYOUTS[name], context=64)
    model, (text, *_) = quantised(shape)
    wanted = reference.logits(random_llama(shape, seed=3), text[:40])
    tokens = np.full((64 // config.lanes + 1) * config.lanes, -1, np.int32)
    tokens[:40] = text[:40]
    states: Arrays = {"tokens": tokens.reshape(-1, config.lanes), "token": np.array([[text[0]]], np.int32)}
    graph = token_graph(config, model, 64, 64)
    found = np.concatenate([evaluate(graph, {}, states)["logits"] for _ in range(40)])
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.995


def test_every_channel_has_its_lane() -> None:
    for config in (SMALL, DUO, MEDIUM):
        layout = HeadLayout(config, shape_of(heads=4, kv_heads=2))
        for lanes, channels in (
            (layout.keys(), 16),
            (layout.values(), 16),
            (layout.rows(), 32),
            (layout.queries(), 32),
        ):
            assert sorted(lanes[lanes != EMPTY]) == list(range(channels))
        shared = (layout.rows() != EMPTY).reshape(-1, layout.heads, config.lanes)
        assert shared.sum(axis=1).max() == 1


def test_positions_must_fit_the_lanes() -> None:
    model, _ = quantised(shape_of())
    for context, bucket in ((40, 32), (32, 24), (32, 64)):
        with pytest.raises(CompileError, match=f"context {context}, bucket {bucket}: must be multiples of 16"):
            token_graph(SMALL, model, context, bucket)
    wide, _ = quantised(shape_of(heads=1, kv_heads=1))
    with pytest.raises(CompileError, match="heads of 32 channels: must be at most 16, the lanes of 'small'"):
        token_graph(SMALL, wide, 32, 32)
