"""Images survive a round trip, refuse any damage in one line, and lay tensors out as documented."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compiler.image import (
    ImageError,
    MemoryBlock,
    ProgramImage,
    TensorInfo,
    pack_tensor,
    tensor_addresses,
    unpack_tensor,
)
from compiler.random_program import random_program
from hdl.config import LpuConfig, MemoryGroup, preset
from hdl.isa import encode, queue

SMALL, DUO, NANO = preset("small"), preset("duo"), preset("tiny")


def sample() -> ProgramImage:
    programs, blocks = random_program(SMALL, 0, 60)
    tensors = (TensorInfo("x", "input", "int8", (3, 20), "d0", 10, 6, 0, 9),)
    return ProgramImage(SMALL, programs, tuple(blocks), tensors, 61)


def words(image: ProgramImage) -> dict[str, list[int]]:
    kinds = {name: queue(image.config, name).kind for name in image.programs}
    return {name: [encode(image.config, kinds[name], i) for i in program] for name, program in image.programs.items()}


# ------------------------------------------------------------ files


def test_round_trip(tmp_path: Path) -> None:
    image, path = sample(), tmp_path / "a.lpu"
    image.save(path)
    loaded = ProgramImage.load(path, SMALL)
    assert words(loaded) == words(image)
    assert loaded.memory == image.memory
    assert loaded.tensors == image.tensors
    assert (loaded.cycles, loaded.preset, loaded.fingerprint) == (61, "small", SMALL.fingerprint)
    assert loaded.tensor("x").shape == (3, 20)
    with pytest.raises(ImageError, match="no tensor 'y'; tensors: x"):
        loaded.tensor("y")


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    sample().save(tmp_path / "a.lpu")
    sample().save(tmp_path / "b.lpu")
    assert (tmp_path / "a.lpu").read_bytes() == (tmp_path / "b.lpu").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lpu"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        sample().save(path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.lpu", b"old")]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    small = ProgramImage(SMALL, {}, (MemoryBlock("d0", 0, np.ones((1, 16), np.uint8)),), (), 1)
    path = tmp_path / "a.lpu"
    small.save(path)
    data = path.read_bytes()
    bits = itertools.chain(range(50 * 8), range(50 * 8, 8 * len(data), 41))
    for bit in bits:
        path.write_bytes(data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
        with pytest.raises(ImageError):
            ProgramImage.load(path, SMALL)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: data[:20], r"20 bytes: must be at least the 50 of a header"),
        (lambda data: data[:-1], r"payload of \d+ bytes: must be \d+ by its header"),
        (lambda data: data + b"\0", r"payload of \d+ bytes: must be \d+ by its header"),
        (lambda data: b"X" + data[1:], r"magic b'XPUIMAGE': must be b'LPUIMAGE'"),
        (lambda data: data[:8] + b"\2\0" + data[10:], r"version 2: must be 1"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), r"SHA-256 [0-9a-f]{16}\.\.: must be [0-9a-f]{16}\.\. by its"),
    ],
    ids=["short", "truncated", "longer", "magic", "version", "payload"],
)
def test_damage_is_named_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes], text: str) -> None:
    path = tmp_path / "a.lpu"
    sample().save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ImageError, match=text) as caught:
        ProgramImage.load(path, SMALL)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_loads_only_on_its_config(tmp_path: Path) -> None:
    path = tmp_path / "a.lpu"
    sample().save(path)
    ProgramImage.load(path, SMALL.replace(trace=True))
    rule = rf"fingerprint {SMALL.fingerprint:#010x} \('small'\): must be {DUO.fingerprint:#010x} of config 'duo'"
    with pytest.raises(ImageError, match=rule):
        ProgramImage.load(path, DUO)


# ------------------------------------------------------------ tensors


def info(shape: tuple[int, ...], rows: int, dtype: str = "int8", unit: str = "d0", addr: int = 0) -> TensorInfo:
    return TensorInfo("t", "const", dtype, shape, unit, addr, rows)


def random_tensor(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "fp32":
        return np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    limits = np.iinfo(dtype)
    return np.random.default_rng(5).integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def packed(config: LpuConfig, tensor: TensorInfo, array: np.ndarray) -> dict[int, np.ndarray]:
    rows = pack_tensor(config, tensor, array)
    assert {unit for unit, _, _ in rows} == {tensor.unit}
    return {addr: row for _, addr, row in rows}


def test_int8_rows() -> None:
    """small, L = 16: element (m, n) is at row m*3 + n//16, lane n mod 16, through slices of 512 rows."""
    array, tensor = random_tensor((2, 40), "int8"), info((2, 40), 6, addr=510)
    rows = packed(SMALL, tensor, array)
    assert sorted(rows) == [510, 511, 512, 513, 514, 515]
    for m, n in np.ndindex(2, 48):
        expected = int(array[m, n]) & 0xFF if n < 40 else 0
        assert rows[510 + m * 3 + n // 16][n % 16] == expected


def test_int32_rows() -> None:
    """Byte j of element (m, n) is in slice j."""
    array, tensor = random_tensor((3, 17), "int32"), info((3, 17), 6, "int32", addr=20)
    rows = packed(SMALL, tensor, array)
    assert len(rows) == 24
    for m, n, j in np.ndindex(3, 17, 4):
        assert rows[j * 512 + 20 + m * 2 + n // 16][n % 16] == int(array[m, n]) >> (8 * j) & 0xFF


def test_fp32_rows() -> None:
    """As int32: byte j of the word of element (m, n) is in slice j."""
    array, tensor = random_tensor((3, 17), "fp32"), info((3, 17), 6, "fp32", addr=20)
    rows = packed(SMALL, tensor, array)
    assert len(rows) == 24
    for m, n, j in np.ndindex(3, 17, 4):
        assert rows[j * 512 + 20 + m * 2 + n // 16][n % 16] == int(array.view(np.int32)[m, n]) >> (8 * j) & 0xFF


@pytest.mark.parametrize("dtype", ["int8", "int32", "fp32"])
def test_the_value_of_a_one_channel_row_is_in_every_lane(dtype: str) -> None:
    array, tensor = random_tensor((3, 1), dtype), info((3, 1), 3, dtype)
    rows = packed(SMALL, tensor, array)
    for m, lane in np.ndindex(3, 16):
        found = bytes(rows[j * 512 + m][lane] for j in range(array.itemsize))
        assert found == array[m].tobytes()


def test_a_single_weight_row_is_in_every_row_of_its_tiles() -> None:
    array, tensor = random_tensor((1, 40), "int8"), info((1, 40), 4, unit="w0")
    rows = packed(DUO, tensor, array)
    for row in range(32):
        step, slice_ = row // 16, row % 16
        for k in range(64):
            expected = int(array[0, k]) & 0xFF if k < 40 else 0
            assert rows[slice_ * 512 + k // 32 * 2 + step][k % 32] == expected


def test_weight_rows() -> None:
    """duo, L = 32, 2 steps of 16 slices: W[n, k] is in tile (n//32, k//32), step n%32//16, slice n%16, lane k%32."""
    array, tensor = random_tensor((40, 70), "int8"), info((40, 70), 12, unit="w0", addr=3)
    rows = packed(DUO, tensor, array)
    assert len(rows) == 12 * 16
    for n, k in np.ndindex(64, 96):
        tile, step, slice_ = n // 32 * 3 + k // 32, n % 32 // 16, n % 16
        expected = int(array[n, k]) & 0xFF if n < 40 and k < 70 else 0
        assert rows[slice_ * 512 + 3 + tile * 2 + step][k % 32] == expected


@pytest.mark.parametrize(
    ("config", "tensor"),
    [
        (SMALL, info((5,), 1)),
        (SMALL, info((2, 3, 33), 18)),
        (SMALL, info((2, 3, 33), 18, "int32")),
        (NANO, info((7, 9), 21, "int32", "d1")),
        (NANO, info((7, 9), 6, unit="w0")),
        (DUO, info((33, 33), 8, unit="w0")),
        (DUO, info((1, 40), 4, unit="w0")),
        (SMALL, info((2, 3, 33), 18, "fp32")),
        (SMALL, info((5, 1), 5)),
        (SMALL, info((5, 1), 5, "fp32")),
    ],
)
def test_unpack_inverts_pack(config: LpuConfig, tensor: TensorInfo) -> None:
    array = random_tensor(tensor.shape, tensor.dtype)
    rows = packed(config, tensor, array)
    read_back = unpack_tensor(config, tensor, [rows[addr] for addr in tensor_addresses(config, tensor)])
    assert read_back.dtype == array.dtype
    assert np.array_equal(read_back, array)


@pytest.mark.parametrize(
    ("tensor", "array", "text"),
    [
        (info((2, 16), 2), np.zeros((2, 16), np.int16), "tensor 't': dtype int16: must be int8"),
        (info((2, 16), 2), np.zeros((16, 2), np.int8), "tensor 't': shape (16, 2): must be (2, 16)"),
        (info((2, 16), 3), np.zeros((2, 16), np.int8), "rows 3: must be 2 for shape (2, 16)"),
        (info((2, 0), 0), np.zeros((2, 0), np.int8), "shape (2, 0): must have dimensions of at least 1"),
        (info((2, 16), 2, "int16"), np.zeros((2, 16), np.int8), "dtype int16 on d0: must be int8, or int32 or fp32"),
        (info((2, 16), 2, "int32", "w0"), np.zeros((2, 16), np.int32), "dtype int32 on w0: must be int8, or int32"),
        (info((2, 16), 2, "fp32"), np.zeros((2, 16)), "tensor 't': dtype float64: must be fp32"),
        (info((2, 16), 2, unit="vxm0"), np.zeros((2, 16), np.int8), "unit vxm0: must be a memory group"),
        (info((2, 16), 2, unit="d7"), np.zeros((2, 16), np.int8), "no unit 'd7'"),
        (info((2, 16), 2, addr=2047), np.zeros((2, 16), np.int8), "2 rows from address 2047: must stay in 4 slices x"),
        (info((2, 16), 2, "int32", addr=511), np.zeros((2, 16), np.int32), "2 rows from address 511: must stay in"),
        (dataclasses.replace(info((2, 16), 2), kind="weight"), np.zeros((2, 16), np.int8), "kind weight: must be one"),
    ],
)  # fmt: skip
def test_pack_errors(tensor: TensorInfo, array: np.ndarray, text: str) -> None:
    with pytest.raises(ImageError, match=re.escape(text)):
        pack_tensor(SMALL, tensor, array)


def test_unpack_errors() -> None:
    with pytest.raises(ImageError, match=re.escape("uint8 rows (1, 16): must be uint8 (2, 16)")):
        unpack_tensor(SMALL, info((2, 16), 2), np.zeros((1, 16), np.uint8))
    with pytest.raises(ImageError, match=re.escape("int8 rows (2, 16): must be uint8 (2, 16)")):
        unpack_tensor(SMALL, info((2, 16), 2), np.zeros((2, 16), np.int8))


def test_rows_continue_into_the_next_slice_only_at_a_power_of_two() -> None:
    odd = SMALL.replace(data_groups=(MemoryGroup(4, 300),) * 3)
    assert len(tensor_addresses(odd, info((2, 16), 2, addr=298))) == 2
    with pytest.raises(ImageError, match="2 rows from address 299: must stay in 4 slices x 300 rows of d0"):
        tensor_addresses(odd, info((2, 16), 2, addr=299))
    with pytest.raises(ImageError, match=r"addresses 299\.\.512: must stay in one slice, depth 300 of d0"):
        tensor_addresses(odd, info((214, 16), 214, addr=299))
