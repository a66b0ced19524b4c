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

NANO, SMALL, DUO = preset("tiny"), preset("small"), preset("duo")
TWIN_NANO = NANO.replace(name="nano2", hemispheres=2)
END = Instruction.of(Opcode.END)


def at(cycle: int, opcode: Opcode, **values: int) -> list[Instruction]:
    """A program that issues one instruction in ``cycle`` and ends in the next."""
    wait = [Instruction.of(Opcode.NOP, n=cycle)] if cycle else []
    return [*wait, Instruction.of(opcode, **values), END]


def turn(cycle: int, inward: int, outward: int, wide: int = 1, count: int = 1) -> list[Instruction]:
    """A program of ``vxm0.i`` that drives outward, 2 cycles later, what it finds on an inward stream or SG4."""
    fields = dict(count=count, x=inward, x_wide=wide, drive=1, out=outward, out_wide=wide)
    return at(cycle, Opcode.ALU, op=IntOp.PASS, **fields)


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
    """w0 (2) READ in 0, at vxm (4) in 4, driven in 6, at d0 (3) in 7: WRITE; READ in 8, driven in 10, at w0 in 11."""
    machine = Machine(NANO)
    machine.sram["w0"][0, 0] = [5, 6, 7, 8]
    programs = {
        "w0.r": at(0, Opcode.READ, addr=0, stream=east(0)),
        "vxm0.i": turn(4, east(0), west(5), wide=0),
        "d0.w": at(7, Opcode.WRITE, addr=12, stream=west(5)),
        "d0.r": at(8, Opcode.READ, addr=12, stream=west(4)),
        "w0.w": at(11, Opcode.WRITE, addr=1, stream=west(4)),
    }
    run(machine, programs)
    assert machine.sram["w0"][0, 1].tolist() == [5, 6, 7, 8]


def test_wide_write_stores_one_stream_in_every_weight_slice_and_four_in_data_slices() -> None:
    """The SG4 at W4 leaves d0 (3) in 2: at w0 (2) in 3. d1's at E0, driven in 3, is at vxm (4) in 4, back in 7."""
    machine = Machine(NANO)
    rows = random_bytes(1, 4, 4)
    machine.sram["d0"][:, 3] = machine.sram["d1"][:, 6] = rows
    programs = {
        "d0.r": at(0, Opcode.READ, wide=1, addr=3, stream=west(4)),
        "w0.w": at(3, Opcode.WRITE, wide=1, addr=8, stream=west(6)),
        "d1.r": at(1, Opcode.READ, wide=1, addr=6, stream=east(0)),
        "vxm0.i": turn(4, east(0), west(4)),
        "d1.w": at(7, Opcode.WRITE, wide=1, addr=2, stream=west(4)),
    }
    run(machine, programs)
    assert machine.sram["w0"][:, 8].tolist() == [rows[2].tolist()] * 4
    assert machine.sram["d1"][:, 2].tolist() == rows.tolist()


def test_gather_and_scatter_take_the_row_from_the_first_two_streams_of_the_last_outward_sg4() -> None:
    """d2 (5) READs drive W20 in 2 and W21 in 3; d1 (4) sees W20 in 3, d0 (3) in 4.

    A GATHER in 4 finds only the high byte at d1, one in 3 only the low byte; it drives in 5, at w0 (2) in 7.
    """
    machine = Machine(DUO)
    machine.sram["d2"][0, 0, :4] = [50, 3, 7, 1]
    machine.sram["d1"][2, 13] = random_bytes(20, 32)
    programs = {
        "d2.r": [*at(0, Opcode.READ, addr=0, stream=west(20))[:1], *at(0, Opcode.READ, addr=0, stream=west(21))],
        "d1.r": at(3, Opcode.GATHER, addr=2 << 8 | 10, lane=1, stream=west(17)),
        "d0.w": at(4, Opcode.SCATTER, wide=1, spread=1, addr=20, stream=west(20)),
        "w0.w": at(7, Opcode.WRITE, addr=1, stream=west(17)),
    }
    run(machine, programs)
    assert (machine.sram["w0"][0, 1] == machine.sram["d1"][2, 13]).all()
    written = {(int(s), int(r)) for s, r in np.argwhere(machine.sram["d0"].any(axis=2))}
    assert written == {(0, 70)}, "slice 0 stores W20 at row 20 + index 50"
    assert machine.sram["d0"][0, 70, :4].tolist() == [50, 3, 7, 1]


def test_an_index_has_two_bytes() -> None:
    """East half: d0 (3) READs the int32 30 + 256 in 0, at vxm (4) in 3, driven again in 5: at d2 (5) in 6.

    GATHER in 6 takes the index from the pair E4, E5 and drives in 8, at w1 (6) in 9.
    """
    machine = Machine(TWIN_NANO.replace(data_groups=(MemoryGroup(4, 512), MemoryGroup(4, 512))))
    machine.sram["d0"][:2, 0] = [[0, 0, 0, 30], [0, 0, 0, 1]]
    machine.sram["d2"][0, 100 + 30 + 256] = [9, 8, 7, 6]
    assert machine.config.index_streams(machine.config.unit("d2")) == (4, 5)
    programs = {
        "d0.r": at(0, Opcode.READ, wide=1, addr=0, stream=east(4)),
        "vxm0.i": turn(3, east(4), east(4)),
        "d2.r": at(6, Opcode.GATHER, addr=100, lane=3, stream=east(6)),
        "w1.w": at(9, Opcode.WRITE, addr=2, stream=east(6)),
    }
    run(machine, programs)
    assert machine.sram["w1"][0, 2].tolist() == [9, 8, 7, 6]


# ------------------------------------------------------- matrix-vector, by hand

WIDER = TWIN_NANO.replace(streams_east=16, streams_west=16)
SIDES = {
    "west": (NANO, {"w": "w0", "x": "d0", "b": "d1", "m": "mxm0"}, east, west, 0, 4),
    "east": (WIDER, {"w": "w1", "x": "d2", "b": "d3", "m": "mxm1"}, west, east, 4, 12),
}
"""Config, units, inward and outward streams, and the first streams of what x and y of the vector unit read."""


@pytest.mark.parametrize("side", SIDES)
def test_nano_requantised_matvec(side: str) -> None:
    """out = saturate(max(round_half_even((W x + b) * 3 / 2^4), y)), mxm 0, w 2, d 3, vxm 4 (or mirrored).

    w READ in 0, driven in 2, at mxm in 4: LW in 4, installs in 5. x READ in 1, driven in 3, at mxm in 6: ABC in 6,
    driven in 10, at vxm in 14. b READ in 11, driven in 13, at vxm in 14. ADD in 14, REQUANT in
    14 + 1, MAX in 15 + 3 = 18: y READ in 15. Driven in 18 + 2 = 20, at d in 21. END in 22.
    """
    config, names, inward, outward, lower, upper = SIDES[side]
    weights, x, y = random_bytes(2, 4, 4), random_bytes(3, 4), np.array([0, 20, 136, 0], np.uint8)
    bias = np.array([5, -70000, 123, 4], np.int32)
    machine = Machine(config)
    machine.sram[names["w"]][:, 0] = weights
    machine.sram[names["x"]][0, 0], machine.sram[names["x"]][0, 1] = x, y
    machine.sram[names["b"]][:, 0] = int32_to_planes(bias)
    x_reads = [
        Instruction.of(Opcode.NOP, n=1),
        Instruction.of(Opcode.READ, addr=0, stream=outward(4)),
        Instruction.of(Opcode.NOP, n=13),
        Instruction.of(Opcode.READ, addr=1, stream=inward(upper)),
        END,
    ]
    add = dict(op=IntOp.ADD, x=inward(lower), x_wide=1, y=inward(upper), y_wide=1)
    requant = dict(op=RequantOp.REQUANT, x_from=Source.INT, y_from=Source.IMM, imm=4 << 8 | 3)
    largest = dict(op=IntOp.MAX, x_from=Source.REQUANT, y=inward(upper), drive=1, out=outward(4))
    programs = {
        f"{names['w']}.r": at(0, Opcode.READ, wide=1, addr=0),
        f"{names['x']}.r": x_reads,
        f"{names['b']}.r": at(11, Opcode.READ, wide=1, addr=0, stream=inward(upper)),
        f"{names['m']}.w": at(4, Opcode.LW, install=1),
        f"{names['m']}.a": at(6, Opcode.ABC, stream=outward(4), out=inward(lower), start=1, emit=1),
        "vxm0.i": [*at(14, Opcode.ALU, **add)[:-1], *at(3, Opcode.ALU, **largest)],
        "vxm0.q": at(15, Opcode.ALU, **requant),
        f"{names['x']}.w": at(21, Opcode.WRITE, addr=2, stream=outward(4)),
    }
    result = run(machine, programs)
    sums = [a + int(b) for a, b in zip(matvec(weights, x), bias, strict=True)]
    scaled = [max(round(Fraction(v * 3, 16)), k) for v, k in zip(sums, signed(y), strict=True)]
    assert signed(machine.sram[names["x"]][0, 2]) == [max(-128, min(127, v)) for v in scaled]
    assert result.cycles == 22 + 1
    assert results(result, f"{names['m']}.a") == [(11, 0)], "its register, a cycle after the streams"
    assert results(result, "vxm0.i") == [(16, 0), (20, 0)], "driven or not"
    assert results(result, "vxm0.q") == [(19, 0)]
    assert results(result, f"{names['m']}.w") == []


def duo_programs(abc: Mapping[str, int]) -> dict[str, list[Instruction]]:
    """out (int32) = W x on positions mxm 0, w 2, d0 3, d2 5, vxm 6; R = 2 and two LW elements a tile.

    w READs in 0 and 1, at mxm in 4 and 5: LW, installs in 6. x READ in 1, driven in 3, at mxm in 6: ABC, driven in
    6 + 7 = 13, at vxm in 19: PASS, driven in 21, at d2 in 22. END in 23.
    """
    return {
        "w0.r": at(0, Opcode.READ, wide=1, addr=0, count=2, stride=1),
        "d0.r": at(1, Opcode.READ, addr=0, stream=west(16)),
        "mxm0.w": at(4, Opcode.LW, count=2, install=1),
        "mxm0.a": at(6, Opcode.ABC, stream=west(16), out=east(0), **abc),
        "vxm0.i": turn(19, east(0), west(20)),
        "d2.w": at(22, Opcode.WRITE, wide=1, addr=3, stream=west(20)),
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
    assert result.cycles == 23 + 2
    assert issues(result) == [
        (0, "w0.r", 0),
        (1, "d0.r", 1),
        (1, "w0.r", 0),
        (4, "mxm0.w", 1),
        (5, "mxm0.w", 1),
        (6, "mxm0.a", 1),
        (19, "vxm0.i", 1),
        (22, "d2.w", 1),
    ]
    assert results(result, "w0.r") == [(2, 0), (3, 0), (3, 1), (4, 1)]
    assert results(result, "mxm0.a") == [(13, 0), (14, 1)]
    assert results(result, "vxm0.i") == [(21, 0), (22, 1)]
    assert results(result, "d2.w") == [(23, 0), (24, 1)]
    for event in result.trace:
        if event.queue in ("mxm0.a", "vxm0.i") and event.kind == "R":
            lanes = [v % 2**32 for v in y[event.place * 16 : event.place * 16 + 16]]
            digest = 0
            for i, word in enumerate(lanes):
                digest ^= rotl(word, 5 * i % 32)
            assert event.digest == digest


@pytest.mark.parametrize("queue", ["mxm0.w", "mxm0.a", "vxm0.i", "d2.w"])
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
    """x leaves d0, y d1, so that both are at sxm (position 1) in 5; driven in 5 + 4, at vxm (6) in 14,
    driven in 16, at d1 (position 4) in 18.
    """
    op, fields, expected = SWITCH_CASES[name]
    x, y = random_bytes(8, 32), random_bytes(9, 32) % 16
    machine = Machine(DUO)
    machine.sram["d0"][0, 1], machine.sram["d1"][0, 0] = x, y
    programs = {
        "d1.r": at(0, Opcode.READ, addr=0, stream=west(17)),  # driven in 2 at position 4, at sxm in 5
        "d0.r": at(1, Opcode.READ, addr=1, stream=west(16)),  # driven in 3 at position 3, at sxm in 5
        "sxm0": at(5, op, x=west(16), y=west(17), out=east(3), **fields),
        "vxm0.i": turn(14, east(3), west(18), wide=0),
        "d1.w": at(18 + late, Opcode.WRITE, addr=5, stream=west(18)),
    }
    result = run(machine, programs)
    stored = machine.sram["d1"][0, 5].tolist()
    assert stored == (expected(x.tolist(), y.tolist()) if late == 0 else [0] * 32)
    assert results(result, "sxm0") == [(9, 0), (10, 1)]


def test_wide_select_takes_y_from_an_sg4() -> None:
    """d0 (3) and d1 (4) READ in 1 and 0, at sxm (1) in 5; SELECT in 5 is at vxm (6) in 14, back at d1 in 18."""
    machine = Machine(DUO)
    x, y = np.arange(32, dtype=np.int32) * -70001, np.arange(32, dtype=np.int32) * 90001
    machine.sram["d0"][:, 1], machine.sram["d1"][:, 0] = int32_to_planes(x), int32_to_planes(y)
    programs = {
        "d1.r": at(0, Opcode.READ, wide=1, addr=0, stream=west(20)),
        "d0.r": at(1, Opcode.READ, wide=1, addr=1, stream=west(16)),
        "sxm0": at(5, Opcode.SELECT, wide=1, x=west(16), y=west(20), out=east(4), amount=20),
        "vxm0.i": turn(14, east(4), west(16)),
        "d1.w": at(18, Opcode.WRITE, wide=1, addr=5, stream=west(16)),
    }
    run(machine, programs)
    assert planes_to_int32(machine.sram["d1"][:, 5]).tolist() == [*x[:20].tolist(), *y[20:].tolist()]


def test_transpose_on_the_way_to_the_matrix() -> None:
    """small: w0 (2) READ in 0, at sxm (1) in 3: TRANSPOSE, driven in 4 (but logged in 6), at mxm (0) in 5: LW,
    installs in 6.

    x: d0 (3) READ in 1, at mxm in 6: ABC, driven in 11, at vxm (4) in 15, driven in 17, at d0 in 18.
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
        "vxm0.i": turn(15, east(0), west(16)),
        "d0.w": at(18, Opcode.WRITE, wide=1, addr=1, stream=west(16)),
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


def test_back_to_back_folds_begin_afresh() -> None:
    """Two maxima over three vectors each, back to back: d0 READs from 0 on, at vxm (4) from 3 on.

    last_only drives in 5 + 2 = 7 and 8 + 2 = 10, at d1 (3) in 8 and 11; every element has a result.
    """
    rows = np.array(
        [[1, 9, 200, 3], [5, 2, 130, 3], [3, 3, 129, 3], [0, 7, 0, 0], [1, 1, 1, 1], [0, 0, 2, 0]], np.uint8
    )
    machine = Machine(NANO)
    machine.sram["d0"][0, :6] = rows
    fields = dict(op=IntOp.MAX, x=east(0), y_from=Source.INT, fold=1, drive=1, out=west(4), last_only=1)
    fold = Instruction.of(Opcode.ALU, count=3, **fields)
    stores = [Instruction.of(Opcode.NOP, n=8), Instruction.of(Opcode.WRITE, count=2, gap=2, stride=1, stream=west(4))]
    programs = {
        "d0.r": at(0, Opcode.READ, count=6, stride=1, addr=0, stream=east(0)),
        "vxm0.i": [Instruction.of(Opcode.NOP, n=3), fold, fold, END],
        "d1.w": [*stores, END],
    }
    result = run(machine, programs)
    assert signed(machine.sram["d1"][0, 0]) == [5, 9, -56, 3]
    assert signed(machine.sram["d1"][0, 1]) == [1, 7, 2, 1]
    assert results(result, "vxm0.i") == [(t, 0) for t in range(5, 11)]


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
        {"d0.w": at(2, Opcode.WRITE, addr=100, stream=west(4)), "d1.w": at(2, Opcode.WRITE, addr=100, stream=west(4))}
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
    second = {
        "w0.r": at(0, Opcode.READ, stream=east(0)),
        "vxm0.i": turn(4, east(0), west(4), wide=0),
        "d1.w": at(7, Opcode.WRITE, addr=1, stream=west(4)),
    }
    run(machine, second)
    assert machine.sram["d1"][0, 1].tolist() == [7] * 4


def test_instructions_must_encode() -> None:
    with pytest.raises(IsaError, match=r"READ: addr = 2048: must be in 0\.\.1023"):
        Machine(NANO).load_programs({"d0.r": at(0, Opcode.READ, addr=2048)})


def narrow_bus() -> LpuConfig:
    return SMALL.replace(name="narrow", weight_streams=8, weight_groups=(MemoryGroup(8, 64),))


@pytest.mark.parametrize(
    ("config", "queue", "instruction", "message"),
    [
        (
            NANO,
            "sxm0",
            Instruction.of(Opcode.PERMUTE, wide=1),
            r"cycle 1, queue sxm0: PERMUTE wide=1: wide = 1: PERMUTE",
        ),
        (
            narrow_bus(),
            "sxm0",
            Instruction.of(Opcode.TRANSPOSE, count=3),
            r"cycle 1, queue sxm0: TRANSPOSE count=3: gap must be 0 and count a multiple of 2",
        ),
        (
            narrow_bus(),
            "sxm0",
            Instruction.of(Opcode.TRANSPOSE, count=2, gap=1),
            r"TRANSPOSE count=2 gap=1: gap must be 0 and count a multiple of 2",
        ),
        (
            narrow_bus().replace(mac_rows=4),
            "mxm0.a",
            Instruction.of(Opcode.ABC, stream=west(8), count=2, gap=2, start=1),
            r"cycle 4, queue mxm0.a: ABC: must be at least 4 cycles after the ABC in cycle 1",
        ),
        (
            preset("small").replace(sfu_cycles=2),
            "vxm0.s",
            Instruction.of(Opcode.ALU, op=1, count=2),
            r"cycle 2, queue vxm0.s: element of the SFU pipe: must be at least 2 cycles after the one in cycle 1",
        ),
        (
            NANO,
            "vxm0.i",
            Instruction.of(Opcode.ALU, op=13),
            r"cycle 1, queue vxm0.i: ALU op=13: op = 13: must be an op",
        ),
    ],
)
def test_undefined_operations(config: LpuConfig, queue: str, instruction: Instruction, message: str) -> None:
    machine = Machine(config)
    machine.load_programs({queue: [Instruction.of(Opcode.NOP, n=1), instruction, END]})
    with pytest.raises(GoldenError, match=message):
        machine.run()
