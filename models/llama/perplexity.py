"""How well a Llama predicts a text: float32 beside the quantised golden model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.evaluate import evaluate
from compiler.llama.program import Buckets
from golden.llama import reference
from models.llama.generate import Request, first_states
from models.llama.model import Llama, ModelError

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Comparison:
    """Over ``tokens`` predictions: the perplexities, and how many had the same likeliest token in both models."""

    tokens: int
    fp32: float
    int8: float
    agreeing: int

    @property
    def difference(self) -> float:
        """int8 / fp32 - 1."""
        return self.int8 / self.fp32 - 1

    @property
    def agreement(self) -> float:
        return self.agreeing / self.tokens


def compare(
    model: Llama, buckets: Buckets, sequences: Sequence[Sequence[int]], progress: Progress | None = None
) -> Comparison:
    """Every token of every sequence but its first, predicted from those before; sequences within the context.

    Raises ModelError where there is nothing to predict.
    """
    targets = np.array([token for tokens in sequences for token in tokens[1:]], int)
    if not len(targets):
        raise ModelError("text of less than two tokens: must be more, so that there is one to predict")
    fp32 = np.concatenate([reference.logits(model, tokens)[:-1] for tokens in sequences if len(tokens) > 1])
    int8 = np.empty_like(fp32)
    done = 0
    for tokens in sequences:
        for row in golden_logits(buckets, tokens[:-1]):
            int8[done], done = row, done + 1
            if progress:
                progress(done)
    agreeing = int((fp32.argmax(axis=1) == int8.argmax(axis=1)).sum())
    perplexities = [reference.perplexity(logits, targets) for logits in (fp32, int8)]
    return Comparison(len(targets), perplexities[0], perplexities[1], agreeing)


def golden_logits(buckets: Buckets, tokens: Sequence[int]) -> Iterator[np.ndarray]:
    """Logits [vocabulary] of what follows each token, as the core computes them."""
    states = first_states(buckets, Request(tuple(tokens), 1)) if tokens else {}
    for position in range(len(tokens)):
        yield evaluate(buckets.graph(buckets.bucket(position)), {}, states)["logits"][0]
