"""Every operator on the RTL: all bits equal the golden operators, the cycles are the predicted ones, on any data."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.compiler.test_operators import OPERATORS, index, row
from compiler.build import compile_graph
from compiler.evaluate import Arrays, evaluate
from compiler.ir import Graph
from compiler.workloads import random_inputs
from hdl.config import LpuConfig, preset
from sim.run import run_image

pytestmark = [pytest.mark.rtl, pytest.mark.slow]
SMALL = preset("small")
SHAPES = [(3, 5), (1, 64), (2, 172)]
"""Less than a tile, whole tiles, several rows of tiles of which the last is not full."""


def check(config: LpuConfig, graph: Graph, most: int, runs: int = 2) -> None:
    """Random items one after another on one core; states go on from item to item."""
    compiled = compile_graph(config, graph)
    rng = np.random.default_rng(runs)
    items = [random_inputs(graph, rng, most) for _ in range(runs)]
    states: Arrays = {}
    for item, run in zip(items, run_image(config, compiled.image, items), strict=True):
        expected = evaluate(graph, item, states)
        assert {name: run.outputs[name].tobytes() for name in expected} == {
            name: value.tobytes() for name, value in expected.items()
        }
        assert run.cycles == compiled.report.cycles


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name: str, shape: tuple[int, int]) -> None:
    graph = Graph()
    graph.output(OPERATORS[name](graph, *shape))
    check(SMALL, graph, most=shape[1])


@pytest.mark.parametrize(("m", "n"), [(1, 32), (3, 64)])
def test_rope(m: int, n: int) -> None:
    graph = Graph()
    graph.output(graph.rope(graph.input("x", (m, n), "fp32"), row(graph, n // 2), row(graph, n // 2)))
    check(SMALL, graph, most=1)


@pytest.mark.parametrize("n", [5, 100])
def test_choice_with_noise(n: int) -> None:
    graph = Graph()
    noise = graph.noise(graph.input("counter", (1, 1), "int32"), graph.input("temperature", (1, 1), "fp32"), n)
    graph.output(graph.argmax(graph.add(graph.input("logits", (1, n), "fp32"), noise)))
    graph.output(noise)
    check(SMALL, graph, most=(1 << 31) - 1, runs=4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "fp32"])
@pytest.mark.parametrize(("rows", "columns"), [(20, 16), (7, 80), (60, 33)])
def test_gather_and_scatter(rows: int, columns: int, dtype: str) -> None:
    """A row is read where the last run has written one, and another is written."""
    values = np.arange(rows * columns).reshape(rows, columns) % 100
    graph = Graph()
    cache = graph.state("cache", values.astype(np.float32) if dtype == "fp32" else values, dtype)
    graph.output(graph.gather(cache, index(graph, "from")))
    graph.output(graph.scatter(cache, index(graph, "to"), graph.input("row", (1, columns), dtype)))
    check(SMALL, graph, most=rows, runs=4)


@pytest.mark.parametrize(("rows", "columns"), [(32, 16), (70, 48)])
def test_a_cache_is_the_weights_of_a_product(rows: int, columns: int) -> None:
    graph = Graph()
    cache = graph.state("cache", np.zeros((rows, columns), np.int64))
    place = graph.kv_index(index(graph), cache)
    graph.kv_scatter(cache, place, graph.input("row", (1, columns)))
    graph.output(graph.matmul(graph.input("q", (1, columns)), cache))
    check(SMALL, graph, most=rows, runs=4)
