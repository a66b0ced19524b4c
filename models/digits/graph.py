"""The int8 perceptron as a compiler graph: one image a run."""

from __future__ import annotations

from compiler.ir import Graph
from compiler.workloads import scaled_to_int8
from hdl.config import LpuConfig
from models.digits.data import PIXELS
from models.digits.model import Int8Model


def digits_graph(config: LpuConfig, model: Int8Model) -> Graph:
    """Input ``image`` int8 [1, 64]; outputs ``logits`` int32 [1, 10] and ``digit`` int32 [1, 1]."""
    graph = Graph("digits")
    image = graph.input("image", (1, PIXELS))
    hidden = graph.bias(graph.matmul(image, graph.constant("w1", model.w1)), graph.constant("c1", model.c1, "int32"))
    codes = graph.relu(scaled_to_int8(config, graph, hidden, model.scale, "codes"), name="hidden")
    sums = graph.matmul(codes, graph.constant("w2", model.w2))
    logits = graph.bias(sums, graph.constant("c2", model.c2, "int32"), name="logits")
    graph.output(logits)
    graph.output(graph.argmax(logits, name="digit"))
    return graph
