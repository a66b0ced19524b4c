"""Repeated blocks and steps: one LOOP for all iterations, programs that run from state to state without a host."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.compiler.reference import run_image
from compiler.build import CompiledProgram, compile_graph
from compiler.evaluate import Arrays, bits, evaluate
from compiler.ir import CompileError, Graph
from hdl.config import LpuConfig, preset
from hdl.isa import Opcode

SMALL, DUO = preset("small"), preset("duo")
cores = pytest.mark.parametrize("config", [SMALL, DUO], ids=lambda config: config.name)


def singles(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape)


def layers(n: int, inside: bool = True) -> Graph:
    """x += dequantise(w_i quantise(x)) in n layers, each with its own weights and a state that counts."""
    graph = Graph("layers")
    x, one = graph.state("x", singles(0, 1, 64), "fp32"), graph.constant("one", [[1]], "int32")
    bias = graph.relu(graph.input("bias", (1, 64), "fp32"), name="bias.positive")
    for i in range(n):
        with graph.iteration("layer", i):
            w = graph.constant(f"w{i}", codes(i, 64, 64))
            factor = graph.constant(f"factor{i}", singles(100 + i, 1, 64, scale=2e-3), "fp32")
            q, scale = graph.quantise(x, f"q{i}")
            row = graph.mul(factor, scale, f"row{i}")
            y = graph.add(graph.dequantise(graph.matmul(q, w, f"y{i}"), row), bias, f"sum{i}")
            graph.assign(x, graph.add(y, x), f"residual{i}")
            count = graph.state(f"count{i}", [[i]], "int32")
            if inside:
                graph.assign(count, graph.add(count, one), f"counted{i}")
    graph.output(graph.relu(x, name="y"))
    return graph


def check(config: LpuConfig, graph: Graph, steps: int | None, *items: Arrays, effort: int = 0) -> CompiledProgram:
    """Run all items, ``steps`` evaluations each; outputs and cycles."""
    compiled = compile_graph(config, graph, steps, effort)
    states: Arrays = {}
    for item, run in zip(items, run_image(compiled.image, *items), strict=True):
        for _ in range(steps or 1):
            expected = evaluate(graph, item, states)
        for name, value in expected.items():
            np.testing.assert_array_equal(bits(run.outputs[name]), bits(value), err_msg=name)
        assert run.cycles == compiled.image.cycles
    return compiled


def biases(n: int) -> list[Arrays]:
    return [{"bias": singles(200 + i, 1, 64, scale=0.1)} for i in range(n)]


@cores
@pytest.mark.parametrize("n", [1, 2, 5])
def test_iterations_equal_their_sequence(config: LpuConfig, n: int) -> None:
    check(config, layers(n), None, *biases(2))


@cores
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_steps_go_on_from_the_states_of_the_one_before(config: LpuConfig, steps: int) -> None:
    check(config, layers(3), steps, *biases(2))


def test_all_iterations_share_their_instructions() -> None:
    """Programs of two layers and of six are equally long."""
    two, six = (check(SMALL, layers(n), None, *biases(1)) for n in (2, 6))
    rows = [{name: len(p) for name, p in c.image.programs.items()} for c in (two, six)]
    assert all(abs(rows[1][name] - length) <= 2 for name, length in rows[0].items())
    loops = [i["n"] for i in six.image.programs["mxm0.a"] if i.op is Opcode.LOOP]
    assert loops == [6]
    period = (six.image.cycles - two.image.cycles) / 4
    assert period == int(period) > 60


def test_cycles_of_steps_are_multiples_of_one() -> None:
    cycles = [compile_graph(SMALL, layers(2), steps).image.cycles for steps in (1, 2, 7)]
    step = cycles[1] - cycles[0]
    assert cycles[2] == cycles[0] + 6 * step
    assert compile_graph(SMALL, layers(2), 7).report.cycles == step


def test_more_effort_is_never_worse_and_as_right() -> None:
    plain, tried = (check(SMALL, layers(4), None, *biases(1), effort=effort) for effort in (0, 12))
    again = compile_graph(SMALL, layers(4), None, 12)
    assert tried.image.cycles <= plain.image.cycles
    assert again.image.programs == tried.image.programs


def test_iterations_that_differ_are_refused() -> None:
    graph = Graph("different")
    x = graph.state("x", singles(0, 1, 64), "fp32")
    for i in range(2):
        with graph.iteration("layer", i):
            y = graph.add(x, graph.constant(f"c{i}", singles(i, 1, 64), "fp32"), f"y{i}")
            graph.assign(x, graph.relu(y) if i else y, f"x{i}")
            if i:
                graph.output(graph.maximum(x, y, "more"))
    with pytest.raises(CompileError, match="block 'layer'"):
        compile_graph(SMALL, graph)


def test_iterations_must_follow_one_another() -> None:
    graph = Graph("gap")
    x = graph.state("x", singles(0, 1, 64), "fp32")
    for i in (0, 2):
        with graph.iteration("layer", i):
            graph.assign(x, graph.add(x, graph.constant(f"c{i}", singles(i, 1, 64), "fp32")), f"x{i}")
    graph.output(graph.relu(x))
    with pytest.raises(CompileError, match=r"iterations \[0, 2\]: must be 0, 1, 2"):
        compile_graph(SMALL, graph)
