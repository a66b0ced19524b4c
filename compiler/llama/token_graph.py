"""The graph of one token of a Llama, from the token in SRAM to the next one; everything that varies is data.

States: ``token`` and ``position`` [1, 1]; ``tokens``, the sequence, L a row, -1 where it is open; the residual ``x``
and its ``codes``, which the next product takes;
``counter`` and ``temperature`` of the noise, where there is some; keys and values of every layer. The bucket, how many
positions attention looks at, is all that programs for one model differ in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compiler.ir import CompileError, Graph, Tensor
from compiler.llama.layout import EMPTY, HeadLayout, take
from compiler.llama.quantised import QuantisedLayer, QuantisedLlama, Weights, exponent_scale
from golden.operators import WEYL
from hdl.config import LpuConfig

Floats = NDArray[np.float64]
OPEN = -1
"""An entry of ``tokens`` that the model fills in."""
LOG2_E = math.log2(math.e)
STEP = 16
"""Positions between two coarse angles."""
PART = 4
"""Tiles of the hidden channels that w2 is applied to at a time."""


def token_graph(
    config: LpuConfig, model: QuantisedLlama, context: int, bucket: int, first: int = 0, sampling: bool = False
) -> Graph:
    """The graph of a token at position ``first`` or later, below ``bucket``, for ``context`` positions in the caches.

    With ``sampling``, noise is added to the logits: the arg-max then is a sample of their softmax at the temperature.

    Raises CompileError where the model does not fit the lanes, or positions are not multiples of them.
    """
    lanes, width = config.lanes, config.superlane_lanes
    if context % lanes or bucket % width or not width <= bucket <= context:
        rule = f"multiples of {lanes} and of {width}, the bucket not the larger one"
        raise CompileError(f"context {context}, bucket {bucket}: must be {rule}")
    builder = _Builder(Graph(f"{model.name}.{bucket}"), config, model, context, bucket, first)
    builder.token(sampling)
    return builder.g


class _Builder:
    def __init__(
        self, g: Graph, config: LpuConfig, model: QuantisedLlama, context: int, bucket: int, first: int
    ) -> None:
        self.g, self.config, self.model = g, config, model
        self.context, self.bucket, self.first = context, bucket, first
        self.shape, self.layout, self.copies = model.shape, HeadLayout(config, model.shape), config.superlanes
        self.root = math.sqrt(model.shape.dim)
        """What the reciprocal of a root of a sum of squares becomes that of their mean by."""
        self.position = g.state("position", [[0]], "int32")
        self.chosen = g.state("token", [[1]], "int32")
        self.tokens = g.state("tokens", np.full((context // config.lanes + 1, config.lanes), OPEN), "int32")
        self.x = g.state("x", np.zeros((1, self.shape.dim), np.float32), "fp32")
        self.codes = g.state("codes", np.zeros((1, self.shape.dim), np.int8))

    def token(self, sampling: bool) -> None:
        self._caches()
        self._tables()
        self._embedding()
        norms = [*(layer.attention_norm for layer in self.model.layers), self.model.final_norm]
        self._encode("start.gain", norms[0])
        for number, layer in enumerate(self.model.layers):
            with self.g.iteration("layer", number):
                self._layer(f"l{number}.", layer, *self.caches[number])
                self._encode(f"l{number}.gain", norms[number + 1])
        self._next(sampling)

    def _constant(self, name: str, value: np.ndarray) -> Tensor:
        return self.g.constant(name, value.astype(np.float32), "fp32")

    def _weights(self, name: str, weights: Weights, scale: float | Floats = 1.0) -> tuple[Tensor, Tensor]:
        """The codes, and the row of scales."""
        return self.g.constant(name, weights.codes), self._constant(f"{name}.scale", weights.scale * scale)

    def _encode(self, name: str, norm: Floats) -> None:
        """The residual's codes for the norm that comes next."""
        self.g.assign(self.codes, self.g.quantise_static(self.x, self._constant(name, norm)), f"{name}.codes")

    # ------------------------------------------------------------------ around

    def _caches(self) -> None:
        """Keys and values of every layer, and where this position's go in all of them."""
        g, (tiles, lanes) = self.g, self.layout.keys().shape
        self.caches = []
        for number in range(self.shape.layers):
            with g.iteration("layer", number):
                sizes = {"keys": tiles * lanes, "values": tiles * self.copies * lanes}
                caches = [
                    g.state(f"l{number}.{n}", np.zeros((self.context, size), np.int8)) for n, size in sizes.items()
                ]
                self.caches.append(caches)
        self.places = [g.kv_index(self.position, cache, f"place.{i}") for i, cache in enumerate(self.caches[0])]

    def _tables(self) -> None:
        """cos and sin of the position's angle, as that of a sum, and the mask."""
        g = self.g
        high, low = g.quotient(self.position, STEP, "high"), g.bitwise_and(self.position, STEP - 1, "low")
        coarse = self._angles("coarse", high, np.arange(-(-self.context // STEP)) * STEP)
        fine = self._angles("fine", low, np.arange(STEP))
        self.cos = g.sub(g.mul(coarse[0], fine[0]), g.mul(coarse[1], fine[1]), "cos")
        self.sin = g.add(g.mul(coarse[1], fine[0]), g.mul(coarse[0], fine[1]), "sin")
        width = self.config.superlane_lanes
        self.mask = g.causal_mask(self.position, self.bucket, width, self.copies, self.first, "mask")

    def _angles(self, name: str, index: Tensor, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """cos and sin of some positions; sin is negative at odd channels, where RoPE subtracts."""
        frequency = self.shape.rope_theta ** (-2.0 * self.layout.frequencies() / self.shape.head_dim)
        angle, sign = positions[:, None] * frequency, 1 - 2 * (np.arange(self.config.lanes) % 2)
        tables = self._constant(f"{name}.cos", np.cos(angle)), self._constant(f"{name}.sin", sign * np.sin(angle))
        return self.g.gather(tables[0], index), self.g.gather(tables[1], index)

    def _place(self) -> None:
        """Where the next token goes, and what is given there."""
        g, lanes = self.g, self.config.lanes
        self.following = g.add(self.position, g.constant("one", [[1]], "int32"), "following")
        self.row_number, self.lane = g.quotient(self.following, lanes), g.bitwise_and(self.following, lanes - 1)
        self.row = g.gather(self.tokens, self.row_number)
        self.given = g.pick(self.row, self.lane, "given")

    def _embedding(self) -> None:
        """x = the token's row of the table times its scale."""
        g, lanes, table = self.g, self.config.lanes, self.model.embedding
        self.table = g.constant("embedding", table.codes)
        if self.copies == 1:
            row = g.embed(self.table, self.chosen, "embed")
        else:
            row = g.gather(g.constant("embedding.rows", table.codes), self.chosen, "embed")
        padded = np.pad(table.scale, (0, -len(table.scale) % lanes))
        scales = self._constant("embedding.scales", padded.reshape(-1, lanes))
        found = g.gather(scales, g.quotient(self.chosen, lanes))
        scale = g.pick(found, g.bitwise_and(self.chosen, lanes - 1), "embedding.scale")
        g.assign(self.x, g.mul(g.to_float(row), scale), "start")

    def _choice(self, sampling: bool) -> Tensor:
        """The token that is given, or else that of the largest logit, or of the largest sum of logit and noise."""
        g, model = self.g, self.model
        scale = g.inverse_norm(self.x, self.shape.epsilon, "final.norm")
        table = self.table
        if model.classifier is not model.embedding:
            table = g.constant("classifier", model.classifier.codes)
        factor = self._constant("classifier.scale", model.classifier.scale * (model.final_step * self.root))
        if not sampling:
            token, relative = g.classify(self.codes, table, factor, self.given, "next")
            g.output(g.mul(relative, scale, "logits"))
            return token
        logits = g.mul(g.dequantise(g.matmul(self.codes, table, "classify"), factor), scale, "logits")
        g.output(logits)
        return g.given_or(self.given, g.argmax_rounded(g.add(logits, self._noise(), "noisy"), "choice"), "next")

    def _noise(self) -> Tensor:
        """Temperature times Gumbel noise of a counter that moves on with the position."""
        g = self.g
        counter = g.state("counter", [[0]], "int32")
        temperature = g.state("temperature", [[0.0]], "fp32")
        noise = g.noise(counter, temperature, self.shape.vocabulary, "noise")
        weyl = g.constant("weyl", [[WEYL - (1 << 32)]], "int32")
        g.assign(counter, g.add(counter, weyl, "counter.next"))
        return noise

    def _next(self, sampling: bool) -> None:
        """The next token: given, or else chosen; the position moves on."""
        g = self.g
        self._place()
        token = self._choice(sampling)
        g.put(self.tokens, self.row_number, self.row, self.lane, token, "append")
        g.output(g.assign(self.chosen, token))
        g.assign(self.position, self.following)
        g.output(self.tokens)

    # ------------------------------------------------------------------- layer

    def _layer(self, n: str, layer: QuantisedLayer, keys: Tensor, values: Tensor) -> None:
        g, scale = self.g, self.g.inverse_norm(self.x, self.shape.epsilon, f"{n}norm")
        self._cache_keys(n, layer, scale, keys)
        queries = self._queries(n, layer, scale)
        self._cache_values(n, layer, scale, values)
        mixed = self._attention(n, layer, queries, keys, values)
        columns = take(layer.wo.codes.T, self.layout.queries().ravel()).T
        wo, wo_scale = self._weights(f"{n}wo", Weights(np.ascontiguousarray(columns), layer.wo.scale))
        g.assign(self.x, g.add(g.dequantise(g.matmul(mixed, wo, f"{n}project"), wo_scale), self.x), f"{n}add")
        self._encode(f"{n}ffn.gain", layer.ffn_norm)
        self._feed_forward(n, layer)

    def _cache_keys(self, n: str, layer: QuantisedLayer, scale: Tensor, keys: Tensor) -> None:
        channels = self.layout.keys()
        w = self.g.constant(f"{n}wk", take(layer.wk.codes, channels.ravel()))
        factor = self._constant(f"{n}wk.scale", take(self.root * layer.wk.scale / layer.key, channels))
        projected = self.codes, w, self.cos, self.sin, scale, factor
        self.g.rope_cache(keys, self.places[0], projected, f"{n}key")

    def _queries(self, n: str, layer: QuantisedLayer, scale: Tensor) -> Tensor:
        """Codes of the queries, a head a row; the scale of each channel of keys is part of theirs."""
        group, width = self.layout.group, self.shape.head_dim
        key = np.repeat(layer.key.reshape(self.shape.kv_heads, width), group, axis=0).ravel()
        factor = take(self.root * layer.wq.scale * key / np.repeat(layer.query, width), self.layout.rows())
        w = self.g.constant(f"{n}wq", take(layer.wq.codes, self.layout.queries().ravel()))
        factors = self._constant(f"{n}wq.scale", factor)
        return self.g.rope_project(self.codes, w, self.cos, self.sin, scale, factors, True, f"{n}query")

    def _cache_values(self, n: str, layer: QuantisedLayer, scale: Tensor, values: Tensor) -> None:
        channels = self.layout.values().ravel()
        w = self.g.constant(f"{n}wv", take(layer.wv.codes, channels))
        factor = self._constant(f"{n}wv.scale", take(self.root * layer.wv.scale / layer.value, channels))
        value = self.g.mul(self.g.to_float(self.g.matmul(self.codes, w, f"{n}value")), scale)
        row = self.g.quantise_static(value, factor)
        self.g.kv_scatter(values, self.places[-1], row, f"{n}cache.values")

    def _attention(self, n: str, layer: QuantisedLayer, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        rows, width = self.layout.rows(), self.shape.head_dim
        heads = rows.max(axis=1) // width
        exponent = self._constant(f"{n}exponent", exponent_scale(self.shape, layer.query)[heads][:, None])
        value = np.repeat(layer.value.reshape(self.shape.kv_heads, width), self.layout.group, axis=0).ravel()
        divisor = self._constant(f"{n}mix.divisor", np.where(rows == EMPTY, np.inf, (layer.mixed / value)[rows]))
        tensors = queries, keys, values, self.mask, exponent, divisor
        return self.g.attention(*tensors, self.layout.heads, self.first, f"{n}attention")

    def _feed_forward(self, n: str, layer: QuantisedLayer) -> None:
        """x + w2 (silu(w1 x) * w3 x), in parts of the hidden channels: w2 is on some while others are not there yet."""
        g = self.g
        factor = self._constant(f"{n}hidden.factor", np.full((1, 1), -LOG2_E / (layer.up * self.root)))
        scale, divisor = g.gate_norm(self.x, factor, self.shape.epsilon, f"{n}ffn.norm")
        value, w2_scale = self.x, self._constant(f"{n}w2.scale", layer.w2.scale)
        for i, part in enumerate(self._parts()):
            m = f"{n}{i}."
            w1, w3 = (g.constant(f"{m}{k}", w.codes[part]) for k, w in (("w1", layer.w1), ("w3", layer.w3)))
            w1_scale = self._constant(f"{m}w1.scale", -LOG2_E * self.root * layer.w1.scale[part])
            gate = g.dequantise(g.matmul(self.codes, w1, f"{m}gate"), w1_scale)
            hidden = g.exp2_gate(self.codes, w3, gate, scale, divisor, f"{m}hidden")
            w2 = g.constant(f"{m}w2", np.ascontiguousarray(layer.w2.codes[:, part]))
            value = g.add(g.dequantise(g.matmul(hidden, w2, f"{m}down"), w2_scale), value, f"{m}ffn.sum")
        g.assign(self.x, value, f"{n}ffn.add")

    def _parts(self) -> Iterator[slice]:
        """The hidden channels, some tiles at a time."""
        size = PART * self.config.lanes
        yield from (slice(first, first + size) for first in range(0, self.shape.hidden, size))
