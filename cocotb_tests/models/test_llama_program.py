"""Buckets, budget, calibration files, sequences, perplexity: against what is counted or computed another way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.check import STORY_MODEL
from cocotb_tests.models.llama_files import ak42_bytes, random_llama, small_shape, tokenizer_bytes
from compiler.build import compile_graph
from compiler.evaluate import evaluate
from compiler.image import tensor_addresses
from compiler.ir import CompileError
from compiler.llama.budget import DoesNotFitError, check_budget, needs_of
from compiler.llama.calibration import calibrate
from compiler.llama.program import Buckets, Launch
from compiler.llama.quantised import quantise_llama
from golden.llama import reference
from golden.operators import OperatorError
from hdl.config import LpuConfig, UnitKind, preset
from models.llama.generate import CHECKED, Request, check_request, first_states, golden_run, start_counter
from models.llama.model import LlamaShape, ModelError
from models.llama.perplexity import compare
from models.llama.prepare import NAMES, load_ranges, measured, prepare, save_ranges, sequences
from models.llama.tokenizer import BinTokenizer
from sim.compare import golden_image
from sim.session import moved_constants

SMALL = preset("small")
SHAPE = small_shape(dim=32, hidden=40, layers=2, heads=4, kv_heads=2, vocabulary=64, context=64)
MODEL = random_llama(SHAPE, seed=5)
TEXTS = [[1, *np.random.default_rng(seed).integers(0, 64, 40).tolist()] for seed in range(3)]


@pytest.fixture(scope="module")
def buckets() -> Buckets:
    return Buckets(SMALL, quantise_llama(MODEL, measured(MODEL, TEXTS)))


# ------------------------------------------------------------------------------ buckets


def test_buckets_end_with_the_context(buckets: Buckets) -> None:
    assert buckets.sizes == (32, 64)
    assert Buckets(SMALL, buckets.model, context=32).sizes == (32,)
    assert Buckets(SMALL, buckets.model, sizes=(48, 128)).sizes == (48, 64)
    assert [buckets.bucket(position) for position in (0, 31, 32, 63)] == [32, 32, 64, 64]
    with pytest.raises(CompileError, match="position 64: must be below the context, 64"):
        buckets.bucket(64)


def test_a_bucket_refuses_positions_of_a_smaller_one(buckets: Buckets) -> None:
    assert [buckets.first(size) for size in (32, 64)] == [0, 32]
    assert Buckets(SMALL, buckets.model, sizes=()).first(64) == 0
    states = first_states(buckets, Request((1,), 1))
    with pytest.raises(OperatorError, match=r"causal_mask: position 0: must be in 32\.\.63, those of the mask"):
        evaluate(buckets.graph(64), {}, states)


def test_launches_neither_cross_a_bucket_nor_the_end(buckets: Buckets) -> None:
    assert list(buckets.plan(6, 4)) == [Launch(0, 4, 32), Launch(4, 2, 32)]
    launches = list(buckets.plan(41, 5))
    assert [launch.steps for launch in launches] == [5] * 6 + [2] + [5, 4]
    assert [launch.position for launch in launches] == [0, 5, 10, 15, 20, 25, 30, 32, 37]
    assert [launch.bucket for launch in launches] == [32] * 7 + [64] * 2


def test_programs_share_states_and_the_host_brings_the_other_constants(buckets: Buckets) -> None:
    one, other = (buckets.program(size, 1).image for size in buckets.sizes)
    names = buckets.states()
    assert {"position", "token", "tokens", "x", "l0.keys", "l1.values"} <= set(names)
    for name in names:
        first, second = one.tensor(name), other.tensor(name)
        assert (first.unit, first.addr, first.rows) == (second.unit, second.addr, second.rows)
    after = {(block.unit, block.addr + i): row for block in one.memory for i, row in enumerate(block.rows)}
    after |= moved_constants(one, other, names)
    for info in other.tensors:
        if info.kind == "const" and info.name not in names:
            for addr in tensor_addresses(SMALL, info):
                wanted = next(
                    b.rows[addr - b.addr]
                    for b in other.memory
                    if (b.unit, 0) == (info.unit, 0) and 0 <= addr - b.addr < len(b.rows)
                )
                assert np.array_equal(after[info.unit, addr], wanted), info.name


def test_states_that_would_move_are_an_error(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets.program(32, 1)
    moved = Buckets(SMALL, buckets.model)
    moved._programs[32, 1] = buckets._programs[32, 1]
    monkeypatch.setattr("compiler.llama.program._place", lambda info: f"{id(info)}")
    with pytest.raises(CompileError, match=r"state '.*': at .* in one bucket's program, at .* must not move"):
        moved.program(64, 1)


# ------------------------------------------------------------------------------ budget


@pytest.mark.parametrize("name", ["small", "medium"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_budget_is_what_the_graph_holds(name: str, is_tied: bool) -> None:
    """Weight groups exactly, tensor by tensor; data groups but for the operators' own small constants."""
    config, shape = preset(name), small_shape(dim=96, hidden=40, heads=12, kv_heads=4, vocabulary=288, context=128)
    model = random_llama(shape, 1, is_tied)
    graph = Buckets(config, quantise_llama(model, measured(model, [[1, 2, 3]]))).graph(128)
    needs = list(needs_of(config, shape, is_tied, 128))
    tensors = {t for op in graph.ops for t in op.inputs if t.value is not None}
    rows = {t for t in tensors if t.name in ("embedding.rows", "codes")}
    weights = {t for t in tensors if t.dtype.value == "int8"} - rows
    L = config.lanes
    stored = sum(-(-t.shape[0] // L) * -(-t.shape[1] // L) * L * L for t in weights)
    assert sum(need.size for need in needs if need.kind is UnitKind.WEIGHT_MEMORY) == stored
    data = [t for t in tensors if t not in weights]
    held = sum(t.dtype.bytes * t.shape[0] * -(-t.shape[1] // L) * L for t in data)
    budget = sum(need.size for need in needs if need.kind is UnitKind.DATA_MEMORY)
    assert abs(budget - held) <= 4 * L * 8 + 4 * 288


def test_a_model_that_does_not_fit_is_a_table() -> None:
    shape = small_shape(dim=64, hidden=172, layers=5, heads=8, kv_heads=4, vocabulary=512, context=512)
    check_budget(SMALL, shape, True, 256)
    with pytest.raises(DoesNotFitError, match="does not fit: 427,008 bytes in the weight groups of 'small'") as error:
        check_budget(SMALL, shape, True, 512)
    assert "keys and values, 512 positions" in error.value.table and "163,840 bytes" in error.value.table


@pytest.mark.parametrize("config", [SMALL, preset("tiny")], ids=lambda config: config.name)
def test_absurd_dimensions_take_no_time(config: LpuConfig) -> None:
    shape = LlamaShape(1 << 16, 1 << 18, 1 << 10, 1 << 10, 1, 1 << 20, 1 << 20)
    with pytest.raises(CompileError):
        check_budget(config, shape, False, 1 << 20)


# ------------------------------------------------------------------------- calibration


def test_exponents_without_margin_are_refused() -> None:
    ranges = measured(MODEL, TEXTS)
    exponent = np.array([3.0, 1.0, 59.5, 2.0])
    with pytest.raises(
        CompileError, match=r"model '.*': layer 1, head 2: attention's exponents reach 59.5: must be at"
    ):
        quantise_llama(MODEL, [ranges[0], replace(ranges[1], exponent=exponent)])
    assert quantise_llama(MODEL, [replace(r, exponent=np.full(4, 59.0)) for r in ranges]).shape == SHAPE


def test_measured_exponents_are_those_of_each_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the reference's queries and keys, one position after another."""
    largest: list[list[float]] = []

    def attention(q: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        heads, group, scale = q.shape[1], q.shape[1] // keys.shape[1], np.log2(np.e) / np.sqrt(q.shape[2])
        ends = [[max(q[t, h] @ k[h // group] for k in keys[: t + 1]) for t in range(len(q))] for h in range(heads)]
        largest.append([max(abs(end) * scale for end in of_head) for of_head in ends])
        return exact(q, keys, values)

    exact = reference.attention
    monkeypatch.setattr(reference, "attention", attention)
    reference.logits(MODEL, TEXTS[0])
    found = [layer.exponent for layer in calibrate(MODEL, TEXTS[:1])]
    np.testing.assert_allclose(found, largest, rtol=1e-4)


def test_ranges_are_rounded_saved_and_found_again(tmp_path: Path) -> None:
    ranges, exact = measured(MODEL, TEXTS), calibrate(MODEL, TEXTS)
    for name in NAMES:
        found, wanted = getattr(ranges[1], name), getattr(exact[1], name)
        assert np.allclose(found, wanted, rtol=5e-3) and not np.array_equal(found, wanted)
        assert all(float(f"{value:.2e}") == value for value in found)
    save_ranges(tmp_path / "a.npz", MODEL, ranges)
    loaded = load_ranges(tmp_path / "a.npz", MODEL)
    assert loaded is not None
    for one, other in zip(ranges, loaded, strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in NAMES)
    save_ranges(tmp_path / "b.npz", MODEL, ranges)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert load_ranges(tmp_path / "a.npz", random_llama(SHAPE, seed=6)) is None


def test_calibration_is_the_text_s_then_the_file_s_then_the_stories(tmp_path: Path) -> None:
    model = random_llama(small_shape(), 2)
    (tmp_path / "model.bin").write_bytes(ak42_bytes(model))
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bytes())
    (tmp_path / "text").write_text("abcd gh")
    assert prepare(tmp_path / "model.bin").calibration == "24 stories of models/stories"
    save_ranges(tmp_path / "model.calibration.npz", model, measured(model, [[1, 2]]))
    found = prepare(tmp_path / "model.bin")
    assert found.calibration == "model.calibration.npz"
    assert np.array_equal(found.ranges[0].key, measured(model, [[1, 2]])[0].key)
    assert prepare(tmp_path / "model.bin", text=tmp_path / "text").calibration == str(tmp_path / "text")
    (tmp_path / "model.calibration.npz").write_bytes(b"PK damaged")
    with pytest.raises(ModelError, match=r"model.calibration.npz: .*: must be a calibration as `lpu calibrate` writes"):
        prepare(tmp_path / "model.bin")


def test_documents_are_sequences_and_long_ones_several(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bytes())
    words = BinTokenizer(tmp_path / "tokenizer.bin")
    text, long = "ab\ncd\n\n\n\nefgh ab gh\n", words.encode("efgh ab gh")
    assert sequences(words, text, context=64) == [words.encode("ab cd"), long]
    cut = sequences(words, text, context=5)
    assert cut[0] == words.encode("ab cd")[:5] and all(part[0] == words.begin and len(part) <= 5 for part in cut)
    again = [token for part in sequences(words, "efgh ab gh", context=5) for token in part[1:]]
    assert again == long[1:]
    assert sequences(words, "ab cd", context=5, most=2) == [words.encode("ab cd")[:2]]
    assert sequences(words, text, context=64, most=len(words.encode("ab cd")) + 1) == [words.encode("ab cd"), long[:1]]


# -------------------------------------------------------------------------- generation


def test_requests_that_no_model_can_serve(buckets: Buckets) -> None:
    for request, message in (
        (Request((), 3), "prompt of 0 tokens: must be at least 1"),
        (Request((1, 64), 3), "prompt: token 64: must be in 0..63, the vocabulary"),
        (Request((1, -1), 3), "prompt: token -1: must be in 0..63"),
        (Request((1,) * 60, 5), "prompt of 60 tokens . 5 to generate: must be at most the context, 64"),
        (Request((1,), 5, -0.1), "temperature -0.1: must be 0 or more"),
        (Request((1,), 5, float("inf")), "temperature inf: must be 0 or more"),
    ):
        with pytest.raises(ModelError, match=message):
            check_request(buckets, request)
    check_request(buckets, Request((1,) * 60, 4))


def test_a_temperature_needs_programs_that_sample(buckets: Buckets) -> None:
    warm = Request((1, 2), 5, 0.75, seed=4)
    with pytest.raises(ModelError, match=r"temperature 0.75: must be 0 for programs without noise"):
        check_request(buckets, warm)
    sampling = Buckets(SMALL, buckets.model, sampling=True)
    check_request(sampling, warm)
    states = first_states(sampling, warm)
    assert set(states) <= set(sampling.states())
    assert states["temperature"].dtype == np.float32 and states["temperature"].tolist() == [[0.75]]
    assert states["counter"].dtype == np.int32 and int(states["counter"][0, 0]) % (1 << 32) == start_counter(4)


def test_counters_of_seeds_are_those_of_splitmix64() -> None:
    """The first outputs of the generator for seed 1234567 (Vigna's splitmix64.c), low 32 bits of the first."""
    assert start_counter(1234567) == 6457827717110365317 & 0xFFFFFFFF
    assert len({start_counter(seed) for seed in range(1000)}) == 1000


def test_perplexities_are_those_of_each_model_alone(buckets: Buckets) -> None:
    told: list[int] = []
    found = compare(MODEL, buckets, [TEXTS[0], [1], TEXTS[1][:9]], told.append)
    assert found.tokens == 48 and told == list(range(1, 49))
    losses, agreeing = [], 0
    whole = Buckets(SMALL, buckets.model, sizes=())
    for tokens in (TEXTS[0], TEXTS[1][:9]):
        states = first_states(buckets, Request((tokens[0],), 1))
        for position, (token, target) in enumerate(zip(tokens[:-1], tokens[1:], strict=True)):
            states["token"] = np.array([[token]], np.int32)
            states["position"] = np.array([[position]], np.int32)
            logits = evaluate(whole.graph(64), {}, states)["logits"][0].astype(np.float64)
            exact = reference.logits(MODEL, tokens[: position + 1])[-1]
            losses.append(np.log(np.exp(logits).sum()) - logits[target])
            agreeing += int(logits.argmax() == exact.argmax())
    assert found.int8 == pytest.approx(np.exp(np.mean(losses)))
    assert found.agreeing == agreeing and 0.8 < found.agreement <= 1
    assert abs(found.difference) < 0.2
    with pytest.raises(ModelError, match="text of less than two tokens"):
        compare(MODEL, buckets, [[1]])


@pytest.mark.parametrize(("name", "sampling"), [("ulx3s", False), ("ulx3s", True), ("ulx3s_narrow", False)])
def test_a_token_on_the_core_of_a_board(name: str, sampling: bool) -> None:
    """The shipped model's: on `ulx3s` its codes are in the second half of a tile. INT has a latency of 2,
    and there are two SG4s inward.
    """
    board = Buckets(preset(name), prepare(STORY_MODEL).quantised, 32, sampling=sampling)
    image = compile_graph(board.config, board.graph(32), 1).image
    states = first_states(board, Request((495,), 1, 0.8 if sampling else 0.0, seed=3))
    found, _ = golden_image(image, states, CHECKED)
    wanted = golden_run(board, Launch(0, 1, 32), states)
    for name in CHECKED:
        assert np.array_equal(found[name].ravel()[: wanted[name].size], wanted[name].ravel()), name
