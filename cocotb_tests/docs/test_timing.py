"""docs/timing.md: every figure of the worked example, recomputed from the ISA's table and the floorplan."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from compiler.build import CompiledProgram, compile_graph
from compiler.ir import Graph
from golden.sequencer import expand
from hdl.config import preset
from hdl.isa import IW_TO_ABC, LW_TO_IW, Opcode, alu_offset, queue, timing

SMALL = preset("small")
PAGE = (Path(__file__).parents[2] / "docs" / "timing.md").read_text()
TILES, OUTPUTS, K_TILES = 16, 4, 4
ISSUES = {
    "READ weight tile": "w0.r",
    "READ x vector": "d0.r",
    "LW tile": "mxm0.w",
    "ABC": "mxm0.a",
    "CHAIN": "vxm0",
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
    """(first, last) cycle of each step; both READs start at 0."""
    lw = latency("w0.r", Opcode.READ) + hops("w0", "mxm0")
    abc = lw + LW_TO_IW + IW_TO_ABC
    psum = abc + K_TILES - 1 + latency("mxm0.a", Opcode.ABC)
    chain = psum + hops("mxm0", "vxm0")
    driven = chain + latency("vxm0", Opcode.CHAIN)
    write = driven + hops("vxm0", "d0")
    per_tile = {"READ weight tile": 0, "READ x vector": 0, "LW tile": lw, "IW tile": lw + LW_TO_IW, "ABC": abc}
    per_output = {"psum driven": psum, "CHAIN": chain, "y driven": driven, "WRITE y vector": write}
    return {step: (first, first + TILES - 1) for step, first in per_tile.items()} | {
        step: (first, first + (OUTPUTS - 1) * K_TILES) for step, first in per_output.items()
    }


def stated() -> dict[str, tuple[str, str]]:
    """(first, last) of each row of the page's table."""
    rows = re.findall(r"^\| ([^|]+) \|[^|]+\|[^|]*\|[^|]*\| *(\d*) *\| *(\d+) *\|$", PAGE, re.MULTILINE)
    return {step: (first, last) for step, first, last in rows}


@pytest.mark.parametrize("step", schedule())
def test_the_page_states_the_cycles_of_each_step(step: str) -> None:
    first, last = schedule()[step]
    assert stated()[step] == (str(first), str(last))


def test_the_page_states_no_other_step() -> None:
    assert stated().keys() == schedule().keys() | {"END"}


def test_weights_and_activations_meet_at_the_matrix_unit() -> None:
    arrival = latency("d0.r", Opcode.READ) + hops("d0", "mxm0")
    assert arrival == schedule()["ABC"][0]


def test_the_page_states_when_bias_and_requantisation_word_are_read() -> None:
    skew = timing(SMALL, queue(SMALL, "vxm0").kind, Opcode.CHAIN).skew
    reads = [schedule()["CHAIN"][0] + skew[y] - latency("d0.r", Opcode.READ) - hops("d0", "vxm0") for y in ("y0", "y1")]
    assert skew["y1"] == alu_offset(SMALL, 1) == 1
    assert f"their READs issue at 4j + {reads[0]} and 4j + {reads[1]}." in PAGE


def test_the_page_states_the_length_of_the_program() -> None:
    end = schedule()["WRITE y vector"][1] + 1
    assert stated()["END"] == ("", str(end))
    total = end + SMALL.superlanes
    assert f"The program takes {end} + {SMALL.superlanes} = {total} cycles" in PAGE
    assert f"The other {total - TILES} are" in PAGE


@pytest.fixture(scope="module")
def compiled() -> CompiledProgram:
    graph = Graph("example")
    x = graph.input("x", (1, 64))
    product = graph.matmul(x, graph.constant("W", np.ones((64, 64), np.int8)))
    total = graph.bias(product, graph.constant("c", np.ones(64, np.int32), "int32"))
    graph.output(graph.requantise(total, [200] * 64, [20] * 64, name="y"))
    return compile_graph(SMALL, graph)


@pytest.mark.parametrize("step", ISSUES)
def test_the_compiler_finds_the_schedule_of_the_page(step: str, compiled: CompiledProgram) -> None:
    cycles = [element.cycle for element in expand(SMALL, compiled.image.programs).elements[ISSUES[step]]]
    assert (str(cycles[0]), str(cycles[-1])) == stated()[step]
    assert f"= {compiled.report.cycles} cycles" in PAGE


def test_the_page_lists_the_programs_of_the_compiler(compiled: CompiledProgram) -> None:
    listing = PAGE.split("```\n")[1]
    programs = {name: program[:-1] for name, program in compiled.image.programs.items() if len(program) > 1}
    shown = [f"{name:<7} {' | '.join(map(str, program))}" for name, program in programs.items()]
    assert listing.splitlines() == shown
