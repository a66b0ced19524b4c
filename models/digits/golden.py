"""The int8 perceptron through the golden operators: what every core must compute, bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.numerics import choose_requant
from golden.operators import add_bias, argmax, matmul, relu, requantise, rescale
from hdl.config import LpuConfig
from models.digits.model import Int8Model


def logits(config: LpuConfig, model: Int8Model, images: NDArray[np.int8]) -> NDArray[np.int32]:
    """Images [n, 64] -> logits [n, 10]; a core without floating point scales by multiplier and shift."""
    hidden = add_bias(matmul(images, model.w1), model.c1)
    if config.has_floats:
        scaled = rescale(hidden, model.scale.astype(np.float32)[None])
    else:
        words = [choose_requant(config, scale) for scale in model.scale.tolist()]
        multiplier, shift = np.array(words).T
        scaled = requantise(hidden, multiplier, shift)
    codes = relu(scaled).astype(np.int8)
    return add_bias(matmul(codes, model.w2), model.c2)


def digits(config: LpuConfig, model: Int8Model, images: NDArray[np.int8]) -> NDArray[np.int64]:
    """Images [n, 64] -> recognised digits [n]."""
    return argmax(logits(config, model, images))
