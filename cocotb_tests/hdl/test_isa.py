"""Encodings are reversible, distinct and refuse what does not fit; timing covers every instruction."""

import random

import pytest

from hdl.config import PRESETS, LpuConfig
from hdl.isa import (
    CONTROL_OPCODES,
    UNIT_OPCODES,
    Instruction,
    IsaError,
    Opcode,
    QueueKind,
    decode,
    east,
    encode,
    fields_of,
    queue,
    queues,
    timing,
    west,
    word_bits,
)

KINDS = list(QueueKind)
CONFIGS = list(PRESETS.values())


def _instructions(config: LpuConfig, kind: QueueKind, rng: random.Random) -> list[Instruction]:
    """Every opcode of the kind with all fields at their extremes and at random."""
    found = []
    for op in (*sorted(CONTROL_OPCODES), *UNIT_OPCODES[kind]):
        fields = fields_of(config, kind, op)
        found.append(Instruction.of(op, **{f.name: f.minimum for f in fields}))
        found.append(Instruction.of(op, **{f.name: f.maximum for f in fields}))
        found += [Instruction.of(op, **{f.name: rng.randint(f.minimum, f.maximum) for f in fields}) for _ in range(20)]
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kind", KINDS)
def test_words_are_reversible(config: LpuConfig, kind: QueueKind) -> None:
    for instruction in _instructions(config, kind, random.Random(1)):
        word = encode(config, kind, instruction)
        assert 0 <= word < 1 << word_bits(config, kind)
        assert decode(config, kind, word) == instruction


def test_a_word_by_hand() -> None:
    """nano's WRITE: opcode 5 bits, count 8, gap 6, wide 1, addr 10, stride 10, mask 1, stream 4, lane 4, spread 1."""
    nano = PRESETS["nano"]
    instruction = Instruction.of(Opcode.WRITE, count=3, gap=2, wide=1, addr=0x155, stride=-1, stream=west(5))
    word = encode(nano, QueueKind.MEM_WRITE, instruction)
    fields = [(10, 5), (3, 8), (2, 6), (1, 1), (0x155, 10), (0x3FF, 10), (0, 1), (11, 4)]
    expected, offset = 0, 0
    for value, bits in fields:
        expected |= value << offset
        offset += bits
    assert word == expected


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
        encode(PRESETS["nano"], QueueKind.MEM_READ, instruction)


def test_refused_words() -> None:
    nano = PRESETS["nano"]
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
    for kind, opcodes in UNIT_OPCODES.items():
        for opcode in opcodes:
            stated = timing(config, kind, opcode)
            assert stated.skew or stated.func is not None or opcode is Opcode.IW
            assert all(skew >= 0 for skew in stated.skew.values())
    with pytest.raises(IsaError, match="ABC: not an instruction of a sxm queue"):
        timing(config, QueueKind.SWITCH, Opcode.ABC)


def test_queues_are_named_after_their_slice_port() -> None:
    small = PRESETS["small"]
    names = [q.name for q in queues(small)]
    assert names == ["mxm0.w", "mxm0.a", "sxm0", "w0.r", "w0.w", "d0.r", "d0.w", "d1.r", "d1.w", "d2.r", "d2.w", "vxm0"]
    with pytest.raises(IsaError, match=r"unknown queue 'd3\.r'; queues: mxm0\.w"):
        queue(small, "d3.r")


def test_the_text_form_names_streams() -> None:
    assert str(Instruction.of(Opcode.READ, addr=7, stream=east(3))) == "READ addr=7 stream=E3"
    assert str(Instruction.of(Opcode.CHAIN, x=east(0), y1=west(17), y1_wide=1)) == "CHAIN x=E0 y1=W17 y1_wide=1"
