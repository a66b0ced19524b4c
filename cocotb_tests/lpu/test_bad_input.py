"""Bad input of every kind, through the `lpu` command: one line on stderr that says what, why and where; exit code 2.

Nothing is written: no output, no partial output, no temporary file.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from click.testing import CliRunner

from compiler.build import compile_graph
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig, preset
from lpu.commands.run import save_outputs
from lpu.main import main

NANO = preset("tiny")
ROOT = Path(__file__).parents[2]
Refuses = Callable[..., None]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refuses:
    """Call with a regex for the whole message and the arguments of `lpu`; paths are relative to ``tmp_path``."""

    def no_build(*_: object) -> NoReturn:
        raise AssertionError("bad input must be refused before the core is built")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sim.run.build", no_build)
    monkeypatch.setattr("lpu.commands.verilog.core_verilog", no_build)

    def check(message: str, *args: object) -> None:
        before = snapshot(tmp_path)
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert re.fullmatch(f"lpu: error: {message}\n", result.stderr), result.stderr
        assert "Traceback" not in result.stderr and isinstance(result.exception, SystemExit)
        assert snapshot(tmp_path) == before

    return check


# ---------------------------------------------------------------- configurations

GROUP = "[[{0}]]\nslices = {1}\ndepth_rows = {2}\n"
BAD_FIELDS: Mapping[str, list[tuple[str, str]]] = {
    "name": [('name = "a/b"', "name = 'a/b': must be 1..40 letters"), ("name = 5", "name = 5: must be 1..40 letters")],
    "lanes": [
        ("lanes = 5", "lanes = 5: must be 4, 8, or a multiple of 16"),
        ("lanes = 2048", "lanes = 2048: must be an integer in 4..1024"),
        ('lanes = "16"', "lanes = '16': must be an integer in 4..1024"),
        ("lanes = 16.0", "lanes = 16.0: must be an integer in 4..1024"),
        ("lanes = true", "lanes = True: must be an integer in 4..1024"),
    ],
    "streams_east": [
        ("streams_east = 10", "streams_east = 10: must be a multiple of 4"),
        ("streams_east = 68", "streams_east = 68: must be an integer in 4..64"),
    ],
    "streams_west": [("streams_west = 4", r"streams_west = 4: must be at least weight_streams \+ 4 = 8")],
    "mac_rows": [("mac_rows = 3", "mac_rows = 3: must be a divisor of the superlane's lanes")],
    "weights_from_host": [("weights_from_host = 1", "weights_from_host = 1: must be ")],
    "weights_beside_data": [("weights_beside_data = 1", "weights_beside_data = 1: must be ")],
    "bitwise": [("bitwise = 1", "bitwise = 1: must be ")],
    "lane_by_lane": [("lane_by_lane = true", "lane_by_lane = True: must be False with fp32 pipes, two hemispheres")],
    "sfu_cycles": [("sfu_cycles = 3", "sfu_cycles = 3: must be 1, 2 or 4")],
    "operand_registers": [
        ('operand_registers = ["abc"]', "operand_registers = 'abc': each must be one of int, requant, mul, add, sfu"),
        ('operand_registers = ["add"]', "operand_registers = .*: must be a tuple of different pipes of the core"),
    ],
    "paired_columns": [("paired_columns = 5", "paired_columns = 5: must be an integer in 0..4")],
    "short_queues": [("short_queues = [3]", r"short_queues\[0\] = 3: must have the fields queue and rows")],
    "weight_streams": [("weight_streams = 5", "weight_streams = 5: must be an integer in 4..4")],
    "weight_groups": [
        (GROUP.format("weight_groups", 3, 256), "weight_groups = .*: must be groups of 4 slices each"),
        (GROUP.format("weight_groups", 4, 15), "weight_groups = .*: must be groups with depth_rows in 16..1048576"),
        (GROUP.format("weight_groups", "4.0", 16), r"weight_groups\[0\].slices = 4.0: must be an integer"),
        ("weight_groups = []", r"weight_groups = \(\): must be a tuple of 1..64 MemoryGroup"),
        ("weight_groups = 4", r"weight_groups = 4: must be an array of tables, \[\[weight_groups\]\]"),
        ("[[weight_groups]]\nslices = 4", r"weight_groups\[0\] = .*: must have the fields slices and depth_rows"),
    ],
    "data_groups": [
        (GROUP.format("data_groups", 4, 1048577), "data_groups = .*: must be groups with depth_rows in 16..1048576"),
        (GROUP.format("data_groups", 4, "true"), r"data_groups\[0\].depth_rows = True: must be an integer"),
        ("data_groups = [1]", r"data_groups\[0\] = 1: must have the fields slices and depth_rows"),
        (GROUP.format("data_groups", 4, 16) + "x = 1", r"data_groups\[0\] = .*: must have the fields slices and dep"),
    ],
    "data_groups_per_position": [("data_groups_per_position = 3", "data_groups_per_position = 3: .* in 1..2")],
    "hemispheres": [("hemispheres = 3", "hemispheres = 3: must be an integer in 1..2")],
    "mxm_planes": [("mxm_planes = 0", "mxm_planes = 0: must be an integer in 1..4")],
    "acc_rows": [
        ("acc_rows = 3", "acc_rows = 3: must be a power of two"),
        ("acc_rows = 2048", "acc_rows = 2048: must be an integer in 1..1024"),
    ],
    "pipes": [
        ("pipes = []", r"pipes = \(\): must be a tuple of different PipeKind, INT among them"),
        ('pipes = ["float"]', "pipes = 'float': each must be one of int, requant, mul, add, sfu"),
        ("pipes = [1]", "pipes = 1: each must be one of int, requant, mul, add, sfu"),
        ('pipes = "int"', "pipes = 'int': must be an array of strings"),
        ('pipes = ["int", "int"]', "pipes = .*: must be a tuple of different PipeKind, INT among them"),
        ('pipes = ["mul"]', "pipes = .*: must be a tuple of different PipeKind, INT among them"),
    ],
    "switch_ops": [
        ('switch_ops = ["turn"]', "switch_ops = 'turn': each must be one of shift, rotate, .*, transpose"),
        ('switch_ops = "rotate"', "switch_ops = 'rotate': must be an array of strings"),
        ('switch_ops = ["rotate", "rotate"]', "switch_ops = .*: must be a tuple of different SwitchOp"),
    ],
    "mult_bits": [("mult_bits = 17", "mult_bits = 17: must be an integer in 4..16")],
    "imm_bits": [("imm_bits = 7", "imm_bits = 7: must be an integer in 8..32")],
    "program_rows": [
        ("program_rows = 8", "program_rows = 8: must be an integer in 16..65536"),
        ("program_rows = 100", "program_rows = 100: must be a power of two"),
    ],
    "count_bits": [("count_bits = 17", "count_bits = 17: must be an integer in 4..16")],
    "gap_bits": [("gap_bits = 1", "gap_bits = 1: must be an integer in 2..16")],
    "loop_levels": [("loop_levels = 5", "loop_levels = 5: must be an integer in 0..4")],
    "stride_bits": [("stride_bits = 2", "stride_bits = 2: must be an integer in 3..10")],
    "indexed": [("indexed = 1", "indexed = 1: must be True or False")],
    "plain_groups": [
        ('plain_groups = "d0"', "plain_groups = 'd0': must be an array of strings"),
        ('plain_groups = ["d9"]', "plain_groups = .*: must be different ones of d0, d1, w0"),
        ('plain_groups = [["d0"]]', "plain_groups = .*: must be different ones of d0, d1, w0"),
        ("plain_groups = [1]", "plain_groups = .*: must be different ones of d0, d1, w0"),
    ],
    "lane0_index": [("lane0_index = 1", "lane0_index = 1: must be True or False")],
    "last_bytes": [("last_bytes = true", "last_bytes = True: must be False with a switch that moves streams")],
    "assertions": [("assertions = 1", "assertions = 1: must be True or False")],
    "trace": [('trace = "no"', "trace = 'no': must be True or False")],
}


def test_every_field_has_its_bad_values() -> None:
    assert set(BAD_FIELDS) == {field.name for field in dataclasses.fields(LpuConfig)}


@pytest.mark.parametrize(("line", "rule"), [case for cases in BAD_FIELDS.values() for case in cases])
def test_config_values(refuses: Refuses, tmp_path: Path, line: str, rule: str) -> None:
    (tmp_path / "core.toml").write_text(f'base = "tiny"\n{line}\n')
    refuses(f"core.toml: (config 'core': )?{rule}.*", "isa", "--preset", "core.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lanes == 16", r"Invalid value \(at line 1, column 8\): must be TOML"),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte: must be TOML"),
        (b"a = " + b"[" * 5000, ".*: must be TOML"),
        (b'base = "tiny"\nlane = 4', "lane = 4: unknown field; known: base, name, lanes, .*"),
        (b'base = "mini"', "base = 'mini': must be one of nano, tiny, small, .*"),
        (b"base = [1]", r"base = \[1\]: must be one of nano, tiny, small, .*"),
        (b"lanes = 16", "streams_east, streams_west, .* data_groups: must be given, or base = one of nano, .*"),
        (b"", "lanes, streams_east, .*: must be given, or base = one of nano, .*"),
    ],
)
def test_config_files(refuses: Refuses, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "core.toml").write_bytes(content)
    refuses(f"core.toml: {message}", "isa", "--preset", "core.toml")


def test_config_files_that_are_none(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "two words.toml").write_text('base = "tiny"')
    refuses("none.toml: No such file or directory: must be a TOML file", "isa", "--preset", "none.toml")
    refuses("folder.toml: Is a directory: must be a TOML file", "verilog", "--preset", "folder.toml")
    refuses("two words.toml: name = 'two words': must be 1..40 .*", "isa", "--preset", "two words.toml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            "fuzz --preset giant",
            "unknown preset 'giant'; presets: nano, tiny, small, ulx3s, ulx3s_narrow, duo, medium, groq",
        ),
        ("fuzz --preset tiny --seeds 3-1", "Invalid value for '--seeds': '3-1': must be A or A-B with A <= B"),
        ("fuzz --preset tiny --length 3", "Invalid value for '--length': 3 is not in the range 20<=x<=100000."),
        ("digits --images 0", "Invalid value for '--images': 0 is not in the range 1<=x<=.*"),
        ("compile matmul 1 x 1 -o image", "Invalid value for 'K': 'x' is not a valid integer range."),
        ("compile matmul 1 0 1 -o image", "Invalid value for 'K': 0 is not in the range x>=1."),
        ("compile matmul 1 1 1", "Missing option '-o' / '--output'."),
        ("compile matmul 1 700 700 -o image", "out of memory: 'w' int8 .* does not fit the weight groups of .*"),
        ("compile matmul 1 2 9999999999999999999999 -o image", "matmul 1x2x9+: operand of .*: must fit the 491520 .*"),
        ("bench matmul 1 999999 999999", "matmul .*: operand of 999998000001 bytes: must fit the 491520 of 'small'"),
        ("compile matmul 9 160 160 --preset tiny -o image", "matmul .*: must fit the 8192 of 'tiny'"),
        ("compile nothing -o image", "No such command 'nothing'."),
    ],
)
def test_values_on_the_command_line(refuses: Refuses, args: str, message: str) -> None:
    refuses(message, *args.split())


def test_models_that_do_not_fit_a_core(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text('base = "small"\npipes = ["int"]')
    refuses(".*: needs a requant pipe; the core has int", "compile", "digits", "--preset", "plain.toml", "-o", "image")


# -------------------------------------------------------------------- programs

D0, D1, D2, W0 = (f"memory {unit} addr=0:\n random seed=1 rows=2\n" for unit in ("d0", "d1", "d2", "w0"))
TILE = "".join(f"memory w0 addr={slice_ << 11}:\n random seed={slice_} rows=2\n" for slice_ in range(16))
DUO_TILE = "".join(f"memory w0 addr={slice_ << 9}:\n random seed={slice_} rows=2\n" for slice_ in range(16))
COPY = {
    "d0.r": "READ addr=0 stream=E0",
    "vxm0.i": "NOP n=3; ALU x=E0 drive=1 out=W16",
    "d1.w": "NOP n=6; WRITE addr=5 stream=W16",
}
MATMUL = {
    "w0.r": "READ wide=1",
    "mxm0.w": "NOP n=4; LW install=1",
    "d0.r": "NOP n=1; READ stream=W16",
    "mxm0.a": "NOP n=6; ABC stream=W16 out=E0 start=1 emit=1",
    "vxm0.i": "NOP n=15; ALU x=E0 x_wide=1 drive=1 out=W16 out_wide=1",
    "d1.w": "NOP n=18; WRITE wide=1 addr=7 stream=W16",
}
SWITCH = {"d0.r": "READ addr=0 stream=W16", "sxm0": "NOP n=4; ROTATE x=W16 out=E0"}
GATHER = {
    "d0.r": "READ wide=1 stream=W20",
    "w0.r": "NOP n=3; GATHER stream=E1",
    "vxm0.i": "NOP n=7; ALU x=E1 drive=1 out=W16",
    "d1.w": "NOP n=10; WRITE stream=W16",
}
INDICES = "".join(f"memory d0 addr={slice_ << 9}:\n {'00' * 16}\n" for slice_ in range(4))


def program(memory: str, queues: Mapping[str, str], **changes: str) -> str:
    """Instructions separated by `;`, END added; changes name their queue with `_` for the dot."""
    changed = {**queues, **{name.replace("_", "."): steps for name, steps in changes.items()}}
    sections = (f"queue {name}:\n{steps.replace(';', chr(10))}\nEND\n" for name, steps in changed.items() if steps)
    return memory + "".join(sections)


def at(cycle: int, place: str) -> str:
    return rf"cycle {cycle}: {place}"


@pytest.mark.parametrize(
    "text",
    [program(D0, COPY), program(D0 + TILE, MATMUL), program(D0, SWITCH), program(INDICES, GATHER)],
    ids=["copy", "matmul", "switch", "gather"],
)
def test_the_programs_that_are_broken_below_are_legal(tmp_path: Path, text: str) -> None:
    (tmp_path / "prog.lpu").write_text(text)
    result = CliRunner().invoke(main, ["asm", str(tmp_path / "prog.lpu"), "-o", str(tmp_path / "image")])
    assert result.exit_code == 0 and (tmp_path / "image").exists(), result.stderr


STREAM_CASES = {
    "two drivers": (
        program(D0 + D2, COPY, d2_r="READ addr=1 stream=E0"),
        at(2, "d0.r pc 0 'READ addr=0 stream=E0' and d2.r pc 0 'READ addr=1 stream=E0' both drive E0 at position 3"),
    ),
    "operand late": (
        program(D0, COPY, d1_w="NOP n=7; WRITE addr=5 stream=W16"),
        at(7, "d1.w pc 1 .* reads W16 at position 3, where no value is; nearest: vxm0.i .* passes in cycle 6"),
    ),
    "operand absent": (
        program(D0, COPY, vxm0_i=""),
        at(6, "d1.w pc 1 .*, where no value is; nothing upstream drives it"),
    ),
    "index absent": (
        program(INDICES, GATHER, d0_r="READ wide=1 stream=W16"),
        at(3, "w0.r pc 1 .* reads W20 at position 2, .*"),
    ),
    "value replaced": (
        program(D0 + W0, COPY, w0_r="READ stream=E0", d0_r="NOP n=1; READ stream=E0", vxm0_i="", d1_w=""),
        at(3, "d0.r pc 1 .* drives E0 at position 3 over the value that w0.r pc 0 .* nothing has read"),
    ),
    "unreachable": (
        program(D0, COPY, d0_r="READ stream=W3"),
        at(0, r"d0.r pc 0 .*: stream = W3: stream of d0.r may be E0..E15 or W16..W23"),
    ),
    "wrong way": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=W16 drive=1 out=W16"),
        at(3, r"vxm0.i pc 1 .*: x = W16: x of vxm0.i may be E0..E7"),
    ),
    "wrong half": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU op=ADD x=E0 y=E1 drive=1 out=W16"),
        at(3, r"vxm0.i pc 1 .*: y = E1: y of vxm0.i may be E8..E15"),
    ),
    "misaligned": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=E0 drive=1 out=W18 out_wide=1"),
        at(3, "vxm0.i pc 1 .*: out = W18: an SG4 must start at a multiple of 4"),
    ),
}
MEMORY_CASES = {
    "no such slice": (
        program(D0, COPY, d1_w="NOP n=6; WRITE addr=2048 stream=W16"),
        at(6, "d1.w pc 1 .*: slice 4 of d1: has 4 slices of 512 rows"),
    ),
    "read of nothing": (
        program("", COPY),
        at(0, "d0.r pc 0 .* reads slice 0 row 0 of d0, which is neither .* nor written"),
    ),
    "read before write": (
        program(D0, COPY, d1_r="NOP n=5; READ addr=5 stream=E1"),
        at(5, "d1.r pc 1 .* reads slice 0 row 5 of d1, first written in cycle 6 by d1.w pc 1 .*"),
    ),
    "read and write": (
        program(D0 + D1, COPY, d1_r="NOP n=6; READ addr=1 stream=E1", d1_w="NOP n=6; WRITE addr=1 stream=W16"),
        at(6, "d1.r pc 1 .* reads row 1 of d1 that d1.w pc 1 .* writes"),
    ),
    "overlapping tensors": (
        "tensor a input int8 4x16 d0 addr=0\ntensor b output int8 1x16 d0 addr=3\n" + program("", COPY),
        at(0, r"tensors 'a' \(cycles 0..8\) and 'b' \(cycles 0..8\) share address 3 of d0"),
    ),
}
MATRIX_CASES = {
    "empty buffer": (
        program(D0 + TILE, MATMUL, mxm0_w="NOP n=5; IW"),
        at(5, "mxm0.w pc 1 'IW' installs 0 of 1 steps loaded since the last IW"),
    ),
    "two installs": (
        program(D0 + TILE, MATMUL, mxm0_w="NOP n=4; LW install=1; IW"),
        at(5, "mxm0.w pc 2 'IW' meets the automatic IW of mxm0.w pc 1 'LW install=1'"),
    ),
    "multiplies early": (
        program(D0 + TILE, MATMUL, mxm0_w="NOP n=4; LW; NOP n=2; IW"),
        at(6, "mxm0.a pc 1 .* multiplies before the first IW of mxm0, in cycle 7 by mxm0.w pc 3 'IW'"),
    ),
    "never installed": (
        program(D0 + TILE, MATMUL, mxm0_w="NOP n=4; LW"),
        at(6, "mxm0.a pc 1 .* multiplies with a tile of mxm0 that nothing installs"),
    ),
    "never started": (
        program(D0 + TILE, MATMUL, mxm0_a="NOP n=6; ABC stream=W16 out=E0 emit=1"),
        at(6, "mxm0.a pc 1 .* accumulates into row 0, which no ABC has started"),
    ),
    "no such accumulator": (
        program(D0 + TILE, MATMUL, mxm0_a="NOP n=6; ABC stream=W16 out=E0 start=1 emit=1 row=3 walk=1 count=2"),
        at(6, "mxm0.a pc 1 .*: row = 3, last row 4: must be in 0..3"),
    ),
}
FIELD_CASES = {
    "operation": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=E0 drive=1 out=W16 op=19"),
        at(3, "vxm0.i pc 1 .*: op = 19: must be an operation of INT on 'small', PASS, ADD, .*"),
    ),
    "operand source": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=E0 drive=1 out=W16 op=ADD y_from=MUL"),
        at(3, "vxm0.i pc 1 .*: y_from = 4: must be STREAM, IMM, INT, SWAP in the INT pipe of 'small'"),
    ),
    "fold of another register": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=E0 drive=1 out=W16 op=ADD y_from=IMM fold=1"),
        at(3, "vxm0.i pc 1 .*: fold = 1: needs y_from = INT, the pipe's own result register"),
    ),
    "lane": (
        program(D0, SWITCH, sxm0="NOP n=4; ROTATE x=W16 out=E0 amount=16"),
        at(4, "sxm0 pc 1 .*: amount = 16: must be in 0..15"),
    ),
    "wide PERMUTE": (
        program(D0, SWITCH, sxm0="NOP n=4; PERMUTE x=W16 y=W16 out=E0 wide=1"),
        at(4, "sxm0 pc 1 .*: wide = 1: PERMUTE moves single streams, wide must be 0"),
    ),
    "narrow spread": (
        program(INDICES, GATHER, w0_r="NOP n=3; GATHER stream=E1 spread=1"),
        at(3, "w0.r pc 1 .*: spread = 1: must be wide"),
    ),
}
REGISTER_CASES = {
    "register early": (
        program(D0, COPY, vxm0_m="NOP n=3; ALU x_from=INT y_from=IMM"),
        at(3, "vxm0.m pc 1 .* reads the result register of INT, whose first value stands there from cycle 4 on, .*"),
    ),
    "register unwritten": (
        program(D0, COPY, vxm0_m="NOP n=9; ALU x_from=ADD y_from=IMM"),
        at(9, "vxm0.m pc 1 .* reads the result register of ADD, which nothing writes"),
    ),
    "flag unset": (
        program(D0, COPY, vxm0_i="NOP n=3; ALU x=E0 drive=1 out=W16 op=SELECT y_from=IMM"),
        at(3, "vxm0.i pc 1 .* reads the flag, which nothing writes"),
    ),
}
PARSE_CASES = {
    "unknown name": (program(D0, COPY, vxm0_i="ALU op=DIV"), "7: 'op=DIV': must be one of PASS, ADD, .*"),
    "no number": (program(D0, COPY, vxm0_i="ALU imm=f:x"), "7: 'imm=f:x': must be a decimal number, as .*"),
    "field range": (program(D0, COPY, d0_r="READ count=4096"), "4: READ: count = 4096: must be in 1..4095"),
    "unknown field": (program(D0, COPY, d0_r="READ row=1"), "4: 'row=1': must be a field of READ and its value: .*"),
    "unknown instruction": (program(D0, COPY, d0_r="LOAD"), "4: 'LOAD': must be an instruction of a mem.r queue: .*"),
    "other's instruction": (program(D0, COPY, vxm0_i="READ"), "7: 'READ': must be an instruction of a vxm.i queue: .*"),
    "unknown queue": (program(D0, COPY, d9_r="READ"), "14: unknown queue 'd9.r'; queues: mxm0.w, .*"),
    "unknown unit": ("memory d9 addr=0:", "1: config 'small': no unit 'd9'; units: .*"),
}
QUEUE_CASES = {
    "no END": ("queue d0.r:\nNOP n=1\n", "queue d0.r, pc 1: missing END: a program must reach END"),
    "too long": (
        program("", {"d0.r": "NOP n=1;" * 600}),
        "queue d0.r, pc 512: 601 instructions: must be at most program_rows = 512",
    ),
    "SYNC": (
        program("", {"d0.r": "NOP n=2; SYNC"}),
        "queue d0.r, pc 1: SYNC: waits from cycle 2, no NOTIFY releases it",
    ),
    "REPEAT first": (
        program("", {"d0.r": "REPEAT n=1"}),
        "queue d0.r, pc 0: REPEAT n=1: REPEAT must directly follow a unit .*",
    ),
    "REPEAT of SYNC": (
        program("", {"d0.r": "NOTIFY; REPEAT n=1"}),
        "queue d0.r, pc 1: .* must directly follow a unit .*",
    ),
    "LOOP too long": (
        program("", {"d0.r": "LOOP n=2 length=2"}),
        r"queue d0.r, pc 0: .*: LOOP block runs past the program end \(2 .*",
    ),
    "LOOP over END": (
        program("", {"d0.r": "LOOP n=2 length=2; NOP n=1"}),
        "queue d0.r, pc 0: .*: LOOP block must not contain END",
    ),
    "LOOP too deep": (
        program("", {"d0.r": "LOOP n=2 length=3; LOOP n=2 length=2; LOOP n=2 length=1; NOP n=1"}),
        "queue d0.r, pc 2: .*: LOOP nested deeper than loop_levels = 2",
    ),
    "LOOPs crossing": (
        program("", {"d0.r": "LOOP n=2 length=2; LOOP n=2 length=2; NOP n=1; NOP n=1"}),
        r"queue d0.r, pc 1: .*: LOOP block must end within its outer block \(pc 2\)",
    ),
    "endless": (
        program("", {"d0.r": "LOOP n=4095 length=2; LOOP n=4095 length=1; NOP n=1"}),
        "16773121 steps, 16773121 of them in d0.r: must be at most 4194304",
    ),
}
VERIFIED_CASES = STREAM_CASES | MEMORY_CASES | MATRIX_CASES | FIELD_CASES | REGISTER_CASES | QUEUE_CASES


@pytest.mark.parametrize(("text", "message"), VERIFIED_CASES.values(), ids=VERIFIED_CASES)
def test_programs(refuses: Refuses, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prog.lpu").write_text(text)
    refuses(f"prog.lpu: {message}", "asm", "prog.lpu", "-o", "image")


@pytest.mark.parametrize(("text", "message"), PARSE_CASES.values(), ids=PARSE_CASES)
def test_lines(refuses: Refuses, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prog.lpu").write_text(text)
    refuses(f"prog.lpu:{message}", "asm", "prog.lpu", "-o", "image")


@pytest.mark.parametrize(
    ("config", "text", "message"),
    [
        (
            'base = "duo"',
            program(DUO_TILE, {"w0.r": "READ wide=1 stride=1", "mxm0.w": "NOP n=4; LW; IW"}),
            at(5, "mxm0.w pc 2 'IW' installs 1 of 2 steps loaded since the last IW"),
        ),
        (
            'base = "duo"',
            program(DUO_TILE, {"w0.r": "READ wide=1 stride=1", "mxm0.w": "NOP n=4; LW install=1"}),
            at(4, r"mxm0.w pc 1 .*: count = 1: must be a multiple of 2 \(cycles of a tile\) with install"),
        ),
        (
            'base = "tiny"',
            program("", {"w0.r": "GATHER lane=4 stream=E0"}),
            at(0, "w0.r pc 0 .*: lane = 4: must be in 0..3"),
        ),
        (
            f'base = "small"\nweight_streams = 8\n{GROUP.format("weight_groups", 8, 16)}',
            program(W0, {"sxm0": "TRANSPOSE"}),
            at(0, "sxm0 pc 0 .*: count = 1: must be a multiple of 2, the elements of a block"),
        ),
        (
            'base = "small"\n' + GROUP.format("data_groups", 4, 300) * 3,
            program(D0, COPY, d1_w="NOP n=6; WRITE addr=300 stream=W16"),
            at(6, "d1.w pc 1 .*: row 300 of d1: has 4 slices of 300 rows"),
        ),
    ],
)  # fmt: skip
def test_programs_of_other_cores(refuses: Refuses, tmp_path: Path, config: str, text: str, message: str) -> None:
    (tmp_path / "core.toml").write_text(config)
    (tmp_path / "prog.lpu").write_text(text)
    refuses(f"prog.lpu: {message}", "asm", "prog.lpu", "-o", "image", "--preset", "core.toml")


def test_program_files(refuses: Refuses, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\0")
    refuses("binary: 'utf-8' codec can't decode .*: must be UTF-8 text", "asm", "binary", "-o", "image")
    refuses("Invalid value for 'FILE': File 'none' does not exist.", "asm", "none", "-o", "image")
    refuses("Invalid value for 'FILE': File '.' is a directory.", "asm", ".", "-o", "image")


# ---------------------------------------------------------------------- images


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """y [2, 4] of x [2, 8] on tiny."""
    path = tmp_path / "image"
    compile_graph(NANO, matmul_graph(NANO, 2, 8, 4)).image.save(path)
    return path


def test_truncated_images(refuses: Refuses, image: Path) -> None:
    data = image.read_bytes()
    for length in (*range(0, 60), *range(60, len(data), 97), len(data) - 1):
        image.write_bytes(data[:length])
        command = ("run", "disasm")[length % 2]
        rule = "must be at least the 50 of a header" if length < 50 else r"must be \d+ by its header"
        if length < 8 and command == "run":
            rule = "a llama2.c checkpoint has 28 of header"
        refuses(f"image: .*{rule}", command, "image", "--preset", "tiny")


def test_flipped_bits(refuses: Refuses, image: Path) -> None:
    data, rng = image.read_bytes(), random.Random(5)
    for number, bit in enumerate(rng.sample(range(8 * len(data)), 200)):
        image.write_bytes(data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
        command = ("run", "disasm")[number % 2]
        refuses(
            "image: (magic|version|payload|SHA-256|not a llama2.c) .*: must be .*", command, "image", "--preset", "tiny"
        )


def test_images_of_another_core(refuses: Refuses, image: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "tiny"\nprogram_rows = 128')
    message = rf"image: config fingerprint {NANO.fingerprint:#010x} \('tiny'\): must be 0x[0-9a-f]{{8}} of config '%s'"
    refuses(message % "small", "run", "image")
    refuses(message % "mine", "disasm", "image", "--preset", "mine.toml")
    refuses("image.lpu: magic .*: must be b'LPUIMAGE'", "disasm", _text_file(tmp_path / "image.lpu"))


def _text_file(path: Path) -> str:
    path.write_text("queue d0.r:\nEND\n" * 10)
    return path.name


def test_payloads_that_no_compiler_wrote(refuses: Refuses, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for payload in (b"", b"PK\x03\x04", b"no archive"):
        monkeypatch.setattr("compiler.image._checked_payload", lambda *_, payload=payload: payload)
        refuses("image: payload: .*: must be as ProgramImage.save writes it", "run", "image", "--preset", "tiny")


# ---------------------------------------------------------------------- inputs


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 2), np.int8), r"tensor 'x': shape \(8, 2\): must be \(2, 8\)"),
        (np.zeros(16, np.int8), r"tensor 'x': shape \(16,\): must be \(2, 8\)"),
        (np.zeros((), np.int8), r"tensor 'x': shape \(\): must be \(2, 8\)"),
        (np.zeros((2, 8), np.int16), "tensor 'x': dtype int16: must be int8"),
        (np.zeros((2, 8), np.uint8), "tensor 'x': dtype uint8: must be int8"),
        (np.full((2, 8), np.nan), "tensor 'x': dtype float64: must be int8"),
        (np.full((2, 8), "a"), "tensor 'x': dtype <U1: must be int8"),
    ],
)
def test_input_tensors(refuses: Refuses, image: Path, tmp_path: Path, array: np.ndarray, message: str) -> None:
    npy(tmp_path / "x.npy", array)
    refuses(message, "run", "image", "--preset", "tiny", "--input", "x=x.npy", "--output", "out", "--json", "figures")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "inputs given: none: must be x"),
        ("--input y=x.npy", "inputs given: y: must be x"),
        ("--input x=x.npy --input w=x.npy", "inputs given: x, w: must be x"),
        ("--input x=x.npy --input x=x.npy", "input 'x' given 2 times: must be given once"),
        ("--input x.npy", "Invalid value for '--input': 'x.npy': must be NAME=FILE.npy"),
        ("--input x=none.npy", r"\[Errno 2\] No such file or directory: 'none.npy'"),
        ("--input x=.", r"\[Errno 21\] Is a directory: '.'"),
    ],
)
def test_input_options(refuses: Refuses, image: Path, tmp_path: Path, options: str, message: str) -> None:
    npy(tmp_path / "x.npy", np.zeros((2, 8), np.int8))
    refuses(message, "run", "image", "--preset", "tiny", *options.split())


def test_input_files(refuses: Refuses, image: Path, tmp_path: Path) -> None:
    good = npy(tmp_path / "good.npy", np.zeros((2, 8), np.int8)).read_bytes()
    np.savez(tmp_path / "archive.npz", x=np.zeros((2, 8), np.int8))
    contents = {
        "empty": b"",
        "text": b"1 2 3\n" * 20,
        "archive": (tmp_path / "archive.npz").read_bytes(),
        "truncated": good[:-1],
        "header": good[:70],
        "huge": good.replace(b"(2, 8), }            ", b"(9999999999999, 8), }"),
        "pickle": npy(tmp_path / "object.npy", np.array([{}], dtype=object)).read_bytes(),
    }
    assert contents["huge"] != good
    for name, content in contents.items():
        (tmp_path / f"{name}.npy").write_bytes(content)
        message = f"{name}.npy: .*: must be a .npy file of numbers"
        refuses(message, "run", "image", "--preset", "tiny", "--input", f"x={name}.npy")


# --------------------------------------------------------------------- outputs

WRITERS = {
    "asm": ("asm", "prog.lpu", "-o"),
    "compile matmul": ("compile", "matmul", 2, 8, 4, "-o"),
    "compile digits": ("compile", "digits", "-o"),
    "verilog": ("verilog", "--preset", "tiny", "-o"),
    "isa": ("isa", "--markdown", "-o"),
    "run --json": ("run", "image", "--preset", "tiny", "--input", "x=x.npy", "--json"),
    "run --trace": ("run", "image", "--preset", "tiny", "--input", "x=x.npy", "--trace"),
    "run --output": ("run", "image", "--preset", "tiny", "--input", "x=x.npy", "--output"),
    "bench matmul": ("bench", "matmul", 2, 8, 4, "--preset", "tiny", "--json"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_outputs_that_cannot_be_written(
    refuses: Refuses, image: Path, tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prog.lpu").write_text(program(D0, COPY))
    npy(tmp_path / "x.npy", np.zeros((2, 8), np.int8))
    (tmp_path / "folder").mkdir()
    kind, wrong = ("folder", "prog.lpu") if writer == "run --output" else ("file", "folder")
    refuses(f"Invalid value for '.*': '{wrong}': must be a {kind}", *WRITERS[writer], wrong)
    refuses(f"Invalid value for '.*': '/dev/null': must be a {kind}", *WRITERS[writer], "/dev/null")
    blocked = "must be a folder that can be written to"
    refuses(f"Invalid value for '.*': 'x.npy/a/b': .*/x.npy {blocked}", *WRITERS[writer], "x.npy/a/b")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refuses(f"Invalid value for '.*': 'new/file': {re.escape(str(tmp_path))} {blocked}", *WRITERS[writer], "new/file")


@pytest.mark.parametrize("writer", ["asm", "compile matmul", "isa"])
def test_a_full_disk(refuses: Refuses, tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device", "out")

    (tmp_path / "prog.lpu").write_text(program(D0, COPY))
    (tmp_path / "out").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    refuses(r"\[Errno 28\] No space left on device: 'out'", *WRITERS[writer], "out")


def test_half_an_output_tensor_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, _: np.ndarray) -> NoReturn:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(OSError, match="No space left"):
        save_outputs(tmp_path, {"y": np.zeros(4)})
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------- a process


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("disasm", "none"), "Invalid value for 'IMAGE': File 'none' does not exist."),
        (("isa", "--preset", "none.toml"), "none.toml: No such file or directory: must be a TOML file"),
        (("asm", "/dev/null", "-o", "x", "--preset", "giant"), "unknown preset 'giant'; presets: .*"),
    ],
)
def test_as_a_process(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lpu", *args]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"lpu: error: {message}\n", done.stderr)
    assert not list(tmp_path.iterdir())
