"""`lpu bench matmul`: a matrix product, compiled, run on the RTL, checked, and set beside its lower bound."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.matmul import MatmulResult, measure
from hdl.config import LpuConfig
from lpu.options import json_option, preset_option
from sim.files import write_atomically


def table(results: list[MatmulResult]) -> Table:
    """A row per product: cycles predicted and measured, the lower bound and the queue that sets it."""
    shown = Table(title=f"int8 matrix products on {results[0].report.config}, cycles", title_justify="left")
    for column in ("M x K x N", "predicted", "measured", "bound", "set by", "ratio", "MXM busy", "bytes"):
        shown.add_column(column, justify="left" if column in ("M x K x N", "set by") else "right", no_wrap=True)
    for result in results:
        report = result.report
        numbers = (f"{report.cycles:,}", f"{result.measured:,}", f"{report.bound_cycles:,}", report.bound_by)
        shares = (f"{report.ratio:.3f}", f"{report.matrix_occupancy:.1%}", f"{report.program_bytes:,}")
        shown.add_row("x".join(map(str, result.shape)), *numbers, *shares)
    return shown


@click.command()
@click.argument("m", type=click.IntRange(min=1))
@click.argument("k", type=click.IntRange(min=1))
@click.argument("n", type=click.IntRange(min=1))
@preset_option
@json_option
def matmul(m: int, k: int, n: int, config: LpuConfig, json_file: Path | None) -> None:
    """Y = requantise(X [M, K] @ W [N, K].T), int8, SRAM to SRAM; exit code 1 when cycles or values are not exact."""
    console = Console()
    with console.status("compiling and simulating"):
        result = measure(config, (m, k, n))
    console.print(table([result]))
    console.print(result.verdict)
    if json_file is not None:
        write_atomically(json_file, json.dumps(result.as_dict(), indent=2) + "\n")
    if not result.exact:
        raise SystemExit(1)
