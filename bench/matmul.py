"""Matrix products, int8 in and out, SRAM to SRAM: compiled, run on the RTL, checked against the golden operators."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.build import compile_graph
from compiler.evaluate import evaluate
from compiler.report import Report
from compiler.workloads import INPUT, OUTPUT, matmul_graph, matmul_input
from hdl.config import LpuConfig
from sim.run import run_image

Shape = tuple[int, int, int]
"""M, K, N."""
SEED = 0


@dataclass(frozen=True)
class MatmulResult:
    """What the compiler predicted, what the core took, and in how many values they differ."""

    shape: Shape
    report: Report
    measured: int
    wrong_values: int

    @property
    def exact(self) -> bool:
        return self.wrong_values == 0 and self.measured == self.report.cycles

    @property
    def verdict(self) -> str:
        """One line about values and cycles."""
        M, _, N = self.shape
        off = self.measured - self.report.cycles
        return f"{M * N - self.wrong_values:,} of {M * N:,} values equal the golden operators; {off:+d} cycles off"

    def as_dict(self) -> dict[str, object]:
        own = {"shape": self.shape, "measured_cycles": self.measured, "wrong_values": self.wrong_values}
        return {**own, **self.report.as_dict()}


def measure(config: LpuConfig, shape: Shape) -> MatmulResult:
    """Run one product on the simulated core. Raises CompileError when it does not fit, SimError."""
    M, K, N = shape
    graph = matmul_graph(config, M, K, N, SEED)
    compiled = compile_graph(config, graph)
    x = matmul_input(M, K, SEED)
    run = run_image(config, compiled.image, [{INPUT: x}])[0]
    wrong = int((run.outputs[OUTPUT] != evaluate(graph, {INPUT: x})[OUTPUT]).sum())
    return MatmulResult(shape, compiled.report, run.cycles, wrong)
