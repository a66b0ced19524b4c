"""Each rule of the verifier: a legal program passes, the smallest break of it fails with the text that tells why."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from compiler.image import MemoryBlock, TensorInfo
from compiler.random_program import random_program
from compiler.verify import InitialRows, VerifyError, verify
from hdl.config import LpuConfig, PipeKind, SwitchOp, preset
from hdl.isa import (
    FLAG_OPS,
    PIPE_LATENCY,
    PIPE_QUEUES,
    AddOp,
    Instruction,
    IntOp,
    MulOp,
    Opcode,
    RequantOp,
    SfuOp,
    Source,
    east,
    operations,
    west,
)

I = Instruction.of  # noqa: E741
NANO, SMALL, DUO = preset("tiny"), preset("small"), preset("duo")
Programs = dict[str, list[Instruction]]


def program(*steps: int | Instruction) -> list[Instruction]:
    """Instructions up to END; an integer waits so many cycles."""
    return [I(Opcode.NOP, n=step) if isinstance(step, int) else step for step in steps] + [I(Opcode.END)]


def slice_addresses(config: LpuConfig, unit: str) -> list[int]:
    """Address of row 0 of every slice of ``unit``."""
    group = config.unit(unit).memory
    assert group is not None
    return [slice_ << config.row_bits(group) for slice_ in range(group.slices)]


def slices(config: LpuConfig, unit: str, count: int = 1) -> list[InitialRows]:
    """The first ``count`` rows of every slice of ``unit``."""
    return [(unit, addr, count) for addr in slice_addresses(config, unit)]


def rejects(
    config: LpuConfig, programs: Mapping[str, Sequence[Instruction]], text: str, memory: Sequence[InitialRows]
) -> None:
    """The verifier's error is one line that contains ``text``."""
    with pytest.raises(VerifyError, match=re.escape(text)) as caught:
        verify(config, programs, memory)
    assert "\n" not in str(caught.value)


# small: mxm0 at 0, sxm0 1, w0 2, d0 d1 d2 3, vxm0 4. READ drives after 2 cycles, INT after 2, ABC after 5.
READ = I(Opcode.READ, addr=0, stream=east(0))
ALU = I(Opcode.ALU, x=east(0), drive=1, out=west(16))
WRITE = I(Opcode.WRITE, addr=5, stream=west(16))
D0: list[InitialRows] = [("d0", 0, 2)]


def copy_program() -> Programs:
    """d0 row 0 -> vxm0 in cycle 3 -> d1 row 5 in cycle 6."""
    return {"d0.r": program(READ), "vxm0.i": program(3, ALU), "d1.w": program(6, WRITE)}


LW = I(Opcode.LW, install=1)
ABC = I(Opcode.ABC, stream=west(16), out=east(0), start=1, emit=1)
WEIGHTS = slices(SMALL, "w0")


def matmul_program() -> Programs:
    """w0 row 0 -> LW in cycle 4, IW in 5; d0 row 0 -> ABC in 6; its sum -> vxm0 in 15 -> d1 row 7 in 18."""
    return {
        "w0.r": program(I(Opcode.READ, wide=1, addr=0)),
        "mxm0.w": program(4, LW),
        "d0.r": program(1, READ.replace(stream=west(16))),
        "mxm0.a": program(6, ABC),
        "vxm0.i": program(15, ALU.replace(x_wide=1, out_wide=1)),
        "d1.w": program(18, I(Opcode.WRITE, wide=1, addr=7, stream=west(16))),
    }


def gather_program() -> Programs:
    """An index SG4 of d0 reaches w0 in cycle 3, whose row reaches vxm0 in 7 and d1 in 10."""
    return {
        "d0.r": program(I(Opcode.READ, wide=1, addr=0, stream=west(20))),
        "w0.r": program(3, I(Opcode.GATHER, addr=0, stream=east(1))),
        "vxm0.i": program(7, ALU.replace(x=east(1))),
        "d1.w": program(10, I(Opcode.WRITE, addr=0, stream=west(16))),
    }


INDICES = slices(SMALL, "d0")


@pytest.mark.parametrize(
    ("programs", "memory"),
    [(copy_program(), D0), (matmul_program(), D0 + WEIGHTS), (gather_program(), INDICES), ({}, [])],
    ids=["copy", "matmul", "gather", "empty"],
)
def test_legal_programs_pass(programs: Programs, memory: list[InitialRows]) -> None:
    expansion = verify(SMALL, programs, memory)
    unit_instructions = sum(not step.is_control for steps in programs.values() for step in steps)
    assert sum(len(elements) for elements in expansion.elements.values()) == unit_instructions


# ------------------------------------------------------------ one instruction

D0_DRIVES = "stream = W3: stream of d0.r may be E0..E15 or W16..W23"


@pytest.mark.parametrize(
    ("queue", "index", "step", "text"),
    [
        ("d0.r", 0, READ.replace(count=0), "d0.r pc 0 'READ addr=0 count=0 stream=E0': READ: count = 0: must be"),
        ("d0.r", 0, READ.replace(amount=1), "d0.r pc 0 'READ addr=0 amount=1 stream=E0': READ on a mem.r queue: no"),
        ("d0.r", 0, ALU, "d0.r pc 0 'ALU drive=1 out=W16 x=E0': ALU: not an instruction of a mem.r queue"),
        ("d0.r", 0, READ.replace(stream=west(3)), "cycle 0: d0.r pc 0 'READ addr=0 stream=W3': " + D0_DRIVES),
        ("d1.w", 1, WRITE.replace(stream=east(0)), "stream = E0: stream of d1.w may be W16..W23"),
        ("vxm0.i", 1, ALU.replace(x=west(16)), "cycle 3: vxm0.i pc 1 'ALU drive=1 out=W16 x=W16': x = W16: x of "),
        ("vxm0.i", 1, ALU.replace(x=east(8)), "x = E8: x of vxm0.i may be E0..E7"),
        ("vxm0.i", 1, ALU.replace(op=IntOp.ADD, y=east(4)), "y = E4: y of vxm0.i may be E8..E15"),
        ("vxm0.i", 1, ALU.replace(out=east(4)), "out = E4: out of vxm0.i may be W16..W23"),
        ("vxm0.i", 1, ALU.replace(out=west(18), out_wide=1), "out = W18: an SG4 must start at a multiple of 4"),
        ("vxm0.i", 1, ALU.replace(x=east(2), x_wide=1), "x = E2: an SG4 must start at a multiple of 4"),
        ("vxm0.i", 1, ALU.replace(op=19), "op = 19: must be an operation of INT on 'small', PASS, ADD, SUB, "),
        ("vxm0.i", 1, ALU.replace(x_from=Source.IMM), "x_from = 1: must be STREAM, INT, MUL, ADD, SFU in the INT"),
        ("vxm0.i", 1, ALU.replace(x_from=Source.REQUANT), "x_from = 3: must be STREAM, INT, MUL, ADD, SFU in the INT"),
        ("vxm0.i", 1, ALU.replace(y_from=Source.ADD), "y_from = 5: must be STREAM, IMM, INT, SWAP in the INT pipe of"),
        ("vxm0.i", 1, ALU.replace(fold=1, y_from=Source.SWAP), "fold = 1: needs y_from = INT, the pipe's own result"),
    ],
)  # fmt: skip
def test_instruction_rules(queue: str, index: int, step: Instruction, text: str) -> None:
    programs = copy_program()
    programs[queue][index] = step
    rejects(SMALL, programs, text, D0)


def pipe_program(pipe: PipeKind, *steps: Instruction) -> Programs:
    """duo: SG4s of d1 on E0 and of d2 on E8 pass vxm0 from cycle 4 on, where the steps begin."""
    read = I(Opcode.READ, wide=1, count=len(steps))
    reads = {"d1.r": program(read.replace(stream=east(0))), "d2.r": program(1, read.replace(stream=east(8)))}
    return reads | {f"vxm0{PIPE_QUEUES[pipe].value.removeprefix('vxm')}": program(4, *steps)}


PIPE_MEMORY = slices(DUO, "d1") + slices(DUO, "d2")


@pytest.mark.parametrize("pipe", DUO.pipes)
def test_every_operation_of_a_pipe_passes(pipe: PipeKind) -> None:
    """The first element sets the flag, the second one takes both operands from streams."""
    wide = {"x_wide": 1, "y_wide": 1} if pipe is PipeKind.INT else {}
    streams = {"x": east(0)} | ({"y": east(8)} if pipe is not PipeKind.SFU else {})
    for op in operations(DUO, pipe):
        tested = I(Opcode.ALU, op=op, drive=1, out=west(16), **streams, **wide)
        first = tested.replace(op=IntOp.GT) if pipe is PipeKind.INT else tested
        verify(DUO, pipe_program(pipe, first, tested), PIPE_MEMORY)


def test_an_operation_without_y_reads_none() -> None:
    step = I(Opcode.ALU, op=AddOp.PASS, x=east(0), y=west(4))
    verify(DUO, pipe_program(PipeKind.ADD, step), PIPE_MEMORY)
    text = "y = W4: y of vxm0.a may be E8..E15"
    rejects(DUO, pipe_program(PipeKind.ADD, step.replace(op=AddOp.FADD)), text, PIPE_MEMORY)


def test_a_square_takes_both_operands_from_one_stream() -> None:
    step = I(Opcode.ALU, op=MulOp.FMUL, x=east(0), y=east(0))
    verify(DUO, pipe_program(PipeKind.MUL, step), PIPE_MEMORY)
    step = step.replace(op=AddOp.FADD)
    rejects(DUO, pipe_program(PipeKind.ADD, step), "y = E0: y of vxm0.a may be E8..E15", PIPE_MEMORY)


def test_operations_and_sources_are_those_of_the_core() -> None:
    text = "op = 13: must be an operation of INT on 'tiny', PASS, "
    rejects(NANO, {"vxm0.i": program(I(Opcode.ALU, op=IntOp.FMAX, x_from=Source.INT))}, text, [])
    text = "x_from = 5: must be STREAM, INT, REQUANT in the INT pipe of 'tiny'"
    rejects(NANO, {"vxm0.i": program(I(Opcode.ALU, x_from=Source.ADD))}, text, [])
    rejects(NANO, {"vxm0.m": program()}, "unknown queue 'vxm0.m'", [])


# ------------------------------- a core whose REQUANT takes the lanes one by one

REAL = preset("nano")
SERIAL = I(Opcode.ALU, op=RequantOp.SHR, x_from=Source.INT, y_from=Source.IMM)


def serial_program(distance: int, taken: int) -> Programs:
    """INT in cycle 3, REQUANT of it in 5 and again ``distance`` later, INT takes the first result in ``taken``."""
    load, take = I(Opcode.ALU, x=east(0)), I(Opcode.ALU, x_from=Source.REQUANT)
    pause = [distance - 1] if distance > 1 else []
    return {
        "d0.r": program(READ),
        "vxm0.i": program(3, load, taken - 4, take),
        "vxm0.q": program(5, SERIAL, *pause, SERIAL),
    }


def test_an_element_takes_a_cycle_a_lane_and_its_latency() -> None:
    """A REQUANT has its 3 cycles and the register before it; the next begins when all 4 lanes have."""
    memory: list[InitialRows] = [("d0", 0, 1)]
    verify(REAL, serial_program(4, 9), memory)
    text = "reads the result register of REQUANT, whose first value stands there from cycle 9 on"
    rejects(REAL, serial_program(4, 8), text, memory)
    for distance in (1, 2, 3):
        text = f"cycle {5 + distance}: vxm0.q pc {2 + (distance > 1)} '{SERIAL}' begins while vxm0.q pc 1 '{SERIAL}', "
        rejects(REAL, serial_program(distance, 9), text + "issued in cycle 5, takes 4 cycles", memory)
    back_to_back = serial_program(4, 9) | {"vxm0.q": program(5, SERIAL.replace(count=2, gap=2))}
    rejects(REAL, back_to_back, "cycle 8: vxm0.q pc 1", memory)


def test_what_nano_lacks() -> None:
    rejects(REAL, {"vxm0.q": program(SERIAL.replace(x_from=Source.STREAM))}, "x_from = 0: must be INT in the", [])
    text = "op = 6: must be an operation of INT on 'nano', PASS, "
    rejects(REAL, {"vxm0.i": program(I(Opcode.ALU, op=IntOp.AND))}, text, [])
    rejects(REAL, {"w0.w": program()}, "unknown queue 'w0.w'", [])


def test_swaps_stay_in_a_superlane() -> None:
    eight = SMALL.replace(lanes=8, weight_streams=8, weight_groups=(SMALL.weight_groups[0].__class__(8, 1024),))
    step = I(Opcode.ALU, op=IntOp.ADD, x_from=Source.INT, y_from=Source.SWAP, swap=2)
    memory: list[InitialRows] = [("d0", 0, 1)]
    programs = {"d0.r": program(READ), "vxm0.i": program(3, ALU, step)}
    verify(eight, programs, memory)
    programs["vxm0.i"] = program(3, ALU, step.replace(swap=3))
    rejects(eight, programs, "swap = 3: 2^swap must be below the superlane's 8 lanes", memory)


# ------------------------------------------------------------ result registers


def forward_program(wait: int, **changes: int) -> Programs:
    """INT converts in cycle 3, its first result; ADD takes it ``wait`` cycles later."""
    taken = I(Opcode.ALU, op=AddOp.I2F, x_from=Source.INT).replace(**changes)
    return {"d0.r": program(READ), "vxm0.i": program(3, ALU.replace(drive=0)), "vxm0.a": program(3 + wait, taken)}


def test_a_result_is_taken_when_it_stands_in_the_register() -> None:
    verify(SMALL, forward_program(PIPE_LATENCY[PipeKind.INT]), D0)
    text = (
        "cycle 3: vxm0.a pc 1 'ALU op=4 x_from=2' reads the result register of INT, whose first value stands there "
        "from cycle 4 on, issued in 3 by vxm0.i pc 1 'ALU drive=0 out=W16 x=E0'"
    )
    rejects(SMALL, forward_program(0), text, D0)
    text = "cycle 4: vxm0.a pc 1 'ALU op=4 x_from=4' reads the result register of MUL, which nothing writes"
    rejects(SMALL, forward_program(1, x_from=Source.MUL), text, D0)


@pytest.mark.parametrize("pipe", [PipeKind.MUL, PipeKind.ADD, PipeKind.SFU])
def test_each_register_has_the_latency_of_its_pipe(pipe: PipeKind) -> None:
    producer, latency = I(Opcode.ALU, x=east(0), y=east(8)), PIPE_LATENCY[pipe]
    producer = producer if pipe is not PipeKind.SFU else I(Opcode.ALU, op=SfuOp.RECIP, x=east(0))
    programs = pipe_program(pipe, producer)
    taker = I(Opcode.ALU, x_from=Source[pipe.name])
    programs["vxm0.i"] = program(4 + latency, taker)
    verify(DUO, programs, PIPE_MEMORY)
    programs["vxm0.i"] = program(3 + latency, taker)
    rejects(DUO, programs, f"reads the result register of {pipe.name}, whose first value stands there", PIPE_MEMORY)


def test_the_first_element_of_a_fold_reads_no_register() -> None:
    """Later ones read what stands there: the first result of ADD only after 4 cycles."""
    step = I(Opcode.ALU, op=AddOp.FADD, x=east(0), y_from=Source.ADD, count=2, gap=3, fold=1)
    programs = pipe_program(PipeKind.ADD, step, step, step, step, step)
    programs["vxm0.a"] = program(4, step)
    verify(DUO, programs, PIPE_MEMORY)
    programs["vxm0.a"] = program(4, step.replace(gap=2))
    rejects(DUO, programs, "cycle 7: ", PIPE_MEMORY)
    programs["vxm0.a"] = program(4, step.replace(fold=0))
    rejects(DUO, programs, "cycle 4: ", PIPE_MEMORY)


def test_swap_reads_the_pipe_s_own_register() -> None:
    step = I(Opcode.ALU, op=IntOp.ADD, x=east(0), y_from=Source.SWAP)
    rejects(DUO, pipe_program(PipeKind.INT, step), "reads the result register of INT, whose first", PIPE_MEMORY)
    verify(DUO, pipe_program(PipeKind.INT, step.replace(y_from=Source.IMM), step), PIPE_MEMORY)


@pytest.mark.parametrize("op", [IntOp.SELECT, IntOp.PICK])
def test_the_flag_is_set_before_it_is_read(op: IntOp) -> None:
    taker = I(Opcode.ALU, op=op, x=east(0), y_from=Source.IMM)
    for compare in FLAG_OPS:
        verify(DUO, pipe_program(PipeKind.INT, taker.replace(op=compare), taker), PIPE_MEMORY)
    rejects(DUO, pipe_program(PipeKind.INT, taker), "reads the flag, which nothing writes", PIPE_MEMORY)
    text = f"cycle 4: vxm0.i pc 1 '{taker}' reads the flag, whose first value stands there from cycle 6 on"
    rejects(DUO, pipe_program(PipeKind.INT, taker, taker.replace(op=IntOp.GT)), text, PIPE_MEMORY)


def test_pick_has_no_x() -> None:
    steps = [ALU.replace(op=IntOp.GT, y_from=Source.IMM), I(Opcode.ALU, op=IntOp.PICK, x=west(0), y_from=Source.IMM)]
    verify(SMALL, copy_program() | {"vxm0.i": program(3, *steps)}, D0)


def switch_program(step: Instruction) -> Programs:
    """d0 row 0 on W16 (wide: W16..W19) reaches sxm0 in cycle 4."""
    return {"d0.r": program(READ.replace(wide=step["wide"], stream=west(16))), "sxm0": program(4, step)}


@pytest.mark.parametrize(
    ("opcode", "legal", "illegal", "rule"),
    [
        (Opcode.ROTATE, (0, 15), (-1, 16), "must be in 0..15"),
        (Opcode.DISTRIBUTE, (0, 15), (-1, 16), "must be in 0..15"),
        (Opcode.SELECT, (0, 16), (-1, 17), "must be in 0..16"),
        (Opcode.SHIFT, (-16, 16), (-33, 32), "must be in -32..31"),
    ],
)
def test_amounts_name_lanes(opcode: Opcode, legal: tuple[int, ...], illegal: tuple[int, ...], rule: str) -> None:
    step = I(opcode, x=west(16), y=west(16), out=east(0))
    for amount in legal:
        verify(SMALL, switch_program(_switch_step(step, amount)), D0)
    for amount in illegal:
        rejects(SMALL, switch_program(_switch_step(step, amount)), f"amount = {amount}: {rule}", D0)


def _switch_step(step: Instruction, amount: int) -> Instruction:
    fields = ("x", "y", "out") if step.op is Opcode.SELECT else ("x", "out")
    return I(step.op, amount=amount, **{name: step[name] for name in fields})


def test_permute_is_narrow() -> None:
    step = I(Opcode.PERMUTE, x=west(16), y=west(16), out=east(0))
    verify(SMALL, switch_program(step), INDICES)
    text = "wide = 1: PERMUTE moves single streams, wide must be 0"
    rejects(SMALL, switch_program(step.replace(wide=1)), text, INDICES)


def test_the_switch_turns_outward_streams_inward() -> None:
    step = I(Opcode.ROTATE, x=west(16), out=east(0))
    rejects(SMALL, switch_program(step.replace(x=east(0))), "x = E0: x of sxm0 may be W16..W23", D0)
    rejects(SMALL, switch_program(step.replace(out=west(16))), "out = W16: out of sxm0 may be E0..E15", D0)


def test_a_weight_group_drives_the_first_inward_sg4() -> None:
    memory: list[InitialRows] = [("w0", 0, 1)]
    verify(SMALL, {"w0.r": program(READ.replace(stream=east(3)))}, memory)
    rejects(SMALL, {"w0.r": program(READ.replace(stream=east(4)))}, "stream of w0.r may be E0..E3", memory)


def test_transpose_takes_whole_blocks() -> None:
    """One element where the weight bus is as wide as a superlane, else as many as bring a block, without a pause."""
    programs = {"w0.r": program(I(Opcode.READ, wide=1)), "sxm0": program(3, I(Opcode.TRANSPOSE))}
    verify(SMALL, programs, WEIGHTS)
    board, read = preset("ulx3s"), I(Opcode.READ, wide=1, count=4)
    verify(board, {"w0.r": program(read), "sxm0": program(3, I(Opcode.TRANSPOSE, count=4))}, slices(board, "w0"))
    for turn, text in (
        (I(Opcode.TRANSPOSE, count=3), "count = 3: must be a multiple of 2, the elements of a block"),
        (I(Opcode.TRANSPOSE, count=2, gap=1), "gap = 1: must be 0, the 2 elements of a block follow one another"),
    ):
        rejects(board, {"w0.r": program(read), "sxm0": program(3, turn)}, text, slices(board, "w0"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"spread": 1}, "spread = 1: must be wide"),
        ({"lane": 16}, "lane = 16: must be in 0..15"),
    ],
)
def test_index_lanes(change: dict[str, int], text: str) -> None:
    programs = gather_program()
    programs["w0.r"][1] = programs["w0.r"][1].replace(**change)
    rejects(SMALL, programs, text, INDICES)


def test_index_lane_is_in_the_superlane_of_nano() -> None:
    step = I(Opcode.GATHER, lane=4, stream=east(0))
    rejects(preset("tiny"), {"w0.r": program(step)}, "lane = 4: must be in 0..3", [])


def test_indices_where_the_core_has_them() -> None:
    board, programs = SMALL.replace(name="board", plain_groups=("d0", "d1"), lane0_index=True), gather_program()
    programs["w0.r"][1] = programs["w0.r"][1].replace(lane=0)
    verify(board, programs, INDICES)
    programs["w0.r"][1] = programs["w0.r"][1].replace(lane=1)
    rejects(board, programs, "lane = 1: must be in 0..0", INDICES)
    rejects(board.replace(plain_groups=("w0",)), programs, "GATHER: w0 of 'board' has none (plain_groups)", INDICES)


@pytest.mark.parametrize(
    ("queue", "index", "change", "text"),
    [
        ("d0.r", 0, {"stream": east(2)}, "stream = E2: a single stream must be the last of its SG4"),
        ("vxm0.i", 1, {"out": west(17)}, "out = W17: a single stream must be the last of its SG4"),
        ("vxm0.i", 1, {"x": east(2), "x_wide": 0}, "x = E2: a single stream must be the last of its SG4"),
        ("d1.w", 1, {"stream": west(16)}, "stream = W16: a single stream must be the last of its SG4"),
    ],
)
def test_single_streams_where_the_core_has_them(queue: str, index: int, change: dict[str, int], text: str) -> None:
    last = SMALL.replace(name="last", last_bytes=True, switch_ops=(SwitchOp.TRANSPOSE,))
    programs = copy_program()
    programs["d0.r"][0] = READ.replace(wide=1)
    programs["vxm0.i"][1] = ALU.replace(x_wide=1, out=west(19))
    programs["d1.w"][1] = WRITE.replace(stream=west(19))
    verify(last, programs, slices(last, "d0"))
    programs[queue][index] = programs[queue][index].replace(**(change | ({"wide": 0} if queue == "d0.r" else {})))
    rejects(last, programs, text, slices(last, "d0"))


def test_accumulator_rows_exist() -> None:
    programs = matmul_program()
    programs["mxm0.a"][1] = ABC.replace(row=3)
    verify(SMALL, programs, D0 + WEIGHTS)
    programs["mxm0.a"][1] = ABC.replace(row=3, walk=1, count=2)
    rejects(SMALL, programs, "row = 3, last row 4: must be in 0..3", D0 + WEIGHTS)


# ------------------------------------------------------------ sequencing


def test_sequencing_errors_are_verify_errors() -> None:
    rejects(SMALL, {"d0.r": [READ]}, "queue d0.r, pc 1: missing END", D0)
    rejects(SMALL, {"d9.r": [READ]}, "unknown queue 'd9.r'", D0)


# ------------------------------------------------------------ streams


def test_an_operand_is_there_when_it_is_read() -> None:
    programs = copy_program()
    programs["d1.w"] = program(7, WRITE)
    rejects(
        SMALL,
        programs,
        "cycle 7: d1.w pc 1 'WRITE addr=5 stream=W16' reads W16 at position 3, where no value is; "
        "nearest: vxm0.i pc 1 'ALU drive=1 out=W16 x=E0' passes in cycle 6",
        D0,
    )
    del programs["vxm0.i"]
    rejects(SMALL, programs, "where no value is; nothing upstream drives it", D0)


def test_a_unit_does_not_see_what_its_own_position_drives() -> None:
    programs = {"d0.r": program(READ.replace(stream=west(16))), "d1.w": program(2, WRITE)}
    rejects(SMALL, programs, "cycle 2: d1.w pc 1", D0)


def test_what_is_not_driven_is_on_no_stream() -> None:
    programs = copy_program()
    programs["vxm0.i"] = program(3, ALU.replace(drive=0))
    rejects(SMALL, programs, "cycle 6: d1.w pc 1 'WRITE addr=5 stream=W16' reads W16 at position 3, where no", D0)


def test_both_operands_are_read_at_issue() -> None:
    programs = copy_program()
    programs["vxm0.i"] = program(3, ALU.replace(op=IntOp.ADD, y=east(8)))
    programs["d1.r"] = program(READ.replace(stream=east(8)))
    verify(SMALL, programs, [*D0, ("d1", 0, 1)])
    programs["d1.r"] = program(1, READ.replace(stream=east(8)))
    rejects(SMALL, programs, "cycle 3: vxm0.i pc 1 ", [*D0, ("d1", 0, 1)])


def test_last_only_drives_after_the_last_element_alone() -> None:
    programs = copy_program()
    programs["d0.r"] = program(READ.replace(count=3))
    programs["vxm0.i"] = program(3, ALU.replace(count=3, last_only=1))
    programs["d1.w"] = program(8, WRITE)
    verify(SMALL, programs, D0)
    programs["d1.w"] = program(6, WRITE)
    rejects(SMALL, programs, "cycle 6: d1.w pc 1 'WRITE addr=5 stream=W16' reads W16 at position 3, where no", D0)


def test_two_pipes_may_not_drive_one_stream() -> None:
    """An ADD of 4 cycles and an INT of 1, issued 3 cycles later, are driven together."""
    wide = I(Opcode.ALU, op=AddOp.PASS, x=east(0), drive=1, out=west(16))
    programs: Programs = {
        "d1.r": program(READ.replace(wide=1, count=4)),
        "vxm0.a": program(4, wide),
        "vxm0.i": program(7, I(Opcode.ALU, x=east(0), x_wide=1, drive=1, out=west(18))),
    }
    text = "and vxm0.a pc 1 'ALU drive=1 op=0 out=W16 x=E0' both drive W18 at position 6"
    rejects(DUO, programs, text, PIPE_MEMORY)
    programs["vxm0.i"] = program(7, I(Opcode.ALU, x=east(0), x_wide=1, drive=1, out=west(20)))
    verify(DUO, programs, PIPE_MEMORY)


def test_one_driver_per_stream_position_and_cycle() -> None:
    programs = copy_program()
    programs["d2.r"] = program(READ.replace(addr=1))
    text = (
        "cycle 2: d0.r pc 0 'READ addr=0 stream=E0' and d2.r pc 0 'READ addr=1 stream=E0' both drive E0 at position 3"
    )
    rejects(SMALL, programs, text, [*D0, ("d2", 0, 2)])
    programs["d2.r"] = program(READ.replace(addr=1, stream=east(1)))
    verify(SMALL, programs, [*D0, ("d2", 0, 2)])


def test_a_passing_value_is_read_before_it_is_replaced() -> None:
    """w0's value on E0 leaves position 2 in cycle 2 and passes d0, which drives E0 itself in cycle 3."""
    programs: Programs = {
        "w0.r": program(READ),
        "d0.r": program(1, READ),
        "vxm0.i": program(4, ALU),
        "d1.w": program(7, WRITE),
    }
    text = (
        "cycle 3: d0.r pc 1 'READ addr=0 stream=E0' drives E0 at position 3 over the value that "
        "w0.r pc 0 'READ addr=0 stream=E0' drove in cycle 2 and nothing has read"
    )
    memory: list[InitialRows] = [*D0, ("w0", 0, 1)]
    rejects(SMALL, programs, text, memory)
    programs["d0.r"] = program(1, READ.replace(stream=east(1)))
    programs["vxm0.i"] = program(4, ALU.replace(op=IntOp.GT, x=east(1), y_from=Source.IMM))
    verify(SMALL, programs, memory)


def test_the_index_pair_is_an_operand() -> None:
    programs = gather_program()
    programs["d0.r"] = program(I(Opcode.READ, wide=1, stream=west(16)))
    rejects(SMALL, programs, "cycle 3: w0.r pc 1 'GATHER addr=0 stream=E1' reads W20 at position 2", INDICES)


# ------------------------------------------------------------ memory


def test_rows_exist() -> None:
    odd_depth = SMALL.replace(data_groups=(SMALL.data_groups[0].__class__(4, 300),) * 3)
    programs = copy_program()
    programs["d1.w"] = program(6, WRITE.replace(addr=299))
    verify(odd_depth, programs, D0)
    programs["d1.w"] = program(6, WRITE.replace(addr=300))
    text = "cycle 6: d1.w pc 1 'WRITE addr=300 stream=W16': row 300 of d1: has 4 slices of 300"
    rejects(odd_depth, programs, text, D0)
    programs["d1.w"] = program(6, WRITE.replace(addr=4 << 9))
    rejects(SMALL, programs, "slice 4 of d1: has 4 slices of 512 rows", D0)


def test_a_row_is_read_only_after_its_first_write() -> None:
    programs = copy_program()
    text = "cycle 0: d0.r pc 0 'READ addr=0 stream=E0' reads slice 0 row 0 of d0, which is neither"
    rejects(SMALL, programs, text, [])
    programs["d1.r"] = program(7, READ.replace(addr=5))
    verify(SMALL, programs, D0)
    programs["d1.r"] = program(5, READ.replace(addr=5))
    text = "reads slice 0 row 5 of d1, first written in cycle 6 by d1.w pc 1 'WRITE addr=5 stream=W16'"
    rejects(SMALL, programs, f"cycle 5: d1.r pc 1 'READ addr=5 stream=E0' {text}", D0)


def test_a_wide_read_needs_every_slice() -> None:
    programs = {"d0.r": program(I(Opcode.READ, wide=1, stream=east(0)))}
    verify(SMALL, programs, INDICES)
    rejects(SMALL, programs, "reads slice 2 row 0 of d0", [INDICES[0], INDICES[1], INDICES[3]])


def test_no_row_is_read_in_the_cycle_of_its_write() -> None:
    programs = copy_program()
    programs["d1.r"] = program(6, READ.replace(addr=5))
    memory: list[InitialRows] = [*D0, MemoryBlock("d1", 0, np.zeros((8, 16), np.uint8))]
    text = (
        "cycle 6: d1.r pc 1 'READ addr=5 stream=E0' reads row 5 of d1 that d1.w pc 1 'WRITE addr=5 stream=W16' writes"
    )
    rejects(SMALL, programs, text, memory)
    programs["d1.r"] = program(6, READ.replace(addr=6))
    verify(SMALL, programs, memory)


def test_a_gather_may_meet_any_write_of_its_slices() -> None:
    programs = gather_program()
    programs["d1.r"] = program(READ.replace(stream=west(16)))
    programs["w0.w"] = program(3, WRITE.replace(addr=9))
    memory: list[InitialRows] = [*INDICES, ("d1", 0, 1)]
    rejects(SMALL, programs, "cycle 3: w0.r pc 1 'GATHER addr=0 stream=E1' may read a row of w0 that w0.w pc 1", memory)
    programs["w0.w"] = program(3, WRITE.replace(addr=slice_addresses(SMALL, "w0")[1]))
    verify(SMALL, programs, memory)


def test_a_scatter_initialises_nothing() -> None:
    programs: Programs = {
        "d0.r": program(I(Opcode.READ, wide=1, addr=0, stream=west(20))),
        "w0.w": program(3, I(Opcode.SCATTER, addr=0, stream=west(20))),
        "w0.r": program(5, I(Opcode.READ, addr=0, stream=east(0))),
    }
    rejects(SMALL, programs, "cycle 5: w0.r pc 1 'READ addr=0 stream=E0' reads slice 0 row 0 of w0, which is", INDICES)
    verify(SMALL, programs, [*INDICES, ("w0", 0, 1)])


def test_memory_blocks_lie_within_their_unit() -> None:
    text = "memory block of 3 rows from address 2046 of d2: has 4 slices of 512"
    rejects(SMALL, copy_program(), text, [*D0, ("d2", 2046, 3)])
    rejects(SMALL, copy_program(), "memory block of vxm0: must be a memory group", [*D0, ("vxm0", 0, 1)])


# ------------------------------------------------------------ matrix


def duo_weights(*steps: int | Instruction) -> tuple[Programs, list[InitialRows]]:
    """duo needs 2 steps a tile: 8 rows of w0 pass mxm0 in cycles 4..11."""
    read = I(Opcode.READ, wide=1, count=8, stride=1)
    return {"w0.r": program(read), "mxm0.w": program(4, *steps)}, slices(DUO, "w0", 8)


def lw(count: int, install: int = 0) -> Instruction:
    return I(Opcode.LW, count=count, install=install)


IW = I(Opcode.IW)


@pytest.mark.parametrize(
    ("weights", "gap", "text"),
    [
        ((lw(4, 1),), 1, None),
        (
            (lw(4, 1),),
            0,
            "cycle 7: mxm0.a pc 1 '{abc}' multiplies while mxm0.a pc 1 '{abc}', issued in cycle 6, takes 2",
        ),
        (
            (lw(2, 1), 1, lw(2, 1)),
            1,
            "cycle 9: mxm0.w pc 3 '{lw}' installs a tile while mxm0.a pc 1 '{abc}', issued in",
        ),
        ((lw(2, 1), lw(2), 1, IW), 1, "cycle 9: mxm0.w pc 4 'IW' installs a tile while mxm0.a pc 1 '{abc}', issued in"),
    ],
)
def test_an_element_of_abc_has_the_array_for_itself(
    weights: tuple[int | Instruction, ...], gap: int, text: str | None
) -> None:
    board = preset("ulx3s").replace(last_bytes=False)
    reads: list[int | Instruction] = [
        s if isinstance(s, int) else I(Opcode.READ, wide=1, count=s["count"]) for s in weights if s != IW
    ]
    abc = I(Opcode.ABC, count=2, gap=gap, stream=west(8), start=1)
    x = I(Opcode.READ, count=2, gap=gap, stream=west(8))
    programs = {"w0.r": program(*reads), "mxm0.w": program(4, *weights)}
    programs |= {"d0.r": program(1, x), "mxm0.a": program(6, abc)}
    memory = [*slices(board, "w0"), ("d0", 0, 2)]
    if text is None:
        verify(board, programs, memory)
    else:
        rejects(board, programs, text.format(abc=abc, lw=weights[-1]), memory)


@pytest.mark.parametrize("steps", [(lw(2), IW), (lw(4, 1),), (lw(1), lw(2), IW), (lw(2, 1), lw(2), IW), (lw(2), 3, IW)])
def test_complete_tiles_install(steps: tuple[int | Instruction, ...]) -> None:
    verify(DUO, *duo_weights(*steps))


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((lw(3, 1),), "cycle 4: mxm0.w pc 1 'LW count=3 install=1': count = 3: must be a multiple of 2"),
        ((lw(1), IW), "cycle 5: mxm0.w pc 2 'IW' installs 1 of 2 steps loaded since the last IW"),
        ((lw(2), IW, IW), "cycle 7: mxm0.w pc 3 'IW' installs 0 of 2 steps"),
        ((lw(2, 1), IW), "cycle 6: mxm0.w pc 2 'IW' meets the automatic IW of mxm0.w pc 1 'LW count=2 install=1'"),
        ((lw(2, 1), 1, IW), "cycle 7: mxm0.w pc 3 'IW' installs 0 of 2 steps"),
        ((lw(1), lw(1), IW), "cycle 6: mxm0.w pc 3 'IW' installs 1 of 2 steps"),
    ],
)
def test_incomplete_tiles_do_not_install(steps: tuple[int | Instruction, ...], text: str) -> None:
    programs, memory = duo_weights(*steps)
    rejects(DUO, programs, text, memory)


def test_every_element_of_lw_finds_the_weight_bus_full() -> None:
    programs, memory = duo_weights(lw(2), 5, lw(2))
    rejects(DUO, programs, "cycle 12: mxm0.w pc 3 'LW count=2 install=0' reads W0 at position 0, where no", memory)


def test_abc_multiplies_only_after_an_install() -> None:
    programs = matmul_program()
    programs["d0.r"], programs["mxm0.a"] = program(READ.replace(stream=west(16))), program(5, ABC)
    programs["vxm0.i"][0], programs["d1.w"][0] = I(Opcode.NOP, n=14), I(Opcode.NOP, n=17)
    verify(SMALL, programs, D0 + WEIGHTS)
    programs["mxm0.w"] = program(4, LW.replace(install=0), 1, IW)
    text = "multiplies before the first IW of mxm0, in cycle 6 by mxm0.w pc 3 'IW'"
    rejects(SMALL, programs, f"cycle 5: mxm0.a pc 1 '{ABC}' {text}", D0 + WEIGHTS)
    del programs["mxm0.w"]
    rejects(SMALL, programs, "multiplies with a tile of mxm0 that nothing installs", D0 + WEIGHTS)


def test_accumulation_starts_with_a_start() -> None:
    programs = matmul_program()
    programs["mxm0.a"][1] = ABC.replace(start=0)
    rejects(SMALL, programs, "accumulates into row 0, which no ABC has started", D0 + WEIGHTS)
    programs["d0.r"] = program(1, READ.replace(stream=west(16), count=2))
    programs["mxm0.a"] = program(6, ABC.replace(emit=0), ABC.replace(start=0))
    programs["vxm0.i"][0], programs["d1.w"][0] = I(Opcode.NOP, n=16), I(Opcode.NOP, n=19)
    verify(SMALL, programs, D0 + WEIGHTS)
    programs["mxm0.a"] = program(6, ABC.replace(emit=0), ABC.replace(start=0, row=1))
    rejects(SMALL, programs, "accumulates into row 1, which no ABC has started", D0 + WEIGHTS)


# ------------------------------------------------------------ tensors


def tensor(name: str, addr: int, first: int, last: int, kind: str = "temp", dtype: str = "int8") -> TensorInfo:
    return TensorInfo(name, kind, dtype, (2, 16), "d0", addr, 2, first, last)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (tensor("a", 0, 0, 5), tensor("b", 2, 0, 5), None),
        (tensor("a", 0, 0, 5), tensor("b", 1, 6, 9), None),
        (tensor("a", 0, 0, 5), tensor("b", 1, 5, 9), "cycle 5: tensors 'a' (cycles 0..5) and 'b' (cycles 5..9)"),
        (tensor("a", 0, 3, 3), tensor("b", 0, 5, 9, kind="input"), "tensors 'a' (cycles 3..3) and 'b' (cycles 0..9)"),
        (tensor("a", 0, 0, 1, kind="output"), tensor("b", 0, 5, 9), "tensors 'a' (cycles 0..15) and 'b' (cycles 5..9)"),
        (tensor("a", 0, 0, 5, dtype="int32"), tensor("b", 513, 0, 5), "share address 513 of d0"),
        (tensor("a", 2047, 0, 5), tensor("b", 0, 0, 5), "tensor 'a': 2 rows from address 2047"),
    ],
)  # fmt: skip
def test_live_tensors_do_not_overlap(a: TensorInfo, b: TensorInfo, text: str | None) -> None:
    idle = {"d0.r": program(14)}
    if text is None:
        verify(SMALL, idle, [], [a, b])
    else:
        with pytest.raises(VerifyError, match=re.escape(text)):
            verify(SMALL, idle, [], [a, b])


# ------------------------------------------------------------ the whole


def test_the_lowest_cycle_is_reported_first() -> None:
    programs = copy_program()
    programs["d1.w"] = program(7, WRITE, WRITE.replace(stream=west(3)))
    programs["d2.r"] = program(3, READ)
    rejects(SMALL, programs, "cycle 3: d2.r pc 1 'READ addr=0 stream=E0' reads slice 0 row 0 of d2", D0)


@pytest.mark.parametrize("queue", ["d0.r", "d1.w", "vxm0.i", "vxm0.a", "sxm0", "mxm0.a", "w0.r"])
def test_a_dense_program_does_not_survive_a_late_queue(queue: str) -> None:
    """One more idle cycle before the first unit instruction (earlier, a SYNC might absorb it)."""
    programs, memory = random_program(SMALL, 3, 120)
    steps = programs[queue]
    first = next(pc for pc, step in enumerate(steps) if step.op is Opcode.LOOP or not step.is_control)
    programs[queue] = (*steps[:first], I(Opcode.NOP, n=1), *steps[first:])
    with pytest.raises(VerifyError):
        verify(SMALL, programs, memory)


def test_sixty_thousand_elements_take_seconds() -> None:
    again = I(Opcode.REPEAT, n=4)
    programs: Programs = {
        "d0.r": program(READ.replace(count=4000), again),
        "vxm0.i": program(3, ALU.replace(count=4000), again),
        "d1.w": program(6, WRITE.replace(count=4000), again),
        "w0.r": program(I(Opcode.READ, wide=1, count=1000), again),
        "mxm0.w": program(4, LW.replace(count=1000), again),
    }
    begin = time.process_time()
    expansion = verify(SMALL, programs, D0 + WEIGHTS)
    assert sum(map(len, expansion.elements.values())) == 70_000
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(("gap", "cycles"), [(0, 2), (1, 2), (0, 1)])
def test_an_element_of_the_sfu_has_it_for_its_cycles(gap: int, cycles: int) -> None:
    board = preset("ulx3s").replace(last_bytes=False, sfu_cycles=cycles)
    recip = I(Opcode.ALU, op=SfuOp.RECIP, x=east(0), count=2, gap=gap)
    read = I(Opcode.READ, wide=1, stream=east(0), count=2, gap=gap)
    programs = {"d0.r": program(read), "vxm0.s": program(3, recip)}
    if gap + 1 >= cycles:
        verify(board, programs, slices(board, "d0"))
    else:
        name = f"vxm0.s pc 1 '{recip}'"
        text = f"cycle 4: {name} begins while {name}, issued in cycle 3, takes 2 cycles"
        rejects(board, programs, text, slices(board, "d0"))
