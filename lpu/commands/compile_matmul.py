"""`lpu compile matmul`: a matrix product with random weights."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.build import compile_graph
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig
from lpu.commands.compile import show
from lpu.options import image_option, preset_option


@click.command()
@click.argument("m", type=click.IntRange(min=1))
@click.argument("k", type=click.IntRange(min=1))
@click.argument("n", type=click.IntRange(min=1))
@image_option
@preset_option
def matmul(m: int, k: int, n: int, output: Path, config: LpuConfig) -> None:
    """Y = requantise(X [M, K] @ W [N, K].T), int8, SRAM to SRAM."""
    compiled = compile_graph(config, matmul_graph(config, m, k, n))
    compiled.image.save(output)
    show(compiled)
