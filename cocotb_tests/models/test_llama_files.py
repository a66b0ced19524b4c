"""Front ends: what is written is what is read, and every damaged file is one line of ModelError."""

from __future__ import annotations

import json
import os
import random
import re
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cocotb_tests.models.llama_files import (
    VOCABULARY,
    ak42_bytes,
    config_fields,
    huggingface_tensors,
    legacy_bytes,
    random_llama,
    safetensors_bytes,
    small_shape,
    tokenizer_bytes,
    tokenizer_json,
    write_huggingface,
)
from models.llama.load import load_model, read_shape
from models.llama.model import Floats, Llama, LlamaShape, ModelError
from models.llama.tokenizer import BinTokenizer, JsonTokenizer

SHAPES = {
    "grouped": small_shape(),
    "one KV head": small_shape(kv_heads=1),
    "ungrouped": small_shape(kv_heads=6),
    "one wide head": small_shape(heads=1, kv_heads=1, layers=1),
}
TIED = {True: "tied", False: "untied"}
MODEL = random_llama(small_shape(), seed=1)
UNTIED = random_llama(small_shape(), seed=1, is_tied=False)


def arrays(model: Llama) -> dict[str, Floats]:
    """Every array by name."""
    layers = {f"{i}.{name}": getattr(layer, name) for i, layer in enumerate(model.layers) for name in vars(layer)}
    return {"embedding": model.embedding, "norm": model.final_norm, "classifier": model.classifier} | layers


def array_shapes(s: LlamaShape) -> dict[str, tuple[int, ...]]:
    kv = s.dim // s.heads * s.kv_heads
    block = {
        "attention_norm": (s.dim,), "ffn_norm": (s.dim,), "wq": (s.dim, s.dim), "wk": (kv, s.dim), "wv": (kv, s.dim),
        "wo": (s.dim, s.dim), "w1": (s.hidden, s.dim), "w2": (s.dim, s.hidden), "w3": (s.hidden, s.dim),
    }  # fmt: skip
    layers = {f"{i}.{name}": shape for i in range(s.layers) for name, shape in block.items()}
    table = (s.vocabulary, s.dim)
    return {"embedding": table, "classifier": table, "norm": (s.dim,)} | layers


def assert_usable(model: Llama) -> None:
    assert {name: array.shape for name, array in arrays(model).items()} == array_shapes(model.shape)
    for array in arrays(model).values():
        assert array.dtype == np.float32 and np.isfinite(array).all()


def assert_equal(found: Llama, expected: Llama, change: Callable[[Floats], Floats] = lambda array: array) -> None:
    assert (found.shape, found.is_tied) == (expected.shape, expected.is_tied)
    assert_usable(found)
    for name, array in arrays(expected).items():
        assert np.array_equal(arrays(found)[name], change(array)), name


def checkpoint(folder: Path, content: bytes) -> Path:
    """With its tokenizer beside it."""
    path = folder / "model.bin"
    path.write_bytes(content)
    (folder / "tokenizer.bin").write_bytes(tokenizer_bytes())
    return path


# ---------------------------------------------------------------- what is written is read


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("is_tied", TIED, ids=TIED.get)
@pytest.mark.parametrize("to_bytes", [legacy_bytes, ak42_bytes])
def test_checkpoints(to_bytes: Callable[[Llama], bytes], is_tied: bool, shape: LlamaShape, tmp_path: Path) -> None:
    model = random_llama(shape, seed=3, is_tied=is_tied)
    path = checkpoint(tmp_path, to_bytes(model))
    found, tokenizer = load_model(path)
    assert_equal(found, model)
    assert (found.name, read_shape(path)) == ("model", (shape, is_tied))
    assert isinstance(tokenizer, BinTokenizer)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("is_tied", TIED, ids=TIED.get)
def test_folders(is_tied: bool, shape: LlamaShape, tmp_path: Path) -> None:
    model = random_llama(shape, seed=4, is_tied=is_tied)
    folder = write_huggingface(model, tmp_path / "llama")
    found, tokenizer = load_model(folder)
    assert_equal(found, model)
    assert (found.name, read_shape(folder)) == ("llama", (shape, is_tied))
    assert isinstance(tokenizer, JsonTokenizer)


def as_float16(array: Floats) -> Floats:
    return array.astype(np.float16).astype(np.float32)


def as_bfloat16(array: Floats) -> Floats:
    return (np.ascontiguousarray(array).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize(("dtype", "change"), [("float16", as_float16), ("bfloat16", as_bfloat16)])
def test_halves(dtype: str, change: Callable[[Floats], Floats], tmp_path: Path) -> None:
    found, _ = load_model(write_huggingface(UNTIED, tmp_path, dtype))
    assert_equal(found, UNTIED, change)
    assert not np.array_equal(found.embedding, UNTIED.embedding)


def test_shards(tmp_path: Path) -> None:
    folder = write_huggingface(UNTIED, tmp_path, shards=3)
    assert not (folder / "model.safetensors").exists()
    assert_equal(load_model(folder)[0], UNTIED)


def test_tokenizers_of_the_other_format(tmp_path: Path) -> None:
    path, folder = checkpoint(tmp_path, legacy_bytes(MODEL)), write_huggingface(MODEL, tmp_path / "folder")
    assert isinstance(load_model(path, folder / "tokenizer.json")[1], JsonTokenizer)
    assert isinstance(load_model(folder, tmp_path / "tokenizer.bin")[1], BinTokenizer)


CONFIGS: dict[str, tuple[dict[str, Any], Callable[[LlamaShape, Any], bool]]] = {
    "theta of transformers 5": (
        {"rope_theta": None, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        lambda shape, words: shape.rope_theta == 5e5,
    ),
    "theta of transformers 4": ({"rope_theta": 250000}, lambda shape, words: shape.rope_theta == 250000),
    "defaults": (
        {"rope_theta": None, "rms_norm_eps": None, "hidden_act": None, "attention_bias": None},
        lambda shape, words: (shape.rope_theta, shape.epsilon) == (1e4, 1e-6),
    ),
    "head_dim as it is": ({"head_dim": 4}, lambda shape, words: shape.head_dim == 4),
    "no begin": ({"bos_token_id": None}, lambda shape, words: (words.begin, words.ends) == (None, {2})),
    "several ends": ({"eos_token_id": [5, 6]}, lambda shape, words: (words.begin, words.ends) == (1, {1, 5, 6})),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str, tmp_path: Path) -> None:
    changes, holds = CONFIGS[name]
    folder = write_huggingface(MODEL, tmp_path)
    (folder / "config.json").write_text(json.dumps(config_fields(MODEL) | changes))
    model, tokenizer = load_model(folder)
    assert holds(model.shape, tokenizer)


def test_stored_frequencies_are_passed_over(tmp_path: Path) -> None:
    folder = write_huggingface(MODEL, tmp_path)
    stored = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    (folder / "model.safetensors").write_bytes(safetensors_bytes(huggingface_tensors(MODEL) | stored))
    assert_equal(load_model(folder)[0], MODEL)


# ---------------------------------------------------------------- one mistake, one line


def int32(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + struct.pack("<i", value) + content[at + 4 :]


def float32(content: bytes, at: int, value: float) -> bytes:
    return content[:at] + struct.pack("<f", value) + content[at + 4 :]


LEGACY, AK42 = legacy_bytes(MODEL), ak42_bytes(MODEL)
EMBEDDING_BYTES = 4 * MODEL.embedding.size
NORM_BYTES = 4 * (2 * MODEL.shape.layers + 1) * MODEL.shape.dim
NOT_A_CHECKPOINT = "not a llama2.c checkpoint: no ak42 magic, and as a legacy header: "

DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes: a llama2.c checkpoint has 28 of header"),
    "header cut": (LEGACY[:27], "27 bytes: a llama2.c checkpoint has 28 of header"),
    "ak42 header cut": (AK42[:255], "255 bytes: an ak42 checkpoint has 256 of header"),
    "wrong magic": (b"ak42" + AK42[4:], NOT_A_CHECKPOINT + r"dim = \d+: must be in 1\.\.65536"),
    "zip archive": (b"PK\3\4" + LEGACY, NOT_A_CHECKPOINT + r"dim = 67324752: must be in 1\.\.65536"),
    "text": (b"Once upon a time, there was a girl.", NOT_A_CHECKPOINT + r"dim = \d+: must be in 1\.\.65536"),
    "version 2": (int32(AK42, 4, 2), "ak42 version 2: must be 1, the float32 one"),
    "shared 7": (AK42[:36] + b"\7" + AK42[37:], "shared classifier = 7: must be 0 or 1"),
    "padding": (AK42[:99] + b"\1" + AK42[100:], r"ak42 header: bytes 37\.\.255 must be 0"),
    "truncated": (LEGACY[:-1], r"[\d,]+ bytes, its header makes it [\d,]+: truncated"),
    "ak42 truncated": (AK42[:-4], r"[\d,]+ bytes, its header makes it [\d,]+: truncated"),
    "trailing": (LEGACY + b"\0", r"[\d,]+ bytes, its header makes it [\d,]+: bytes after the weights"),
    "claimed untied": (int32(LEGACY, 20, -VOCABULARY), r".* bytes, its header makes it .*: truncated"),
    "no layers": (int32(LEGACY, 8, 0), NOT_A_CHECKPOINT + r"layers = 0: must be in 1\.\.1024"),
    "no heads": (int32(AK42, 20, 0), r"heads = 0: must be in 1\.\.1024"),
    "negative": (int32(AK42, 8, -24), r"dim = -24: must be in 1\.\.65536"),
    "largest": (int32(AK42, 28, 2**31 - 1), r"vocabulary = 2147483647: must be in 1\.\.1048576"),
    "most negative": (int32(LEGACY, 20, -(2**31)), r".*vocabulary = 2147483648: must be in 1\.\.1048576"),
    "gigabytes": (int32(AK42, 12, 1 << 18), r"[\d,]+ bytes, its header makes it [\d,]+: truncated"),
    "kv_heads": (int32(AK42, 24, 4), "kv_heads = 4: must divide heads = 6"),
    "heads": (int32(AK42, 20, 8), "dim = 24: must be a multiple of 2 x heads = 16"),
    "odd heads": (int32(AK42, 20, 24), "dim = 24: must be a multiple of 2 x heads = 48"),
    "NaN": (float32(LEGACY, 28 + 4 * 25, float("nan")), r"embedding\[1, 1\] = nan: must be finite"),
    "infinity": (
        float32(AK42, 256 + NORM_BYTES + EMBEDDING_BYTES, float("-inf")),
        r"wq\[0, 0, 0\] = -inf: must be finite",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_checkpoints(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    path = checkpoint(tmp_path, content)
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: {message}$"):
        load_model(path)


def without(*names: str) -> dict[str, Floats]:
    return {name: array for name, array in huggingface_tensors(UNTIED).items() if name not in names}


Q = "model.layers.1.self_attn.q_proj.weight"
BIAS = {"model.layers.0.mlp.up_proj.bias": np.zeros(20, np.float32)}
NAN = {Q: np.full((24, 24), np.nan, np.float32)}
UNTIED_TENSORS = huggingface_tensors(UNTIED)
STORED = safetensors_bytes(UNTIED_TENSORS)

DAMAGED_WEIGHTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a safetensors file: .+"),
    "a checkpoint": (LEGACY, "not a safetensors file: .+"),
    "header length": (b"\xff" * 8 + STORED[8:], "not a safetensors file: .+"),
    "truncated": (STORED[:-1], "not a safetensors file: .+"),
    "trailing": (STORED + b"\0", "not a safetensors file: .+"),
    "bias": (safetensors_bytes(without() | BIAS), "model.layers.0.mlp.up_proj.bias: not a tensor of this model"),
    "newline": (safetensors_bytes(without() | {"a\nb": np.zeros(1, np.float32)}), "a b: not a tensor of this model"),
    "shape": (
        safetensors_bytes(without() | {Q: np.zeros((24, 23), np.float32)}),
        rf"{Q}: shape \[24, 23\]: must be \[24, 24\]",
    ),
    "float64": (safetensors_bytes(UNTIED_TENSORS, "float64"), ".+: type F64: must be F32, F16, BF16"),
    "NaN": (safetensors_bytes(without() | NAN), rf"{Q}\[0, 0\] = nan: must be finite"),
}


@pytest.mark.parametrize("name", DAMAGED_WEIGHTS)
def test_damaged_safetensors(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_WEIGHTS[name]
    folder = write_huggingface(UNTIED, tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=f"^{re.escape(str(folder))}/model.safetensors: {message}$"):
        load_model(folder)


@pytest.mark.parametrize(
    ("names", "message"), [([Q], f"{Q}: missing"), ([Q, "lm_head.weight"], f"{Q} and 1 more: missing")]
)
def test_missing_tensors(names: list[str], message: str, tmp_path: Path) -> None:
    folder = write_huggingface(UNTIED, tmp_path)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(without(*names)))
    with pytest.raises(ModelError, match=f"^{re.escape(str(folder))}: {message}$"):
        load_model(folder)


DAMAGED_CONFIG: dict[str, tuple[str | dict[str, Any], str]] = {
    "empty": ("", "not JSON: .+"),
    "cut": ('{"model_type":', "not JSON: .+"),
    "binary": ("\x00\x01", "not JSON: .+"),
    "a list": ("[]", "must hold a JSON object"),
    "deep": ("[" * 100_000, "not JSON: .+"),
    "long": (" " * (1 << 20) + "{}", "1,048,578 bytes: must be at most 1,048,576"),
    "mistral": ({"model_type": "mistral"}, "model_type = 'mistral': must be \"llama\""),
    "no type": ({"model_type": None}, 'model_type = None: must be "llama"'),
    "gelu": ({"hidden_act": "gelu"}, "hidden_act = 'gelu': must be \"silu\""),
    "biases": ({"attention_bias": True}, "attention_bias = True: must be false"),
    "scaled": ({"rope_scaling": {"rope_type": "llama3"}}, "rope_scaling = {'rope_type': 'llama3'}: must be absent"),
    "scaled 5": (
        {"rope_parameters": {"rope_type": "yarn"}},
        "rope_parameters: rope_type = 'yarn': must be \"default\"",
    ),
    "no rope": ({"rope_parameters": 5}, "rope_parameters: must be an object"),
    "quantised": ({"quantization_config": {}}, "quantization_config = {}: must be absent"),
    "head_dim": ({"head_dim": 8}, "head_dim = 8: must be hidden_size / num_attention_heads = 4"),
    "a word": ({"hidden_size": "24"}, r"hidden_size = '24': must be an integer in 1\.\.65536"),
    "a fraction": ({"hidden_size": 24.5}, r"hidden_size = 24.5: must be an integer in 1\.\.65536"),
    "a truth": ({"num_hidden_layers": True}, r"num_hidden_layers = True: must be an integer in 1\.\.1024"),
    "absent": ({"vocab_size": None}, r"vocab_size = None: must be an integer in 1\.\.1048576"),
    "huge": ({"vocab_size": 10**30}, r"vocab_size = 10{30}: must be an integer in 1\.\.1048576"),
    "kv_heads": ({"num_key_value_heads": 5}, "kv_heads = 5: must divide heads = 6"),
    "NaN": ({"rms_norm_eps": float("nan")}, r"rms_norm_eps = nan: must be a number in 1e-12\.\.1"),
    "infinity": ({"rope_theta": float("inf")}, r"rope_theta = inf: must be a number in 1\.\.1e\+09"),
    "tied": ({"tie_word_embeddings": "no"}, "tie_word_embeddings = 'no': must be true or false"),
    "begin": ({"bos_token_id": 288}, r"bos_token_id = 288: must be token ids in 0\.\.287"),
    "ends": ({"eos_token_id": [2, "x"]}, r"eos_token_id = \[2, 'x'\]: must be token ids in 0\.\.287"),
    "two begins": ({"bos_token_id": [1, 2]}, r"bos_token_id = \[1, 2\]: must be one token id or null"),
}


@pytest.mark.parametrize("name", DAMAGED_CONFIG)
def test_damaged_configs(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_CONFIG[name]
    folder = write_huggingface(MODEL, tmp_path)
    text = content if isinstance(content, str) else json.dumps(config_fields(MODEL) | content)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=f"^{re.escape(str(folder))}/config.json: {message}$"):
        load_model(folder)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "not JSON: .+"),
        ("{}", "weight_map: must give each tensor the name of a file of this folder"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "weight_map: must give each tensor .*"),
        ('{"weight_map": {"a": 5}}', "weight_map: must give each tensor .*"),
    ],
)
def test_damaged_index(index: str, message: str, tmp_path: Path) -> None:
    folder = write_huggingface(MODEL, tmp_path)
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=f"^{re.escape(str(folder))}/model.safetensors.index.json: {message}$"):
        load_model(folder)


def test_shards_that_are_missing_or_hold_a_tensor_twice(tmp_path: Path) -> None:
    folder = write_huggingface(MODEL, tmp_path, shards=2)
    first, second = sorted(folder.glob("model-*"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(ModelError, match=r"^.*model-00002-of-00002.safetensors: model\.\S+: stands in two files$"):
        load_model(folder)
    second.unlink()
    with pytest.raises(ModelError, match=r"^.*model-00002-of-00002.safetensors: no such file$"):
        load_model(folder)


def test_vocabularies_that_differ(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, AK42)
    (tmp_path / "t.bin").write_bytes(tokenizer_bytes(vocabulary=289))
    (tmp_path / "t.json").write_text(tokenizer_json(vocabulary=289))
    for name in ("t.bin", "t.json"):
        message = f"^.*/{re.escape(name)}: 289 tokens, but the vocabulary of .*/model.bin is 288$"
        with pytest.raises(ModelError, match=message):
            load_model(path, tmp_path / name)


def test_paths_that_are_not_models(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, AK42)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Path, Path | None, str]] = [
        (tmp_path / "absent.bin", None, "absent.bin: no such file"),
        (tmp_path / "pipe", None, "pipe: a device or pipe, must be a file"),
        (tmp_path / "empty", None, "empty/config.json: no such file"),
        (tmp_path / ("x" * 300), None, "x+: File name too long"),
        (path / "below", None, "model.bin/below: no such file"),
        (Path("/dev/zero"), None, "/dev/zero: a device or pipe, must be a file"),
        (path, tmp_path / "empty", "empty: a folder, must be a file"),
        (path, tmp_path / "absent.json", "absent.json: no such file"),
        (path, path, r"model.bin: longest token = \d+ bytes: must be at most 4096"),
    ]
    for model, tokenizer, message in cases:
        with pytest.raises(ModelError, match=f"^.*{message}$"):
            load_model(model, tokenizer)
    (tmp_path / "tokenizer.bin").unlink()
    with pytest.raises(ModelError, match=r"^.*/tokenizer.bin: no such file$"):
        load_model(path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = checkpoint(tmp_path, AK42)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelError, match=r"^.*/model.bin: Permission denied$"):
        load_model(path)


# ---------------------------------------------------------------- 60 mutations of each format

ABSURD_INTEGERS = (0, 1, -1, 2, 3, 7, 255, 65537, 1 << 20, 2**31 - 1, -(2**31))
ABSURD_VALUES: tuple[Any, ...] = (
    0,
    -1,
    1e308,
    10**400,
    0.5,
    "x",
    None,
    [],
    {},
    True,
    [1] * 1000,
    {"a": {}},
    "\n",
    float("nan"),
)


def flips(rng: random.Random, content: bytes, within: int) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 16])):
        data[rng.randrange(within)] ^= 1 << rng.randrange(8)
    return bytes(data)


def resized(rng: random.Random, content: bytes) -> bytes:
    cut = rng.randrange(len(content))
    return rng.choice([content[:cut], content[: cut % 300], content + rng.randbytes(cut % 300), content[4:]])


def mutated_checkpoint(rng: random.Random, content: bytes, first: int) -> bytes:
    """``first`` is where the seven integers are."""
    match rng.randrange(5):
        case 0:
            return flips(rng, content, first + 32)
        case 1:
            return flips(rng, content, len(content))
        case 2:
            return resized(rng, content)
        case 3:
            at = 4 * rng.randrange(len(content) // 4)
            return content[:at] + rng.randbytes(4) + content[at + 4 :]
        case _:
            return int32(content, first + 4 * rng.randrange(7), rng.choice(ABSURD_INTEGERS))


def mutated_safetensors(rng: random.Random, content: bytes) -> bytes:
    header = 8 + int.from_bytes(content[:8], "little")
    match rng.randrange(5):
        case 0:
            return flips(rng, content, 8)
        case 1:
            return flips(rng, content, header)
        case 2:
            return flips(rng, content, len(content))
        case 3:
            return resized(rng, content)
        case _:
            digits = [match.span() for match in re.finditer(rb"\d+", content[8:header])]
            start, end = rng.choice(digits)
            value = str(rng.randrange(10 ** (end - start))).zfill(end - start).lstrip("0").rjust(end - start)
            return content[: 8 + start] + value.encode() + content[8 + end :]


def mutated_config(rng: random.Random, content: bytes) -> bytes:
    if rng.randrange(3) == 0:
        return rng.choice([flips(rng, content, len(content)), resized(rng, content)])
    fields: dict[str, Any] = json.loads(content)
    for key in rng.sample(sorted(fields), rng.choice([1, 1, 2])):
        fields[key] = rng.choice(ABSURD_VALUES)
    if rng.randrange(4) == 0:
        del fields[rng.choice(sorted(fields))]
    return json.dumps(fields).encode()


def mutate_legacy(rng: random.Random, folder: Path) -> Path:
    return checkpoint(folder, mutated_checkpoint(rng, LEGACY, 0))


def mutate_ak42(rng: random.Random, folder: Path) -> Path:
    return checkpoint(folder, mutated_checkpoint(rng, AK42, 8))


def mutate_safetensors(rng: random.Random, folder: Path) -> Path:
    write_huggingface(UNTIED, folder)
    (folder / "model.safetensors").write_bytes(mutated_safetensors(rng, STORED))
    return folder


def mutate_config(rng: random.Random, folder: Path) -> Path:
    write_huggingface(MODEL, folder)
    file = folder / "config.json"
    file.write_bytes(mutated_config(rng, file.read_bytes()))
    return folder


@pytest.fixture
def traced() -> Iterator[None]:
    """Allocations are counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("mutate", [mutate_legacy, mutate_ak42, mutate_safetensors, mutate_config])
def test_mutated_models_load_or_are_refused(
    mutate: Callable[[random.Random, Path], Path], traced: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Within a second and four megabytes, in finite arrays of the stated shape or in one line."""
    refused = 0
    for seed in range(60):
        path = mutate(random.Random(seed), tmp_path)
        tracemalloc.reset_peak()
        start = time.perf_counter()
        try:
            assert_usable(load_model(path)[0])
        except ModelError as error:
            refused += 1
            assert re.fullmatch(rf"{re.escape(str(tmp_path))}[^\n]+: [^\n]+", str(error)), str(error)
        assert time.perf_counter() - start < 1, seed
        assert tracemalloc.get_traced_memory()[1] < 4 << 20, seed
    assert 20 < refused
    assert capfd.readouterr() == ("", "")
