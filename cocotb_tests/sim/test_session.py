"""Sessions around a simulator that is stood in for: answers come while it runs, failures when they happen."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from compiler.build import compile_graph
from compiler.workloads import matmul_graph, matmul_input
from hdl.config import preset
from sim import SimError
from sim.build import Simulator
from sim.compare import golden_image
from sim.script import HostError, Script
from sim.session import run_session, simulated

NANO = preset("tiny")


def scripts(count: int) -> list[Script]:
    """Scripts of one READ each."""
    found = [Script(NANO) for _ in range(count)]
    for script in found:
        script.read_rows("d0", [0])
    return found


def words(number: int) -> str:
    return f"{number:08x}\n"


@pytest.fixture
def simulator(tmp_path: Path) -> Simulator:
    return Simulator(NANO, tmp_path)


def test_an_answer_is_there_while_the_simulator_goes_on(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()

    def simulate(_: Simulator, directory: Path, count: int) -> None:
        for index in range(count):
            (directory / f"answer.{index}").write_text(words(index))
            if index == 1:
                assert seen.wait(10), "the first answer was not handed on"

    monkeypatch.setattr("sim.session.simulate", simulate)
    answers = simulated(simulator)(scripts(3))
    assert next(answers)[0].tolist() == [0]
    seen.set()
    assert [found.tolist() for found, _ in answers] == [[1], [2]]


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("timeout 0\n", HostError, "core did not answer READ of host address"),
        ("error 0\n", HostError, "core refused READ of host address"),
        ("", SimError, "answer.1: 0 words: must be 1"),
    ],
)
def test_a_script_that_fails(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, line: str, error: type[SimError], message: str
) -> None:
    def simulate(_: Simulator, directory: Path, count: int) -> None:
        (directory / "answer.0").write_text(words(7))
        (directory / "answer.1").write_text(line)

    monkeypatch.setattr("sim.session.simulate", simulate)
    answers = simulated(simulator)(scripts(3))
    assert next(answers)[0].tolist() == [7]
    with pytest.raises(error, match=message):
        next(answers)


def test_a_simulator_that_dies(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def simulate(_: Simulator, directory: Path, count: int) -> None:
        (directory / "answer.0").write_text(words(7))
        raise SimError("simulation of 'tiny' failed; see build/failed.log")

    monkeypatch.setattr("sim.session.simulate", simulate)
    with pytest.raises(SimError, match="simulation of 'tiny' failed"):
        list(simulated(simulator)(scripts(2)))


@pytest.mark.rtl
def test_other_weights_take_over() -> None:
    """Two products of one x, each by its own constants, then the first again; x is written once."""
    images = [compile_graph(NANO, matmul_graph(NANO, 2, 8, 4, seed)).image for seed in (1, 2)]
    inputs = {"x": matmul_input(2, 8, 1)}
    order = [images[0], images[1], images[1], images[0]]
    wanted = [golden_image(image, inputs, ["y"])[0]["y"] for image in order]
    runs = list(run_session(NANO, order, inputs, ["x"], ["y"]))
    assert [run.outputs["y"].tolist() for run in runs] == [y.tolist() for y in wanted]
    assert [run.cycles for run in runs] == [image.cycles for image in order]
    assert not np.array_equal(wanted[0], wanted[1])
