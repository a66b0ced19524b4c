"""Noise from a counter: compiled, run on the golden machine, equal to golden.operators.gumbel bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.compiler.reference import check_graph, run_image
from cocotb_tests.compiler.test_operators import ONE_GROUP
from compiler.build import compile_graph
from compiler.ir import CompileError, Graph
from golden import operators
from hdl.config import LpuConfig, preset

SMALL, DUO, MEDIUM = (preset(name) for name in ("small", "duo", "medium"))


def noise_graph(n: int) -> Graph:
    graph = Graph()
    counter, temperature = graph.input("counter", (1, 1), "int32"), graph.input("temperature", (1, 1), "fp32")
    graph.output(graph.noise(counter, temperature, n, name="noise"))
    return graph


@pytest.mark.parametrize("n", [1, 5, 64, 100, 512])
@pytest.mark.parametrize("config", [SMALL, DUO, MEDIUM, ONE_GROUP], ids=lambda config: config.name)
def test_noise(config: LpuConfig, n: int) -> None:
    check_graph(config, noise_graph(n), seed=n, most=(1 << 31) - 1)


def test_counters_of_either_sign() -> None:
    image = compile_graph(SMALL, noise_graph(100)).image
    counters = [np.array([[c]], np.int32) for c in (0, -1, -(1 << 31), (1 << 31) - 1, 1 << 23, -987654321)]
    temperature = np.full((1, 1), 0.8, np.float32)
    items = [{"counter": c, "temperature": temperature} for c in counters]
    for counter, run in zip(counters, run_image(image, *items), strict=True):
        assert run.outputs["noise"].tobytes() == operators.gumbel(counter, temperature, 100).tobytes()


@pytest.mark.parametrize("n", [0, 2049])
def test_number_of_channels(n: int) -> None:
    with pytest.raises(CompileError, match=f"noise: 'counter' int32 \\[1, 1\\]: {n} channels: must be 1..2048"):
        noise_graph(n)


def test_core_without_floats() -> None:
    with pytest.raises(CompileError, match="noise: needs mul, add and sfu pipes; the core has int, requant"):
        compile_graph(preset("tiny"), noise_graph(4))
