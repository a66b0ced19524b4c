"""Llamas and tokenizers from a seed, written in every format that the front ends read, by code of its own."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import TensorSpec, serialize

from models.llama.model import Floats, Layer, Llama, LlamaShape

VOCABULARY = 288
PIECES = [" ", *"abcdefgh", " a", "ab", "cd", "abcd", " ab", "gh", "efgh", "abcdefgh", "é", "ee", "eee", " é", "é "]

NAMES = {
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


def small_shape(**changes: Any) -> LlamaShape:
    """Three heads of 4 channels in 2 layers for each KV head; everything different from everything else."""
    fields: dict[str, Any] = dict(dim=24, hidden=20, layers=2, heads=6, kv_heads=2, vocabulary=VOCABULARY, context=32)
    return LlamaShape(**(fields | changes))


def random_llama(shape: LlamaShape, seed: int, is_tied: bool = True) -> Llama:
    """Weights that keep activations and logits near 1 to 10."""
    rng = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int, gain: float = 1.5) -> Floats:
        return (rng.standard_normal((outputs, inputs)) * gain / np.sqrt(inputs)).astype(np.float32)

    def norm() -> Floats:
        return (1 + 0.2 * rng.standard_normal(shape.dim)).astype(np.float32)

    def layer() -> Layer:
        return Layer(
            attention_norm=norm(),
            wq=matrix(shape.dim, shape.dim),
            wk=matrix(shape.kv_dim, shape.dim),
            wv=matrix(shape.kv_dim, shape.dim),
            wo=matrix(shape.dim, shape.dim),
            ffn_norm=norm(),
            w1=matrix(shape.hidden, shape.dim),
            w2=matrix(shape.dim, shape.hidden),
            w3=matrix(shape.hidden, shape.dim),
        )

    embedding = matrix(shape.vocabulary, shape.dim, 3)
    layers = tuple(layer() for _ in range(shape.layers))
    classifier = embedding if is_tied else matrix(shape.vocabulary, shape.dim, 3)
    return Llama("model", shape, embedding, layers, norm(), classifier)


def legacy_bytes(model: Llama) -> bytes:
    """As ``legacy_export`` of llama2.c's export.py."""
    s = model.shape
    header = (
        s.dim,
        s.hidden,
        s.layers,
        s.heads,
        s.kv_heads,
        s.vocabulary if model.is_tied else -s.vocabulary,
        s.context,
    )
    angles = np.outer(np.arange(s.context), s.rope_theta ** (-np.arange(0, s.head_dim, 2) / s.head_dim))
    arrays = [model.embedding]
    for name in ("attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3"):
        arrays += [getattr(layer, name) for layer in model.layers]
    arrays += [model.final_norm, np.cos(angles), np.sin(angles), *([] if model.is_tied else [model.classifier])]
    return struct.pack("<7i", *header) + b"".join(array.astype("<f4").tobytes() for array in arrays)


def ak42_bytes(model: Llama) -> bytes:
    """As ``version1_export`` of llama2.c's export.py."""
    s = model.shape
    header = struct.pack("<Ii", 0x616B3432, 1)
    header += struct.pack("<7i", s.dim, s.hidden, s.layers, s.heads, s.kv_heads, s.vocabulary, s.context)
    header += bytes([model.is_tied])
    arrays = [layer.attention_norm for layer in model.layers] + [layer.ffn_norm for layer in model.layers]
    arrays += [model.final_norm, model.embedding]
    for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3"):
        arrays += [getattr(layer, name) for layer in model.layers]
    arrays += [] if model.is_tied else [model.classifier]
    return header.ljust(256, b"\0") + b"".join(array.astype("<f4").tobytes() for array in arrays)


def half_split(weight: Floats, head_dim: int) -> Floats:
    """Channels 0, 2, 4, ... of each head, then 1, 3, 5, ...: the order of Hugging Face."""
    order = [*range(0, head_dim, 2), *range(1, head_dim, 2)]
    return np.concatenate([head[order] for head in np.split(weight, len(weight) // head_dim)])


def huggingface_tensors(model: Llama) -> dict[str, Floats]:
    tensors = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.final_norm}
    for index, layer in enumerate(model.layers):
        for field, name in NAMES.items():
            weight = getattr(layer, field)
            turned = half_split(weight, model.shape.head_dim) if field in ("wq", "wk") else weight
            tensors[f"model.layers.{index}.{name}.weight"] = turned
    return tensors if model.is_tied else tensors | {"lm_head.weight": model.classifier}


def config_fields(model: Llama) -> dict[str, Any]:
    s = model.shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": s.dim,
        "intermediate_size": s.hidden,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads,
        "vocab_size": s.vocabulary,
        "max_position_embeddings": s.context,
        "rms_norm_eps": s.epsilon,
        "rope_theta": s.rope_theta,
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": model.is_tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def encoded(array: Floats, dtype: str) -> NDArray[Any]:
    """As F32, F16 or (upper halves, truncated) BF16."""
    if dtype == "bfloat16":
        return (np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)
    return np.ascontiguousarray(array).astype(dtype)


def safetensors_bytes(tensors: dict[str, Floats], dtype: str = "float32") -> bytes:
    arrays = {name: encoded(array, dtype) for name, array in tensors.items()}
    return serialize(
        {
            name: TensorSpec(dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
            for name, array in arrays.items()
        }
    )


def write_huggingface(model: Llama, folder: Path, dtype: str = "float32", shards: int = 0) -> Path:
    """config.json, tokenizer.json and model.safetensors, or as many shards with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_fields(model)))
    (folder / "tokenizer.json").write_text(tokenizer_json())
    tensors = huggingface_tensors(model)
    if not shards:
        (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors, dtype))
        return folder
    placed: dict[str, str] = {}
    for shard in range(shards):
        mine = {name: tensors[name] for name in list(tensors)[shard::shards]}
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        (folder / file).write_bytes(safetensors_bytes(mine, dtype))
        placed |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return folder


def tokenizer_bytes(pieces: Sequence[str] = PIECES, vocabulary: int = VOCABULARY) -> bytes:
    """tokenizer.bin: three special tokens, 256 bytes, ``pieces`` with scores 0, -1, -2, ..., unused ones."""
    special = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256))]
    unused = [f"<unused {n}>" for n in range(vocabulary - len(special) - len(pieces))]
    scores = [0.0] * len(special) + [-float(rank) for rank in range(len(pieces) + len(unused))]
    tokens = [text.encode() for text in (*special, *pieces, *unused)]
    body = b"".join(struct.pack("<fI", score, len(t)) + t for score, t in zip(scores, tokens, strict=True))
    return struct.pack("<I", max(map(len, tokens))) + body


def tokenizer_json(pieces: Sequence[str] = PIECES, vocabulary: int = VOCABULARY) -> str:
    """The same tokens as :func:`tokenizer_bytes` for the ``tokenizers`` library, the way Llama 2 is converted."""
    special = ["<unk>", "<s>", "</s>"]
    texts = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *(piece.replace(" ", "▁") for piece in pieces)]
    texts += [f"<unused {n}>" for n in range(vocabulary - len(texts))]
    known = set(texts)
    merges = [
        [text[:cut], text[cut:]]
        for text in texts[259 : 259 + len(pieces)]
        for cut in range(1, len(text))
        if {text[:cut], text[cut:]} <= known
    ]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": id, "content": text, "special": True}
                | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
                for id, text in enumerate(special)
            ],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            },
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": {
                "type": "Sequence",
                "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                ],
            },
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": "<unk>",
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": True,
                "byte_fallback": True,
                "vocab": {text: id for id, text in enumerate(texts)},
                "merges": merges,
            },
        }
    )
