"""The graph of one token of a Llama, from the token in SRAM to the next one; everything that varies is data.

States: ``token`` and ``position`` [1, 1]; ``tokens``, the sequence, L a row, -1 where it is open; the residual ``x``;
``counter`` and ``temperature`` of the noise, where there is some; keys and values of every layer. The bucket, how many
positions attention looks at, is all that programs for one model differ in.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compiler.ir import CompileError, Graph, Tensor
from compiler.llama.layout import HeadLayout, take
from compiler.llama.quantised import QuantisedLayer, QuantisedLlama, Weights, exponent_scale
from golden.operators import WEYL
from hdl.config import LpuConfig

Floats = NDArray[np.float64]
OPEN = -1
"""An entry of ``tokens`` that the model fills in."""
LOG2_E = math.log2(math.e)
STEP = 16
"""Positions between two coarse angles."""


def token_graph(config: LpuConfig, model: QuantisedLlama, context: int, bucket: int, sampling: bool = False) -> Graph:
    """The graph for ``context`` positions in the caches, of which attention looks at the first ``bucket``.

    With ``sampling``, noise is added to the logits: the arg-max then is a sample of their softmax at the temperature.

    Raises CompileError where the model does not fit the lanes, or positions are not multiples of them.
    """
    lanes, width = config.lanes, config.superlane_lanes
    if context % lanes or bucket % width or not width <= bucket <= context:
        rule = f"multiples of {lanes} and of {width}, the bucket not the larger one"
        raise CompileError(f"context {context}, bucket {bucket}: must be {rule}")
    builder = _Builder(Graph(f"{model.name}.{bucket}"), config, model, context, bucket)
    builder.token(sampling)
    return builder.g


class _Builder:
    def __init__(self, g: Graph, config: LpuConfig, model: QuantisedLlama, context: int, bucket: int) -> None:
        self.g, self.config, self.model, self.context, self.bucket = g, config, model, context, bucket
        self.shape, self.layout, self.copies = model.shape, HeadLayout(config, model.shape), config.superlanes
        self.position = g.state("position", [[0]], "int32")
        self.chosen = g.state("token", [[1]], "int32")
        self.tokens = g.state("tokens", np.full((context // config.lanes + 1, config.lanes), OPEN), "int32")
        self.x = g.state("x", np.zeros((1, self.shape.dim), np.float32), "fp32")

    def token(self, sampling: bool) -> None:
        self._caches()
        self._tables()
        self._embedding()
        for number, layer in enumerate(self.model.layers):
            with self.g.iteration("layer", number):
                self._layer(f"l{number}.", layer, *self.caches[number])
        self._next(self._choice(sampling))

    def _constant(self, name: str, value: np.ndarray) -> Tensor:
        return self.g.constant(name, value.astype(np.float32), "fp32")

    def _weights(self, name: str, weights: Weights, scale: float | Floats = 1.0) -> tuple[Tensor, Tensor]:
        """The codes, and the row of scales."""
        return self.g.constant(name, weights.codes), self._constant(f"{name}.scale", weights.scale * scale)

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
        self.mask = g.causal_mask(self.position, self.bucket, self.config.superlane_lanes, self.copies, "mask")

    def _angles(self, name: str, index: Tensor, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """cos and sin of some positions; sin is negative at odd channels, where RoPE subtracts."""
        frequency = self.shape.rope_theta ** (-2.0 * self.layout.frequencies() / self.shape.head_dim)
        angle, sign = positions[:, None] * frequency, 1 - 2 * (np.arange(self.config.lanes) % 2)
        tables = self._constant(f"{name}.cos", np.cos(angle)), self._constant(f"{name}.sin", sign * np.sin(angle))
        return self.g.gather(tables[0], index), self.g.gather(tables[1], index)

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
        ones = self._constant("ones", np.ones((1, self.shape.dim)))
        g.assign(self.x, g.dequantise(row, ones, scale), "start")

    def _choice(self, sampling: bool) -> Tensor:
        """The token of the largest logit, or of the largest sum of logit and noise."""
        g, model = self.g, self.model
        gain = self._constant("final.gain", model.final_norm)
        q, scale = g.norm_quantise(self.x, gain, self.shape.epsilon, "final.norm")
        table = self.table
        if model.classifier is not model.embedding:
            table = g.constant("classifier", model.classifier.codes)
        factor = g.mul(self._constant("classifier.scale", model.classifier.scale), scale)
        logits = g.dequantise(g.matmul(q, table, "classify"), factor, name="logits")
        g.output(logits)
        return g.argmax_rounded(g.add(logits, self._noise(), "noisy") if sampling else logits, "choice")

    def _noise(self) -> Tensor:
        """Temperature times Gumbel noise of a counter that moves on with the position."""
        g = self.g
        counter = g.state("counter", [[0]], "int32")
        temperature = g.state("temperature", [[0.0]], "fp32")
        noise = g.noise(counter, temperature, self.shape.vocabulary, "noise")
        weyl = g.constant("weyl", [[WEYL - (1 << 32)]], "int32")
        g.assign(counter, g.add(counter, weyl, "counter.next"))
        return noise

    def _next(self, choice: Tensor) -> None:
        """The next token: given, or else chosen; the position moves on."""
        g, lanes = self.g, self.config.lanes
        following = g.add(self.position, g.constant("one", [[1]], "int32"), "following")
        row_number, lane = g.quotient(following, lanes), g.bitwise_and(following, lanes - 1)
        row = g.gather(self.tokens, row_number)
        token = g.given_or(g.pick(row, lane, "given"), choice, "next")
        g.scatter(self.tokens, row_number, g.put(row, lane, token), "append")
        g.output(g.assign(self.chosen, token))
        g.assign(self.position, following)
        g.output(self.tokens)

    # ------------------------------------------------------------------- layer

    def _layer(self, n: str, layer: QuantisedLayer, keys: Tensor, values: Tensor) -> None:
        g, epsilon = self.g, self.shape.epsilon
        q, scale = g.norm_quantise(self.x, self._constant(f"{n}gain", layer.attention_norm), epsilon, f"{n}norm")
        self._cache_keys(n, layer, q, scale, keys)
        queries = self._queries(n, layer, q, scale)
        self._cache_values(n, layer, q, scale, values)
        mixed = self._attention(n, layer, queries, keys, values)
        columns = take(layer.wo.codes.T, self.layout.queries().ravel()).T
        wo, wo_scale = self._weights(f"{n}wo", Weights(np.ascontiguousarray(columns), layer.wo.scale))
        g.assign(self.x, g.add(g.dequantise(g.matmul(mixed, wo, f"{n}project"), wo_scale), self.x), f"{n}add")
        self._feed_forward(n, layer)

    def _cache_keys(self, n: str, layer: QuantisedLayer, q: Tensor, scale: Tensor, keys: Tensor) -> None:
        channels = self.layout.keys()
        factor = take(layer.wk.scale / layer.key, channels)
        w = self.g.constant(f"{n}wk", take(layer.wk.codes, channels.ravel()))
        factors = self.g.mul(self._constant(f"{n}wk.scale", factor), scale, f"{n}key.factor")
        row = self.g.rope_project(q, w, self.cos, self.sin, factors, name=f"{n}key")
        self.g.kv_scatter(keys, self.places[0], row, f"{n}cache.keys")

    def _queries(self, n: str, layer: QuantisedLayer, q: Tensor, scale: Tensor) -> Tensor:
        """Codes of the queries, a head a row; the scale of each channel of keys is part of theirs."""
        group, width = self.layout.group, self.shape.head_dim
        key = np.repeat(layer.key.reshape(self.shape.kv_heads, width), group, axis=0).ravel()
        factor = take(layer.wq.scale * key / np.repeat(layer.query, width), self.layout.rows())
        w = self.g.constant(f"{n}wq", take(layer.wq.codes, self.layout.queries().ravel()))
        factors = self.g.mul(self._constant(f"{n}wq.scale", factor), scale, f"{n}query.factor")
        return self.g.rope_project(q, w, self.cos, self.sin, factors, True, f"{n}query")

    def _cache_values(self, n: str, layer: QuantisedLayer, q: Tensor, scale: Tensor, values: Tensor) -> None:
        channels = self.layout.values().ravel()
        w = self.g.constant(f"{n}wv", take(layer.wv.codes, channels))
        factor = self.g.mul(
            self._constant(f"{n}wv.scale", take(layer.wv.scale / layer.value, channels)), scale, f"{n}value.factor"
        )
        row = self.g.rescale(self.g.matmul(q, w, f"{n}value"), factor)
        self.g.kv_scatter(values, self.places[-1], row, f"{n}cache.values")

    def _attention(self, n: str, layer: QuantisedLayer, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        rows, width = self.layout.rows(), self.shape.head_dim
        heads = rows.max(axis=1) // width
        exponent = self._constant(f"{n}exponent", exponent_scale(self.shape, layer.query)[heads][:, None])
        value = np.repeat(layer.value.reshape(self.shape.kv_heads, width), self.layout.group, axis=0).ravel()
        factor = self._constant(f"{n}mix.factor", take(value / layer.mixed, rows))
        return self.g.attention(queries, keys, values, self.mask, exponent, factor, self.layout.heads, f"{n}attention")

    def _feed_forward(self, n: str, layer: QuantisedLayer) -> None:
        g, gain = self.g, self._constant(f"{n}ffn.gain", layer.ffn_norm)
        q, scale = g.norm_quantise(self.x, gain, self.shape.epsilon, f"{n}ffn.norm")
        w1, c1 = self._weights(f"{n}w1", layer.w1, -LOG2_E)
        f1 = g.mul(c1, scale, f"{n}w1.factor")
        gate = g.exp2_gate(g.to_float(g.matmul(q, w1, f"{n}gate")), f1, f"{n}silu")
        w3 = g.constant(f"{n}w3", layer.w3.codes)
        hidden = g.mul(g.to_float(g.matmul(q, w3, f"{n}up")), gate, f"{n}hidden")
        w2, c2 = self._weights(f"{n}w2", layer.w2, -layer.up / LOG2_E)
        scaled = g.mul(c2, scale, f"{n}w2.scaled")
        codes, step = g.quantise(hidden, f"{n}hidden.codes")
        f2 = g.mul(scaled, step, f"{n}w2.factor")
        down = g.dequantise(g.matmul(codes, w2, f"{n}down"), f2)
        g.assign(self.x, g.add(down, self.x), f"{n}ffn.add")
