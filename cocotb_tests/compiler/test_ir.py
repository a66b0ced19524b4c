"""Graph rules: shapes, dtypes, names; and what fusing refuses or joins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from compiler.build import compile_graph
from compiler.fuse import Source, fuse
from compiler.ir import CompileError, DType, Graph, Tensor
from hdl.config import AluKind, preset

SMALL = preset("small")


def graph_with(m: int = 2, k: int = 3, dtype: str = "int8") -> tuple[Graph, Tensor]:
    graph = Graph()
    return graph, graph.input("x", (m, k), dtype)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.int64)


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
    (r"argmax0: 'y' .*: value_bits = 0: state the width", lambda g, x: g.argmax(g.input("y", (2, 3), "int32"))),
    (
        r"argmax0: 'y' .*: value_bits \+ index bits = 33: must be at most 32",
        lambda g, x: g.argmax(g.input("y", (2, 3), "int32"), value_bits=31),
    ),
    (r"tensor 'x': name is already taken", lambda g, x: g.input("x", (1, 1))),
    (r"tensor 'y': shape \(0, 3\): must be \(M, N\)", lambda g, x: g.input("y", (0, 3))),
    (r"constant 'w': value 128: must be in -128..127", lambda g, x: g.constant("w", [[128]])),
    (r"constant 'w': float64 of 2 axes: must be an integer", lambda g, x: g.constant("w", [[0.5]])),
    (r"relu0: 'x' int8 \[1, 1\]: must belong to this graph", lambda g, x: g.relu(Graph().input("x", (1, 1)))),
    (r"output 'w' int8 .*: must be an input or a result", lambda g, x: g.output(g.constant("w", [[1]]))),
]


@pytest.mark.parametrize(("message", "case"), REFUSED)
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
    (p,) = fuse(SMALL, graph)
    assert p.source is Source.MATMUL
    assert [stage.alu for stage in p.stages] == [0, 1, 2]


def test_no_stage_that_saturation_changes_follows_a_saturating_one() -> None:
    graph, x = graph_with()
    codes = graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 1, 0)
    graph.output(graph.add(codes, x))
    assert [len(p.stages) for p in fuse(SMALL, graph)] == [1, 1]


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


def test_a_chain_without_the_right_alu_is_refused() -> None:
    graph, x = graph_with()
    graph.output(graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 1, 0))
    config = SMALL.replace(name="adders", alus=(AluKind.INT,))
    with pytest.raises(CompileError, match=r"requantise0: REQUANT: needs a requant ALU; the chain has int"):
        compile_graph(config, graph)


def test_argmax_needs_two_int_alus() -> None:
    graph, x = graph_with()
    graph.output(graph.argmax(x))
    config = SMALL.replace(name="short", alus=(AluKind.REQUANT, AluKind.INT))
    with pytest.raises(CompileError, match=r"argmax0: needs two int ALUs; the chain has requant, int"):
        compile_graph(config, graph)


def test_a_requantisation_word_beyond_the_core_is_refused() -> None:
    graph, x = graph_with()
    graph.output(graph.requantise(graph.matmul(x, graph.constant("w", zeros(3, 3))), 256, 0))
    with pytest.raises(CompileError, match=r"requantise0: config 'nano': requant multiplier = 256: must be in 0..255"):
        compile_graph(preset("nano"), graph)


def test_a_product_whose_operands_are_both_too_wide_is_refused() -> None:
    graph, x = graph_with(dtype="int32")
    graph.output(graph.mul(x, graph.input("z", (2, 3), "int32")))
    with pytest.raises(
        CompileError, match=r"mul0: 'x' .* \* 'z' .*: one operand must be int8 or a constant of 16 signed"
    ):
        compile_graph(SMALL, graph)


def test_argmax_over_more_channels_than_the_multiplier_can_scale_is_refused() -> None:
    graph, x = graph_with(1, 129)
    graph.output(graph.argmax(x))
    with pytest.raises(CompileError, match=r"argmax0: .*: 2\^8 must fit mult_bits = 8 unsigned bits"):
        compile_graph(preset("nano"), graph)
