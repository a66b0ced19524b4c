"""The perceptron in float32 and its int8 quantisation.

    float   h = relu(x w1 + b1),  logits = h w2 + b2
    int8    q = max(round((W1 x + c1) * scale), 0),  logits = W2 q + c2      digit = argmax(logits)

Pixels 0..16 are int8 codes as they are (scale 1, exact). Layer 1 has a weight scale per output channel, which
``scale`` undoes (in fp32, or as multiplier and shift on a core without floating point); layer 2 has one scale, so that
its int32 logits compare with each other as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from golden.numerics import INT8_MAX

WEIGHTS_FILE = Path(__file__).with_name("weights.npz")


@dataclass(frozen=True)
class FloatModel:
    """w1 [64, 32], b1 [32], w2 [32, 10], b2 [10], float32; takes pixels 0..16.

    ``hidden_max``: the largest hidden activation on the training images, which the int8 model calibrates with.
    """

    w1: NDArray[np.float32]
    b1: NDArray[np.float32]
    w2: NDArray[np.float32]
    b2: NDArray[np.float32]
    hidden_max: float

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> FloatModel:
        with np.load(path) as stored:
            return cls(stored["w1"], stored["b1"], stored["w2"], stored["b2"], float(stored["hidden_max"]))

    def save(self, path: Path) -> None:
        np.savez(path, w1=self.w1, b1=self.b1, w2=self.w2, b2=self.b2, hidden_max=self.hidden_max)

    def hidden(self, images: NDArray[np.int8]) -> NDArray[np.float32]:
        """Hidden activations [n, 32] of images [n, 64]."""
        return np.maximum(images.astype(np.float32) @ self.w1 + self.b1, np.float32(0))

    def logits(self, images: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits [n, 10] of images [n, 64]."""
        return self.hidden(images) @ self.w2 + self.b2

    def accuracy(self, images: NDArray[np.int8], labels: NDArray[np.int64]) -> float:
        return float((self.logits(images).argmax(axis=1) == labels).mean())


@dataclass(frozen=True)
class Int8Model:
    """Weights [n, k] int8 (a row per output channel), biases [n] int32, scale [32] of layer 1."""

    w1: NDArray[np.int8]
    c1: NDArray[np.int32]
    scale: NDArray[np.float64]
    w2: NDArray[np.int8]
    c2: NDArray[np.int32]


def _codes(weights: NDArray[np.float64], scale: NDArray[np.float64] | np.float64) -> NDArray[np.int8]:
    """round(weights / scale) as int8; the scale makes -127..127 of it."""
    return np.rint(weights / scale).astype(np.int8)


def quantise(model: FloatModel) -> Int8Model:
    """The int8 model; how ``scale`` is applied depends on the arithmetic of the core.

    Symmetric abs-max scales: s1[n] = max_k |w1[k][n]| / 127, s2 = max |w2| / 127, s_h = hidden_max / 127. A unit
    that training switched off (weights below 1/1024 of the largest) gets the scale of that bound: its codes are 0.
    """
    w1, w2 = model.w1.T.astype(np.float64), model.w2.T.astype(np.float64)
    s1 = np.maximum(np.abs(w1).max(axis=1), np.abs(w1).max() / 1024) / INT8_MAX
    s2 = np.abs(w2).max() / INT8_MAX
    s_h = model.hidden_max / INT8_MAX
    return Int8Model(
        w1=_codes(w1, s1[:, None]),
        c1=np.rint(model.b1 / s1).astype(np.int32),
        scale=s1 / s_h,
        w2=_codes(w2, s2),
        c2=np.rint(model.b2 / (s2 * s_h)).astype(np.int32),
    )
