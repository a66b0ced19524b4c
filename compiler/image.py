"""Program images: what a core needs to run one program, in one file that is whole or absent.

File = ``LPUIMAGE`` | version u16 | payload length u64 | SHA-256 of all the other bytes | payload, little-endian.
The payload is a numpy ``.npz`` (no pickle): ``meta`` (JSON: fingerprint, preset, cycles, tensors, instruction words)
and one uint8 [n, lanes] array per memory block. Saving the same image twice writes the same bytes.

Tensor layouts, L lanes; a tensor of shape [..., N] is [M, N] with M the product of the leading dimensions
    int8 in a data group    row r = m*ceil(N/L) + n//L at address addr + r ({slice, row} counted through), lane n mod L
    int32 in a data group   the same rows r at row addr + r of all 4 slices; slice j holds byte j of each lane
    int8 in a weight group  L x L tiles of [M, N], output tile by output tile, all N-tiles of one before the next;
                            row addr + r holds in slice j the weight row (r mod steps)*ws + j of tile r // steps
Lanes and rows beyond the shape are 0, but the value of a one-channel row [M, 1] is in every lane, and a single weight
row [1, K] in every row of its tiles, so that its products are in every lane, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import struct
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdl.config import ConfigError, LpuConfig, Unit, UnitKind
from hdl.isa import Instruction, IsaError, decode, encode, queue

MAGIC = b"LPUIMAGE"
VERSION = 1
_HEADER = struct.Struct("<8sHQ")
_DIGEST_BYTES = hashlib.sha256().digest_size

KINDS = ("input", "output", "const", "temp")
DTYPES = {"int8": np.int8, "int32": np.int32, "fp32": np.float32}


class ImageError(ValueError):
    """An image file or tensor that breaks a rule; names file or tensor, value and rule."""


@dataclass(frozen=True, eq=False)
class MemoryBlock:
    """Initial SRAM content: ``rows`` uint8 [n, lanes] at consecutive {slice, row} addresses from ``addr``."""

    unit: str
    addr: int
    rows: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryBlock):
            return NotImplemented
        return (self.unit, self.addr) == (other.unit, other.addr) and np.array_equal(self.rows, other.rows)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lives: ``rows`` SRAM rows from ``addr`` of ``unit``, holding its value from cycle ``live_from``
    (its first write) to ``live_until`` (its last read), both inclusive; layouts in the module's docstring.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    addr: int
    rows: int
    live_from: int = 0
    live_until: int = 0


@dataclass(frozen=True)
class ProgramImage:
    """A program for the cores whose fingerprint is ``config``'s; ``cycles`` is the compiler's prediction."""

    config: LpuConfig
    programs: Mapping[str, tuple[Instruction, ...]]
    memory: tuple[MemoryBlock, ...]
    tensors: tuple[TensorInfo, ...]
    cycles: int

    @property
    def preset(self) -> str:
        return self.config.name

    @property
    def fingerprint(self) -> int:
        return self.config.fingerprint

    def tensor(self, name: str) -> TensorInfo:
        for info in self.tensors:
            if info.name == name:
                return info
        raise ImageError(f"no tensor '{name}'; tensors: {', '.join(info.name for info in self.tensors)}")

    # ------------------------------------------------------------------- files

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all (temporary file, then rename). Raises IsaError for a bad instruction."""
        payload = self._payload()
        header = _HEADER.pack(MAGIC, VERSION, len(payload))
        data = header + hashlib.sha256(header + payload).digest() + payload
        _write_whole(Path(path), data)

    @classmethod
    def load(cls, path: str | Path, config: LpuConfig) -> ProgramImage:
        """Read and check a file. Raises ImageError in one line naming file, value and rule."""
        payload = _checked_payload(str(path), Path(path).read_bytes())
        try:
            return cls._of_payload(str(path), payload, config)
        except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{path}: payload: {error!r}: must be as ProgramImage.save writes it") from error

    @classmethod
    def _of_payload(cls, path: str, payload: bytes, config: LpuConfig) -> ProgramImage:
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            meta = json.loads(bytes(arrays["meta"]))
            rows = [arrays[f"block{i}"] for i in range(len(meta["blocks"]))]
        if meta["fingerprint"] != config.fingerprint:
            raise ImageError(
                f"{path}: config fingerprint {meta['fingerprint']:#010x} ('{meta['preset']}'): "
                f"must be {config.fingerprint:#010x} of config '{config.name}'"
            )
        try:
            programs = {name: _decode_program(config, name, words) for name, words in meta["programs"].items()}
        except IsaError as error:
            raise ImageError(f"{path}: {error}") from error
        blocks = tuple(MemoryBlock(unit, addr, rows[i]) for i, (unit, addr) in enumerate(meta["blocks"]))
        tensors = tuple(TensorInfo(**{**fields, "shape": tuple(fields["shape"])}) for fields in meta["tensors"])
        return cls(config, programs, blocks, tensors, meta["cycles"])

    def _payload(self) -> bytes:
        meta: dict[str, Any] = {
            "preset": self.preset,
            "fingerprint": self.fingerprint,
            "cycles": self.cycles,
            "tensors": [dataclasses.asdict(info) for info in self.tensors],
            "blocks": [(block.unit, block.addr) for block in self.memory],
            "programs": {name: _encode_program(self.config, name, program) for name, program in self.programs.items()},
        }
        arrays = {f"block{i}": block.rows for i, block in enumerate(self.memory)}
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()


def _encode_program(config: LpuConfig, name: str, program: Sequence[Instruction]) -> list[str]:
    kind = queue(config, name).kind
    return [f"{encode(config, kind, instruction):x}" for instruction in program]


def _decode_program(config: LpuConfig, name: str, words: Sequence[str]) -> tuple[Instruction, ...]:
    kind = queue(config, name).kind
    return tuple(decode(config, kind, int(word, 16)) for word in words)


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _checked_payload(place: str, data: bytes) -> bytes:
    """The payload after magic, version, length and digest have been checked, in that order."""
    start = _HEADER.size + _DIGEST_BYTES
    if len(data) < start:
        raise ImageError(f"{place}: {len(data)} bytes: must be at least the {start} of a header")
    magic, version, length = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ImageError(f"{place}: magic {magic!r}: must be {MAGIC!r}")
    if version != VERSION:
        raise ImageError(f"{place}: version {version}: must be {VERSION}")
    if len(data) - start != length:
        raise ImageError(f"{place}: payload of {len(data) - start} bytes: must be {length} by its header")
    stored, found = data[_HEADER.size : start], hashlib.sha256(data[: _HEADER.size] + data[start:]).digest()
    if stored != found:
        raise ImageError(f"{place}: SHA-256 {found.hex()[:16]}..: must be {stored.hex()[:16]}.. by its header")
    return data[start:]


# -------------------------------------------------------------------- tensor layout


def tensor_rows(config: LpuConfig, unit: Unit, dtype: str, shape: Sequence[int]) -> int:
    """SRAM rows (addresses that ``TensorInfo.rows`` counts) of a tensor on that unit."""
    row_count, tiles = math.prod(shape[:-1]), -(-shape[-1] // config.lanes)
    if unit.kind is UnitKind.WEIGHT_MEMORY:
        return -(-row_count // config.lanes) * tiles * config.tile_load_cycles
    return row_count * tiles


def tensor_addresses(config: LpuConfig, info: TensorInfo) -> list[int]:
    """{slice, row} address of each SRAM row of the tensor, in the order of :func:`pack_tensor`."""
    unit, memory = _memory_of(config, info)
    row_bits = config.row_bits(memory)
    flat = info.dtype == "int8" and unit.kind is UnitKind.DATA_MEMORY
    width = 1 if flat else memory.slices
    first = info.addr if flat else info.addr & ((1 << row_bits) - 1)
    addresses = [(j << row_bits) + first + r for r in range(info.rows) for j in range(width)]
    for address in (addresses[0], addresses[-1]):
        row = address & ((1 << row_bits) - 1) if flat else first + info.rows - 1
        if row >= memory.depth_rows or address >> row_bits >= memory.slices:
            raise ImageError(
                f"tensor '{info.name}': {info.rows} rows from address {info.addr}: "
                f"must stay in {memory.slices} slices x {memory.depth_rows} rows of {info.unit}"
            )
    if flat and memory.depth_rows != 1 << row_bits and addresses[0] >> row_bits != addresses[-1] >> row_bits:
        raise ImageError(
            f"tensor '{info.name}': addresses {addresses[0]}..{addresses[-1]}: must stay in one slice, "
            f"depth {memory.depth_rows} of {info.unit} is not a power of two"
        )
    return addresses


def pack_tensor(config: LpuConfig, info: TensorInfo, array: np.ndarray) -> list[tuple[str, int, np.ndarray]]:
    """The (unit, {slice, row} address, uint8 [lanes]) of every SRAM row of ``array``. Raises ImageError."""
    addresses = tensor_addresses(config, info)
    if array.dtype != DTYPES[info.dtype]:
        raise ImageError(f"tensor '{info.name}': dtype {array.dtype}: must be {info.dtype}")
    if array.shape != info.shape:
        raise ImageError(f"tensor '{info.name}': shape {array.shape}: must be {info.shape}")
    rows = _to_rows(config, info, array)
    return [(info.unit, address, row) for address, row in zip(addresses, rows, strict=True)]


def unpack_tensor(config: LpuConfig, info: TensorInfo, rows: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The tensor of uint8 ``rows`` [n, lanes], read from :func:`tensor_addresses` in order. Raises ImageError."""
    expected = (len(tensor_addresses(config, info)), config.lanes)
    found = np.asarray(rows)
    if found.dtype != np.uint8 or found.shape != expected:
        raise ImageError(f"tensor '{info.name}': {found.dtype} rows {found.shape}: must be uint8 {expected}")
    padded = _from_rows(config, info, found)
    row_count, columns = math.prod(info.shape[:-1]), info.shape[-1]
    return np.ascontiguousarray(padded[:row_count, :columns]).reshape(info.shape)


def _memory_of(config: LpuConfig, info: TensorInfo) -> tuple[Unit, Any]:
    """The unit and its memory; checks every field of ``info`` that does not need the array."""
    try:
        unit = config.unit(info.unit)
    except ConfigError as error:
        raise ImageError(f"tensor '{info.name}': {error}") from error
    if unit.memory is None:
        raise ImageError(f"tensor '{info.name}': unit {info.unit}: must be a memory group")
    if info.dtype not in DTYPES or (info.dtype != "int8" and unit.kind is not UnitKind.DATA_MEMORY):
        raise ImageError(
            f"tensor '{info.name}': dtype {info.dtype} on {info.unit}: must be int8, or int32 or fp32 in a data group"
        )
    if info.kind not in KINDS:
        raise ImageError(f"tensor '{info.name}': kind {info.kind}: must be one of {', '.join(KINDS)}")
    if not info.shape or min(info.shape) < 1:
        raise ImageError(f"tensor '{info.name}': shape {info.shape}: must have dimensions of at least 1")
    needed = tensor_rows(config, unit, info.dtype, info.shape)
    if info.rows != needed:
        raise ImageError(f"tensor '{info.name}': rows {info.rows}: must be {needed} for shape {info.shape}")
    return unit, unit.memory


def _tile_split(config: LpuConfig, info: TensorInfo) -> tuple[int, ...]:
    """(M tiles, steps, weight streams, N tiles, L) of a weight tensor's padded matrix."""
    row_tiles = -(-math.prod(info.shape[:-1]) // config.lanes)
    column_tiles = -(-info.shape[-1] // config.lanes)
    return row_tiles, config.tile_load_cycles, config.weight_streams, column_tiles, config.lanes


def _to_rows(config: LpuConfig, info: TensorInfo, array: np.ndarray) -> np.ndarray:
    lanes = config.lanes
    matrix = array.reshape(-1, info.shape[-1])
    weights = config.unit(info.unit).kind is UnitKind.WEIGHT_MEMORY
    padding = ((0, -len(matrix) % lanes if weights else 0), (0, -matrix.shape[1] % lanes))
    padded = np.pad(matrix, padding)
    if weights:
        if len(matrix) == 1:
            padded = np.repeat(padded[:1], lanes, axis=0)
        return padded.reshape(_tile_split(config, info)).transpose(0, 3, 1, 2, 4).reshape(-1, lanes).view(np.uint8)
    if info.shape[-1] == 1:
        padded = np.broadcast_to(matrix, padded.shape)
    if info.dtype == "int8":
        return np.ascontiguousarray(padded).reshape(-1, lanes).view(np.uint8)
    words = padded.astype("<f4").view("<i4") if info.dtype == "fp32" else padded.astype("<i4")
    planes = words.reshape(-1, lanes).view(np.uint8).reshape(-1, lanes, 4)
    return planes.transpose(0, 2, 1).reshape(-1, lanes)


def _from_rows(config: LpuConfig, info: TensorInfo, rows: np.ndarray) -> np.ndarray:
    lanes = config.lanes
    width = -(-info.shape[-1] // lanes) * lanes
    if config.unit(info.unit).kind is UnitKind.WEIGHT_MEMORY:
        row_tiles, steps, streams, column_tiles, _ = _tile_split(config, info)
        tiles = rows.view(np.int8).reshape(row_tiles, column_tiles, steps, streams, lanes)
        return tiles.transpose(0, 2, 3, 1, 4).reshape(row_tiles * lanes, width)
    if info.dtype == "int8":
        return rows.view(np.int8).reshape(-1, width)
    planes = np.ascontiguousarray(rows.reshape(-1, 4, lanes).transpose(0, 2, 1))
    return planes.view("<f4" if info.dtype == "fp32" else "<i4").astype(DTYPES[info.dtype]).reshape(-1, width)
