"""The float operators of a Llama block, SRAM to SRAM: compiled, run, checked against the golden operators, and set
beside the lower bounds of ``bench/op_bounds.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import op_bounds as bounds
from bench.op_bounds import Core, Limits
from compiler.build import CompiledProgram, compile_graph
from compiler.evaluate import Arrays, bits, evaluate
from compiler.image import ProgramImage
from compiler.ir import DType, Graph, Tensor
from compiler.workloads import random_inputs
from hdl.config import LpuConfig, PipeKind
from sim.run import run_image

SEED = 0
ITEMS = 2
"""Runs of each program, on different inputs; states go on from one to the next."""

Runs = Sequence[tuple[Arrays, int]]
"""Outputs and cycles of each run."""
Runner = Callable[[ProgramImage, Sequence[Arrays]], Runs]


@dataclass(frozen=True)
class Case:
    """An operator on one shape. ``build`` adds it to a graph; ``most``: indices are below it."""

    name: str
    shape: str
    build: Callable[[Graph, np.random.Generator], Tensor]
    limits: Callable[[Core], Limits]
    most: int = 1

    def graph(self) -> Graph:
        graph = Graph(self.name)
        graph.output(self.build(graph, np.random.default_rng(SEED)))
        for op in graph.ops:
            for tensor in op.extra:
                graph.output(tensor)
        return graph

    def inputs(self, graph: Graph) -> list[Arrays]:
        rng = np.random.default_rng(SEED + 1)
        return [random_inputs(graph, rng, self.most) for _ in range(ITEMS)]


@dataclass(frozen=True)
class OpResult:
    """What the compiler predicted, what each run took, in how many values they differ, and the bounds."""

    case: Case
    predicted: int
    measured: tuple[int, ...]
    wrong_values: int
    program_bytes: int
    limits: Limits

    @property
    def bound(self) -> int:
        return max(self.limits.values())

    @property
    def bound_by(self) -> str:
        return max(self.limits, key=lambda what: self.limits[what])

    @property
    def ratio(self) -> float:
        """Predicted cycles / bound, at least 1."""
        return self.predicted / self.bound

    @property
    def exact(self) -> bool:
        return self.wrong_values == 0 and set(self.measured) == {self.predicted}

    def as_dict(self) -> dict[str, object]:
        return {
            "operator": self.case.name,
            "shape": self.case.shape,
            "predicted_cycles": self.predicted,
            "measured_cycles": list(self.measured),
            "bound_cycles": self.bound,
            "bound_by": self.bound_by,
            "limits": dict(self.limits),
            "ratio": self.ratio,
            "program_bytes": self.program_bytes,
            "wrong_values": self.wrong_values,
        }


# ------------------------------------------------------------------------- cases


def _fp32(graph: Graph, name: str, m: int, n: int) -> Tensor:
    return graph.input(name, (m, n), DType.FP32)


def _row(graph: Graph, rng: np.random.Generator, name: str, n: int) -> Tensor:
    """A constant fp32 [1, n] around 1."""
    return graph.constant(name, rng.uniform(0.5, 1.5, (1, n)).astype(np.float32), DType.FP32)


def _codes(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    return rng.integers(-128, 128, (rows, n))


def _index(graph: Graph) -> Tensor:
    return graph.input("index", (1, 1), DType.INT32)


def rms_norm(m: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        return graph.rms_norm(_fp32(graph, "x", m, n), _row(graph, rng, "gain", n))

    return Case("rms_norm", f"{m}x{n}", build, lambda core: bounds.rms_norm(core, m, n))


def softmax(m: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        limit = np.where(np.arange(n) < max(1, 3 * n // 4), np.inf, -np.inf)
        return graph.softmax(_fp32(graph, "t", m, n), graph.constant("limit", limit, DType.FP32))

    return Case("softmax", f"{m}x{n}", build, lambda core: bounds.softmax(core, m, n))


def rope(m: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        angle = rng.uniform(0, 2 * np.pi, (1, n // 2))
        cos, sin = graph.constant("cos", np.cos(angle), DType.FP32), graph.constant("sin", np.sin(angle), DType.FP32)
        return graph.rope(_fp32(graph, "x", m, n), cos, sin)

    return Case("rope", f"{m}x{n}", build, lambda core: bounds.rope(core, m, n))


def silu_mul(m: int, n: int) -> Case:
    pipes = (PipeKind.MUL, PipeKind.SFU, PipeKind.ADD, PipeKind.SFU, PipeKind.MUL, PipeKind.MUL)
    return Case(
        "silu_mul",
        f"{m}x{n}",
        lambda graph, rng: graph.silu_mul(_fp32(graph, "a", m, n), _fp32(graph, "b", m, n)),
        lambda core: bounds.chain(core, m, n, *pipes),
    )


def residual_add(m: int, n: int) -> Case:
    """What follows a matrix product: dequantise with both scales, and add."""

    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        acc, scale = graph.input("acc", (m, n), DType.INT32), _fp32(graph, "row_scale", m, 1)
        y = graph.dequantise(acc, _row(graph, rng, "weight_scale", n), scale)
        return graph.add(y, _fp32(graph, "residual", m, n))

    pipes = (PipeKind.ADD, PipeKind.MUL, PipeKind.MUL, PipeKind.ADD)
    return Case("dequantise, add", f"{m}x{n}", build, lambda core: bounds.chain(core, m, n, *pipes))


def dequantise(m: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        return graph.dequantise(graph.input("acc", (m, n), DType.INT32), _row(graph, rng, "weight_scale", n))

    return Case("dequantise", f"{m}x{n}", build, lambda core: bounds.chain(core, m, n, PipeKind.ADD, PipeKind.MUL))


def quantise(m: int, n: int) -> Case:
    return Case(
        "quantise",
        f"{m}x{n}",
        lambda graph, rng: graph.quantise(_fp32(graph, "x", m, n))[0],
        lambda core: bounds.quantise(core, m, n),
    )


def quantise_static(m: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        return graph.quantise_static(_fp32(graph, "x", m, n), _row(graph, rng, "factor", n))

    pipes = (PipeKind.MUL, PipeKind.INT)
    return Case("quantise_static", f"{m}x{n}", build, lambda core: bounds.chain(core, m, n, *pipes))


def gather(rows: int, n: int) -> Case:
    return Case(
        "gather int8",
        f"{rows}x{n}",
        lambda graph, rng: graph.gather(graph.constant("table", _codes(rng, rows, n)), _index(graph)),
        lambda core: bounds.gather(core, n),
        rows,
    )


def scatter(rows: int, n: int) -> Case:
    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        return graph.scatter(graph.state("cache", _codes(rng, rows, n)), _index(graph), graph.input("row", (1, n)))

    return Case("scatter int8", f"{rows}x{n}", build, lambda core: bounds.scatter(core, n), rows)


def kv_scatter(rows: int, n: int) -> Case:
    """With the kv_index that it needs."""

    def build(graph: Graph, rng: np.random.Generator) -> Tensor:
        cache = graph.state("cache", _codes(rng, rows, n))
        return graph.kv_scatter(cache, graph.kv_index(_index(graph), cache), graph.input("row", (1, n)))

    return Case("kv_scatter", f"{rows}x{n}", build, lambda core: bounds.kv_scatter(core, n), rows)


def causal_limit(n: int) -> Case:
    return Case(
        "causal_limit",
        f"1x{n}",
        lambda graph, rng: graph.causal_limit(_index(graph), n),
        lambda core: bounds.causal_limit(core, n),
        n,
    )


def argmax(m: int, n: int) -> Case:
    return Case(
        "argmax fp32",
        f"{m}x{n}",
        lambda graph, rng: graph.argmax(_fp32(graph, "x", m, n)),
        lambda core: bounds.argmax(core, m, n),
    )


CASES: tuple[Case, ...] = (
    rms_norm(1, 64),
    softmax(1, 128),
    softmax(8, 128),
    rope(1, 64),
    silu_mul(1, 172),
    residual_add(1, 64),
    quantise(1, 64),
    quantise_static(1, 64),
    dequantise(1, 64),
    gather(128, 64),
    scatter(128, 32),
    kv_scatter(128, 32),
    causal_limit(128),
    argmax(1, 512),
)
"""Shapes of a Llama with dim 64, hidden 172, 8 heads, 4 KV heads, vocabulary 512, context 128."""

# --------------------------------------------------------------------- measuring


def on_rtl(image: ProgramImage, items: Sequence[Arrays]) -> Runs:
    """Runs on the simulated core. Raises SimError."""
    return [(run.outputs, run.cycles) for run in run_image(image.config, image, items)]


def compiled(config: LpuConfig, case: Case) -> CompiledProgram:
    """Raises CompileError for what the core cannot do or hold."""
    return compile_graph(config, case.graph())


def measure(config: LpuConfig, case: Case, runner: Runner = on_rtl) -> OpResult:
    """Compile, run and compare all bits. Raises CompileError for what the core cannot do or hold, SimError."""
    graph = case.graph()
    program = compile_graph(config, graph)
    items = case.inputs(graph)
    runs = runner(program.image, items)
    states: Arrays = {}
    wrong = sum(
        _differing(outputs, evaluate(graph, item, states)) for item, (outputs, _) in zip(items, runs, strict=True)
    )
    report = program.report
    cycles = tuple(cycles for _, cycles in runs)
    return OpResult(case, report.cycles, cycles, wrong, report.program_bytes, case.limits(Core(config)))


def _differing(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> int:
    """Values with other bits."""
    return sum(int((bits(found[name]) != bits(value)).sum()) for name, value in expected.items())
