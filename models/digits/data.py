"""scikit-learn's bundled handwritten digits (1797 images of 8 x 8 pixels, values 0..16) and their fixed split."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PIXELS = 64
CLASSES = 10
PIXEL_MAX = 16
HELD_OUT = 450
SPLIT_SEED = 0


@dataclass(frozen=True)
class Split:
    """Images [n, 64] int8 with values 0..16, labels [n] int64."""

    train_images: NDArray[np.int8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.int8]
    test_labels: NDArray[np.int64]

    def first(self, count: int) -> Split:
        """The same split with only the first ``count`` held-out images."""
        return replace(self, test_images=self.test_images[:count], test_labels=self.test_labels[:count])


def load_split() -> Split:
    """1347 training and 450 held-out images, stratified by label; the same split on every call."""
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.data.astype(np.int8),
        digits.target.astype(np.int64),
        test_size=HELD_OUT,
        stratify=digits.target,
        random_state=SPLIT_SEED,
    )
    return Split(train_x, train_y, test_x, test_y)
