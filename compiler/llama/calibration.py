"""What static scales are made of: the largest magnitudes that a fp32 Llama reaches on a text.

Attention's exponents of 2 are measured because the core subtracts nothing from them before it takes the power. Only
the largest of a softmax has to be in range: powers that are too small beside it are 0 either way.

Keys and queries are measured by the length of the pairs that RoPE turns, which no position changes: a scale that holds
for a short text holds for the longest context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.llama.model import Layer, Llama, LlamaShape

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerRanges:
    """Largest magnitudes of one layer, by channel.

    ``attention_input``, ``ffn_input`` [dim] (the residual times the norm's gain, not divided by its root mean square),
    ``hidden`` [hidden], ``key`` (of pairs) and ``value`` [kv_dim], ``query`` (of pairs) and ``mixed`` (attention's
    result) [dim], ``residual`` [dim] (behind the layer). ``exponent`` [heads]: of 2, the largest of each
    softmax.
    """

    attention_input: Floats
    query: Floats
    key: Floats
    value: Floats
    mixed: Floats
    ffn_input: Floats
    hidden: Floats
    residual: Floats
    exponent: Floats


def calibrate(model: Llama, texts: Sequence[Sequence[int]]) -> tuple[LayerRanges, ...]:
    """Ranges of every layer over token sequences, each from position 0 on."""
    runs = [_run(model, np.asarray(text, np.int64)) for text in texts]
    return tuple(_union([run[i] for run in runs]) for i in range(model.shape.layers))


def _union(found: Sequence[LayerRanges]) -> LayerRanges:
    fields = LayerRanges.__dataclass_fields__
    return LayerRanges(**{name: np.max([getattr(r, name) for r in found], axis=0) for name in fields})


def _run(model: Llama, tokens: NDArray[np.int64]) -> list[LayerRanges]:
    x = model.embedding[tokens].astype(np.float64)
    ranges = []
    for layer in model.layers:
        x, found = _block(model.shape, layer, x)
        ranges.append(found)
    return ranges


def _block(shape: LlamaShape, layer: Layer, x: Floats) -> tuple[Floats, LayerRanges]:
    a = _norm(x, layer.attention_norm, shape.epsilon)
    q, k, v = a @ layer.wq.T, a @ layer.wk.T, a @ layer.wv.T
    mixed, exponents = _attention(shape, _turned(shape, q), _turned(shape, k), v)
    before, x = x * layer.attention_norm, x + mixed @ layer.wo.T
    f = _norm(x, layer.ffn_norm, shape.epsilon)
    gate = f @ layer.w1.T
    h = gate / (1 + np.exp(-gate)) * (f @ layer.w3.T)
    after = x + h @ layer.w2.T
    ranges = (before, _lengths(q), _lengths(k), v, mixed, x * layer.ffn_norm, h, after, exponents)
    return after, LayerRanges(*map(_most, ranges))


def _most(x: Floats) -> Floats:
    largest: Floats = np.abs(x).max(axis=0)
    return largest


def _lengths(x: Floats) -> Floats:
    """The length of each pair of channels, at both of them."""
    pairs = x.reshape(len(x), -1, 2)
    return np.repeat(np.hypot(pairs[..., 0], pairs[..., 1]), 2, axis=1)


def _norm(x: Floats, gain: NDArray[np.float32], epsilon: float) -> Floats:
    y: Floats = x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + epsilon) * gain
    return y


def _turned(shape: LlamaShape, x: Floats) -> Floats:
    """RoPE of rows at positions 0, 1, ...: [T, heads * head_dim]."""
    pairs = x.reshape(len(x), -1, shape.head_dim // 2, 2)
    frequency = shape.rope_theta ** (-2.0 * np.arange(shape.head_dim // 2) / shape.head_dim)
    angle = np.arange(len(x))[:, None, None] * frequency
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def _attention(shape: LlamaShape, q: Floats, k: Floats, v: Floats) -> tuple[Floats, Floats]:
    """The mixed values [T, dim], and the largest exponent of 2 of each softmax [T, heads]."""
    length, group = len(q), shape.heads // shape.kv_heads
    heads = [t.reshape(length, -1, shape.head_dim).transpose(1, 0, 2) for t in (q, k, v)]
    queries, keys, values = heads[0], np.repeat(heads[1], group, axis=0), np.repeat(heads[2], group, axis=0)
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(shape.head_dim)
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    p = np.exp(scores - largest)
    mixed = p / p.sum(axis=-1, keepdims=True) @ values
    return mixed.transpose(1, 0, 2).reshape(length, -1), largest[..., 0].T * math.log2(math.e)
