"""What every model file is held against before its weights are read, and the one line that a refusal is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from models.llama.model import Floats, LlamaShape, ModelError

LIMITS: Final = {
    "dim": 1 << 16,
    "hidden": 1 << 18,
    "layers": 1 << 10,
    "heads": 1 << 10,
    "kv_heads": 1 << 10,
    "vocabulary": 1 << 20,
    "context": 1 << 20,
}
"""Largest value of each dimension; the smallest is 1."""


def one_line(text: object) -> str:
    """``text`` without line breaks and unprintable characters, at most 200 characters."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in flat)[:200]


def is_present(path: Path) -> bool:
    """ModelError: the system does not say."""
    with system_errors(path):
        return path.exists()


def is_folder(path: Path) -> bool:
    """ModelError: the system does not say."""
    with system_errors(path):
        return path.is_dir()


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading. ModelError: missing, a folder, a device or pipe, not readable."""
    with system_errors(path):
        if not path.exists():
            raise ModelError(f"{path}: no such file")
        if not path.is_file():
            raise ModelError(f"{path}: {'a folder' if path.is_dir() else 'a device or pipe'}, must be a file")
        return path.open("rb")


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """What the system says about ``path``, as a ModelError."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{one_line(path)}: {error.strerror}") from error


def read_file(path: Path, most_bytes: int) -> bytes:
    """The whole file. ModelError: as :func:`open_file`, or longer than ``most_bytes``."""
    with open_file(path) as file:
        length = file_bytes(file)
        if length > most_bytes:
            raise ModelError(f"{path}: {length:,} bytes: must be at most {most_bytes:,}")
        return file.read(length)


def file_bytes(file: BinaryIO) -> int:
    """Length of an open file."""
    return os.fstat(file.fileno()).st_size


def check_shape(where: str, shape: LlamaShape) -> None:
    """ModelError: a dimension beyond LIMITS, heads that do not divide, an odd head (RoPE turns pairs of channels)."""
    for name, limit in LIMITS.items():
        value = getattr(shape, name)
        if not 1 <= value <= limit:
            raise ModelError(f"{where}: {name} = {value}: must be in 1..{limit}")
    if shape.heads % shape.kv_heads:
        raise ModelError(f"{where}: kv_heads = {shape.kv_heads}: must divide heads = {shape.heads}")
    if shape.dim % (2 * shape.heads):
        raise ModelError(f"{where}: dim = {shape.dim}: must be a multiple of 2 x heads = {2 * shape.heads}")


def check_finite(where: str, name: str, array: Floats) -> None:
    """ModelError: the first NaN or infinity of ``array``, with its index."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ModelError(f"{where}: {name}{list(index)} = {array[index]}: must be finite")
