"""A model ready to be compiled: weights, tokenizer, and the int8 model by its calibration.

Calibration that ships with a model is in ``NAME.calibration.npz`` beside a checkpoint, ``calibration.npz`` in a folder:
the ranges of :mod:`compiler.llama.calibration`, [layers, channels] each, and the digest of the weights they are of.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, islice
from pathlib import Path

import numpy as np

from compiler.llama.calibration import LayerRanges, calibrate
from compiler.llama.quantised import QuantisedLlama, quantise_llama
from models.llama.checks import is_folder, is_present, read_file
from models.llama.load import load_model
from models.llama.model import Llama, ModelError
from models.llama.tokenizer import Tokenizer
from models.stories import corpus

DIGITS = 3
"""Significant digits of a range: the same whatever order a machine adds in."""
SEED = 3
"""Of the stories for models without calibration of their own."""
STORIES = 24
MOST_TEXT_BYTES = 1 << 24
NAMES = tuple(field.name for field in fields(LayerRanges))

Ranges = tuple[LayerRanges, ...]


@dataclass(frozen=True)
class Prepared:
    """``calibration`` says where the ranges are from."""

    model: Llama
    tokenizer: Tokenizer
    ranges: Ranges
    quantised: QuantisedLlama
    calibration: str


def prepare(path: Path, tokenizer: Path | None = None, text: Path | None = None) -> Prepared:
    """Load and quantise. Ranges are of ``text``, or else those beside the model, or else of some stories.

    Raises ModelError for whatever is wrong with a file.
    """
    model, words = load_model(path, tokenizer)
    ranges, source = _ranges(path, model, words, text)
    return Prepared(model, words, ranges, quantise_llama(model, ranges), source)


def _ranges(path: Path, model: Llama, words: Tokenizer, text: Path | None) -> tuple[Ranges, str]:
    shipped = calibration_path(path)
    if text is not None:
        return measured(model, sequences(words, read_text(text), model.shape.context)), str(text)
    if is_present(shipped) and (ranges := load_ranges(shipped, model)) is not None:
        return ranges, shipped.name
    return measured(model, sequences(words, story_text(), model.shape.context)), f"{STORIES} stories of models/stories"


# ------------------------------------------------------------------------------ text


def read_text(path: Path) -> str:
    """Raises ModelError: no such file, not UTF-8, nothing but blanks."""
    try:
        text = read_file(path, MOST_TEXT_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: byte {error.start}: must be UTF-8 text") from error
    if not text.strip():
        raise ModelError(f"{path}: no text")
    return text


def story_text() -> str:
    """Stories from a seed of their own, none of them held out."""
    held_out = set(corpus.held_out())
    return "\n\n".join(islice((story for story in corpus.stories(SEED) if story not in held_out), STORIES))


def sequences(tokenizer: Tokenizer, text: str, context: int, most: int | None = None) -> list[list[int]]:
    """The documents of ``text``, which blank lines separate, each from the tokenizer's ``begin`` on.

    What is beyond ``context`` tokens of a document is a sequence of its own with ``begin`` before it. ``most`` in all.
    """
    documents = [" ".join(part.split()) for part in text.split("\n\n")]
    tokens = [tokenizer.encode(document) for document in documents if document]
    ends = accumulate(map(len, tokens))
    kept = [t if most is None else t[: max(0, most - end + len(t))] for t, end in zip(tokens, ends, strict=True)]
    return [part for document in kept for part in _cut(document, tokenizer.begin, context)]


def _cut(tokens: list[int], begin: int | None, context: int) -> Iterator[list[int]]:
    while tokens:
        opening = [] if begin is None or tokens[0] == begin else [begin]
        size = context - len(opening)
        yield opening + tokens[:size]
        tokens = tokens[size:]


# ----------------------------------------------------------------------- calibration


def calibration_path(path: Path) -> Path:
    """Where the calibration of the model at ``path`` is."""
    return path / "calibration.npz" if is_folder(path) else path.with_name(f"{path.stem}.calibration.npz")


def measured(model: Llama, texts: Sequence[Sequence[int]]) -> Ranges:
    """Ranges over the texts, rounded to DIGITS significant digits."""
    return tuple(
        LayerRanges(**{name: _rounded(getattr(layer, name)) for name in NAMES}) for layer in calibrate(model, texts)
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def save_ranges(path: Path, model: Llama, ranges: Ranges) -> None:
    """Write the file whole or not at all."""
    arrays = {name: np.stack([getattr(layer, name) for layer in ranges]) for name in NAMES}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, weights=np.array(digest(model)), **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_ranges(path: Path, model: Llama) -> Ranges | None:
    """The ranges of a file, None where they are of other weights. Raises ModelError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights, found = str(arrays["weights"]), {name: arrays[name] for name in NAMES}
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: {error!r}: must be a calibration as `lpu calibrate` writes it") from error
    if weights != digest(model):
        return None
    return tuple(
        LayerRanges(**{name: array[layer] for name, array in found.items()}) for layer in range(model.shape.layers)
    )


def digest(model: Llama) -> str:
    """SHA-256 of the weights, 16 digits."""
    found = hashlib.sha256()
    for array in (model.embedding, model.classifier, model.final_norm):
        found.update(array.tobytes())
    for layer in model.layers:
        for field in fields(layer):
            found.update(getattr(layer, field.name).tobytes())
    return found.hexdigest()[:16]
