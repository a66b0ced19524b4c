"""Operators of fp32 and by position: compiled, run on the golden machine, equal to golden.operators bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from cocotb_tests.compiler.reference import check_graph, run_image
from compiler.build import compile_graph
from compiler.evaluate import Arrays, evaluate
from compiler.ir import CompileError, Graph, Tensor
from golden import operators
from hdl.config import LpuConfig, MemoryGroup, preset

NANO, SMALL, DUO, MEDIUM = (preset(name) for name in ("tiny", "small", "duo", "medium"))
ONE_GROUP = SMALL.replace(name="one", data_groups=(MemoryGroup(4, 1024),), data_groups_per_position=1)
"""All operands in one data group: no two reads in the same cycle."""
EIGHT = SMALL.replace(name="eight", lanes=8, weight_streams=8, weight_groups=(MemoryGroup(8, 1024),), acc_rows=8)
cores = pytest.mark.parametrize("config", [SMALL, DUO], ids=lambda config: config.name)
all_cores = pytest.mark.parametrize("config", [SMALL, DUO, MEDIUM, ONE_GROUP], ids=lambda config: config.name)


def singles(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape)


def row(graph: Graph, columns: int, scale: float = 1.0) -> Tensor:
    """A constant fp32 [1, columns] with a name and values of its own."""
    number = len(graph._tensors)
    return graph.constant(f"row{number}", singles(number, 1, columns, scale=scale), "fp32")


def index(graph: Graph, name: str = "i") -> Tensor:
    return graph.input(name, (1, 1), "int32")


# ------------------------------------------------------------- one operator each

Build = Callable[[Graph, int, int], Tensor]


def quantised(graph: Graph, m: int, n: int) -> Tensor:
    codes_, scale = graph.quantise(graph.input("x", (m, n), "fp32"))
    graph.output(scale)
    return codes_


def x32(graph: Graph, m: int, n: int) -> Tensor:
    return graph.input("x", (m, n), "fp32")


def i32(graph: Graph, m: int, n: int) -> Tensor:
    return graph.input("x", (m, n), "int32")


def i8(graph: Graph, m: int, n: int) -> Tensor:
    return graph.input("x", (m, n))


def scales(graph: Graph, m: int) -> Tensor:
    return graph.input("s", (m, 1), "fp32")


def binary(kind: str, graph: Graph, m: int, n: int) -> Tensor:
    y: Tensor = getattr(graph, kind)(x32(graph, m, n), graph.input("b", (m, n), "fp32"))
    return y


OPERATORS: dict[str, Build] = {
    "rescale": lambda g, m, n: g.rescale(i32(g, m, n), row(g, n, 2e-3)),
    "dequantise": lambda g, m, n: g.dequantise(i32(g, m, n), row(g, n)),
    "dequantise by rows": lambda g, m, n: g.dequantise(i32(g, m, n), row(g, n), scales(g, m)),
    "dequantise int8": lambda g, m, n: g.dequantise(i8(g, m, n), row(g, n), scales(g, m)),
    "quantise": quantised,
    "quantise_static": lambda g, m, n: g.quantise_static(x32(g, m, n), row(g, n, 20)),
    "rms_norm": lambda g, m, n: g.rms_norm(x32(g, m, n), row(g, n), 1e-5),
    "causal_limit": lambda g, m, n: g.causal_limit(index(g), n),
    "softmax": lambda g, m, n: g.softmax(x32(g, m, n), g.causal_limit(index(g), n)),
    "softmax, own limit": lambda g, m, n: g.softmax(x32(g, m, n), g.input("limit", (1, n), "fp32")),
    "silu_mul": lambda g, m, n: g.silu_mul(x32(g, m, n), g.input("b", (m, n), "fp32")),
    "argmax int8": lambda g, m, n: g.argmax(i8(g, m, n)),
    "argmax int32": lambda g, m, n: g.argmax(i32(g, m, n)),
    "argmax fp32": lambda g, m, n: g.argmax(x32(g, m, n)),
    "relu": lambda g, m, n: g.relu(x32(g, m, n)),
    **{kind: partial(binary, kind) for kind in ("add", "sub", "mul", "maximum", "minimum")},
}
SHAPES = [(3, 5), (1, 64), (2, 100), (4, 33)]
"""Less than a tile, whole tiles on all cores, several rows of tiles of which the last is not full."""


CORES_AND_SHAPES = [(config, shape) for config in (SMALL, DUO) for shape in SHAPES]
CORES_AND_SHAPES += [(MEDIUM, (2, 100)), (ONE_GROUP, (2, 100)), (EIGHT, (2, 64)), (EIGHT, (1, 37))]


@pytest.mark.parametrize(("config", "shape"), CORES_AND_SHAPES, ids=lambda value: getattr(value, "name", str(value)))
@pytest.mark.parametrize("name", OPERATORS)
def test_operator(config: LpuConfig, name: str, shape: tuple[int, int]) -> None:
    graph = Graph()
    graph.output(OPERATORS[name](graph, *shape))
    check_graph(config, graph, seed=sum(shape), most=shape[1])


@cores
@pytest.mark.parametrize("name", [name for name in OPERATORS if not name.startswith(("softmax", "rms_norm"))])
def test_operator_on_one_channel(config: LpuConfig, name: str) -> None:
    graph = Graph()
    graph.output(OPERATORS[name](graph, 2, 1))
    check_graph(config, graph, most=1)


@cores
@pytest.mark.parametrize("name", ["quantise", "rms_norm", "softmax", "softmax, own limit", "argmax fp32", "silu_mul"])
def test_operator_on_long_rows(config: LpuConfig, name: str) -> None:
    """Longer than registers hold intermediate results: sums and quotients in several trips."""
    graph = Graph()
    graph.output(OPERATORS[name](graph, 2, 260))
    check_graph(config, graph, most=260)


@cores
def test_softmax_of_the_longest_row(config: LpuConfig) -> None:
    graph = Graph()
    graph.output(graph.softmax(x32(graph, 1, 1024), graph.causal_limit(index(graph), 1024), name="y"))
    compiled = compile_graph(config, graph)
    x = singles(7, 1, 1024, scale=4)
    positions = [0, 1, 15, 16, 700, 1023]
    items = [{"x": x, "i": np.array([[p]], np.int32)} for p in positions]
    for run, position in zip(run_image(compiled.image, *items), positions, strict=True):
        expected = operators.softmax(x, operators.causal_limit(position, 1024))
        assert run.outputs["y"].tobytes() == expected.tobytes()
        assert not run.outputs["y"][0, position + 1 :].any() and run.outputs["y"].sum() == pytest.approx(1, rel=1e-4)
        assert run.cycles == compiled.report.cycles


@cores
def test_quantise_of_zeros_and_of_the_extremes(config: LpuConfig) -> None:
    graph = Graph()
    graph.output(graph.quantise(x32(graph, 4, 21))[0])
    x = singles(3, 4, 21)
    x[0], x[1], x[3] = 0, x[1] * 1e-30, x[3] * 1e37
    (run,) = run_image(compile_graph(config, graph).image, {"x": x})
    assert run.outputs["quantise0"].tolist() == operators.quantise(x)[0].tolist()


# ------------------------------------------------------------------------ argmax


@all_cores
@pytest.mark.parametrize("columns", [10, 37, 130])
@pytest.mark.parametrize("dtype", ["int8", "int32", "fp32"])
def test_argmax_takes_the_lowest_of_ties_and_no_padding(config: LpuConfig, columns: int, dtype: str) -> None:
    """Rows of negative values, below the zeros of lanes beyond the row; ties within and across tiles and superlanes."""
    low = {"int8": -128, "int32": -(2**31), "fp32": -np.inf}[dtype]
    x = np.full((5, columns), low, {"int8": np.int8, "int32": np.int32, "fp32": np.float32}[dtype])
    x[1, [3, 7, columns - 1]] = -5
    x[2, columns - 1] = -6
    x[3, [columns // 2, columns - 2]] = 100
    x[4] = -7
    graph = Graph()
    graph.output(graph.argmax(graph.input("x", x.shape, dtype), name="y"))
    (run,) = run_image(compile_graph(config, graph).image, {"x": x})
    assert run.outputs["y"].tolist() == [[0], [3], [columns - 1], [columns // 2], [0]]


@cores
def test_argmax_of_fp32_orders_zeros_by_sign(config: LpuConfig) -> None:
    graph = Graph()
    graph.output(graph.argmax(graph.input("x", (2, 35), "fp32"), name="y"))
    x = np.full((2, 35), -0.0, np.float32)
    x[1, 33] = 0.0
    (run,) = run_image(compile_graph(config, graph).image, {"x": x})
    assert run.outputs["y"].tolist() == [[0], [33]]


# --------------------------------------------------------------------------- rope


@pytest.mark.parametrize("config", [SMALL, DUO, MEDIUM], ids=lambda config: config.name)
@pytest.mark.parametrize(("m", "tiles"), [(1, 1), (3, 2), (1, 5)])
def test_rope(config: LpuConfig, m: int, tiles: int) -> None:
    graph, half = Graph(), tiles * config.lanes
    x = x32(graph, m, 2 * half)
    table = graph.constant("table", singles(1, 20, half), "fp32")
    cos, sin = graph.gather(table, index(graph)), graph.input("sin", (1, half), "fp32")
    graph.output(graph.rope(x, cos, sin))
    check_graph(config, graph)


# ------------------------------------------------------------------- by position


@pytest.mark.parametrize("config", [NANO, SMALL, DUO], ids=lambda config: config.name)
@pytest.mark.parametrize("tiles", [1, 3, 4, 7])
def test_gather_of_every_dtype(config: LpuConfig, tiles: int) -> None:
    """Constants and states, whose rows may take a number of tiles that is no power of two."""
    columns = tiles * config.lanes - 1
    graph = Graph()
    for dtype in ("int8", "int32", "fp32") if config.has_floats else ("int8", "int32"):
        value = singles(1, 9, columns) if dtype == "fp32" else codes(1, 9, columns)
        table = graph.state(f"t_{dtype}", value, dtype) if tiles == 3 else graph.constant(f"t_{dtype}", value, dtype)
        graph.output(graph.gather(table, index(graph, f"i_{dtype}")))
    check_graph(config, graph, seed=tiles, most=9)


@cores
@pytest.mark.parametrize("dtype", ["int8", "int32", "fp32"])
@pytest.mark.parametrize("columns", [1, 20, 200])
def test_scatter_between_reads_and_writes_of_a_state(config: LpuConfig, dtype: str, columns: int) -> None:
    """Program order through accesses by index and by address; the state goes from run to run."""
    graph = Graph()
    value = singles(2, 4, columns) if dtype == "fp32" else codes(2, 4, columns)
    state, a = graph.state("s", value, dtype), graph.input("a", (4, columns), dtype)
    i, j, new = index(graph, "i"), index(graph, "j"), graph.input("new", (1, columns), dtype)
    graph.output(graph.gather(state, j, name="before"))
    graph.output(graph.maximum(a, state, name="whole before"))
    graph.scatter(state, i, new)
    graph.output(graph.gather(state, i, name="same"))
    graph.output(graph.gather(state, j, name="other"))
    graph.scatter(state, j, graph.gather(state, i))
    graph.output(graph.minimum(state, a, name="whole after"))
    graph.output(state)
    check_graph(config, graph, seed=columns, most=4)


@cores
def test_states_persist_and_start_with_their_value(config: LpuConfig) -> None:
    graph = Graph()
    state = graph.state("s", [[1], [2], [3]], "int32")
    graph.output(graph.relu(state, name="y"))
    graph.scatter(state, index(graph), graph.input("new", (1, 1), "int32"))
    items: list[Arrays] = [
        {"i": np.array([[i]], np.int32), "new": np.array([[new]], np.int32)} for i, new in ((1, 20), (1, 21), (0, 10))
    ]
    runs = run_image(compile_graph(config, graph).image, *items)
    assert [run.outputs["y"][:, 0].tolist() for run in runs] == [[1, 2, 3], [1, 20, 3], [1, 21, 3]]


CACHES = [(3, 5), (16, 16), (40, 200), (100, 33), (67, 63)]


@pytest.mark.parametrize("config", [SMALL, DUO, MEDIUM, EIGHT], ids=lambda config: config.name)
@pytest.mark.parametrize("shape", CACHES, ids=str)
def test_a_cache_is_multiplied_with_its_new_row(config: LpuConfig, shape: tuple[int, int]) -> None:
    graph = Graph()
    cache, q = graph.state("cache", codes(3, *shape)), graph.input("q", (2, shape[1]))
    graph.output(graph.matmul(q, cache, name="before"))
    place = graph.kv_index(index(graph), cache)
    graph.kv_scatter(cache, place, graph.input("row", (1, shape[1])))
    graph.output(graph.matmul(q, cache, name="after"))
    graph.output(cache)
    check_graph(config, graph, most=shape[0])


@pytest.mark.parametrize("config", [SMALL, DUO, MEDIUM, EIGHT], ids=lambda config: config.name)
def test_a_cache_takes_every_position_and_its_neighbours_keep_their_rows(config: LpuConfig) -> None:
    """One image, all positions of a cache beside two others; each row is written where it is read back."""
    positions, channels = config.lanes + 3, config.lanes + 1
    graph = Graph()
    caches = [graph.state(f"c{number}", codes(number, positions, channels)) for number in range(3)]
    graph.kv_scatter(caches[1], graph.kv_index(index(graph), caches[1]), graph.input("row", (1, channels)))
    for cache in caches:
        graph.output(graph.matmul(graph.input(f"q_{cache.name}", (1, channels)), cache))
        graph.output(cache)
    ones = {f"q_c{number}": np.ones((1, channels), np.int8) for number in range(3)}
    items: list[Arrays] = [
        {"i": np.array([[p]], np.int32), "row": codes(p, 1, channels).astype(np.int8), **ones} for p in range(positions)
    ]
    states: Arrays = {}
    for item, run in zip(items, run_image(compile_graph(config, graph).image, *items), strict=True):
        for name, expected in evaluate(graph, item, states).items():
            assert np.array_equal(run.outputs[name], expected), (name, item["i"])


@cores
def test_the_flag_survives_other_comparisons(config: LpuConfig) -> None:
    """kv_index compares, and selects cycles later; arg-max passes and other indices compare in between."""
    graph = Graph()
    values = graph.input("x", (3, 40), "int32")
    for number in range(3):
        cache = graph.state(f"c{number}", codes(number, 40, 20))
        place = graph.kv_index(index(graph, f"i{number}"), cache)
        graph.output(graph.argmax(values))
        graph.kv_scatter(cache, place, graph.input(f"row{number}", (1, 20)))
        graph.output(cache)
    check_graph(config, graph, seed=5, most=40)


# ------------------------------------------------------------------------- chains


@all_cores
def test_operators_with_one_tensor_as_both_operands(config: LpuConfig) -> None:
    graph = Graph()
    x = x32(graph, 2, 40)
    for kind in ("add", "sub", "mul", "maximum", "minimum"):
        graph.output(getattr(graph, kind)(x, x))
    narrow = graph.input("narrow", (2, 40))
    graph.output(graph.sub(narrow, narrow, name="narrow difference"))
    check_graph(config, graph)


@cores
@pytest.mark.parametrize("m", [1, 3])
def test_a_projection_with_residual_is_one_pass(config: LpuConfig, m: int) -> None:
    graph = Graph()
    q, scale = graph.quantise(graph.rms_norm(x32(graph, m, 40), row(graph, 40)))
    y = graph.dequantise(graph.matmul(q, graph.constant("w", codes(1, 70, 40))), row(graph, 70), scale)
    y = graph.add(graph.input("residual", (m, 70), "fp32"), y)
    graph.output(graph.quantise_static(graph.relu(graph.mul(y, graph.input("gate", (m, 70), "fp32"))), row(graph, 70)))
    image = check_graph(config, graph).image
    assert sum(info.kind == "temp" and info.shape == (m, 70) for info in image.tensors) == 0


@cores
def test_a_scale_may_be_any_one_channel_result(config: LpuConfig) -> None:
    """[M, 1] stands in every lane wherever it comes from: a product with one weight row, int8 input, arithmetic."""
    graph = Graph()
    x = graph.input("x", (3, 40))
    sums = graph.bias(graph.matmul(x, graph.constant("w", codes(1, 1, 40))), graph.constant("b", [77], "int32"))
    for number, source in enumerate((sums, graph.input("narrow", (3, 1)), graph.argmax(x))):
        scale = graph.dequantise(source, row(graph, 1))
        graph.output(graph.dequantise(graph.input(f"y{number}", (3, 50)), row(graph, 50), graph.add(scale, scale)))
    check_graph(config, graph)


def attention(config: LpuConfig) -> Graph:
    """One head over a cache of keys, from the norm to the residual sum, and what follows a last layer."""
    graph, positions, head = Graph(), 50, 2 * config.lanes
    position, x = index(graph), x32(graph, 1, head)
    tables = [graph.constant(name, singles(number, positions, head // 2), "fp32") for number, name in enumerate("cs")]
    cos, sin = (graph.gather(table, position) for table in tables)
    rotated = graph.rope(graph.rms_norm(x, row(graph, head)), cos, sin)
    q, scale = graph.quantise(rotated)
    cache = graph.state("k", codes(1, positions, head))
    graph.kv_scatter(cache, graph.kv_index(position, cache), q)
    scores = graph.dequantise(graph.matmul(q, cache), row(graph, positions, 1e-3), scale)
    p, p_scale = graph.quantise(graph.softmax(scores, graph.causal_limit(position, positions)))
    mixed = graph.matmul(p, graph.constant("w", codes(2, head, positions)))
    y = graph.add(graph.dequantise(mixed, row(graph, head), p_scale), x)
    graph.output(graph.silu_mul(y, x))
    graph.output(graph.argmax(y))
    graph.output(y)
    return graph


@pytest.mark.parametrize(
    "config",
    [SMALL, DUO, MEDIUM, SMALL.replace(name="two", data_groups=(MemoryGroup(4, 512),) * 2, data_groups_per_position=1)],
    ids=lambda config: config.name,
)
def test_attention_of_one_head(config: LpuConfig) -> None:
    check_graph(config, attention(config), seed=2, most=50)


class _Random:
    """A graph of ten random operators on tensors of one shape; every fourth result is an output."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.graph = graph = Graph()
        self.m, self.n = int(rng.integers(1, 5)), int(rng.choice([2, 5, 16, 17, 33, 64, 100]))
        shape = (self.m, self.n)
        self.singles = [graph.input(f"f{i}", shape, "fp32") for i in range(3)]
        self.codes, self.sums = [graph.input("a", shape), graph.input("b", shape)], [graph.input("c", shape, "int32")]
        self.scales = [graph.input("s", (self.m, 1), "fp32")]
        for number in range(10):
            self._add(str(rng.choice(list(self._steps()))), number)
            if rng.random() < 0.25:
                graph.output(graph.ops[-1].output)
        graph.output(graph.ops[-1].output)

    def pick(self, tensors: list[Tensor]) -> Tensor:
        """One of the latest, so that chains grow."""
        return tensors[int(self.rng.integers(max(0, len(tensors) - 3), len(tensors)))]

    def _steps(self) -> dict[str, Callable[[int], object]]:
        g, f, a, c = self.graph, self.singles, self.codes, self.sums
        weights = codes(1, self.n, self.n)
        steps: dict[str, Callable[[int], object]] = {
            kind: partial(self._combine, kind) for kind in ("add", "sub", "mul", "maximum", "minimum", "silu_mul")
        }
        return steps | {
            "relu": lambda _: f.append(g.relu(self.pick(f))),
            "dequantise": lambda _: f.append(g.dequantise(self.pick(c), row(g, self.n, 0.01), self.pick(self.scales))),
            "dequantise int8": lambda _: f.append(g.dequantise(self.pick(a), row(g, self.n))),
            "quantise": lambda _: self._quantise(),
            "quantise_static": lambda _: a.append(g.quantise_static(self.pick(f), row(g, self.n))),
            "rms_norm": lambda _: f.append(g.rms_norm(self.pick(f), row(g, self.n))),
            "softmax": lambda _: f.append(g.softmax(self.pick(f), row(g, self.n))),
            "matmul": lambda i: c.append(g.matmul(self.pick(a), g.constant(f"w{i}", weights))),
            "rescale": lambda _: a.append(g.rescale(self.pick(c), row(g, self.n, 0.01))),
            "int32": lambda _: c.append(g.relu(g.sub(self.pick(c), self.pick(c)))),
            "int8": lambda _: a.append(g.add(self.pick(a), self.pick(a))),
            "argmax": lambda _: g.argmax(self.pick([f, a, c][int(self.rng.integers(3))])),
        }

    def _combine(self, kind: str, _: int) -> None:
        self.singles.append(getattr(self.graph, kind)(self.pick(self.singles), self.pick(self.singles)))

    def _quantise(self) -> None:
        q, scale = self.graph.quantise(self.pick(self.singles))
        self.codes.append(q)
        self.scales.append(scale)

    def _add(self, kind: str, number: int) -> None:
        self._steps()[kind](number)


@cores
@pytest.mark.parametrize("seed", range(8))
def test_random_graphs(config: LpuConfig, seed: int) -> None:
    check_graph(config, _Random(seed).graph, seed)


@pytest.mark.parametrize("seed", range(20, 28))
def test_random_graphs_in_scarce_memory(seed: int) -> None:
    """Temporaries and scratch tensors follow one another in the same rows."""
    graph = _Random(seed).graph
    for depth_rows in (20, 28, 40, 64, 512):
        config = SMALL.replace(name="scarce", data_groups=(MemoryGroup(4, depth_rows),) * 3)
        try:
            compile_graph(config, graph)
        except CompileError as error:
            assert str(error).startswith("out of memory")
            continue
        check_graph(config, graph, seed)
        return
    raise AssertionError("must fit the memory of small")


# ----------------------------------------------------------------------- refusals


def wide_softmax(graph: Graph) -> Tensor:
    return graph.softmax(x32(graph, 1, 9000), graph.causal_limit(index(graph), 9000))


def cache_of(graph: Graph, config: LpuConfig) -> Tensor:
    cache = graph.state("cache", np.zeros((8, 8), np.int64))
    return graph.matmul(
        graph.input("q", (1, 8)), graph.kv_scatter(cache, graph.kv_index(index(graph), cache), graph.input("r", (1, 8)))
    )


def scatter_in(graph: Graph, channels: int) -> Tensor:
    state = graph.state("s", np.zeros((8, channels), np.int64), "int32")
    return graph.output(graph.scatter(state, index(graph), graph.input("r", (1, channels), "int32")))


CORE_REFUSALS: dict[str, tuple[LpuConfig, Callable[[Graph], Tensor], str]] = {
    "rms_norm": (NANO, lambda g: g.rms_norm(x32(g, 1, 4), row(g, 4)), "needs mul, add and sfu pipes"),
    "softmax": (NANO, lambda g: g.softmax(x32(g, 1, 4), row(g, 4)), "needs mul, add and sfu pipes"),
    "causal_limit": (NANO, lambda g: g.causal_limit(index(g), 4), "needs mul, add and sfu pipes"),
    "kv_index": (NANO, lambda g: cache_of(g, NANO), "needs mul, add and sfu pipes"),
    "add": (NANO, lambda g: g.add(x32(g, 1, 4), g.input("b", (1, 4), "fp32")), "FADD: needs a add pipe"),
    "config 'eight'": (
        EIGHT,
        lambda g: g.rms_norm(x32(g, 1, 65), row(g, 65)),
        "must be at most 64 elements with 8 lanes",
    ),
    "scatter0": (NANO, lambda g: scatter_in(g, 4), "its instructions need one queue or stream at the same time"),
    "rope": (
        SMALL,
        lambda g: g.rope(x32(g, 1, 40), row(g, 20), row(g, 20)),
        "each half must be a multiple of 16 lanes",
    ),
    "out of memory": (SMALL, wide_softmax, "'x' fp32 .* does not fit the data groups of config 'small'"),
}


@pytest.mark.parametrize("name", CORE_REFUSALS)
def test_what_a_core_cannot_do_is_refused_in_a_line(name: str) -> None:
    config, build, rule = CORE_REFUSALS[name]
    graph = Graph()
    graph.output(build(graph))
    with pytest.raises(CompileError, match=f"{name}.*: .*{rule}") as caught:
        compile_graph(config, graph)
    assert name == "out of memory" or "\n" not in str(caught.value)
