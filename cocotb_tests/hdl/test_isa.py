"""Encodings are reversible, distinct and refuse what does not fit; timing covers every instruction."""

import random

import pytest

from hdl.config import PRESETS, LpuConfig, PipeKind, SwitchOp
from hdl.isa import (
    PIPE_LATENCY,
    PIPE_QUEUES,
    REGISTERS,
    AddOp,
    Instruction,
    IntOp,
    IsaError,
    Opcode,
    QueueKind,
    Source,
    can_drive,
    can_fold,
    control_fields,
    decode,
    east,
    encode,
    fields_of,
    first_of_fold,
    operations,
    queue,
    queues,
    sources,
    timing,
    unit_fields,
    unit_opcodes,
    west,
    word_bits,
)

CONFIGS = list(PRESETS.values())


def _instructions(config: LpuConfig, kind: QueueKind, rng: random.Random) -> list[Instruction]:
    """Every opcode of the kind with all fields at their extremes and at random."""
    found = []
    for op in (*sorted(control_fields(config, kind)), *unit_opcodes(config, kind)):
        fields = fields_of(config, kind, op)
        found.append(Instruction.of(op, **{f.name: f.minimum for f in fields}))
        found.append(Instruction.of(op, **{f.name: f.maximum for f in fields}))
        found += [Instruction.of(op, **{f.name: rng.randint(f.minimum, f.maximum) for f in fields}) for _ in range(20)]
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kind", QueueKind)
def test_words_are_reversible(config: LpuConfig, kind: QueueKind) -> None:
    for instruction in _instructions(config, kind, random.Random(1)):
        word = encode(config, kind, instruction)
        assert 0 <= word < 1 << word_bits(config, kind)
        assert decode(config, kind, word) == instruction


def test_a_word_by_hand() -> None:
    """nano's WRITE: opcode 5 bits, count 8, gap 6, wide 1, addr 10, stride 10, mask 1, stream 4, lane 4, spread 1."""
    nano = PRESETS["tiny"]
    instruction = Instruction.of(Opcode.WRITE, count=3, gap=2, wide=1, addr=0x155, stride=-1, stream=west(5))
    word = encode(nano, QueueKind.MEM_WRITE, instruction)
    fields = [(10, 5), (3, 8), (2, 6), (1, 1), (0x155, 10), (0x3FF, 10), (0, 1), (11, 4)]
    expected, offset = 0, 0
    for value, bits in fields:
        expected |= value << offset
        offset += bits
    assert word == expected


def test_a_vector_word_by_hand() -> None:
    """small's ADD: opcode 5 bits, count 12, gap 7, op 5, x_from 3, x 6, y_from 3, y 6, imm 32, fold 1, swap 2, ..."""
    small = PRESETS["small"]
    fields = {"op": AddOp.FSUB, "x_from": Source.MUL, "y_from": Source.IMM, "y": east(8), "imm": -2, "swap": 3}
    word = encode(small, QueueKind.VXM_ADD, Instruction.of(Opcode.ALU, **fields, drive=1, out=west(20), last_only=1))
    layout = [(15, 5), (1, 12), (0, 7), (2, 5), (4, 3), (0, 6), (1, 3), (16, 6), (0xFFFFFFFE, 32), (0, 1), (3, 2)]
    layout += [(1, 1), (41, 6), (1, 1)]
    expected, offset = 0, 0
    for value, bits in layout:
        expected |= value << offset
        offset += bits
    assert word == expected
    assert word_bits(small, QueueKind.VXM_ADD) == offset


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Instruction.of(Opcode.READ, count=0), r"READ: count = 0: must be in 1\.\.255"),
        (Instruction.of(Opcode.READ, addr=1024), r"READ: addr = 1024: must be in 0\.\.1023"),
        (Instruction.of(Opcode.READ, stride=-513), r"READ: stride = -513: must be in -512\.\.511"),
        (Instruction.of(Opcode.READ, lanes=1), r"READ on a mem\.r queue: no field 'lanes'"),
        (Instruction.of(Opcode.WRITE), r"WRITE: not an instruction of a mem\.r queue"),
        (Instruction.of(Opcode.NOP, n=0), r"NOP: n = 0: must be in 1\.\.255"),
        (Instruction.of(Opcode.LOOP, n=1, length=64), r"LOOP: length = 64: must be in 1\.\.63"),
    ],
)
def test_refused_instructions(instruction: Instruction, message: str) -> None:
    with pytest.raises(IsaError, match=message):
        encode(PRESETS["tiny"], QueueKind.MEM_READ, instruction)


def test_refused_words() -> None:
    nano = PRESETS["tiny"]
    with pytest.raises(IsaError, match="word 0x6: illegal opcode 6"):
        decode(nano, QueueKind.MEM_READ, 6)
    with pytest.raises(IsaError, match=r"ABC: not an instruction of a mem\.r queue"):
        decode(nano, QueueKind.MEM_READ, Opcode.ABC)
    with pytest.raises(IsaError, match=r"READ: count = 0: must be in 1\.\.255"):
        decode(nano, QueueKind.MEM_READ, Opcode.READ)
    with pytest.raises(IsaError, match="NOTIFY: word 0x24: bits above the fields must be 0"):
        decode(nano, QueueKind.MEM_READ, Opcode.NOTIFY | 1 << 5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_timing_knows_every_instruction(config: LpuConfig) -> None:
    for kind in {q.kind for q in queues(config)}:
        for opcode in unit_opcodes(config, kind):
            stated = timing(config, kind, opcode)
            assert stated.skew or stated.func is not None or opcode is Opcode.IW
            assert all(skew >= 0 for skew in stated.skew.values())
    with pytest.raises(IsaError, match="ABC: not an instruction of a sxm queue"):
        timing(config, QueueKind.SWITCH, Opcode.ABC)


def test_the_switch_has_the_instructions_of_the_core() -> None:
    small, kind = PRESETS["small"], QueueKind.SWITCH
    alone = small.replace(switch_ops=(SwitchOp.TRANSPOSE,))
    assert unit_opcodes(alone, kind) == (Opcode.TRANSPOSE,)
    assert [field.name for field in unit_fields(alone, kind)] == ["count", "gap"]
    with pytest.raises(IsaError, match="ROTATE: not an instruction of a sxm queue"):
        encode(alone, kind, Instruction.of(Opcode.ROTATE))
    two = small.replace(switch_ops=(SwitchOp.SELECT, SwitchOp.SHIFT))
    assert unit_opcodes(two, kind) == (Opcode.SHIFT, Opcode.SELECT)
    assert unit_fields(two, kind) == unit_fields(small, kind)
    assert not [q.name for q in queues(small.replace(switch_ops=())) if q.kind is kind]


def test_a_straight_queue_has_no_loop_and_no_repeat() -> None:
    straight = PRESETS["small"].replace(loop_levels=0)
    for kind in {q.kind for q in queues(straight)}:
        assert set(control_fields(straight, kind)) == {Opcode.END, Opcode.NOP, Opcode.SYNC, Opcode.NOTIFY}
    assert "mask" not in [field.name for field in unit_fields(straight, QueueKind.MEM_READ)]
    with pytest.raises(IsaError, match=r"LOOP: not an instruction of a mem\.r queue"):
        encode(straight, QueueKind.MEM_READ, Instruction.of(Opcode.LOOP, n=1, length=1))


def test_a_core_without_indices_has_no_gather() -> None:
    plain = PRESETS["small"].replace(indexed=False)
    assert unit_opcodes(plain, QueueKind.MEM_READ) == (Opcode.READ,)
    assert unit_opcodes(plain, QueueKind.MEM_WRITE) == (Opcode.WRITE,)
    assert {"lane", "spread"}.isdisjoint(field.name for field in unit_fields(plain, QueueKind.MEM_READ))


def test_strides_are_as_wide_as_the_core_says() -> None:
    small = PRESETS["small"]
    for bits, width in ((None, small.addr_bits), (5, 5)):
        fields = {field.name: field for field in unit_fields(small.replace(stride_bits=bits), QueueKind.MEM_READ)}
        assert (fields["addr"].bits, fields["stride"].bits) == (small.addr_bits, width)


def test_queues_are_named_after_their_slice_port() -> None:
    small = PRESETS["small"]
    names = [q.name for q in queues(small)]
    memory = ["w0.r", "w0.w", "d0.r", "d0.w", "d1.r", "d1.w", "d2.r", "d2.w"]
    assert names == ["mxm0.w", "mxm0.a", "sxm0", *memory, "vxm0.i", "vxm0.m", "vxm0.a", "vxm0.s"]
    assert [q.name for q in queues(PRESETS["duo"])][-5:] == ["vxm0.i", "vxm0.q", "vxm0.m", "vxm0.a", "vxm0.s"]
    assert [q.name for q in queues(PRESETS["tiny"])][-2:] == ["vxm0.i", "vxm0.q"]
    with pytest.raises(IsaError, match=r"unknown queue 'd3\.r'; queues: mxm0\.w"):
        queue(small, "d3.r")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_sources_and_operations_are_those_of_the_pipes_that_exist(config: LpuConfig) -> None:
    for pipe in config.pipes:
        for field in ("x", "y"):
            registers = [REGISTERS[source] for source in sources(config, pipe, field) if source in REGISTERS]
            assert set(registers) <= set(config.pipes)
        assert sources(config, pipe, "x")[0] is (Source.STREAM if can_drive(config, pipe) else Source.INT)
        assert can_drive(config, pipe) == (pipe is not PipeKind.REQUANT or not config.lane_by_lane)
        names = {f.name for f in unit_fields(config, PIPE_QUEUES[pipe])}
        assert ("y_from" in names) == bool(sources(config, pipe, "y"))
        assert ("fold" in names) == can_fold(pipe)
    floats = {op for op in operations(config, PipeKind.INT) if op >= IntOp.FMAX}
    assert bool(floats) == config.has_floats


def test_a_fold_begins_with_the_value_itself() -> None:
    assert [first_of_fold(PipeKind.INT, op) for op in (IntOp.MAX, IntOp.FAMAX)] == [IntOp.PASS, IntOp.FABS]
    assert first_of_fold(PipeKind.ADD, AddOp.FADD) == AddOp.PASS
    assert [pipe for pipe in PipeKind if can_fold(pipe)] == [PipeKind.INT, PipeKind.ADD]


def test_a_driven_result_follows_the_register_by_a_cycle() -> None:
    """The register shows it from T + 1 + latency on; then it is driven as well."""
    for pipe, latency in PIPE_LATENCY.items():
        stated = timing(PRESETS["duo"], PIPE_QUEUES[pipe], Opcode.ALU)
        assert stated.func == 1 + latency
        assert stated.skew == dict.fromkeys(("x",) if pipe is PipeKind.SFU else ("x", "y"), 0)


def test_the_text_form_names_streams() -> None:
    assert str(Instruction.of(Opcode.READ, addr=7, stream=east(3))) == "READ addr=7 stream=E3"
    step = Instruction.of(Opcode.ALU, op=IntOp.ADD, x=east(0), y=east(9), y_from=Source.STREAM, out=west(17))
    assert str(step) == "ALU op=1 out=W17 x=E0 y=E9 y_from=0"
