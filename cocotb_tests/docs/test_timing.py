"""docs/timing.md: every figure of the worked example, recomputed from the ISA's table and the floorplan."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from compiler.assembly import assemble
from compiler.image import ProgramImage
from golden.machine import Machine
from golden.sequencer import expand
from hdl.config import PipeKind, preset
from hdl.isa import IW_TO_ABC, LW_TO_IW, PIPE_LATENCY, Opcode, queue, timing

SMALL = preset("small")
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "timing.md").read_text()
TILES, OUTPUTS, K_TILES = 16, 4, 4
ISSUES = {
    "READ weight tile": "w0.r",
    "READ x vector": "d0.r",
    "LW tile": "mxm0.w",
    "ABC": "mxm0.a",
    "I2F": "vxm0.a",
    "READ scales": "d1.r",
    "FMUL": "vxm0.m",
    "F2I8": "vxm0.i",
    "WRITE y vector": "d0.w",
}
"""The steps that are instructions, and their queues."""


def latency(queue_name: str, opcode: Opcode) -> int:
    func = timing(SMALL, queue(SMALL, queue_name).kind, opcode).func
    assert func is not None
    return func


def hops(a: str, b: str) -> int:
    return abs(SMALL.unit(a).position - SMALL.unit(b).position)


def schedule() -> dict[str, tuple[int, int]]:
    """(first, last) cycle of each step; the first two READs start at 0."""
    lw = latency("w0.r", Opcode.READ) + hops("w0", "mxm0")
    abc = lw + LW_TO_IW + IW_TO_ABC
    psum = abc + K_TILES - 1 + latency("mxm0.a", Opcode.ABC)
    i2f = psum + hops("mxm0", "vxm0")
    fmul = i2f + PIPE_LATENCY[PipeKind.ADD]
    f2i8 = fmul + PIPE_LATENCY[PipeKind.MUL]
    driven = f2i8 + latency("vxm0.i", Opcode.ALU)
    scales = fmul - latency("d1.r", Opcode.READ) - hops("d1", "vxm0")
    per_tile = {"READ weight tile": 0, "READ x vector": 0, "LW tile": lw, "IW tile": lw + LW_TO_IW, "ABC": abc}
    per_output = {"psum driven": psum, "I2F": i2f, "READ scales": scales, "FMUL": fmul, "F2I8": f2i8}
    per_output |= {"y driven": driven, "WRITE y vector": driven + hops("vxm0", "d0")}
    return {step: (first, first + TILES - 1) for step, first in per_tile.items()} | {
        step: (first, first + (OUTPUTS - 1) * K_TILES) for step, first in per_output.items()
    }


def stated() -> dict[str, tuple[str, str]]:
    """(first, last) of each row of the page's table."""
    rows = re.findall(r"^\| ([^|]+) \|[^|]+\|[^|]*\|[^|]*\| *(\d*) *\| *(\d+) *\|$", PAGE, re.MULTILINE)
    return {step: (first, last) for step, first, last in rows}


@pytest.fixture(scope="module")
def image() -> ProgramImage:
    path = DOCS / "examples" / "matvec.lpu"
    return assemble(SMALL, path.read_text(), str(path))


@pytest.mark.parametrize("step", schedule())
def test_the_page_states_the_cycles_of_each_step(step: str) -> None:
    first, last = schedule()[step]
    assert stated()[step] == (str(first), str(last))


def test_the_page_states_no_other_step() -> None:
    assert stated().keys() == schedule().keys() | {"END"}


def test_weights_and_activations_meet_at_the_matrix_unit() -> None:
    arrival = latency("d0.r", Opcode.READ) + hops("d0", "mxm0")
    assert arrival == schedule()["ABC"][0]


@pytest.mark.parametrize("step", ISSUES)
def test_the_example_issues_in_the_cycles_of_the_page(step: str, image: ProgramImage) -> None:
    cycles = [element.cycle for element in expand(SMALL, image.programs).elements[ISSUES[step]]]
    assert (str(cycles[0]), str(cycles[-1])) == stated()[step]


def test_the_page_states_the_length_of_the_program(image: ProgramImage) -> None:
    end = schedule()["WRITE y vector"][1] + 1
    assert stated()["END"] == ("", str(end))
    assert image.cycles == end + SMALL.superlanes
    assert f"The program takes {end} + {SMALL.superlanes} = {image.cycles} cycles" in PAGE
    assert f"The other {image.cycles - TILES} are" in PAGE


def test_the_example_multiplies(image: ProgramImage) -> None:
    """Golden machine against numpy; slice s of w0 holds row s of tile 4 j + k in its row 4 j + k."""
    machine, x = Machine(SMALL), np.random.default_rng(5).integers(-127, 128, 64, dtype=np.int8)
    for block in image.memory:
        group = SMALL.unit(block.unit).memory
        assert group is not None
        slice_, row = divmod(block.addr, 1 << SMALL.row_bits(group))
        machine.sram[block.unit][slice_, row : row + len(block.rows)] = block.rows
    machine.sram["d0"][0, :4] = x.reshape(4, 16).view(np.uint8)
    machine.load_programs(image.programs)
    assert not machine.run().errors
    tiles = machine.sram["w0"][:, :TILES].view(np.int8).astype(np.int32).reshape(16, OUTPUTS, K_TILES, 16)
    product = np.einsum("sjkl,kl->js", tiles, x.reshape(4, 16).astype(np.int32))
    expected = np.clip(np.rint(product / 2048), -128, 127)
    assert np.array_equal(machine.sram["d0"][0, 4:8].view(np.int8), expected) and len(np.unique(expected)) > 20
