"""A Llama in int8: weights by output channel, static scales for everything between them.

w ~ codes * scale[:, None]. SmoothQuant: inputs of a product are divided by (largest input)^alpha /
(largest weight)^(1 - alpha) of their channel and the weights multiplied by it. The inputs behind a norm are the
residual times the gain; the norm's division comes after the product. Rows of w3 are made equally large, which the
columns of w2 take back, so that one scale serves the hidden vector. The value of a code of an input is part of the
weights. The two channels that RoPE turns share their scales of wq and wk, and of keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.ir import CompileError
from compiler.llama.calibration import LayerRanges
from models.llama.model import Layer, Llama, LlamaShape

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
ALPHA = 0.5
CODE_MAX = 127
MOST_EXPONENT = 59
"""How far from 0 a softmax's largest exponent of 2 may be on the calibration text: half of what the core's powers hold
(``golden.operators.attention``), since other texts may reach more."""


@dataclass(frozen=True)
class Weights:
    """``codes`` int8 [N, K], ``scale`` [N]."""

    codes: Codes
    scale: Floats


@dataclass(frozen=True)
class QuantisedLayer:
    """One block. ``attention_norm``, ``ffn_norm`` [dim]: codes of the residual. ``key``, ``value`` [kv_dim], ``mixed``
    [dim]: the value of a code of keys, values, attention's result; ``query`` [heads]: what a score of codes is worth,
    before the division by sqrt(head_dim). ``up``: codes of w2's input for a one in a sum of w3, before the gate.
    """

    attention_norm: Floats
    wq: Weights
    wk: Weights
    wv: Weights
    wo: Weights
    ffn_norm: Floats
    w1: Weights
    w2: Weights
    w3: Weights
    up: float
    key: Floats
    value: Floats
    query: Floats
    mixed: Floats


@dataclass(frozen=True)
class QuantisedLlama:
    """``classifier`` is ``embedding``, the same object, where they are tied. ``final_norm`` [dim]: codes of the
    residual, each worth ``final_step``.
    """

    name: str
    shape: LlamaShape
    embedding: Weights
    layers: tuple[QuantisedLayer, ...]
    final_norm: Floats
    final_step: float
    classifier: Weights


def quantise_llama(model: Llama, ranges: Sequence[LayerRanges], alpha: float = ALPHA) -> QuantisedLlama:
    """The int8 model for the ranges that calibration found.

    Raises CompileError where attention's exponents come too near to the ends of fp32.
    """
    _check_exponents(model.name, ranges)
    embedding = _weights(model.embedding)
    layers = tuple(_layer(model.shape, *pair, alpha) for pair in zip(model.layers, ranges, strict=True))
    classifier = embedding if model.is_tied else _weights(model.classifier)
    step = _one_step(ranges[-1].residual * np.abs(model.final_norm))
    final_norm = model.final_norm.astype(np.float64) / step
    return QuantisedLlama(model.name, model.shape, embedding, layers, final_norm, step, classifier)


def _check_exponents(name: str, ranges: Sequence[LayerRanges]) -> None:
    for number, layer in enumerate(ranges):
        head, largest = int(layer.exponent.argmax()), float(layer.exponent.max())
        if not largest <= MOST_EXPONENT:
            place = f"model '{name}': layer {number}, head {head}"
            raise CompileError(f"{place}: attention's exponents reach {largest:.3g}: must be at most {MOST_EXPONENT}")


def _layer(shape: LlamaShape, layer: Layer, ranges: LayerRanges, alpha: float) -> QuantisedLayer:
    to_attention = _codes(ranges.attention_input, [layer.wq, layer.wk, layer.wv], alpha)
    to_ffn = _codes(ranges.ffn_input, [layer.w1, layer.w3], alpha)
    up = np.abs(layer.w3 * to_ffn).max(axis=1)
    to_w2 = np.where(up > 0, up / up.max(), 1.0)
    w3, hidden = _weights(layer.w3 * to_ffn / to_w2[:, None]), _one_step(ranges.hidden / to_w2)
    key, value, mixed = (_step(r) for r in (ranges.key, ranges.value, ranges.mixed))
    group = shape.heads // shape.kv_heads
    weighted = ranges.query * np.repeat(key.reshape(shape.kv_heads, -1), group, axis=0).ravel()
    return QuantisedLayer(
        attention_norm=layer.attention_norm / to_attention,
        wq=_weights(layer.wq * to_attention, by_pair=True),
        wk=_weights(layer.wk * to_attention, by_pair=True),
        wv=_weights(layer.wv * to_attention),
        wo=_weights(layer.wo * mixed),
        ffn_norm=layer.ffn_norm / to_ffn,
        w1=_weights(layer.w1 * to_ffn),
        w2=_weights(layer.w2 * to_w2 * hidden),
        w3=w3,
        up=float(w3.scale[0] / hidden),
        key=key,
        value=value,
        query=_step(weighted.reshape(shape.heads, -1).max(axis=1)),
        mixed=mixed,
    )


def _step(largest: Floats) -> Floats:
    """What a code is worth; 1 for channels that are always zero."""
    return np.where(largest > 0, largest, CODE_MAX) / CODE_MAX


def _one_step(largest: Floats) -> float:
    """What a code is worth, the same in all channels."""
    return float(_step(largest.max(keepdims=True))[0])


def _codes(inputs: Floats, weights: Sequence[NDArray[np.float32]], alpha: float) -> Floats:
    """What a code of each channel of an input is worth."""
    smoothing = _smoothing(inputs, weights, alpha)
    return smoothing * _one_step(inputs / smoothing)


def _smoothing(inputs: Floats, weights: Sequence[NDArray[np.float32]], alpha: float) -> Floats:
    columns = np.max([np.abs(w).max(axis=0) for w in weights], axis=0).astype(np.float64)
    usable = (inputs > 0) & (columns > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors: Floats = np.where(usable, inputs**alpha / columns ** (1 - alpha), 1.0)
    return factors


def _weights(w: NDArray[np.float32] | Floats, by_pair: bool = False) -> Weights:
    largest = np.abs(w).max(axis=1).astype(np.float64)
    if by_pair:
        largest = np.repeat(largest.reshape(-1, 2).max(axis=1), 2)
    scale = _step(largest)
    return Weights(np.rint(w / scale[:, None]).astype(np.int8), scale)


def exponent_scale(shape: LlamaShape, query: Floats) -> Floats:
    """What a score of codes adds to the exponent of 2, by head: query * log2(e) / sqrt(head_dim)."""
    return query * math.log2(math.e) / math.sqrt(shape.head_dim)
