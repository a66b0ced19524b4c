"""golden/units and golden/streams.py against scalar formulations of docs/architecture.md."""

from __future__ import annotations

import random

import numpy as np
import pytest

from golden.numerics import Bytes
from golden.streams import StreamError, StreamRegisters
from golden.units.matrix import MatrixTwin
from golden.units.memory import MemoryTwin
from golden.units.switch import switch, transpose
from golden.units.vector import Entering, VectorError, VectorTwin
from hdl.config import LpuConfig, MemoryGroup, PipeKind, preset
from hdl.isa import AddOp, Element, Instruction, IntOp, MulOp, Opcode, RequantOp, SfuOp, Source, east, west

NANO, SMALL, DUO = preset("tiny"), preset("small"), preset("duo")


def element(opcode: Opcode, number: int = 0, addr: int = 0, **values: int) -> Element:
    return Element(0, 0, Instruction.of(opcode, **values), number, addr)


def random_bytes(seed: int, *shape: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def signed(value: int) -> int:
    return value - 256 if value > 127 else value


# ----------------------------------------------------------------------- streams


@pytest.mark.parametrize("seed", range(5))
def test_streams_are_a_row_of_registers(seed: int) -> None:
    rng, p_count = random.Random(seed), DUO.positions
    streams = StreamRegisters(DUO)
    registers = {east(0): [0] * p_count, east(5): [0] * p_count, west(3): [0] * p_count, west(23): [0] * p_count}
    cycle = 0
    for _ in range(300):
        driven: dict[tuple[int, int], int] = {}
        for code, values in registers.items():
            for p in range(p_count):
                assert streams.read(p, code)[0, 7] == values[p], (cycle, p, code)
                if rng.random() < 0.15:
                    driven[code, p] = rng.randrange(256)
        for (code, p), value in driven.items():
            assert not streams.drive(p, code, np.full((1, DUO.lanes), value, np.uint8))
        idle = rng.choice([1, 1, 1, 2, p_count + 3])
        for step in range(idle):
            for code, values in registers.items():
                out = [driven.get((code, p), v) if step == 0 else v for p, v in enumerate(values)]
                registers[code] = [*out[1:], 0] if code & 1 else [0, *out[:-1]]
        cycle += idle
        streams.advance(cycle)


def test_a_second_drive_in_a_cycle_is_a_conflict() -> None:
    streams, value = StreamRegisters(NANO), np.ones((4, 4), np.uint8)
    assert not streams.drive(2, west(4), value)
    assert not streams.drive(3, west(4), value)
    assert not streams.drive(2, east(4), value)
    assert streams.drive(2, west(6), value[:1])
    streams.advance(1)
    assert not streams.drive(2, west(4), value)


@pytest.mark.parametrize(("code", "count"), [(west(2), 4), (west(8), 1), (east(7), 2), (east(8), 4)])
def test_stream_groups_are_aligned_and_exist(code: int, count: int) -> None:
    with pytest.raises(
        StreamError, match=rf"cycle 0, position 1: {count} streams at [EW]\d: must be aligned and within"
    ):
        StreamRegisters(NANO).read(1, code, count)


# ------------------------------------------------------------------------ matrix


def load_tile(matrix: MatrixTwin, weights: Bytes) -> None:
    ws = matrix.config.weight_streams
    cycles = matrix.config.tile_load_cycles
    done = [
        matrix.load_weights(element(Opcode.LW, i, count=cycles), weights[i * ws : (i + 1) * ws]) for i in range(cycles)
    ]
    assert done == [False] * (cycles - 1) + [True]


@pytest.mark.parametrize("config", [NANO, SMALL, DUO], ids=lambda c: c.name)
def test_matrix_multiplies_by_the_installed_tile(config: LpuConfig) -> None:
    matrix, lanes = MatrixTwin(config), config.lanes
    old, new, x = random_bytes(1, lanes, lanes), random_bytes(2, lanes, lanes), random_bytes(3, lanes)
    old[0], x[0] = 128, 128
    load_tile(matrix, old)
    matrix.install()
    load_tile(matrix, new)
    for tile in (old, new):
        y = matrix.multiply(element(Opcode.ABC, start=1, emit=1), x)
        assert y is not None
        assert y.tolist() == [sum(signed(int(w)) * signed(int(v)) for w, v in zip(row, x, strict=True)) for row in tile]
        matrix.install()


def test_extreme_sums_are_exact_at_the_largest_size() -> None:
    config = SMALL.replace(lanes=1024)
    matrix, lowest = MatrixTwin(config), np.full(1024, 128, np.uint8)
    matrix.buffer[:] = -128
    matrix.buffer[1, 0] = 127
    matrix.install()
    y = matrix.multiply(element(Opcode.ABC, start=1, emit=1), lowest)
    assert y is not None
    assert y[0] == 1024 * 128 * 128
    assert y[1] == 1023 * 128 * 128 - 127 * 128


def identity_matrix() -> MatrixTwin:
    matrix = MatrixTwin(SMALL)
    matrix.buffer[:] = np.eye(16)
    matrix.install()
    return matrix


def emitted(matrix: MatrixTwin, xs: list[int], **fields: int) -> list[int | None]:
    """Lane 0 of what each element of one ABC emits."""
    results = []
    for i, x in enumerate(xs):
        y = matrix.multiply(element(Opcode.ABC, i, count=len(xs), **fields), np.full(16, x, np.uint8))
        results.append(None if y is None else int(y[0]))
    return results


def test_accumulation_into_one_row() -> None:
    matrix = identity_matrix()
    assert emitted(matrix, [9, 9], row=2) == [None, None]
    assert emitted(matrix, [1, 2, 3], row=2, start=1, emit=1) == [None, None, 6]
    assert emitted(matrix, [10, 20], row=2, emit=1) == [None, 36]


def test_walking_accumulators() -> None:
    matrix = identity_matrix()
    assert emitted(matrix, [1, 2, 3], row=1, walk=1, start=1) == [None] * 3
    assert emitted(matrix, [10, 20, 30], row=1, walk=1, emit=1) == [11, 22, 33]
    assert emitted(matrix, [5], row=1, walk=1, start=1, emit=1) == [5]
    assert matrix.acc[:, 0].tolist() == [0, 5, 22, 33]


def test_a_walk_past_the_last_accumulator_row_continues_at_row_0() -> None:
    matrix = identity_matrix()
    emitted(matrix, [1, 2, 3], row=2, walk=1, start=1)
    assert matrix.acc[:, 0].tolist() == [3, 0, 1, 2]


def test_accumulators_wrap() -> None:
    matrix = identity_matrix()
    matrix.acc[0] = 2**31 - 1
    assert emitted(matrix, [2], emit=1) == [-(2**31) + 1]


# ------------------------------------------------------------------------ vector


def int32s(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32).view(np.int32)


def enter(unit: VectorTwin, pipe: PipeKind, x: np.ndarray, number: int = 0, **fields: int) -> list[int]:
    """The result of an element on a streamed x, which is in the pipe's register afterwards."""
    unit.registers[pipe] = unit.enter(Entering(pipe, element(Opcode.ALU, number, **fields), x, None))
    return unit.registers[pipe].tolist()


def test_operands_are_streams_registers_and_the_sign_extended_immediate() -> None:
    unit, x, y = VectorTwin(NANO), int32s(1, 5, -8, 6), int32s(40, -41, 42, 43)
    both = Entering(PipeKind.INT, element(Opcode.ALU, op=IntOp.SUB), x, y)
    assert unit.enter(both).tolist() == [-39, 46, -50, -37]
    assert enter(unit, PipeKind.INT, x, op=IntOp.ADD, y_from=Source.IMM, imm=-3) == [-2, 2, -11, 3]
    fields = dict(op=RequantOp.MUL, x_from=Source.INT, y_from=Source.IMM, imm=-3)
    assert enter(unit, PipeKind.REQUANT, x, **fields) == [6, -6, 33, -9], "-3 in 8 bits, signed"
    fields = dict(op=IntOp.ADD, x_from=Source.REQUANT, y_from=Source.INT)
    assert enter(unit, PipeKind.INT, x, **fields) == [4, -4, 22, -6]


def test_registers_are_read_as_the_caller_left_them() -> None:
    unit, x = VectorTwin(NANO), int32s(1, 2, 3, 4)
    running = Entering(PipeKind.INT, element(Opcode.ALU, op=IntOp.ADD, y_from=Source.INT), x, None)
    assert unit.enter(running).tolist() == unit.enter(running).tolist() == [1, 2, 3, 4]


def test_every_float_pipe_computes_and_feeds_the_next() -> None:
    unit, x = VectorTwin(SMALL), floats(*range(1, 17))
    fields = dict(op=MulOp.FMUL, y_from=Source.IMM, imm=int(floats(0.5)[0]))
    assert enter(unit, PipeKind.MUL, x, **fields)[2] == floats(1.5)[0]
    fields = dict(op=AddOp.FRSUB, x_from=Source.MUL, y_from=Source.IMM, imm=int(floats(2.5)[0]))
    assert enter(unit, PipeKind.ADD, x, **fields)[2] == floats(1.0)[0]
    assert enter(unit, PipeKind.SFU, x, op=SfuOp.EXP2, x_from=Source.ADD)[2] == floats(2.0)[0]
    assert enter(unit, PipeKind.INT, x, op=IntOp.F2I8, x_from=Source.SFU)[2] == 2


def test_the_flag_stays_until_the_next_comparison() -> None:
    unit = VectorTwin(NANO)
    imm = dict(y_from=Source.IMM)
    xs = int32s(0, 1, 2, 3)
    assert enter(unit, PipeKind.INT, xs, op=IntOp.SELECT, imm=9, **imm) == [9, 9, 9, 9], "0 at first"
    assert enter(unit, PipeKind.INT, xs, op=IntOp.GT, imm=1, **imm) == [0, 1, 2, 3]
    assert enter(unit, PipeKind.INT, xs, op=IntOp.ADD, imm=5, **imm) == [5, 6, 7, 8]
    assert enter(unit, PipeKind.INT, xs, op=IntOp.SELECT, imm=9, **imm) == [9, 9, 2, 3]
    fields = dict(op=IntOp.PICK, x_from=Source.REQUANT, y_from=Source.INT, imm=-7)
    assert enter(unit, PipeKind.INT, xs, **fields) == [-7, -7, 2, 3]
    enter(unit, PipeKind.INT, xs, op=IntOp.EQ, imm=1, **imm)
    assert enter(unit, PipeKind.INT, xs, op=IntOp.SELECT, imm=9, **imm) == [9, 1, 9, 9]


def test_a_fold_begins_afresh_with_the_first_element() -> None:
    unit = VectorTwin(SMALL)
    signs = np.where(np.arange(16) % 2, -1.0, 1.0)
    for _ in range(2):
        for number, x in enumerate((3.0, 5.0, 4.0)):
            fields = dict(count=3, op=IntOp.FAMAX, y_from=Source.INT, fold=1)
            largest = enter(unit, PipeKind.INT, floats(*(signs * x)), number, **fields)
            fields |= dict(op=AddOp.FSUB, y_from=Source.ADD)
            total = enter(unit, PipeKind.ADD, floats(*(signs * x)), number, **fields)
            assert largest == floats(*[min(5.0, [3.0, 5.0, 5.0][number])] * 16).tolist()
            assert total == floats(*(signs * [3.0, 2.0, 2.0][number])).tolist()


@pytest.mark.parametrize("swap", [0, 1, 2, 3])
def test_swap_exchanges_lanes_within_a_superlane(swap: int) -> None:
    unit = VectorTwin(DUO)
    unit.registers[PipeKind.INT] = np.arange(32, dtype=np.int32)
    unit.registers[PipeKind.ADD] = -np.arange(32, dtype=np.int32)
    zero = np.zeros(32, np.int32)
    seen = enter(unit, PipeKind.INT, zero, op=IntOp.ADD, y_from=Source.SWAP, swap=swap)
    assert seen == [lane + 2**swap if lane // 2**swap % 2 == 0 else lane - 2**swap for lane in range(32)]


def test_what_a_pipe_does_not_have() -> None:
    unit, x = VectorTwin(NANO), int32s(0, 0, 0, 0)
    with pytest.raises(VectorError, match="op = 13: must be an operation of the INT pipe"):
        enter(unit, PipeKind.INT, x, op=IntOp.FMAX)
    with pytest.raises(VectorError, match="x_from = IMM: must be a source of the INT pipe"):
        enter(unit, PipeKind.INT, x, x_from=Source.IMM)
    with pytest.raises(VectorError, match="y_from = INT: must be a source of the REQUANT pipe"):
        enter(unit, PipeKind.REQUANT, x, op=RequantOp.MUL, y_from=Source.INT)


# ------------------------------------------------------------------------ switch


def moved(config: LpuConfig, x: Bytes, op: Opcode, amount: int) -> list[list[int]]:
    return switch(config, Instruction.of(op, amount=amount), x).tolist()


@pytest.mark.parametrize("amount", [0, 1, 5, 31, 32, 40, -1, -31, -32])
def test_shift(amount: int) -> None:
    x = random_bytes(4, 4, 32)
    expected = [[int(s[i - amount]) if 0 <= i - amount < 32 else 0 for i in range(32)] for s in x]
    assert moved(DUO, x, Opcode.SHIFT, amount) == expected


@pytest.mark.parametrize("amount", [0, 1, 17, 31])
def test_rotate_and_distribute(amount: int) -> None:
    x = random_bytes(5, 4, 32)
    assert moved(DUO, x, Opcode.ROTATE, amount) == [[int(s[(i - amount) % 32]) for i in range(32)] for s in x]
    assert moved(DUO, x, Opcode.DISTRIBUTE, amount) == [[int(s[amount])] * 32 for s in x]


def test_permute_stays_within_a_superlane() -> None:
    x, lane_map = random_bytes(6, 4, 32), random_bytes(7, 1, 32) % 20
    out = switch(DUO, Instruction.of(Opcode.PERMUTE), x, lane_map)
    for s in range(4):
        for i in range(32):
            source = int(lane_map[0, i])
            assert out[s, i] == (x[s, i // 16 * 16 + source] if source < 16 else 0)
    assert (lane_map >= 16).any()


@pytest.mark.parametrize("amount", [0, 3, 32])
def test_select(amount: int) -> None:
    x, y = random_bytes(8, 1, 32), random_bytes(9, 1, 32)
    out = switch(DUO, Instruction.of(Opcode.SELECT, amount=amount), x, y)
    assert out[0].tolist() == [int(x[0, i] if i < amount else y[0, i]) for i in range(32)]


def test_transpose_within_each_superlane() -> None:
    bus = random_bytes(10, 16, 32)
    out = transpose(DUO, bus)
    assert all(out[s, r * 16 + i] == bus[i, r * 16 + s] for s in range(16) for r in range(2) for i in range(16))


# ------------------------------------------------------------------------ memory

ODD = NANO.replace(data_groups=(MemoryGroup(4, 100), MemoryGroup(4, 32)))


def memory(config: LpuConfig, name: str) -> MemoryTwin:
    twin = MemoryTwin(config, config.unit(name))
    twin.sram[:] = random_bytes(12, *twin.sram.shape)
    return twin


def test_narrow_access_names_slice_and_row() -> None:
    twin = memory(ODD, "d1")  # 5 row bits
    access = twin.access(element(Opcode.READ, addr=2 << 5 | 17))
    assert (access.slices, access.rows, access.in_range) == ((2,), (17,), (True,))
    assert twin.read(access).tolist() == twin.sram[2, 17:18].tolist()


def test_wide_access_ignores_the_slice_bits() -> None:
    twin = memory(ODD, "d1")
    access = twin.access(element(Opcode.READ, addr=3 << 5 | 9, wide=1))
    assert (access.slices, access.rows) == ((0, 1, 2, 3), (9, 9, 9, 9))
    assert twin.read(access).tolist() == twin.sram[:, 9].tolist()


def test_indices_are_little_endian_pairs_added_modulo_the_rows() -> None:
    twin = memory(ODD, "d1")
    indices = np.array([[3, 0, 30, 255], [0, 1, 0, 255]], np.uint8)
    one = twin.access(element(Opcode.GATHER, addr=1 << 5 | 4, lane=2), indices)
    assert (one.slices, one.rows) == ((1,), (2,)), "4 + 30 wraps in 32 rows"
    spread = twin.access(element(Opcode.GATHER, addr=4, wide=1, spread=1), indices)
    assert spread.rows == (7, (4 + 256) % 32, 2, (4 + 65535) % 32)
    same = twin.access(element(Opcode.GATHER, addr=4, wide=1, lane=0), indices)
    assert same.rows == (7, 7, 7, 7)


def test_writes() -> None:
    twin, data = memory(ODD, "d0"), random_bytes(13, 4, 4)
    before = twin.sram.copy()
    twin.write(twin.access(element(Opcode.WRITE, addr=5, wide=1)), data)
    assert (twin.sram[:, 5] == data).all()
    twin.write(twin.access(element(Opcode.WRITE, addr=6, wide=1)), data[:1])
    assert (twin.sram[:, 6] == data[0]).all()
    before[:, 5], before[:, 6] = data, data[0]
    assert (twin.sram == before).all()


def test_rows_that_do_not_exist() -> None:
    twin, data = memory(ODD, "d0"), random_bytes(14, 4, 4)
    indices = np.array([[0, 1, 99, 100], [0, 0, 0, 0]], np.uint8)
    access = twin.access(element(Opcode.SCATTER, addr=0, wide=1, spread=1), indices)
    assert access.in_range == (True, True, True, False)
    before = twin.sram.copy()
    twin.write(access, data)
    assert [twin.sram[j, row].tolist() for j, row in enumerate((0, 1, 99))] == data[:3].tolist()
    assert (twin.sram[3] == before[3]).all()
    assert twin.read(access)[3].tolist() == [0, 0, 0, 0]


def test_only_memory_units_have_memory() -> None:
    with pytest.raises(ValueError, match="vxm0: has no memory"):
        MemoryTwin(NANO, NANO.unit("vxm0"))
