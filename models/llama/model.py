"""A Llama as plain arrays: what every front end produces; quantisation, compiler and golden model start from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class ModelError(ValueError):
    """A model file or tokenizer that cannot be used; one line that names file, value and rule."""


@dataclass(frozen=True)
class LlamaShape:
    """Dimensions.

    Heads are ``head_dim`` = dim / heads wide; ``kv_heads`` divides ``heads`` (grouped-query attention).
    """

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    rope_theta: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def kv_dim(self) -> int:
        return self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Layer:
    """Weights of one block, float32 [outputs, inputs].

    ``wq`` [dim, dim], ``wk``, ``wv`` [kv_dim, dim], ``wo`` [dim, dim], ``w1`` (gate), ``w3`` (up) [hidden, dim], ``w2``
    [dim, hidden]; gains ``attention_norm``, ``ffn_norm`` [dim]. RoPE turns channels 2i and 2i + 1 of a head.
    """

    attention_norm: Floats
    wq: Floats
    wk: Floats
    wv: Floats
    wo: Floats
    ffn_norm: Floats
    w1: Floats
    w2: Floats
    w3: Floats


@dataclass(frozen=True)
class Llama:
    """``embedding`` [vocabulary, dim]; ``classifier`` [vocabulary, dim], the same array object where they are tied."""

    name: str
    shape: LlamaShape
    embedding: Floats
    layers: tuple[Layer, ...]
    final_norm: Floats
    classifier: Floats

    @property
    def is_tied(self) -> bool:
        return self.classifier is self.embedding
