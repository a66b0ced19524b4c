"""golden/machine.py: small programs whose every cycle was worked out by hand from docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest

from golden.execution import GoldenError
from golden.machine import Machine, RunResult
from golden.numerics import Bytes, int32_to_planes, planes_to_int32
from golden.trace import Event
from hdl.config import LpuConfig, MemoryGroup, preset
from hdl.isa import Instruction, IntOp, IsaError, Opcode, RequantOp, Source, east, west
from hdl.link.hostmap import ErrorFlag

NANO, SMALL, DUO = preset("nano"), preset("small"), preset("duo")
TWIN_NANO = NANO.replace(name="nano2", hemispheres=2)
END = Instruction.of(Opcode.END)


def at(cycle: int, op: Opcode, **values: int) -> list[Instruction]:
    """A program that issues one instruction in ``cycle`` and ends in the next."""
    wait = [Instruction.of(Opcode.NOP, n=cycle)] if cycle else []
    return [*wait, Instruction.of(op, **values), END]


def run(machine: Machine, programs: Mapping[str, Sequence[Instruction]]) -> RunResult:
    machine.load_programs(programs)
    result = machine.run(trace=True)
    assert result.faults == ()
    return result


def issues(result: RunResult) -> list[tuple[int, str, int]]:
    return [(e.cycle, e.queue, e.place) for e in result.trace if e.kind == "I"]


def results(result: RunResult, queue: str) -> list[tuple[int, int]]:
    """(cycle, superlane) of a queue's results."""
    return [(e.cycle, e.place) for e in result.trace if e.kind == "R" and e.queue == queue]


def random_bytes(seed: int, *shape: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def signed(values: Bytes) -> list[int]:
    return [int(v) - 256 if v > 127 else int(v) for v in values]


def matvec(weights: Bytes, x: Bytes) -> list[int]:
    return [sum(w * v for w, v in zip(signed(row), signed(x), strict=True)) for row in weights]


# ------------------------------------------------------------------ memory, hops


@pytest.mark.parametrize("write_cycle", [2, 3, 4])
def test_nano_read_hop_write(write_cycle: int) -> None:
    """d0 (position 3) READ in 0, driven in 2, at w0 (position 2) in 3 and only then."""
    machine = Machine(NANO)
    machine.sram["d0"][1, 5] = [1, 2, 3, 250]
    machine.sram["w0"][2, 9] = 99
    programs = {
        "d0.r": at(0, Opcode.READ, addr=1 << 7 | 5, stream=west(4)),
        "w0.w": at(write_cycle, Opcode.WRITE, addr=2 << 8 | 9, stream=west(4)),
    }
    result = run(machine, programs)
    stored = [1, 2, 3, 250] if write_cycle == 3 else [0, 0, 0, 0]
    assert machine.sram["w0"][2, 9].tolist() == stored
    assert result.cycles == write_cycle + 1 + 1
    # Slice 1 holds words 2 and 3 of a digest (S = 4: two words a slice), slice 2 words 4 and 5.
    read = rotl(5, 10) ^ rotl(0xFA030201, 15)
    write = rotl(9, 20) ^ rotl(0xFA030201 if write_cycle == 3 else 0, 25)
    expected = [
        Event(0, "d0.r", "I", 0),
        Event(2, "d0.r", "R", 0, read),
        Event(write_cycle, "w0.w", "I", 1),
        Event(write_cycle + 1, "w0.w", "R", 0, write),
    ]
    assert list(result.trace) == sorted(expected)


def rotl(value: int, amount: int) -> int:
    return (value << amount | value >> (32 - amount)) % 2**32


def test_a_row_may_be_read_the_cycle_after_its_write() -> None:
    """w0 (2) READ in 0, at d0 (3) in 3: WRITE in 3; d0 READ in 4, driven in 6, back at w0 in 7."""
    machine = Machine(NANO)
    machine.sram["w0"][0, 0] = [5, 6, 7, 8]
    programs = {
        "w0.r": at(0, Opcode.READ, addr=0, stream=east(4)),
        "d0.w": at(3, Opcode.WRITE, addr=12, stream=east(4)),
        "d0.r": at(4, Opcode.READ, addr=12, stream=west(4)),
        "w0.w": at(7, Opcode.WRITE, addr=1, stream=west(4)),
    }
    run(machine, programs)
    assert machine.sram["w0"][0, 1].tolist() == [5, 6, 7, 8]


def test_wide_write_stores_one_stream_in_every_weight_slice_and_four_in_data_slices() -> None:
    """Vectors of the SG4 at W4 leave d0 (3) in 2: at w0 (2) in 3; the wide data WRITE is fed by w0 in 2, d1 in 3."""
    machine = Machine(NANO)
    rows = random_bytes(1, 4, 4)
    machine.sram["d0"][:, 3] = rows
    machine.sram["w0"][0, 7] = rows[0]
    programs = {
        "d0.r": at(0, Opcode.READ, wide=1, addr=3, stream=west(4)),
        "w0.w": at(3, Opcode.WRITE, wide=1, addr=8, stream=west(6)),
        "w0.r": at(0, Opcode.READ, addr=7, stream=east(5)),
        "d1.w": at(3, Opcode.WRITE, wide=1, addr=2, stream=east(4)),
    }
    run(machine, programs)
    assert machine.sram["w0"][:, 8].tolist() == [rows[2].tolist()] * 4
    assert machine.sram["d1"][:, 2].tolist() == [[0] * 4, rows[0].tolist(), [0] * 4, [0] * 4]


def test_gather_and_scatter_take_the_row_from_the_last_two_outward_streams() -> None:
    """d2 (5) READs drive W22 in 2 and W23 in 3; d1 (4) sees W22 in 3, d0 (3) in 4.

    A GATHER in 4 finds only the high byte at d1, one in 3 only the low byte; it drives in 5, at w0 (2) in 7.
    """
    machine = Machine(DUO)
    machine.sram["d2"][0, 0, :4] = [50, 3, 7, 1]
    machine.sram["d1"][2, 13] = random_bytes(20, 32)
    programs = {
        "d2.r": [*at(0, Opcode.READ, addr=0, stream=west(22))[:1], *at(0, Opcode.READ, addr=0, stream=west(23))],
        "d1.r": at(3, Opcode.GATHER, addr=2 << 8 | 10, lane=1, stream=west(17)),
        "d0.w": at(4, Opcode.SCATTER, wide=1, spread=1, addr=20, stream=west(20)),
        "w0.w": at(7, Opcode.WRITE, addr=1, stream=west(17)),
    }
    run(machine, programs)
    assert (machine.sram["w0"][0, 1] == machine.sram["d1"][2, 13]).all()
    written = {(int(s), int(r)) for s, r in np.argwhere(machine.sram["d0"].any(axis=2))}
    assert written == {(2, 27)}, "slice 2 stores W22 at row 20 + index 7"
    assert machine.sram["d0"][2, 27, :4].tolist() == [50, 3, 7, 1]


def test_an_index_has_two_bytes() -> None:
    """East half: d0 (3) READ in 1 and w0 (2) READ in 0 are both at d2 (5) in 5, on its pair E6, E7.

    GATHER in 5 drives in 7, at w0 in 10.
    """
    machine = Machine(TWIN_NANO.replace(data_groups=(MemoryGroup(4, 512), MemoryGroup(4, 512))))
    machine.sram["d0"][0, 0], machine.sram["w0"][0, 1] = [0, 0, 0, 30], [0, 0, 0, 1]
    machine.sram["d2"][0, 100 + 30 + 256] = [9, 8, 7, 6]
    programs = {
        "d0.r": at(1, Opcode.READ, addr=0, stream=east(6)),
        "w0.r": at(0, Opcode.READ, addr=1, stream=east(7)),
        "d2.r": at(5, Opcode.GATHER, addr=100, lane=3, stream=west(0)),
        "w0.w": at(10, Opcode.WRITE, addr=2, stream=west(0)),
    }
    run(machine, programs)
    assert machine.sram["w0"][0, 2].tolist() == [9, 8, 7, 6]


# ------------------------------------------------------- matrix-vector, by hand

SIDES = {
    "west": (NANO, {"w": "w0", "x": "d0", "b": "d1", "m": "mxm0"}, east, west),
    "east": (TWIN_NANO, {"w": "w1", "x": "d2", "b": "d3", "m": "mxm1"}, west, east),
}


@pytest.mark.parametrize("side", SIDES)
def test_nano_requantised_matvec(side: str) -> None:
    """out = saturate(max(round_half_even((W x + b) * 3 / 2^4), y)), mxm 0, w 2, d 3, vxm 4 (or mirrored).

    w READ in 0, driven in 2, at mxm in 4: LW in 4, installs in 5. x READ in 0, driven in 2, at mxm in 5: ABC in 5,
    driven in 10, at vxm in 14. b READ in 11, driven in 13, at vxm in 14. CHAIN in 14: ALU 2 reads y in 14 + 4 = 18,
    so READ in 15. Driven in 14 + 6 = 20, at d in 21. END in 22.
    """
    config, names, inward, outward = SIDES[side]
    weights, x, y = random_bytes(2, 4, 4), random_bytes(3, 4), np.array([0, 20, 136, 0], np.uint8)
    bias = np.array([5, -70000, 123, 4], np.int32)
    machine = Machine(config)
    machine.sram[names["w"]][:, 0] = weights
    machine.sram[names["x"]][0, 0], machine.sram[names["x"]][0, 1] = x, y
    machine.sram[names["b"]][:, 0] = int32_to_planes(bias)
    x_reads = [
        Instruction.of(Opcode.READ, addr=0, stream=outward(4)),
        Instruction.of(Opcode.NOP, n=14),
        Instruction.of(Opcode.READ, addr=1, stream=inward(0)),
        END,
    ]
    chain = dict(x=inward(0), x_wide=1, out=outward(4), imm=4 << 8 | 3)
    chain |= dict(op0=IntOp.ADD, src0=Source.STREAM, y0=inward(4), y0_wide=1)
    chain |= dict(op1=RequantOp.REQUANT, src1=Source.IMM, op2=IntOp.MAX, src2=Source.STREAM, y2=inward(0))
    programs = {
        f"{names['w']}.r": at(0, Opcode.READ, wide=1, addr=0),
        f"{names['x']}.r": x_reads,
        f"{names['b']}.r": at(11, Opcode.READ, wide=1, addr=0, stream=inward(4)),
        f"{names['m']}.w": at(4, Opcode.LW, install=1),
        f"{names['m']}.a": at(5, Opcode.ABC, stream=outward(4), out=inward(0), start=1, emit=1),
        "vxm0": at(14, Opcode.CHAIN, **chain),
        f"{names['x']}.w": at(21, Opcode.WRITE, addr=2, stream=outward(4)),
    }
    result = run(machine, programs)
    sums = [a + int(b) for a, b in zip(matvec(weights, x), bias, strict=True)]
    scaled = [max(round(Fraction(v * 3, 16)), k) for v, k in zip(sums, signed(y), strict=True)]
    assert signed(machine.sram[names["x"]][0, 2]) == [max(-128, min(127, v)) for v in scaled]
    assert result.cycles == 22 + 1
    assert results(result, f"{names['m']}.a") == [(10, 0)]
    assert results(result, "vxm0") == [(20, 0)]
    assert results(result, f"{names['m']}.w") == []


def duo_programs(abc: Mapping[str, int]) -> dict[str, list[Instruction]]:
    """out (int32) = W x on positions mxm 0, w 2, d0 3, d2 5, vxm 6; R = 2 and two LW elements a tile.

    w READs in 0 and 1, at mxm in 4 and 5: LW, installs in 6. x READ in 1, driven in 3, at mxm in 6: ABC, driven in
    6 + 7 = 13, at vxm in 19: CHAIN, driven in 25, at d2 in 26. END in 27.
    """
    return {
        "w0.r": at(0, Opcode.READ, wide=1, addr=0, count=2, stride=1),
        "d0.r": at(1, Opcode.READ, addr=0, stream=west(16)),
        "mxm0.w": at(4, Opcode.LW, count=2, install=1),
        "mxm0.a": at(6, Opcode.ABC, stream=west(16), out=east(0), **abc),
        "vxm0": at(19, Opcode.CHAIN, x=east(0), x_wide=1, out=west(20), out_wide=1),
        "d2.w": at(26, Opcode.WRITE, wide=1, addr=3, stream=west(20)),
    }


def duo_machine(weights: Bytes, x: Bytes) -> Machine:
    """Weight row n lies in slice n mod 16, row n div 16."""
    machine = Machine(DUO)
    machine.sram["w0"][:, 0], machine.sram["w0"][:, 1] = weights[:16], weights[16:]
    machine.sram["d0"][0, 0] = x
    return machine


def test_duo_matvec_and_its_trace() -> None:
    weights, x = random_bytes(4, 32, 32), random_bytes(5, 32)
    machine = duo_machine(weights, x)
    result = run(machine, duo_programs(dict(start=1, emit=1)))
    y = matvec(weights, x)
    assert planes_to_int32(machine.sram["d2"][:, 3]).tolist() == y
    assert result.cycles == 27 + 2
    assert issues(result) == [
        (0, "w0.r", 0),
        (1, "d0.r", 1),
        (1, "w0.r", 0),
        (4, "mxm0.w", 1),
        (5, "mxm0.w", 1),
        (6, "mxm0.a", 1),
        (19, "vxm0", 1),
        (26, "d2.w", 1),
    ]
    assert results(result, "w0.r") == [(2, 0), (3, 0), (3, 1), (4, 1)]
    assert results(result, "mxm0.a") == [(13, 0), (14, 1)]
    assert results(result, "vxm0") == [(25, 0), (26, 1)]
    assert results(result, "d2.w") == [(27, 0), (28, 1)]
    for event in result.trace:
        if event.queue in ("mxm0.a", "vxm0") and event.kind == "R":
            lanes = [v % 2**32 for v in y[event.place * 16 : event.place * 16 + 16]]
            digest = 0
            for i, word in enumerate(lanes):
                digest ^= rotl(word, 5 * i % 32)
            assert event.digest == digest


@pytest.mark.parametrize("queue", ["mxm0.w", "mxm0.a", "vxm0", "d2.w"])
@pytest.mark.parametrize("shift", [-1, 1])
def test_duo_matvec_needs_every_cycle_as_it_is(queue: str, shift: int) -> None:
    weights, x = random_bytes(4, 32, 32), random_bytes(5, 32)
    machine = duo_machine(weights, x)
    programs = duo_programs(dict(start=1, emit=1))
    wait = programs[queue][0]
    programs[queue][0] = wait.replace(n=wait["n"] + shift)
    run(machine, programs)
    assert planes_to_int32(machine.sram["d2"][:, 3]).tolist() != matvec(weights, x)


@pytest.mark.parametrize(("install_cycle", "in_time"), [(4, False), (5, False), (6, True), (7, False)])
def test_install_takes_what_was_loaded_before_and_serves_the_abc_of_its_cycle(
    install_cycle: int, in_time: bool
) -> None:
    weights, x = random_bytes(6, 32, 32), random_bytes(7, 32)
    machine = duo_machine(weights, x)
    programs = duo_programs(dict(start=1, emit=1))
    loads = [Instruction.of(Opcode.LW, count=2), Instruction.of(Opcode.IW), END]
    programs["mxm0.w"] = [Instruction.of(Opcode.NOP, n=4), *loads]
    if install_cycle < 6:  # IW between or before the LWs
        loads = [Instruction.of(Opcode.LW), Instruction.of(Opcode.LW), END]
        loads.insert(install_cycle - 4, Instruction.of(Opcode.IW))
        programs["mxm0.w"] = [Instruction.of(Opcode.NOP, n=4), *loads]
    if install_cycle == 7:
        programs["mxm0.w"].insert(2, Instruction.of(Opcode.NOP, n=1))
    run(machine, programs)
    assert (planes_to_int32(machine.sram["d2"][:, 3]).tolist() == matvec(weights, x)) is in_time


# ------------------------------------------------------------------------ switch


def int32_row(*head: int) -> Bytes:
    return int32_to_planes(np.array([*head] + [0] * (32 - len(head)), np.int32))


SWITCH_CASES = {
    # operation, fields, expected lanes
    "shift": (Opcode.SHIFT, dict(amount=-2), lambda x, y: [*x[2:], 0, 0]),
    "rotate": (Opcode.ROTATE, dict(amount=3), lambda x, y: [*x[29:], *x[:29]]),
    "distribute": (Opcode.DISTRIBUTE, dict(amount=17), lambda x, y: [x[17]] * 32),
    "select": (Opcode.SELECT, dict(amount=9), lambda x, y: [*x[:9], *y[9:]]),
    "permute": (Opcode.PERMUTE, {}, lambda x, y: [x[i // 16 * 16 + y[i]] for i in range(32)]),
}


@pytest.mark.parametrize("name", SWITCH_CASES)
@pytest.mark.parametrize("late", [-1, 0, 1])
def test_switch_on_a_byte_stream(name: str, late: int) -> None:
    """x leaves d0, y d1, so that both are at sxm (position 1) in 5; driven in 5 + 4, at d1 (position 4) in 12."""
    op, fields, expected = SWITCH_CASES[name]
    x, y = random_bytes(8, 32), random_bytes(9, 32) % 16
    machine = Machine(DUO)
    machine.sram["d0"][0, 1], machine.sram["d1"][0, 0] = x, y
    programs = {
        "d1.r": at(0, Opcode.READ, addr=0, stream=west(17)),  # driven in 2 at position 4, at sxm in 5
        "d0.r": at(1, Opcode.READ, addr=1, stream=west(16)),  # driven in 3 at position 3, at sxm in 5
        "sxm0": at(5, op, x=west(16), y=west(17), out=east(3), **fields),
        "d1.w": at(12 + late, Opcode.WRITE, addr=5, stream=east(3)),
    }
    result = run(machine, programs)
    stored = machine.sram["d1"][0, 5].tolist()
    assert stored == (expected(x.tolist(), y.tolist()) if late == 0 else [0] * 32)
    assert results(result, "sxm0") == [(9, 0), (10, 1)]


def test_wide_select_takes_y_from_an_sg4_and_wide_permute_from_one_stream() -> None:
    """d0 (3) and d1 (4) READ in 1 and 0, at sxm (1) in 5; SELECT in 5 is back at d1 in 12. PERMUTE in 6 reads 0s."""
    machine = Machine(DUO)
    x, y = np.arange(32, dtype=np.int32) * -70001, np.arange(32, dtype=np.int32) * 90001
    machine.sram["d0"][:, 1], machine.sram["d1"][:, 0] = int32_to_planes(x), int32_to_planes(y)
    machine.sram["d0"][:, 2] = int32_to_planes(x)
    select = Instruction.of(Opcode.SELECT, wide=1, x=west(16), y=west(20), out=east(8), amount=20)
    permute = Instruction.of(Opcode.PERMUTE, wide=1, x=west(16), y=west(21), out=east(8))
    programs = {
        "d1.r": at(0, Opcode.READ, wide=1, addr=0, stream=west(20)),
        "d0.r": at(1, Opcode.READ, wide=1, addr=1, stride=1, count=2, stream=west(16)),
        "sxm0": [Instruction.of(Opcode.NOP, n=5), select, permute, END],
        "d1.w": at(12, Opcode.WRITE, wide=1, addr=5, stride=1, count=2, stream=east(8)),
    }
    run(machine, programs)
    assert planes_to_int32(machine.sram["d1"][:, 5]).tolist() == [*x[:20].tolist(), *y[20:].tolist()]
    expected = [x[0]] * 16 + [x[16]] * 16
    assert planes_to_int32(machine.sram["d1"][:, 6]).tolist() == expected, "map 0: lane 0 of each superlane"


def test_maxlane_on_an_sg4() -> None:
    """d0 (3) READ in 0, at sxm (1) in 4: driven in 8, at d1 (4) in 11."""
    machine = Machine(DUO)
    machine.sram["d0"][:, 1] = int32_row(-5, 70000, 69999)
    programs = {
        "d0.r": at(0, Opcode.READ, wide=1, addr=1, stream=west(16)),
        "sxm0": at(4, Opcode.MAXLANE, wide=1, x=west(16), out=east(8)),
        "d1.w": at(11, Opcode.WRITE, wide=1, addr=5, stream=east(8)),
    }
    run(machine, programs)
    assert planes_to_int32(machine.sram["d1"][:, 5]).tolist() == [70000] * 32


def test_transpose_on_the_way_to_the_matrix() -> None:
    """small: w0 (2) READ in 0, at sxm (1) in 3: TRANSPOSE, driven in 4 (but logged in 6), at mxm (0) in 5: LW,
    installs in 6.

    x: d0 (3) READ in 1, at mxm in 6: ABC, driven in 11, back at d0 in 14.
    """
    weights, x = random_bytes(10, 16, 16), random_bytes(11, 16)
    machine = Machine(SMALL)
    machine.sram["w0"][:, 4], machine.sram["d0"][0, 0] = weights, x
    programs = {
        "w0.r": at(0, Opcode.READ, wide=1, addr=4),
        "sxm0": at(3, Opcode.TRANSPOSE),
        "mxm0.w": at(5, Opcode.LW, install=1),
        "d0.r": at(1, Opcode.READ, addr=0, stream=west(16)),
        "mxm0.a": at(6, Opcode.ABC, stream=west(16), out=east(0), start=1, emit=1),
        "d0.w": at(14, Opcode.WRITE, wide=1, addr=1, stream=east(0)),
    }
    result = run(machine, programs)
    assert planes_to_int32(machine.sram["d0"][:, 1]).tolist() == matvec(weights.T, x)
    digest = 0
    for s in range(16):
        for i in range(4):
            word = sum(int(weights[4 * i + b, s]) << 8 * b for b in range(4))
            digest ^= rotl(word, 5 * (4 * s + i) % 32)
    assert Event(6, "sxm0", "R", 0, digest) in result.trace


# ------------------------------------------------------------------------ vector


def test_back_to_back_chains_keep_their_own_running_results() -> None:
    """Two maxima over three vectors each, back to back: d0 READs from 0 on, at vxm (4) from 3 on.

    last_only drives in 5 + 6 = 11 and 8 + 6 = 14, at d1 (3) in 12 and 15.
    """
    rows = np.array(
        [[1, 9, 200, 3], [5, 2, 130, 3], [3, 3, 129, 3], [0, 7, 0, 0], [1, 1, 1, 1], [0, 0, 2, 0]], np.uint8
    )
    machine = Machine(NANO)
    machine.sram["d0"][0, :6] = rows
    chain = Instruction.of(Opcode.CHAIN, count=3, x=east(0), out=west(4), last_only=1, op0=IntOp.MAX, src0=Source.SELF)
    stores = [Instruction.of(Opcode.NOP, n=12), Instruction.of(Opcode.WRITE, count=2, gap=2, stride=1, stream=west(4))]
    programs = {
        "d0.r": at(0, Opcode.READ, count=6, stride=1, addr=0, stream=east(0)),
        "vxm0": [Instruction.of(Opcode.NOP, n=3), chain, chain, END],
        "d1.w": [*stores, END],
    }
    result = run(machine, programs)
    assert signed(machine.sram["d1"][0, 0]) == [5, 9, -56, 3]
    assert signed(machine.sram["d1"][0, 1]) == [1, 7, 2, 1]
    assert results(result, "vxm0") == [(11, 0), (14, 0)]


# ----------------------------------------------------------- flags, errors, state


def test_stream_conflict() -> None:
    machine = Machine(NANO)
    machine.load_programs({q: at(3, Opcode.READ, stream=west(4)) for q in ("d0.r", "d1.r")})
    result = machine.run()
    assert result.errors == ErrorFlag.STREAM_CONFLICT
    assert result.faults == ("cycle 5, queue d1.r: STREAM_CONFLICT: a second drive at position 3",)
    assert result.trace == ()


def test_row_range_leaves_the_sram_alone() -> None:
    config = NANO.replace(data_groups=(MemoryGroup(4, 100), MemoryGroup(4, 128)))
    machine = Machine(config)
    machine.sram["d0"][:] = 1
    machine.load_programs(
        {"d0.w": at(2, Opcode.WRITE, addr=100, stream=east(0)), "d1.w": at(2, Opcode.WRITE, addr=100)}
    )
    result = machine.run()
    assert result.errors == ErrorFlag.ROW_RANGE
    assert result.faults == ("cycle 2, queue d0.w: ROW_RANGE: rows (100,)",)
    assert (machine.sram["d0"] == 1).all()


def test_an_empty_machine_ends_after_r_cycles() -> None:
    assert Machine(DUO).run() == RunResult(2, (), ErrorFlag(0), ())


def test_programs_are_replaced_and_the_sram_stays() -> None:
    machine = Machine(NANO)
    machine.sram["d0"][0, 0] = 7
    run(machine, {"d0.r": at(0, Opcode.READ, stream=west(4)), "w0.w": at(3, Opcode.WRITE, stream=west(4))})
    run(machine, {"w0.r": at(0, Opcode.READ, stream=east(4)), "d1.w": at(3, Opcode.WRITE, addr=1, stream=east(4))})
    assert machine.sram["d1"][0, 1].tolist() == [7] * 4


def test_instructions_must_encode() -> None:
    with pytest.raises(IsaError, match=r"READ: addr = 2048: must be in 0\.\.1023"):
        Machine(NANO).load_programs({"d0.r": at(0, Opcode.READ, addr=2048)})


def narrow_bus() -> LpuConfig:
    return SMALL.replace(name="narrow", weight_streams=8, weight_groups=(MemoryGroup(8, 64),))


@pytest.mark.parametrize(
    ("config", "op", "message"),
    [
        (NANO, Opcode.MAXLANE, r"cycle 1, queue sxm0: MAXLANE: MAXLANE must be wide"),
        (narrow_bus(), Opcode.TRANSPOSE, r"cycle 1, queue sxm0: TRANSPOSE: weight_streams = 8: must equal .* 16 lanes"),
    ],
)
def test_undefined_operations(config: LpuConfig, op: Opcode, message: str) -> None:
    machine = Machine(config)
    machine.load_programs({"sxm0": at(1, op)})
    with pytest.raises(GoldenError, match=message):
        machine.run()
