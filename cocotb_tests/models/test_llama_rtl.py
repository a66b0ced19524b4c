"""A Llama on the RTL, programs swapped on the way: every token, logit and cycle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cocotb_tests.models.llama_files import random_llama, small_shape
from compiler.evaluate import evaluate
from compiler.llama.program import Buckets
from compiler.llama.quantised import quantise_llama
from compiler.llama.token_graph import token_graph
from golden.llama import reference
from hdl.config import preset
from models.llama.generate import Arrays, Request, Run, first_states, generate
from models.llama.model import ModelError
from models.llama.prepare import measured, prepare
from models.stories.corpus import HELD_OUT_PATH
from sim.session import moved_constants

SMALL = preset("small")
SHAPE = small_shape(dim=32, hidden=40, layers=2, heads=4, kv_heads=2, vocabulary=64, context=32)
MODEL = random_llama(SHAPE, seed=7)
STORIES = HELD_OUT_PATH.with_name("stories260k.bin")
PROMPTS = ((1, 9, 33, 60, 2), (1, 50, 50, 50, 63))


@pytest.fixture(scope="module")
def buckets() -> Buckets:
    rng = np.random.default_rng(1)
    texts = [[1, *rng.integers(0, SHAPE.vocabulary, 31).tolist()] for _ in range(4)]
    return Buckets(SMALL, quantise_llama(MODEL, measured(MODEL, texts)), sizes=(16,))


def told(buckets: Buckets, prompt: tuple[int, ...], tokens: int) -> list[Run]:
    return list(generate(buckets, Request(prompt, tokens), steps=4))


def golden_tokens(buckets: Buckets, request: Request) -> list[int]:
    """All tokens, by the graph of the whole context alone, a step at a time."""
    graph = token_graph(SMALL, buckets.model, buckets.context, buckets.context)
    states: Arrays = first_states(buckets, request)
    return [int(evaluate(graph, {}, states)["token"][0, 0]) for _ in range(request.steps)]


@pytest.mark.rtl
def test_a_llama_over_two_buckets(buckets: Buckets) -> None:
    stories = [told(buckets, prompt, 17) for prompt in PROMPTS]
    for prompt, runs in zip(PROMPTS, stories, strict=True):
        assert [(r.launch.position, r.launch.bucket) for r in runs] == [(4 * i, 16 if i < 4 else 32) for i in range(6)]
        tokens = [token for run in runs for token in run.tokens]
        assert tokens == golden_tokens(buckets, Request(prompt, 17))
        assert tokens[:4] == list(prompt[1:])
        assert [run.differs for run in runs] == [()] * 6
        assert [run.cycles for run in runs] == [run.predicted for run in runs]
    one, other = stories
    assert [run.tokens for run in one] != [run.tokens for run in other]
    assert [run.cycles for run in one] == [run.cycles for run in other]
