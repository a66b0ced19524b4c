"""Checkpoints of llama2.c: float32, little-endian, in the legacy layout and in version 1 (``ak42``).

Both hold seven int32: dim, hidden, layers, heads, kv_heads, vocabulary, context. Legacy: these only; a negative
vocabulary says that the classifier has a matrix of its own. Version 1: magic, version, the seven, a byte that says
whether embedding and classifier are one matrix, zeros up to byte 256. Weights follow, each kind for all layers in turn,
without any gap: the header fixes the length of the file. RoPE pairs are channels 2i and 2i + 1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from models.llama.checks import check_finite, check_shape, file_bytes, open_file
from models.llama.model import Floats, Layer, Llama, LlamaShape, ModelError

MAGIC: Final = 0x616B3432
VERSION: Final = 1
LEGACY_HEADER: Final = struct.Struct("<7i")
HEADER: Final = struct.Struct("<Ii7iB")
HEADER_BYTES: Final = 256

NORMS: Final = ("attention_norm", "ffn_norm")
ATTENTION: Final = ("wq", "wk", "wv", "wo")
FFN: Final = ("w1", "w2", "w3")
LEGACY_ORDER: Final = (
    "embedding",
    "attention_norm",
    *ATTENTION,
    "ffn_norm",
    *FFN,
    "final_norm",
    "cos",
    "sin",
    "classifier",
)
ORDER: Final = (*NORMS, "final_norm", "embedding", *ATTENTION, *FFN, "classifier")


@dataclass(frozen=True)
class Header:
    """What a checkpoint says about itself; ``start`` is the byte its weights begin at."""

    shape: LlamaShape
    is_tied: bool
    order: tuple[str, ...]
    start: int

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array of the file, in its order; weights of blocks are [layers, outputs, inputs]."""
        s = self.shape
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (s.vocabulary, s.dim),
            "attention_norm": (s.layers, s.dim),
            "wq": (s.layers, s.dim, s.dim),
            "wk": (s.layers, s.kv_dim, s.dim),
            "wv": (s.layers, s.kv_dim, s.dim),
            "wo": (s.layers, s.dim, s.dim),
            "ffn_norm": (s.layers, s.dim),
            "w1": (s.layers, s.hidden, s.dim),
            "w2": (s.layers, s.dim, s.hidden),
            "w3": (s.layers, s.hidden, s.dim),
            "final_norm": (s.dim,),
            "cos": (s.context, s.head_dim // 2),
            "sin": (s.context, s.head_dim // 2),
            "classifier": (s.vocabulary, s.dim),
        }
        return {name: shapes[name] for name in self.order if not (self.is_tied and name == "classifier")}

    @property
    def file_bytes(self) -> int:
        return self.start + 4 * sum(prod(shape) for shape in self.arrays().values())


def read_header(path: Path) -> Header:
    """ModelError: not a checkpoint, dimensions beyond the limits, or a file longer or shorter than they make it."""
    with open_file(path) as file:
        return _header(path, file)


def read_llama2c(path: Path) -> Llama:
    """The model, named after the file. ModelError: as :func:`read_header`, or a weight that is not finite."""
    with open_file(path) as file:
        header = _header(path, file)
        file.seek(header.start)
        arrays = {name: _array(path, file, name, shape) for name, shape in header.arrays().items()}
    embedding = arrays["embedding"]
    return Llama(
        name=path.stem,
        shape=header.shape,
        embedding=embedding,
        layers=tuple(
            Layer(**{name: arrays[name][layer] for name in (*NORMS, *ATTENTION, *FFN)})
            for layer in range(header.shape.layers)
        ),
        final_norm=arrays["final_norm"],
        classifier=embedding if header.is_tied else arrays["classifier"],
    )


def _array(path: Path, file: BinaryIO, name: str, shape: tuple[int, ...]) -> Floats:
    flat = np.fromfile(file, dtype="<f4", count=prod(shape))
    if flat.size != prod(shape):
        raise ModelError(f"{path}: {name}: file ended while it was read")
    array: Floats = flat.astype(np.float32, copy=False).reshape(shape)
    check_finite(str(path), name, array)
    return array


def _header(path: Path, file: BinaryIO) -> Header:
    """The header, held against the limits and the file's length."""
    content = file.read(HEADER_BYTES)
    is_version_1 = content[:4] == struct.pack("<I", MAGIC)
    header = _version_1(path, content) if is_version_1 else _legacy(path, content)
    found = file_bytes(file)
    if found != header.file_bytes:
        state = "truncated" if found < header.file_bytes else "bytes after the weights"
        raise ModelError(f"{path}: {found:,} bytes, its header makes it {header.file_bytes:,}: {state}")
    return header


def _legacy(path: Path, content: bytes) -> Header:
    if len(content) < LEGACY_HEADER.size:
        raise ModelError(f"{path}: {len(content)} bytes: a llama2.c checkpoint has {LEGACY_HEADER.size} of header")
    dim, hidden, layers, heads, kv_heads, vocabulary, context = LEGACY_HEADER.unpack_from(content)
    shape = LlamaShape(dim, hidden, layers, heads, kv_heads, abs(vocabulary), context)
    check_shape(f"{path}: not a llama2.c checkpoint: no ak42 magic, and as a legacy header", shape)
    return Header(shape, vocabulary > 0, LEGACY_ORDER, LEGACY_HEADER.size)


def _version_1(path: Path, content: bytes) -> Header:
    if len(content) < HEADER_BYTES:
        raise ModelError(f"{path}: {len(content)} bytes: an ak42 checkpoint has {HEADER_BYTES} of header")
    _, version, *dimensions, is_tied = HEADER.unpack_from(content)
    if version != VERSION:
        raise ModelError(f"{path}: ak42 version {version}: must be {VERSION}, the float32 one")
    if is_tied > 1:
        raise ModelError(f"{path}: shared classifier = {is_tied}: must be 0 or 1")
    if any(content[HEADER.size :]):
        raise ModelError(f"{path}: ak42 header: bytes {HEADER.size}..{HEADER_BYTES - 1} must be 0")
    shape = LlamaShape(*dimensions)
    check_shape(str(path), shape)
    return Header(shape, bool(is_tied), ORDER, HEADER_BYTES)
