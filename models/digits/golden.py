"""The int8 perceptron through the golden operators: what every core must compute, bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.operators import add_bias, argmax, matmul, relu, requantise
from models.digits.model import Int8Model


def logits(model: Int8Model, images: NDArray[np.int8]) -> NDArray[np.int32]:
    """Images [n, 64] -> logits [n, 10]."""
    hidden = add_bias(matmul(images, model.w1), model.c1)
    codes = relu(requantise(hidden, model.multiplier, model.shift)).astype(np.int8)
    return add_bias(matmul(codes, model.w2), model.c2)


def digits(model: Int8Model, images: NDArray[np.int8]) -> NDArray[np.int64]:
    """Images [n, 64] -> recognised digits [n]."""
    return argmax(logits(model, images))
