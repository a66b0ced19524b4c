"""RTL against golden machine: equal on random programs, and different when one of them runs something else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.build import compile_graph
from compiler.image import ImageError, MemoryBlock
from compiler.random_program import random_program
from compiler.workloads import matmul_graph, matmul_input
from hdl.config import preset
from hdl.isa import Instruction, Opcode
from sim.compare import _compare, check_inputs, compare_image, compare_programs, fuzz
from sim.run import Job, run_image, run_program, run_programs

pytestmark = pytest.mark.rtl
NANO = preset("tiny")
TRACED = NANO.replace(trace=True)
END = Instruction.of(Opcode.END)


def copy_program(source: int) -> dict[str, tuple[Instruction, ...]]:
    """w0[100] <- d0[source], over the first westward data stream."""
    stream = 2 * NANO.weight_streams + 1
    hops = NANO.unit("d0").position - NANO.unit("w0").position
    return {
        "d0.r": (Instruction.of(Opcode.READ, addr=source, stream=stream), END),
        "w0.w": (Instruction.of(Opcode.NOP, n=2 + hops), Instruction.of(Opcode.WRITE, addr=100, stream=stream), END),
    }


def test_random_programs_agree() -> None:
    results = fuzz(NANO, range(3), 200)
    assert [result.difference for result in results] == [None] * 3
    assert all(result.elements > 50 and result.cycles > 100 for result in results)


def test_a_row_is_copied_where_the_program_says(tmp_path: Path) -> None:
    rows = np.arange(8, dtype=np.uint8).reshape(2, 4)
    result = run_program(TRACED, copy_program(1), [MemoryBlock("d0", 0, rows)], [("w0", 100, 1)], tmp_path / "trace")
    assert result.memory[0].tolist() == [[4, 5, 6, 7]]
    hops = NANO.unit("d0").position - NANO.unit("w0").position
    lines = (tmp_path / "trace").read_text().splitlines()
    assert "I 0 d0.r 0" in lines and f"I {2 + hops} w0.w 1" in lines
    assert result.status.cycles == 2 + hops + 1 + 1  # END one cycle after the WRITE, then R


@pytest.mark.parametrize(
    ("rtl", "text"),
    [
        (copy_program(1), r"cycle 2, queue d0\.r, superlane 0: result \w{8} in golden, \w{8} in rtl; pc 0: READ"),
        ({"d0.r": copy_program(0)["d0.r"]}, r"queue w0\.w: issue in golden only; pc 1: WRITE"),
    ],
)
def test_another_program_is_told_apart(tmp_path: Path, rtl: dict[str, tuple[Instruction, ...]], text: str) -> None:
    memory = [MemoryBlock("d0", 0, np.arange(8, dtype=np.uint8).reshape(2, 4))]
    job = Job(rtl, memory, [("w0", 100, 1)], tmp_path / "trace")
    result = run_programs(TRACED, [job])[0]
    difference = _compare(TRACED, replace(job, programs=copy_program(0)), result).difference
    assert difference is not None
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(difference)


def test_other_memory_after_the_run_is_told_apart(tmp_path: Path) -> None:
    memory = [MemoryBlock("d1", 3, np.full((2, 4), 7, np.uint8))]
    job = Job({}, memory, [("d1", 3, 2)], tmp_path / "trace")
    result = run_programs(TRACED, [job])[0]
    assert _compare(TRACED, job, result).difference is None
    other = [MemoryBlock("d1", 3, np.array([[7] * 4, [7, 7, 7, 8]], np.uint8))]
    difference = _compare(TRACED, replace(job, memory=other), result).difference
    assert difference == "SRAM of d1 at address 4 differs after the run"


def test_programs_in_one_launch_do_not_disturb_each_other() -> None:
    cases = [random_program(TRACED, seed, 60) for seed in (5, 6, 5)]
    assert [result.difference for result in compare_programs(TRACED, cases)] == [None] * 3


def test_an_image_runs_on_every_item_and_equals_golden() -> None:
    image = compile_graph(NANO, matmul_graph(NANO, 2, 8, 4)).image
    items = [{"x": matmul_input(2, 8, seed)} for seed in range(3)]
    runs = run_image(NANO, image, items)
    assert [run.cycles for run in runs] == [image.cycles] * 3
    assert len({run.outputs["y"].tobytes() for run in runs}) == 3
    comparison = compare_image(image, items[1])
    assert comparison.equal == {"y": True} and comparison.measured == image.cycles
    assert np.array_equal(comparison.outputs["y"], runs[1].outputs["y"])


def test_inputs_must_be_those_of_the_image() -> None:
    image = compile_graph(NANO, matmul_graph(NANO, 1, 4, 4)).image
    with pytest.raises(ImageError, match="inputs given: none: must be x"):
        check_inputs(image, {})
    with pytest.raises(ImageError, match="inputs given: z: must be x"):
        check_inputs(image, {"z": matmul_input(1, 4, 0)})
