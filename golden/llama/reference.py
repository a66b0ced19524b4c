"""A Llama in float32, written from the formulas: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Touvron et al., LLaMA (arXiv 2302.13971); Su et al., RoFormer (2104.09864); Ainslie et al., GQA (2305.13245).
Everything is numpy float32; only the angles of RoPE and their cosines and sines are float64, then rounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.llama.model import Floats, Layer, Llama, LlamaShape

Heads = Floats
"""[positions, heads, head_dim]"""


class Reference:
    """The model with its KV cache, which holds the keys and values of positions 0, 1, ... of one text."""

    def __init__(self, model: Llama) -> None:
        self.model = model
        empty = np.zeros((0, model.shape.kv_heads, model.shape.head_dim), np.float32)
        self._cache = [(empty, empty) for _ in model.layers]

    def step(self, token: int, position: int) -> Floats:
        """Logits [vocabulary] of what follows ``token``, which stands at ``position``; later positions are forgotten.

        ValueError: ``token`` or ``position`` out of range, or an earlier position is not in the cache.
        """
        return self.extend([token], position)[0]

    def extend(self, tokens: Sequence[int], start: int) -> Floats:
        """Logits [T, vocabulary] for T tokens at positions ``start``, start + 1, ...; errors as :meth:`step`."""
        shape = self.model.shape
        self._check(tokens, start)
        cos, sin = rotations(shape, np.arange(start, start + len(tokens)))
        x = self.model.embedding[np.asarray(tokens, int)]
        for index, layer in enumerate(self.model.layers):
            x = x + self._attend(index, rms_norm(x, layer.attention_norm, shape.epsilon), start, cos, sin)
            x = x + feed_forward(layer, rms_norm(x, layer.ffn_norm, shape.epsilon))
        result: Floats = rms_norm(x, self.model.final_norm, shape.epsilon) @ self.model.classifier.T
        return result

    def _attend(self, index: int, x: Floats, start: int, cos: Floats, sin: Floats) -> Floats:
        """[T, dim] -> [T, dim]; keys and values of the T positions enter the cache."""
        layer, shape = self.model.layers[index], self.model.shape
        split = (len(x), -1, shape.head_dim)
        q = rotate((x @ layer.wq.T).reshape(split), cos, sin)
        k = rotate((x @ layer.wk.T).reshape(split), cos, sin)
        v = (x @ layer.wv.T).reshape(split)
        keys, values = (np.concatenate((old[:start], new)) for old, new in zip(self._cache[index], (k, v), strict=True))
        self._cache[index] = (keys, values)
        return attention(q, keys, values).reshape(len(x), -1) @ layer.wo.T

    def _check(self, tokens: Sequence[int], start: int) -> None:
        shape, known = self.model.shape, len(self._cache[0][0])
        if not 0 <= start <= known:
            raise ValueError(f"position {start}: the cache holds positions 0..{known - 1}")
        if start + len(tokens) > shape.context:
            raise ValueError(f"position {start + len(tokens) - 1}: the context is {shape.context}")
        if any(not 0 <= token < shape.vocabulary for token in tokens):
            raise ValueError(f"tokens must be in 0..{shape.vocabulary - 1}")


def logits(model: Llama, tokens: Sequence[int]) -> Floats:
    """[T, vocabulary]: row t are the logits of the token after tokens[t], given tokens[0..t]; T at most the context."""
    return Reference(model).extend(tokens, 0)


def perplexity(scores: Floats, targets: ArrayLike) -> float:
    """exp(-mean over t of log softmax(scores[t])[targets[t]]), in float64; ``scores`` [T, vocabulary], targets [T]."""
    wide = scores.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(shifted, np.asarray(targets, int)[:, None], axis=1)[:, 0]
    return float(np.exp(np.mean(np.log(np.exp(shifted).sum(axis=1)) - chosen)))


def rms_norm(x: Floats, gain: Floats, epsilon: float) -> Floats:
    """x / sqrt(mean(x^2) + epsilon) * gain, along the last axis."""
    mean = (x * x).sum(axis=-1, keepdims=True) / np.float32(x.shape[-1])
    result: Floats = x / np.sqrt(mean + np.float32(epsilon)) * gain
    return result


def rotations(shape: LlamaShape, positions: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """cos and sin of position * theta^(-2i / head_dim), [positions, 1, head_dim / 2]."""
    frequencies = shape.rope_theta ** (-np.arange(0, shape.head_dim, 2) / shape.head_dim)
    angles = positions[:, None, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(x: Heads, cos: Floats, sin: Floats) -> Heads:
    """RoPE: (x[2i], x[2i+1]) turned by the angle of its position and of i."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack((even * cos - odd * sin, even * sin + odd * cos), axis=-1).reshape(x.shape)


def attention(q: Heads, keys: Heads, values: Heads) -> Heads:
    """softmax(q k / sqrt(head_dim)) v for the last T of S positions: q [T, heads, .], keys, values [S, kv_heads, .].

    A position sees itself and those before it. Head h reads KV head h // (heads / kv_heads).
    """
    group = q.shape[1] // keys.shape[1]
    keys, values = keys.repeat(group, axis=1), values.repeat(group, axis=1)
    scores = np.einsum("thc,shc->hts", q, keys) / np.sqrt(np.float32(q.shape[2]))
    T, S = scores.shape[1:]
    hidden = np.arange(S)[None, :] > np.arange(S - T, S)[:, None]
    scores = np.where(hidden, np.float32(-np.inf), scores)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = weights / weights.sum(axis=-1, keepdims=True)
    result: Heads = np.einsum("hts,shc->thc", probabilities, values)
    return result


def feed_forward(layer: Layer, x: Floats) -> Floats:
    """SwiGLU: w2 (silu(w1 x) * w3 x), silu(a) = a / (1 + e^-a)."""
    gate = x @ layer.w1.T
    with np.errstate(over="ignore"):  # e^-a = inf makes silu(a) the 0 that it is
        silu = gate / (1 + np.exp(-gate))
    result: Floats = (silu * (x @ layer.w3.T)) @ layer.w2.T
    return result
