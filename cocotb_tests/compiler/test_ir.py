"""Graph rules: shapes, dtypes, names; and what fusing refuses or joins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from compiler.build import compile_graph
from compiler.fuse import Source, fuse
from compiler.ir import CompileError, DType, Graph, Tensor
from hdl.config import PipeKind, preset
from hdl.isa import AddOp, MulOp

SMALL, DUO = preset("small"), preset("duo")


def graph_with(m: int = 2, k: int = 3, dtype: str = "int8") -> tuple[Graph, Tensor]:
    graph = Graph()
    return graph, graph.input("x", (m, k), dtype)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.int64)


def single(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.float32)


def row(graph: Graph, columns: int = 3, name: str = "r") -> Tensor:
    return graph.constant(name, single(1, columns), "fp32")


def test_shapes_and_dtypes_of_results() -> None:
    graph, x = graph_with(2, 3)
    y = graph.matmul(x, graph.constant("w", zeros(5, 3)))
    assert (y.shape, y.dtype) == ((2, 5), DType.INT32)
    q = graph.requantise(y, 3, 4)
    assert (q.shape, q.dtype) == ((2, 5), DType.INT8)
    assert graph.mul(y, q).dtype is DType.INT32
    assert graph.add(q, q).dtype is DType.INT8
    assert graph.argmax(q).shape == (2, 1)
    assert [op.name for op in graph.ops] == ["matmul0", "requantise0", "mul0", "add0", "argmax0"]


def test_shapes_and_dtypes_of_floating_point_results() -> None:
    graph, x = graph_with(2, 6, "fp32")
    q, scale = graph.quantise(x)
    assert (q.shape, q.dtype, scale.shape, scale.dtype) == ((2, 6), DType.INT8, (2, 1), DType.FP32)
    half, full = row(graph, 3, "half"), row(graph, 6, "full")
    for y in (graph.rms_norm(x, full), graph.softmax(x, full), graph.rope(x, half, half), graph.silu_mul(x, x)):
        assert (y.shape, y.dtype) == ((2, 6), DType.FP32)
    assert graph.dequantise(q, full, scale).dtype is DType.FP32
    assert graph.quantise_static(x, full).dtype is DType.INT8
    assert (graph.argmax(x).shape, graph.relu(x).dtype) == ((2, 1), DType.FP32)
    cache, position = graph.state("cache", zeros(8, 6)), graph.input("p", (1, 1), "int32")
    limit, found = graph.causal_limit(position, 9), graph.gather(cache, position)
    assert (limit.shape, limit.dtype, found.shape, found.dtype) == ((1, 9), DType.FP32, (1, 6), DType.INT8)
    index = graph.kv_index(position, cache)
    assert (index.shape, index.dtype) == ((1, 16), DType.INT32)
    assert graph.kv_scatter(cache, index, found) is cache and graph.scatter(cache, position, found) is cache


Case = Callable[[Graph, Tensor], object]

REFUSED: list[tuple[str, Case]] = [
    (
        r"fc: 'w' int8 \[4, 2\]: weights \[N, K\] must have K = 3",
        lambda g, x: g.matmul(x, g.constant("w", zeros(4, 2)), "fc"),
    ),
    (r"fc: 'x' int8 \[2, 3\]: weights must be an int8 constant", lambda g, x: g.matmul(x, x, "fc")),
    (r"fc: 'y' int32 .*: activations must be int8", lambda g, x: g.matmul(g.input("y", (2, 3), "int32"), x, "fc")),
    (r"bias0: 'x' int8 \[2, 3\]: must be int32", lambda g, x: g.bias(x, g.constant("b", zeros(3), "int32"))),
    (
        r"bias0: 'b' int32 \[1, 2\]: bias must have shape \[1, 3\]",
        lambda g, x: g.bias(g.input("y", (2, 3), "int32"), g.constant("b", zeros(2), "int32")),
    ),
    (
        r"requantise0: 'y' .*: multiplier of 2 values: must be 1 or 3, one per channel",
        lambda g, x: g.requantise(g.input("y", (2, 3), "int32"), [1, 2], 0),
    ),
    (r"requantise0: 'x' int8 \[2, 3\]: must be int32", lambda g, x: g.requantise(x, 1, 0)),
    (r"add0: 'y' int8 \[2, 4\]: must have the shape of 'x'", lambda g, x: g.add(x, g.input("y", (2, 4)))),
    (r"add0: 'y' int32 .*: must have the dtype of 'x'", lambda g, x: g.add(x, g.input("y", (2, 3), "int32"))),
    (r"tensor 'x': name is already taken", lambda g, x: g.input("x", (1, 1))),
    (r"tensor 'y': shape \(0, 3\): must be \(M, N\)", lambda g, x: g.input("y", (0, 3))),
    (r"constant 'w': value 128: must be in -128..127", lambda g, x: g.constant("w", [[128]])),
    (r"constant 'w': float64 of 2 axes: must be an integer", lambda g, x: g.constant("w", [[0.5]])),
    (r"relu0: 'x' int8 \[1, 1\]: must belong to this graph", lambda g, x: g.relu(Graph().input("x", (1, 1)))),
    (r"output 'w' int8 .*: must be a state or a result", lambda g, x: g.output(g.constant("w", [[1]]))),
    (r"output 'x' int8 .*: must be a state or a result", lambda g, x: g.output(x)),
    (r"constant 'w': int64 of 2 axes: must be a floating-point matrix", lambda g, x: g.constant("w", [[1]], "fp32")),
    (r"state 's': value -129: must be in -128..127", lambda g, x: g.state("s", [[-129]])),
    (
        r"tensor 'x': name is already taken",
        lambda g, x: g.scatter(g.state("s", zeros(2, 3)), g.input("i", (1, 1), "int32"), g.input("y", (1, 3)), "x"),
    ),
]


Y = ("y", (2, 3), "fp32")
FLOAT_REFUSED: list[tuple[str, Case]] = [
    (r"rescale0: 'x' int8 .*: must be int32$", lambda g, x: g.rescale(x, row(g))),
    (r"rescale0: 'r' .*: must have shape \(1, 3\)$", lambda g, x: g.rescale(g.input("y", (2, 3), "int32"), row(g, 4))),
    (r"dequantise0: 'y' fp32 .*: must be int8 or int32$", lambda g, x: g.dequantise(g.input(*Y), row(g))),
    (r"dequantise0: 'r' .*: must have shape \(1, 3\)$", lambda g, x: g.dequantise(x, row(g, 2))),
    (r"dequantise0: 's' .*: must have shape \(2, 1\)$", lambda g, x: g.dequantise(x, row(g), row(g, 1, "s"))),
    (r"quantise0: 'x' int8 .*: must be fp32$", lambda g, x: g.quantise(x)),
    (r"quantise_static0: 'x' int8 .*: must be fp32$", lambda g, x: g.quantise_static(x, row(g))),
    (r"rms_norm0: 'x' int8 .*: must be fp32$", lambda g, x: g.rms_norm(x, row(g))),
    (r"rms_norm0: 'r' .*: must have shape \(1, 3\)$", lambda g, x: g.rms_norm(g.input(*Y), row(g, 1))),
    (
        r"rms_norm0: 'y' fp32 \[2, 1\]: must have at least 2 channels$",
        lambda g, x: g.rms_norm(g.input("y", (2, 1), "fp32"), row(g, 1)),
    ),
    (
        r"softmax0: 'y' fp32 \[2, 1\]: must have at least 2 channels$",
        lambda g, x: g.softmax(g.input("y", (2, 1), "fp32"), row(g, 1)),
    ),
    (r"softmax0: 'r' .*: must have shape \(1, 3\)$", lambda g, x: g.softmax(g.input(*Y), row(g, 2))),
    (r"rope0: 'y' .*: must have an even number of channels$", lambda g, x: g.rope(g.input(*Y), row(g), row(g, 3, "s"))),
    (
        r"rope0: 's' .*: must have shape \(1, 2\)$",
        lambda g, x: g.rope(g.input("y", (1, 4), "fp32"), row(g, 2), row(g, 4, "s")),
    ),
    (r"silu_mul0: 'r' .*: must have shape \(2, 3\)$", lambda g, x: g.silu_mul(g.input(*Y), row(g))),
    (r"add0: 'x' int8 .*: must have the dtype of 'y'", lambda g, x: g.add(g.input(*Y), x)),
    (r"mul0: 'x' int8 .*: must have the dtype of 'y'", lambda g, x: g.mul(g.input(*Y), x)),
    (r"causal_limit0: 'x' .*: must be int32 \[1, 1\]$", lambda g, x: g.causal_limit(x, 3)),
    (r"gather0: 'x' .*: must be a constant or a state$", lambda g, x: g.gather(x, g.input("i", (1, 1), "int32"))),
    (r"gather0: 'x' .*: must be int32 \[1, 1\]$", lambda g, x: g.gather(g.state("s", zeros(2, 3)), x)),
    (
        r"scatter0: 'c' .*: must be a state$",
        lambda g, x: g.scatter(g.constant("c", zeros(2, 3)), g.input("i", (1, 1), "int32"), x),
    ),
    (
        r"scatter0: 'x' int8 \[2, 3\]: must have shape \[1, 3\]$",
        lambda g, x: g.scatter(g.state("c", zeros(2, 3)), g.input("i", (1, 1), "int32"), x),
    ),
    (
        r"scatter0: 'r' .*: must have the dtype of 'c'",
        lambda g, x: g.scatter(g.state("c", zeros(2, 3)), g.input("i", (1, 1), "int32"), row(g)),
    ),
    (
        r"kv_index0: 'c' int8 \[1, 3\]: must be an int8 state of at least 2 rows and 2 channels$",
        lambda g, x: g.kv_index(g.input("i", (1, 1), "int32"), g.state("c", zeros(1, 3))),
    ),
    (
        r"kv_scatter0: 'c' int32 .*: must be an int8 state of at least 2 rows and 2 channels$",
        lambda g, x: g.kv_scatter(g.state("c", zeros(2, 3), "int32"), g.input("i", (1, 16), "int32"), x),
    ),
]


@pytest.mark.parametrize(("message", "case"), [*REFUSED, *FLOAT_REFUSED])
def test_a_malformed_graph_is_refused_with_operator_value_and_rule(message: str, case: Case) -> None:
    with pytest.raises(CompileError, match=message):
        case(*graph_with())


def test_graph_without_outputs_is_refused() -> None:
    graph, x = graph_with()
    graph.relu(x)
    with pytest.raises(CompileError, match=r"graph 'graph': 1 operators, 0 outputs: must have at least one of each"):
        compile_graph(SMALL, graph)


# --------------------------------------------------------------------------- fuse


def test_matmul_bias_requantise_relu_are_one_pass() -> None:
    graph, x = graph_with()
    sums = graph.bias(graph.matmul(x, graph.constant("w", zeros(4, 3))), graph.constant("b", zeros(4), "int32"))
    graph.output(graph.relu(graph.requantise(sums, [1, 2, 3, 4], 5)))
    (p,) = fuse(DUO, graph)
    assert p.source is Source.MATMUL
    assert [stage.pipe for stage in p.stages] == [PipeKind.INT, PipeKind.REQUANT, PipeKind.INT]


def test_matmul_dequantise_residual_are_one_pass() -> None:
    graph, x = graph_with()
    sums = graph.matmul(x, graph.constant("w", zeros(4, 3)))
    residual = graph.input("y", (2, 4), "fp32")
    graph.output(graph.add(residual, graph.dequantise(sums, row(graph, 4), graph.input("s", (2, 1), "fp32"))))
    (p,) = fuse(SMALL, graph)
    assert p.source is Source.MATMUL
    assert [stage.op for stage in p.stages] == [AddOp.I2F, MulOp.FMUL, MulOp.FMUL, AddOp.FADD]
    assert p.stages[-1].operand is residual


def test_an_int8_factor_of_the_requant_pipe_is_widened_by_a_pass_before() -> None:
    graph, x = graph_with()
    sums = graph.matmul(x, graph.constant("w", zeros(3, 3)))
    graph.output(graph.mul(sums, x))
    widen, product = fuse(DUO, graph)
    assert (widen.x, widen.output.dtype) == (x, DType.INT32)
    assert (product.source, product.stages[-1].operand) == (Source.MATMUL, widen.output)


def test_an_operator_is_not_fused_across_a_change_of_a_state_that_it_reads() -> None:
    graph, x = graph_with(1, 3)
    state = graph.state("s", zeros(1, 3), "int32")
    sums = graph.matmul(x, graph.constant("w", zeros(3, 3)))
    graph.scatter(state, graph.input("i", (1, 1), "int32"), graph.input("y", (1, 3), "int32"))
    graph.output(graph.add(sums, state))
    assert [p.source for p in fuse(SMALL, graph)] == [Source.MATMUL, Source.ROW, Source.SRAM]


def test_no_stage_that_saturation_changes_follows_a_saturating_one() -> None:
    graph, x = graph_with()
    codes = graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 1, 0)
    graph.output(graph.add(codes, x))
    assert [len(p.stages) for p in fuse(DUO, graph)] == [1, 1]


def test_a_value_with_two_readers_or_an_output_is_not_fused() -> None:
    graph, x = graph_with()
    sums = graph.matmul(x, graph.constant("w", zeros(3, 3)))
    graph.output(sums)
    graph.output(graph.relu(sums))
    assert len(fuse(SMALL, graph)) == 2


def test_an_operand_computed_later_is_not_fused_into_an_earlier_pass() -> None:
    graph, x = graph_with()
    a = graph.matmul(x, graph.constant("w", zeros(3, 3)))
    b = graph.matmul(x, graph.constant("v", zeros(3, 3)))
    graph.output(graph.sub(a, b))
    first, second = fuse(SMALL, graph)
    assert not first.stages
    assert [stage.operand for stage in second.stages] == [a]


def test_an_operand_computed_later_is_not_fused_even_where_the_later_pass_is_closed() -> None:
    graph, x = graph_with()
    a = graph.matmul(x, graph.constant("w", zeros(3, 3)))
    b = graph.output(graph.matmul(x, graph.constant("v", zeros(3, 3))))
    graph.output(graph.sub(a, b))
    assert [p.source for p in fuse(SMALL, graph)] == [Source.MATMUL, Source.MATMUL, Source.SRAM]


def test_an_operator_without_its_pipe_is_refused() -> None:
    graph, x = graph_with()
    graph.output(graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 1, 0))
    with pytest.raises(CompileError, match=r"^requantise0: REQUANT: needs a requant pipe; the core has int, mul, add"):
        compile_graph(SMALL, graph)


NEEDS_FLOATS: dict[str, Callable[[Graph], Tensor]] = {
    "I2F: needs a add pipe": lambda g: g.rescale(g.input("a", (1, 4), "int32"), row(g, 4)),
    "FMUL: needs a mul pipe": lambda g: g.mul(g.input("a", (1, 4), "fp32"), g.input("b", (1, 4), "fp32")),
    "needs mul, add and sfu pipes": lambda g: g.quantise(g.input("a", (1, 4), "fp32"))[0],
    "needs mul, add and sfu": lambda g: g.argmax(g.input("a", (1, 4), "fp32")),
    "FMAX: needs a pipe for fp32": lambda g: g.relu(g.input("a", (1, 4), "fp32")),
}


@pytest.mark.parametrize("rule", NEEDS_FLOATS)
def test_floating_point_is_refused_without_its_pipes(rule: str) -> None:
    graph = Graph()
    graph.output(NEEDS_FLOATS[rule](graph))
    with pytest.raises(CompileError, match=rf"^\w+: {rule}.*; the core has int, requant$"):
        compile_graph(preset("tiny"), graph)


def test_a_requantisation_word_beyond_the_core_is_refused() -> None:
    graph, x = graph_with()
    graph.output(graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 256, 0))
    with pytest.raises(CompileError, match=r"requantise0: config 'tiny': requant multiplier = 256: must be in 0..255"):
        compile_graph(preset("tiny"), graph)


def test_a_product_whose_operands_are_both_too_wide_is_refused() -> None:
    graph, x = graph_with(dtype="int32")
    graph.output(graph.mul(x, graph.input("z", (2, 3), "int32")))
    with pytest.raises(
        CompileError, match=r"mul0: 'x' .* \* 'z' .*: one operand must be int8 or a constant of 16 signed"
    ):
        compile_graph(DUO, graph)


def test_names_that_operators_add_are_taken() -> None:
    graph, x = graph_with()
    graph.output(graph.add(x, graph.constant("argmax0.number", zeros(2, 3))))
    graph.output(graph.argmax(x))
    with pytest.raises(
        CompileError, match=r"^graph 'graph': tensor 'argmax0.number': an operator adds one of this name"
    ):
        compile_graph(SMALL, graph)


def test_a_state_that_is_only_an_output_is_refused() -> None:
    graph, x = graph_with()
    graph.output(graph.relu(x))
    graph.output(graph.state("s", zeros(2, 3)))
    with pytest.raises(CompileError, match=r"^graph 'graph': output 's' int8 \[2, 3\]: no operator uses this state$"):
        compile_graph(SMALL, graph)
