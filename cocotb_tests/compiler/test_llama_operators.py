"""Operators of a Llama's token: compiled, run on the golden machine, equal to golden.operators bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.compiler.reference import run_image
from compiler.build import CompiledProgram, compile_graph
from compiler.evaluate import Arrays, bits, evaluate
from compiler.ir import CompileError, Graph, Tensor
from hdl.config import LpuConfig, SwitchOp, preset

SMALL, BOARD, DUO, MEDIUM = (preset(name) for name in ("small", "ulx3s", "duo", "medium"))
all_cores = pytest.mark.parametrize("config", [SMALL, BOARD, DUO, MEDIUM], ids=lambda config: config.name)


def singles(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape)


def check(config: LpuConfig, graph: Graph, *items: Arrays) -> CompiledProgram:
    """Compile, run on every item, compare outputs, states and cycles."""
    compiled = compile_graph(config, graph)
    states: Arrays = {}
    for item, run in zip(items, run_image(compiled.image, *items), strict=True):
        for name, expected in evaluate(graph, item, states).items():
            np.testing.assert_array_equal(bits(run.outputs[name]), bits(expected), err_msg=name)
        assert run.cycles == compiled.image.cycles == compiled.report.cycles
    return compiled


def index(graph: Graph, name: str = "i") -> Tensor:
    return graph.input(name, (1, 1), "int32")


def number(value: int) -> np.ndarray:
    return np.array([[value]], np.int32)


@all_cores
@pytest.mark.parametrize("columns", [16, 64, 72])
def test_inverse_norm(config: LpuConfig, columns: int) -> None:
    graph = Graph("norm")
    graph.output(graph.inverse_norm(graph.input("x", (1, columns), "fp32")))
    zero = np.zeros((1, columns), np.float32)
    check(config, graph, {"x": singles(2, 1, columns)}, {"x": singles(3, 1, columns, scale=50)}, {"x": zero})


@all_cores
def test_gate_norm(config: LpuConfig) -> None:
    graph = Graph("norm")
    factor = graph.constant("factor", np.full((1, 1), -3.2, np.float32), "fp32")
    for result in graph.gate_norm(graph.input("x", (1, 64), "fp32"), factor):
        graph.output(result)
    check(config, graph, {"x": singles(2, 1, 64)}, {"x": np.zeros((1, 64), np.float32)})


@all_cores
@pytest.mark.parametrize("copies", [1, 2])
def test_rope_project(config: LpuConfig, copies: int) -> None:
    lanes = config.lanes
    graph = Graph("rope")
    w = graph.constant("w", codes(1, 2 * lanes, 40))
    cos, sin = (graph.input(name, (1, lanes), "fp32") for name in ("cos", "sin"))
    scale = graph.constant("scale", np.full((1, 1), 2e-3, np.float32), "fp32")
    factor = graph.constant("factor", singles(2, 2 * copies, lanes), "fp32")
    graph.output(graph.rope_project(graph.input("x", (1, 40)), w, cos, sin, scale, factor, as_rows=True))
    if copies == 1:
        graph.output(graph.rope_project(graph.inputs[-1], w, cos, sin, scale, factor))
    angle = np.random.default_rng(3).uniform(0, 6, (1, lanes)).astype(np.float32)
    for seed in (4, 5):
        x = codes(seed, 1, 40).astype(np.int8)
        check(config, graph, {"x": x, "cos": np.cos(angle), "sin": np.sin(angle)})


def attention_graph(config: LpuConfig, positions: int, heads: int, first: int = 0, seed: int = 0) -> Graph:
    """Two tiles of keys, two tiles of the result for each; the caches are full of noise."""
    lanes, superlanes = config.lanes, config.superlanes
    width, rows, channels = lanes // heads, 4 * heads, 2 * lanes
    graph = Graph("attention")
    own = np.arange(lanes) // width == np.arange(rows)[:, None] % heads
    q = graph.input("q", (rows, lanes))
    capacity = positions + lanes
    keys = graph.state("keys", codes(seed, capacity, channels))
    diagonal = (
        np.arange(2 * superlanes * lanes) // lanes % superlanes == np.arange(2 * superlanes * lanes) % lanes // 16
    )
    values = graph.state("values", codes(seed + 1, capacity, channels * superlanes) * diagonal)
    mask = graph.causal_mask(index(graph), positions, config.superlane_lanes, superlanes, first)
    scale = graph.constant("scale", 3e-4 + singles(seed, rows, 1, scale=5e-5), "fp32")
    divisors = np.where(own, 1 + singles(seed + 2, rows, lanes, scale=0.1), np.inf)
    divisor = graph.constant("divisor", divisors.astype(np.float32), "fp32")
    graph.output(graph.attention(q, keys, values, mask, scale, divisor, heads, first))
    return graph


@all_cores
@pytest.mark.parametrize(
    ("first", "positions", "heads"), [(0, 16, 1), (16, 32, 2), (0, 96, 2), (64, 144, 2), (0, 16, 4)]
)
def test_attention(config: LpuConfig, first: int, positions: int, heads: int) -> None:
    graph = attention_graph(config, positions, heads, first)
    own = np.arange(config.lanes) // (config.lanes // heads) == np.arange(4 * heads)[:, None] % heads
    q = (codes(9, 4 * heads, config.lanes) * own).astype(np.int8)
    check(config, graph, *({"q": q, "i": number(i)} for i in (first, first + 5, positions - 1)))


def test_attention_where_a_power_takes_longer_than_a_tile_of_keys() -> None:
    """Four lanes take turns in an SFU pipe, and a tile of keys is loaded every cycle."""
    slow = SMALL.replace(name="slow", sfu_cycles=4)
    graph, own = attention_graph(slow, 64, 2), np.arange(16) // 8 == np.arange(8)[:, None] % 2
    check(slow, graph, {"q": (codes(9, 8, 16) * own).astype(np.int8), "i": number(40)})


@all_cores
def test_exp2_gate(config: LpuConfig) -> None:
    graph, w = Graph("silu"), codes(1, 90, 40)
    scale, divisor = (graph.constant(n, np.full((1, 1), v, np.float32), "fp32") for n, v in (("s", 0.7), ("d", -900)))
    x, a = graph.input("x", (1, 40)), graph.input("a", (1, 90), "fp32")
    graph.output(graph.exp2_gate(x, graph.constant("w", w), a, scale, divisor, "y"))
    item = {"x": codes(3, 1, 40).astype(np.int8), "a": singles(2, 1, 90, scale=4)}
    exact = item["x"] @ w.T * item["a"] / ((1 + np.exp2(0.7 * item["a"])) * -900)
    assert abs(evaluate(graph, item)["y"] - exact.clip(-128, 127)).max() <= 0.51 and abs(exact).max() > 20
    check(config, graph, item, item | {"a": 60 * item["a"]})


def test_embed_shares_its_table_with_a_product() -> None:
    graph = Graph("embed")
    table = graph.constant("table", codes(1, 70, 40))
    graph.output(graph.embed(table, index(graph)))
    graph.output(graph.matmul(graph.input("x", (1, 40)), table))
    check(SMALL, graph, *({"i": number(i), "x": codes(i, 1, 40).astype(np.int8)} for i in (0, 17, 69)))


@all_cores
def test_choice_of_a_token(config: LpuConfig) -> None:
    """A given token, or else the chosen one, goes into its place in the row."""
    graph = Graph("choice")
    lane, number_of_row = index(graph, "lane"), index(graph, "row")
    rows = graph.state("rows", np.full((3, config.lanes), -1), "int32")
    row = graph.gather(rows, number_of_row)
    token = graph.given_or(graph.pick(row, lane), graph.input("choice", (1, 1), "int32"))
    graph.output(token)
    graph.output(graph.put(rows, number_of_row, row, lane, token))
    items = [(0, 3, 7), (2, 3, 9), (2, 0, 500), (2, 3, 11)]
    check(config, graph, *(dict(zip(("row", "lane", "choice"), map(number, item), strict=True)) for item in items))


@all_cores
def test_pick_of_fp32(config: LpuConfig) -> None:
    graph = Graph("pick")
    graph.output(graph.pick(graph.constant("row", singles(1, 1, config.lanes), "fp32"), index(graph)))
    check(config, graph, {"i": number(0)}, {"i": number(config.lanes - 1)})


@all_cores
def test_counters(config: LpuConfig) -> None:
    graph = Graph("counters")
    position = graph.state("position", [[14]], "int32")
    graph.output(graph.quotient(position, 16))
    graph.output(graph.quotient(graph.constant("most", [[(1 << 23) - 1]], "int32"), 1))
    graph.output(graph.bitwise_and(position, 15))
    graph.output(graph.assign(position, graph.add(position, graph.constant("one", [[1]], "int32"))))
    check(config, graph, {}, {}, {})


@all_cores
def test_residual_in_place(config: LpuConfig) -> None:
    """x += dequantise(w q) * s, read before it is written, again and again."""
    graph = Graph("residual")
    x = graph.state("x", singles(1, 1, 64), "fp32")
    q, scale = graph.quantise(x)
    factor = graph.mul(graph.constant("factor", singles(2, 1, 64, scale=1e-2), "fp32"), scale)
    y = graph.dequantise(graph.matmul(q, graph.constant("w", codes(3, 64, 64))), factor)
    graph.output(graph.assign(x, graph.add(y, x)))
    check(config, graph, {}, {}, {})


def test_refusals() -> None:
    graph = Graph("bad")
    x, i = graph.input("x", (1, 40)), index(graph)
    w, row = graph.constant("w", codes(1, 40, 40)), graph.constant("row", singles(1, 1, 16), "fp32")
    with pytest.raises(CompileError, match="R a multiple of T"):
        graph.rope_project(x, w, row, row, graph.constant("one", np.ones((1, 1), np.float32), "fp32"), row)
    with pytest.raises(CompileError, match="must have 2 rows to give one"):
        shapes = {"cos": (1, 20), "sin": (1, 20), "scale": (1, 1), "factor": (8, 20)}
        tables = (graph.constant(name, singles(1, *shape), "fp32") for name, shape in shapes.items())
        graph.rope_cache(graph.state("c", codes(1, 40, 40)), i, (x, w, *tables))
    with pytest.raises(CompileError, match="multiple of 16"):
        graph.causal_mask(i, 40, 16, 1)
    with pytest.raises(CompileError, match="from 64 on: must be a multiple of 16 below 64"):
        graph.causal_mask(i, 64, 16, 1, 64)
    with pytest.raises(CompileError, match="power of two"):
        graph.quotient(i, 12)
    with pytest.raises(CompileError, match="must be a state"):
        graph.assign(row, row)
    slow = BOARD.replace(name="slow", mac_rows=4)
    with pytest.raises(CompileError, match="mac_rows = 4: must be at least 8 on 'slow'"):
        compile_graph(slow, attention_graph(slow, 16, 2))
    untransposed = SMALL.replace(name="still", switch_ops=(SwitchOp.ROTATE,))
    with pytest.raises(CompileError, match=r"config 'still': switch_ops = rotate: .* needs transpose"):
        compile_graph(untransposed, attention_graph(untransposed, 16, 2))
    plain = SMALL.replace(name="plain", indexed=False)
    table = Graph("table")
    table.output(table.gather(table.constant("rows", singles(1, 4, 16), "fp32"), index(table)))
    with pytest.raises(CompileError, match=r"config 'plain': indexed = False: .* needs GATHER or SCATTER"):
        compile_graph(plain, table)
    plain = SMALL.replace(name="plain", plain_groups=("d0", "d1", "d2"))
    with pytest.raises(CompileError, match=r"config 'plain': plain_groups = d0, d1, d2: .*rows.* takes an index"):
        compile_graph(plain, table)
    graph.output(graph.pick(graph.constant("long", singles(1, 1, 40), "fp32"), i))
    with pytest.raises(CompileError, match="a row of 40: must be at most 16"):
        compile_graph(SMALL, graph)


@all_cores
@pytest.mark.parametrize("columns", [16, 40, 512])
def test_argmax_rounded(config: LpuConfig, columns: int) -> None:
    """The plain arg-max where no two values are near, and the rule where values are equal."""
    graph = Graph("argmax")
    graph.output(graph.argmax_rounded(graph.input("x", (1, columns), "fp32"), "y"))
    rows = [singles(seed, 1, columns, scale=9) for seed in range(3)]
    assert [int(evaluate(graph, {"x": row})["y"][0, 0]) for row in rows] == [int(row.argmax()) for row in rows]
    equal = np.full((1, columns), 3, np.float32)
    assert evaluate(graph, {"x": equal})["y"] == 0 and evaluate(graph, {"x": -equal})["y"] == columns - 1
    check(config, graph, *({"x": row} for row in (*rows, equal, -equal)))


@all_cores
@pytest.mark.parametrize("columns", [16, 40, 512])
def test_classify(config: LpuConfig, columns: int) -> None:
    """The arg-max of the products, unless a token is given."""
    graph = Graph("classify")
    w, scale = codes(1, columns, 40), np.abs(singles(2, 1, columns))
    rows = graph.constant("w", w), graph.constant("scale", scale, "fp32")
    token, products = graph.classify(graph.input("x", (1, 40)), *rows, index(graph), "token")
    graph.output(token)
    graph.output(products)
    items = [{"x": codes(seed, 1, 40).astype(np.int8), "i": number(i)} for seed, i in ((3, -1), (4, 7), (5, -1))]
    found = [int(evaluate(graph, item)["token"][0, 0]) for item in items]
    assert found == [int((items[0]["x"] @ w.T * scale).argmax()), 7, int((items[2]["x"] @ w.T * scale).argmax())]
    check(config, graph, *items)


@all_cores
def test_rope_cache(config: LpuConfig) -> None:
    """The rotated row, in the cache's row of its position, for the product after it."""
    lanes = config.lanes
    graph = Graph("cache")
    cache = graph.state("cache", codes(1, 2 * lanes, 2 * lanes))
    place = graph.kv_index(index(graph), cache)
    cos, sin = (graph.constant(name, singles(seed, 1, lanes), "fp32") for seed, name in ((2, "cos"), (3, "sin")))
    scale = graph.constant("scale", np.full((1, 1), 2e-3, np.float32), "fp32")
    factor, w = graph.constant("factor", singles(4, 2, lanes), "fp32"), graph.constant("w", codes(5, 2 * lanes, 40))
    graph.rope_cache(cache, place, (graph.input("x", (1, 40)), w, cos, sin, scale, factor))
    graph.output(graph.matmul(graph.input("q", (1, 2 * lanes)), cache))
    items = [{"x": codes(seed, 1, 40), "q": codes(seed + 9, 1, 2 * lanes), "i": number(seed)} for seed in (0, 7, 17)]
    check(config, graph, *({k: v if k == "i" else v.astype(np.int8) for k, v in item.items()} for item in items))
