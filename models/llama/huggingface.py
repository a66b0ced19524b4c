"""Hugging Face Llama folders: config.json, and weights in model.safetensors or in the shards of its index.

Tensors are F32, F16 or BF16. Their rotary layout is half-split (channels i and i + head_dim / 2 turn together); rows of
wq and wk are put into the pairs of :class:`models.llama.model.Layer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from models.llama.checks import check_finite, is_present, one_line, open_file
from models.llama.config import Config, read_config, read_object
from models.llama.model import Floats, Layer, Llama, LlamaShape, ModelError

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
INDEX_BYTES: Final = 1 << 26

EMBEDDING: Final = "model.embed_tokens.weight"
FINAL_NORM: Final = "model.norm.weight"
CLASSIFIER: Final = "lm_head.weight"
BLOCK: Final = {
    "attention_norm": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "w1": "mlp.gate_proj",
    "w2": "mlp.down_proj",
    "w3": "mlp.up_proj",
}
FREQUENCIES: Final = "self_attn.rotary_emb.inv_freq"
"""Older files keep what RoPE computes from its theta; it is not read."""
DTYPES: Final = ("F32", "F16", "BF16")


def read_huggingface(folder: Path) -> Llama:
    """The model, named after the folder.

    ModelError: no config.json or weights, a variant that is not a plain Llama, a tensor that is missing, unknown, of
    another shape or type, a weight that is not finite.
    """
    config, files = read_outline(folder)
    tensors = {name: array for path, names in files.items() for name, array in _tensors(path, names)}
    embedding = tensors[EMBEDDING]
    return Llama(
        name=folder.resolve().name,
        shape=config.shape,
        embedding=embedding,
        layers=tuple(_layer(config.shape, tensors, index) for index in range(config.shape.layers)),
        final_norm=tensors[FINAL_NORM],
        classifier=embedding if config.is_tied else tensors[CLASSIFIER],
    )


def read_outline(folder: Path) -> tuple[Config, dict[Path, list[str]]]:
    """The config, and which tensors to read from which file; names, shapes and types are checked, no weight is read."""
    config = read_config(folder)
    expected = expected_tensors(config)
    files: dict[Path, list[str]] = {}
    found: set[str] = set()
    for path in weight_files(folder):
        for name, dtype, shape in outline(path):
            if name.endswith(FREQUENCIES):
                continue
            _check_tensor(path, name, dtype, shape, expected.get(name))
            if name in found:
                raise ModelError(f"{path}: {name}: stands in two files")
            found.add(name)
            files.setdefault(path, []).append(name)
    missing = [name for name in expected if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ModelError(f"{folder}: {missing[0]}{more}: missing")
    return config, files


def expected_tensors(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a model of this config has."""
    s = config.shape
    block = {
        "attention_norm": (s.dim,),
        "wq": (s.dim, s.dim),
        "wk": (s.kv_dim, s.dim),
        "wv": (s.kv_dim, s.dim),
        "wo": (s.dim, s.dim),
        "ffn_norm": (s.dim,),
        "w1": (s.hidden, s.dim),
        "w2": (s.dim, s.hidden),
        "w3": (s.hidden, s.dim),
    }
    expected: dict[str, tuple[int, ...]] = {EMBEDDING: (s.vocabulary, s.dim), FINAL_NORM: (s.dim,)}
    expected |= {_name(index, field): shape for index in range(s.layers) for field, shape in block.items()}
    return expected if config.is_tied else expected | {CLASSIFIER: (s.vocabulary, s.dim)}


def weight_files(folder: Path) -> list[Path]:
    """The shards that the index names, or else model.safetensors. ModelError: an index that is not one."""
    if not is_present(folder / INDEX):
        return [folder / WEIGHTS]
    placed = read_object(folder / INDEX, INDEX_BYTES).get("weight_map")
    if not isinstance(placed, dict) or not all(_is_plain(name) for name in placed.values()):
        raise ModelError(f"{folder / INDEX}: weight_map: must give each tensor the name of a file of this folder")
    return [folder / name for name in sorted(set(placed.values()))]


def outline(path: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of every tensor of one file, from its header."""
    open_file(path).close()
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():
                tensor = file.get_slice(name)
                yield name, tensor.get_dtype(), tuple(tensor.get_shape())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file: {one_line(error)}") from error


def half_split_to_pairs(weight: Floats, head_dim: int) -> Floats:
    """Rows i and i + head_dim / 2 of each head of ``weight`` [heads x head_dim, dim] become rows 2i and 2i + 1."""
    rows, dim = weight.shape
    halves = weight.reshape(rows // head_dim, 2, head_dim // 2, dim)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows, dim)


def to_float32(dtype: str, data: bytes) -> Floats:
    """F32, F16 or BF16, little-endian. A bfloat16 is the upper half of the float32 of the same value."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def _check_tensor(path: Path, name: str, dtype: str, shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    where = f"{path}: {one_line(name)}"
    if expected is None:
        raise ModelError(f"{where}: not a tensor of this model")
    if shape != expected:
        raise ModelError(f"{where}: shape {list(shape)}: must be {list(expected)}")
    if dtype not in DTYPES:
        raise ModelError(f"{where}: type {dtype}: must be {', '.join(DTYPES)}")


def _tensors(path: Path, names: list[str]) -> Iterator[tuple[str, Floats]]:
    with open_file(path) as file:
        content: dict[str, dict[str, Any]] = dict(deserialize(file.read()))
    for name in names:
        tensor = content[name]
        array = to_float32(tensor["dtype"], tensor["data"]).reshape(tensor["shape"])
        check_finite(str(path), name, array)
        yield name, array


def _layer(shape: LlamaShape, tensors: dict[str, Floats], index: int) -> Layer:
    arrays = {field: tensors[_name(index, field)] for field in BLOCK}
    for field in ("wq", "wk"):
        arrays[field] = half_split_to_pairs(arrays[field], shape.head_dim)
    return Layer(**arrays)


def _name(index: int, field: str) -> str:
    return f"model.layers.{index}.{BLOCK[field]}.weight"


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and name == Path(name).name and name.isprintable()
