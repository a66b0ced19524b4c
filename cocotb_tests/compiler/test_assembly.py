"""The text form: exact round trips, hand-written programs that run, errors with their line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from compiler.assembly import AssemblyError, assemble, format_image, format_program, parse
from compiler.build import compile_graph
from compiler.image import ProgramImage, TensorInfo
from compiler.random_program import random_program
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig, preset
from hdl.isa import AddOp, Instruction, IntOp, Opcode, Source, east, encode, queue, west
from models.digits.evaluate import compile_digits
from models.digits.model import FloatModel, quantise
from sim.compare import golden_image

NANO, SMALL, DUO, GROQ = map(preset, ("tiny", "small", "duo", "groq"))
I = Instruction.of  # noqa: E741
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "relu.lpu"


# ------------------------------------------------------------ round trips


@pytest.mark.parametrize("config", [NANO, SMALL, DUO, GROQ], ids=lambda config: config.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_programs_come_back_field_by_field(config: LpuConfig, seed: int) -> None:
    programs, _ = random_program(config, seed, 120)
    assert parse(config, format_program(config, programs)).programs == programs


def images() -> list[ProgramImage]:
    programs, memory = random_program(SMALL, 2, 60)
    tensors = (TensorInfo("x", "temp", "int8", (3, 20), "d0", 10, 6, 4, 9),)
    return [
        ProgramImage(SMALL, programs, tuple(memory), tensors, 60),
        compile_graph(NANO, matmul_graph(NANO, 2, 8, 4)).image,
        compile_digits(SMALL, quantise(FloatModel.load())).image,
    ]


@pytest.mark.parametrize("image", images(), ids=["random", "matmul", "digits"])
def test_images_come_back_as_the_same_words_memory_and_tensors(image: ProgramImage) -> None:
    again = parse(image.config, format_image(image))
    assert list(again.programs) == list(image.programs)
    for name, program in image.programs.items():
        kind = queue(image.config, name).kind
        words = [[encode(image.config, kind, i) for i in steps] for steps in (program, again.programs[name])]
        assert words[0] == words[1]
    assert again.memory == image.memory
    assert again.tensors == image.tensors


def test_a_compiled_image_comes_back_as_the_same_file(tmp_path: Path) -> None:
    image = images()[1]
    image.save(tmp_path / "a")
    assemble(image.config, format_image(image)).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ------------------------------------------------------------ what a text says


def test_instructions_read_as_they_print() -> None:
    text = """
    queue d0.r:  # a comment
        READ addr=0x07 stream=E3 count=4
      REPEAT n=2 stride=-1

    END
    queue vxm0.i:
        ALU x=E0 drive=1 out=W16 op=ADD y_from=IMM imm=-5
        ALU op=8 x_from=MUL y_from=7 swap=2   # XOR, SWAP
    queue vxm0.a:
        ALU op=FSUB x_from=INT y=E8
    """
    programs = parse(SMALL, text).programs
    assert programs == {
        "d0.r": (I(Opcode.READ, addr=7, stream=east(3), count=4), I(Opcode.REPEAT, n=2, stride=-1), I(Opcode.END)),
        "vxm0.i": (
            I(Opcode.ALU, x=east(0), drive=1, out=west(16), op=IntOp.ADD, y_from=Source.IMM, imm=-5),
            I(Opcode.ALU, op=IntOp.XOR, x_from=Source.MUL, y_from=Source.SWAP, swap=2),
        ),
        "vxm0.a": (I(Opcode.ALU, op=AddOp.FSUB, x_from=Source.INT, y=east(8)),),
    }
    assert str(programs["d0.r"][0]) in format_program(SMALL, programs)
    text = format_program(SMALL, programs)
    assert "ALU drive=1 imm=-5 op=ADD out=W16 x=E0 y_from=IMM" in text
    assert "ALU op=FSUB x_from=INT y=E8" in text


@pytest.mark.parametrize(
    ("number", "bits"),
    [("1.5", 0x3FC00000), ("-2", 0xC0000000), ("-0", 0x80000000), ("0.1", 0x3DCCCCCD), ("1e39", 0x7F800000)],
)
def test_an_immediate_may_be_an_fp32_number(number: str, bits: int) -> None:
    (step,) = parse(SMALL, f"queue vxm0.m:\n ALU y_from=IMM imm=f:{number}").programs["vxm0.m"]
    assert step["imm"] & 0xFFFFFFFF == bits


def test_memory_is_hex_or_random() -> None:
    text = """
    memory d1 addr=0x1FE:
        000102030405060708090A0b0c0d0e0f
        ff000000 00000000 00000000 000000fe
    memory w0 addr=3:
        random seed=1 rows=5
    """
    first, second = parse(SMALL, text).memory
    assert (first.unit, first.addr, second.unit, second.addr) == ("d1", 510, "w0", 3)
    assert first.rows.tolist() == [list(range(16)), [255, *[0] * 14, 254]]
    assert second.rows.shape == (5, 16) and second.rows.dtype == np.uint8 and len(np.unique(second.rows)) > 40
    assert parse(SMALL, text).memory[1] == second
    assert parse(SMALL, text.replace("seed=1", "seed=2")).memory[1] != second


def test_tensors_live_for_the_whole_run_unless_told() -> None:
    text = "tensor x input int8 2x20 d0 addr=9\ntensor t temp int32 1x16 d1 addr=1 live=3..5\n"
    text += "queue d0.w:\n NOP n=20\n END\n"
    assert assemble(SMALL, text).tensors == (
        TensorInfo("x", "input", "int8", (2, 20), "d0", 9, 4, 0, 21),
        TensorInfo("t", "temp", "int32", (1, 16), "d1", 1, 1, 3, 5),
    )
    with pytest.raises(
        AssemblyError, match=r"^f: cycle 3: tensors 'x' \(cycles 0..21\) and 't' .* share address 1 of d1$"
    ):
        assemble(SMALL, text.replace("d0 addr=9", "d1 addr=0"), "f")


def test_the_example_is_a_relu() -> None:
    image = assemble(SMALL, EXAMPLE.read_text(), str(EXAMPLE))
    x = np.random.default_rng(7).integers(-100, 100, (4, 16), dtype=np.int8)
    outputs, run = golden_image(image, {"x": x}, ["y"])
    assert np.array_equal(outputs["y"], np.maximum(x + np.arange(16, dtype=np.int8), 0))
    # NOP 7, four WRITEs every second cycle, END in cycle 14; one superlane
    assert (run.cycles, image.cycles, run.errors) == (15, 15, 0)


# ------------------------------------------------------------ errors

QUEUE, VECTOR, MEMORY = "queue d0.r:", "queue vxm0.i:", "memory d0 addr=0:"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("READ addr=1", "1: 'READ addr=1': must follow a line 'queue NAME:' or 'memory UNIT addr=N:'"),
        ("queue d0.r", "1: 'queue d0.r': must be 'queue NAME:'"),
        ("queue d9.r:", "1: unknown queue 'd9.r'; queues: mxm0.w, "),
        ("queue d0.r:\nqueue d0.r:", "2: 'queue d0.r:': must be the only section of its queue"),
        (f"{QUEUE}\n\n  JUMP n=1", "3: 'JUMP': must be an instruction of a mem.r queue: READ, GATHER, END, NOP, "),
        (f"{QUEUE}\n  WRITE", "2: 'WRITE': must be an instruction of a mem.r queue"),
        (f"{QUEUE}\n  READ adr=1", "2: 'adr=1': must be a field of READ and its value: count, gap, wide, addr, "),
        (f"{QUEUE}\n  END n=1", "2: 'n=1': must be a field of END and its value: none"),
        (f"{QUEUE}\n  READ op=1", "2: 'op=1': must be a field of READ"),
        (f"{QUEUE}\n  READ addr=1 addr=1", "2: 'addr=1': addr must be given once"),
        (f"{QUEUE}\n  READ addr", "2: 'addr=': must be a decimal or 0x hexadecimal number"),
        (f"{QUEUE}\n  READ addr=1e3", "2: 'addr=1e3': must be a decimal or 0x hexadecimal number of 32 bits"),
        (f"{QUEUE}\n  READ addr={'9' * 5000}", "must be a decimal or 0x hexadecimal number of 32 bits"),
        (f"{QUEUE}\n  READ addr=32768", "2: READ: addr = 32768: must be in 0..32767"),
        (f"{QUEUE}\n  READ count=0", "2: READ: count = 0: must be in 1..4095"),
        (f"{QUEUE}\n  NOP", "2: NOP: n = 0: must be in 1..4095"),
        (f"{QUEUE}\n  READ stream=6", "2: 'stream=6': must be a stream, E0..E15 or W0..W23"),
        (f"{QUEUE}\n  READ stream=E16", "2: 'stream=E16': must be a stream, E0..E15 or W0..W23"),
        (f"{VECTOR}\n  ALU op=DIV", "2: 'op=DIV': must be one of PASS, ADD, SUB, RSUB, "),
        ("queue vxm0.s:\n  ALU op=FADD", "2: 'op=FADD': must be one of EXP2, RECIP, RSQRT, F2I, NLOG2"),
        ("queue vxm0.s:\n  ALU y=E8", "2: 'y=E8': must be a field of ALU and its value: count, gap, op, x_from, x, "),
        ("queue vxm0.q:\n  ALU", "1: unknown queue 'vxm0.q'; queues: "),
        (f"{VECTOR}\n  ALU x_from=MEM", "2: 'x_from=MEM': must be one of STREAM, IMM, INT, "),
        (f"{VECTOR}\n  ALU imm=f:1,5", "2: 'imm=f:1,5': must be a decimal number, as f:1.5 or f:-2e-3"),
        (f"{VECTOR}\n  ALU swap=f:1", "2: 'swap=f:1': must be a decimal or 0x hexadecimal number"),
        ("memory d0:", "1: 'memory d0:': must be 'memory UNIT addr=N:'"),
        ("memory vxm0 addr=0:", "1: 'vxm0': must be a memory group"),
        ("memory d9 addr=0:", "1: config 'small': no unit 'd9'; units: "),
        ("memory d0 row=0:", "1: 'row=0': must be addr="),
        ("memory d0 addr=-1:", "1: 'addr=-1': must be at least 0"),
        ("memory d0 addr=2047:\n random seed=1 rows=2", "2: 'addr=2048': must be a row of the 4 slices x 512 rows"),
        (f"{MEMORY}\n  0011", "2: '0011': must be 16 hexadecimal bytes, one per lane, or 'random seed=N rows=N'"),
        (f"{MEMORY}\n  {'0g' * 16}", "must be 16 hexadecimal bytes"),
        (f"{MEMORY}\n  random seed=1", "2: 'seed=1': must be seed=, rows="),
        (f"{MEMORY}\n  random seed=-1 rows=1", "2: 'random seed=-1 rows=1': seed must be at least 0"),
        (f"{MEMORY}\n  random seed=1 rows=2049", "2: 'random seed=1 rows=2049': rows must be in 1..2048"),
        (f"{MEMORY}\n  {'00' * 16}\n{MEMORY}\n  {'00' * 16}", "4: 'addr=0': row of d0 must be given once"),
        ("tensor x input int8 4x16 d0", "1: 'tensor x input int8 4x16 d0': must be 'tensor NAME KIND DTYPE "),
        ("tensor x inward int8 4x16 d0 addr=0", "1: tensor 'x': kind inward: must be one of input, output, "),
        ("tensor x input int9 4x16 d0 addr=0", "1: 'int9': must be int8 or int32"),
        ("tensor x input int8 4y16 d0 addr=0", "1: '4y16': must be a shape such as 4x16"),
        ("tensor x input int8 4x0 d0 addr=0", "1: tensor 'x': shape (4, 0): must have dimensions of at least 1"),
        ("tensor x input int8 9999x9999 d0 addr=0", "1: '9999x9999': 6249375 rows must be at most the 2048 of d0"),
        ("tensor x input int8 4x16 d0 addr=-1", "1: 'addr=-1': must be at least 0"),
        ("tensor x input int8 4x16 d0 addr=2047", "1: tensor 'x': 4 rows from address 2047: must stay in 4 slices"),
        ("tensor x input int8 4x16 sxm0 addr=0", "1: 'sxm0': must be a memory group"),
        ("tensor x input int8 4x16 d0 addr=0 live=3", "1: 'live=3': must be live=A..B, two cycles"),
        ("tensor a/b input int8 4x16 d0 addr=0", "1: 'a/b': must be a name without / that no other tensor has"),
        ("tensor x input int8 1x1 d0 addr=0\n" * 2, "2: 'x': must be a name without / that no other tensor has"),
        ("tensor x input int8 1x1 d0 addr=0\nEND", "2: 'END': must follow a line"),
    ],
)  # fmt: skip
def test_errors_name_file_line_value_and_rule(lines: str, text: str) -> None:
    with pytest.raises(AssemblyError, match=re.escape(text)) as caught:
        parse(SMALL, lines, "prog.lpu")
    assert re.match(r"prog\.lpu:\d+: ", str(caught.value)) and "\n" not in str(caught.value)


def test_a_narrow_immediate_is_no_fp32_number() -> None:
    with pytest.raises(AssemblyError, match="'imm=f:1': must be a decimal or 0x hexadecimal number"):
        parse(NANO, f"{VECTOR}\n ALU imm=f:1")
