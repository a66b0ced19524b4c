"""Graphs for benchmarks: random operands from a seed, scales from what they produce."""

from __future__ import annotations

import numpy as np

from compiler.evaluate import Arrays
from compiler.ir import CompileError, DType, Graph, Tensor
from golden.numerics import choose_requant
from hdl.config import LpuConfig

INPUT, OUTPUT = "x", "y"


def random_int8(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Uniform int8 of all 256 values, the same for the same seed."""
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def random_inputs(graph: Graph, rng: np.random.Generator, most: int = 1) -> Arrays:
    """Values of a graph's inputs: fp32 of one order of magnitude, int8 of all values, int32 of 20 bits.

    int32 [1, 1] is an index or a position, below ``most``.
    """
    return {tensor.name: _random(rng, tensor, most) for tensor in graph.inputs}


def _random(rng: np.random.Generator, tensor: Tensor, most: int) -> np.ndarray:
    if tensor.dtype is DType.FP32:
        return (4 * rng.standard_normal(tensor.shape)).astype(np.float32)
    if tensor.dtype is DType.INT8:
        return rng.integers(-128, 128, tensor.shape, dtype=np.int8)
    low, high = (0, most) if tensor.shape == (1, 1) else (-(1 << 19), 1 << 19)
    return rng.integers(low, high, tensor.shape, dtype=np.int32)


def matmul_input(M: int, K: int, seed: int) -> np.ndarray:
    """int8 [M, K]: the activations that :func:`matmul_graph` of the same seed is scaled for."""
    return random_int8((M, K), seed)


def matmul_graph(config: LpuConfig, M: int, K: int, N: int, seed: int = 0) -> Graph:
    """Output ``y`` = rescale(``x`` [M, K] @ w [N, K].T), int8, for the input ``x`` of :func:`matmul_input`.

    Each channel has a factor of its own, which maps its largest sum to +-127; on a core without floating point, a
    multiplier and a shift, and ``y`` = requantise(...).
    Raises CompileError when an operand is larger than the whole SRAM.
    """
    largest = max(M * K, K * N, M * N)
    if largest > config.sram_bytes:
        raise CompileError(
            f"matmul {M}x{K}x{N}: operand of {largest} bytes: must fit the {config.sram_bytes} of '{config.name}'"
        )
    weights = random_int8((N, K), seed + 1)
    sums = matmul_input(M, K, seed).astype(np.float64) @ weights.T
    scales = 127 / np.maximum(1.0, np.abs(sums).max(axis=0))
    graph = Graph(f"matmul_{M}x{K}x{N}")
    product = graph.matmul(graph.input(INPUT, (M, K)), graph.constant("w", weights))
    graph.output(scaled_to_int8(config, graph, product, scales, OUTPUT))
    return graph


def scaled_to_int8(config: LpuConfig, graph: Graph, x: Tensor, scales: np.ndarray, name: str) -> Tensor:
    """x int32 * scales [N] as int8, by the arithmetic that the core has. Raises NumericsError."""
    if config.has_floats:
        return graph.rescale(x, graph.constant(f"{name}.factor", scales.astype(np.float32), "fp32"), name=name)
    multipliers, shifts = zip(*(choose_requant(config, scale) for scale in scales.tolist()), strict=True)
    return graph.requantise(x, multipliers, shifts, name=name)
