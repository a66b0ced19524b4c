"""Train the perceptron: ``python -m models.digits.train`` writes ``weights.npz`` and prints the accuracies.

    h = relu(x / 16 @ w1 + b1),  logits = h @ w2 + b2      x [64], h [32], logits [10]

One thread and fixed seeds: the same scikit-learn and numpy give the same weights. ``ALPHA`` is the best of
0.3, 1 and 3 by five-fold cross-validation on the training images; the held-out images choose nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.digits.data import PIXEL_MAX, Split, load_split
from models.digits.model import WEIGHTS_FILE, FloatModel

HIDDEN = 32
ALPHA = 0.3
TRAINING_SEED = 0
FOLDS = 5


def classifier() -> MLPClassifier:
    """An untrained network with the fixed hyperparameters."""
    return MLPClassifier((HIDDEN,), alpha=ALPHA, learning_rate_init=3e-3, max_iter=400, random_state=TRAINING_SEED)


def train(split: Split) -> FloatModel:
    """The network fitted to the training images; pixels are divided by 16 for training, the model takes 0..16."""
    with threadpool_limits(limits=1):
        network = classifier().fit(split.train_images / PIXEL_MAX, split.train_labels)
    (w1, w2), (b1, b2) = network.coefs_, network.intercepts_
    w1, b1, w2, b2 = (a.astype(np.float32) for a in (w1 / PIXEL_MAX, b1, w2, b2))
    uncalibrated = FloatModel(w1, b1, w2, b2, hidden_max=0.0)
    return replace(uncalibrated, hidden_max=float(uncalibrated.hidden(split.train_images).max()))


def cross_validation(split: Split) -> float:
    """Mean accuracy of five folds of the training images."""
    with threadpool_limits(limits=1):
        scores = cross_val_score(classifier(), split.train_images / PIXEL_MAX, split.train_labels, cv=FOLDS)
    return float(scores.mean())


def main() -> None:
    split = load_split()
    model = train(split)
    model.save(WEIGHTS_FILE)
    print(f"cross-validation {cross_validation(split):.4f}")
    print(f"training images  {model.accuracy(split.train_images, split.train_labels):.4f}")
    print(f"held-out images  {model.accuracy(split.test_images, split.test_labels):.4f}")
    print(f"wrote {WEIGHTS_FILE} ({WEIGHTS_FILE.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
