"""Graphs for benchmarks: random operands from a seed, scales from what they produce."""

from __future__ import annotations

import numpy as np

from compiler.ir import CompileError, Graph
from golden.numerics import choose_requant
from hdl.config import LpuConfig

INPUT, OUTPUT = "x", "y"


def random_int8(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Uniform int8 of all 256 values, the same for the same seed."""
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def matmul_input(M: int, K: int, seed: int) -> np.ndarray:
    """int8 [M, K]: the activations that :func:`matmul_graph` of the same seed is scaled for."""
    return random_int8((M, K), seed)


def matmul_graph(config: LpuConfig, M: int, K: int, N: int, seed: int = 0) -> Graph:
    """Output ``y`` = requantise(``x`` [M, K] @ w [N, K].T), int8, for the input ``x`` of :func:`matmul_input`.

    Each channel has a multiplier and shift of its own, which map its largest sum to +-127.
    Raises CompileError when an operand is larger than the whole SRAM.
    """
    largest = max(M * K, K * N, M * N)
    if largest > config.sram_bytes:
        raise CompileError(
            f"matmul {M}x{K}x{N}: operand of {largest} bytes: must fit the {config.sram_bytes} of '{config.name}'"
        )
    weights = random_int8((N, K), seed + 1)
    sums = matmul_input(M, K, seed).astype(np.float64) @ weights.T
    scales = [choose_requant(config, 127 / max(1.0, peak)) for peak in np.abs(sums).max(axis=0).tolist()]
    graph = Graph(f"matmul_{M}x{K}x{N}")
    product = graph.matmul(graph.input(INPUT, (M, K)), graph.constant("w", weights))
    multipliers, shifts = zip(*scales, strict=True)
    graph.output(graph.requantise(product, multipliers, shifts, name=OUTPUT))
    return graph
