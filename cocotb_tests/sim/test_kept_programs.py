"""Programs that are kept: the same as compiled ones, found again only for the same graph on the same core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sim.programs
from compiler.build import CompiledProgram, compile_graph
from compiler.ir import CompileError, Graph
from hdl.config import LpuConfig, preset
from sim.programs import Job, keep_programs, kept_program

DUO = preset("duo")


def graph(weight: int = 1, name: str = "y", shift: int = 0) -> Graph:
    made = Graph("kept")
    x = made.input("x", (1, 16))
    w = made.constant("w", np.full((16, 16), weight, np.int8))
    made.output(made.requantise(made.matmul(x, w), 1, shift, name=name))
    return made


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled, programs being kept in a folder of the test's own."""
    names: list[str] = []

    def counted(config: LpuConfig, graph: Graph, steps: int | None, effort: int) -> CompiledProgram:
        names.append(f"{graph.name} on {config.name}, {steps}, {effort}")
        return compile_graph(config, graph, steps, effort)

    monkeypatch.setattr(sim.programs, "FOLDER", tmp_path)
    monkeypatch.setattr(sim.programs, "compile_graph", counted)
    return names


def test_a_program_is_compiled_once(compiled: list[str]) -> None:
    first, again = kept_program(DUO, graph()), kept_program(DUO, graph())
    assert compiled == ["kept on duo, None, 0"]
    fresh = compile_graph(DUO, graph())
    for program in (first, again):
        assert program.image.programs == fresh.image.programs and program.report == fresh.report
        assert program.owners == fresh.owners and program.image.cycles == fresh.image.cycles
        assert all(
            np.array_equal(a.rows, b.rows) for a, b in zip(program.image.memory, fresh.image.memory, strict=True)
        )


def test_whatever_differs_is_compiled_anew(compiled: list[str]) -> None:
    wider = DUO.replace(gap_bits=6)
    variants = [(DUO, graph(weight=2)), (DUO, graph(name="z")), (DUO, graph(shift=1)), (wider, graph())]
    for config, one in ((DUO, graph()), *variants):
        kept_program(config, one)
    kept_program(DUO, graph(), 2)
    kept_program(DUO, graph(), None, 3)
    assert len(compiled) == 7


def test_a_damaged_file_is_made_again(compiled: list[str], tmp_path: Path) -> None:
    kept_program(DUO, graph())
    (path,) = tmp_path.iterdir()
    for content in (b"", path.read_bytes()[:-100], b"\x80\x04N."):
        path.write_bytes(content)
        kept_program(DUO, graph())
    assert len(compiled) == 4


def test_what_cannot_be_compiled_leaves_nothing(compiled: list[str], tmp_path: Path) -> None:
    with pytest.raises(CompileError):
        kept_program(DUO, Graph("empty"))
    assert list(tmp_path.iterdir()) == []


def test_programs_compiled_side_by_side_are_those_of_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim.programs, "FOLDER", tmp_path)
    jobs: list[Job] = [(DUO, graph(weight), None, 0) for weight in (1, 2, 3)]
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    told: list[int] = []
    keep_programs(jobs, told.append)
    assert told == [3, 2, 1, 0]
    monkeypatch.setattr(sim.programs, "compile_graph", None)  # they are there
    for job in jobs:
        fresh, kept = compile_graph(*job), kept_program(*job)
        assert kept.image.programs == fresh.image.programs and kept.image.cycles == fresh.image.cycles


@pytest.mark.parametrize("processors", [1, 2])
def test_what_does_not_compile_is_told_and_not_kept(
    processors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim.programs, "FOLDER", tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    with pytest.raises(CompileError, match="graph 'empty': 0 operators"):
        keep_programs([(DUO, Graph("empty"), None, 0), (DUO, graph(), None, 0)])
    assert not list(tmp_path.glob("empty*"))
