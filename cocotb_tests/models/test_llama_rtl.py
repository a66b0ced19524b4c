"""A Llama on the RTL, programs swapped on the way: every token, logit and cycle."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.models.llama_files import random_llama, small_shape
from compiler.evaluate import evaluate
from compiler.llama.program import Buckets
from compiler.llama.quantised import quantise_llama
from compiler.llama.token_graph import token_graph
from hdl.config import preset
from models.llama.generate import Arrays, Request, Run, first_states, generate
from models.llama.prepare import measured, prepare
from models.stories.corpus import HELD_OUT_PATH

SMALL = preset("small")
SHAPE = small_shape(dim=32, hidden=40, layers=2, heads=4, kv_heads=2, vocabulary=64, context=64)
MODEL = random_llama(SHAPE, seed=7)
STORIES = HELD_OUT_PATH.with_name("stories260k.bin")
PROMPTS = ((4, 9, 33, 60, 2), (8, 50, 50, 50, 63))


@pytest.fixture(scope="module")
def buckets() -> Buckets:
    rng = np.random.default_rng(1)
    texts = [[1, *rng.integers(0, SHAPE.vocabulary, 63).tolist()] for _ in range(4)]
    return Buckets(SMALL, quantise_llama(MODEL, measured(MODEL, texts)), sizes=(32,))


def told(buckets: Buckets, prompt: tuple[int, ...], tokens: int) -> list[Run]:
    return list(generate(buckets, Request(prompt, tokens), steps=4))


def golden_tokens(buckets: Buckets, request: Request) -> list[int]:
    """All tokens, by the graph of the whole context alone, a step at a time."""
    graph = token_graph(SMALL, buckets.model, buckets.context, buckets.context)
    states: Arrays = first_states(buckets, request)
    return [int(evaluate(graph, {}, states)["token"][0, 0]) for _ in range(request.steps)]


@pytest.mark.rtl
def test_a_llama_over_two_buckets(buckets: Buckets) -> None:
    stories = [told(buckets, prompt, 32) for prompt in PROMPTS]
    for prompt, runs in zip(PROMPTS, stories, strict=True):
        assert [(r.launch.position, r.launch.bucket) for r in runs] == [(4 * i, 32 if i < 8 else 64) for i in range(9)]
        tokens = [token for run in runs for token in run.tokens]
        assert tokens == golden_tokens(buckets, Request(prompt, 32))
        assert tokens[:4] == list(prompt[1:])
        assert [run.differs for run in runs] == [()] * 9
        assert [run.cycles for run in runs] == [run.predicted for run in runs]
    one, other = stories
    assert [run.tokens for run in one] != [run.tokens for run in other]
    assert [run.cycles for run in one] == [run.cycles for run in other]


@pytest.mark.rtl
def test_a_llama_that_samples(buckets: Buckets) -> None:
    sampling = Buckets(SMALL, buckets.model, sampling=True)
    request = Request(PROMPTS[0], 12, temperature=1.5, seed=6)
    runs = list(generate(sampling, request, steps=4))
    assert [(run.differs, run.cycles) for run in runs] == [((), run.predicted) for run in runs]
    tokens = [token for run in runs for token in run.tokens]
    states: Arrays = first_states(sampling, request)
    whole = Buckets(SMALL, buckets.model, sizes=(), sampling=True).graph(64)
    assert tokens == [int(evaluate(whole, {}, states)["token"][0, 0]) for _ in tokens]
    assert tokens != golden_tokens(buckets, Request(PROMPTS[0], 12))


@pytest.mark.rtl
def test_the_shipped_model_tells_a_story() -> None:
    prepared = prepare(STORIES)
    prompt = tuple(prepared.tokenizer.encode("Once upon a time"))
    runs = told(Buckets(SMALL, prepared.quantised), prompt, 17 - len(prompt))
    assert [run.launch.steps for run in runs] == [4] * 4
    assert [(run.differs, run.cycles) for run in runs] == [((), run.predicted) for run in runs]
    text = prepared.tokenizer.decode([prompt[0], *(token for run in runs for token in run.tokens)])
    assert text.startswith("Once upon a time") and len(text.split()) > 6
