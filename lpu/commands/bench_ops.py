"""`lpu bench ops`: the float operators of a Llama block on the RTL, checked, and set beside their lower bounds."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.ops import CASES, OpResult, measure
from compiler.ir import CompileError
from hdl.config import LpuConfig
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from sim.files import write_atomically

LEFT = ("operator", "shape", "set by")


def table(config: LpuConfig, results: list[OpResult]) -> Table:
    """A row per operator: cycles predicted and measured, the lower bound and the pipe or data flow that sets it."""
    title = f"operators on {config.name}, cycles from SRAM to SRAM"
    shown = Table(title=title, title_justify="left", padding=(0, 1, 0, 0))  # 80 columns
    for column in ("operator", "shape", "predicted", "measured", "bound", "set by", "ratio", "bytes"):
        shown.add_column(column, justify="left" if column in LEFT else "right", no_wrap=True)
    for r in results:
        measured = ", ".join(f"{cycles:,}" for cycles in sorted(set(r.measured)))
        cycles = (f"{r.predicted:,}", measured, f"{r.bound:,}", r.bound_by, f"{r.ratio:.2f}")
        style = None if r.exact else "red"
        shown.add_row(r.case.name, r.case.shape, *cycles, f"{r.program_bytes:,}", style=style)
    return shown


@click.command()
@preset_option
@json_option
def ops(config: LpuConfig, json_file: Path | None) -> None:
    """Norm, softmax, RoPE, gate, scales, look-ups; exit code 1 when cycles or values are not exact."""
    console, results, refused = Console(), [], []
    with progress_bar(console, "compiling and simulating", len(CASES)) as progress:
        for number, case in enumerate(CASES, start=1):
            try:
                results.append(measure(config, case))
            except CompileError as error:
                refused.append(f"{case.name} {case.shape}: {str(error).splitlines()[0]}")
            progress(number)
    console.print(table(config, results))
    for line in refused:
        console.print(f"not on this core: {line}", markup=False)
    for wrong in (result for result in results if result.wrong_values):
        console.print(f"{wrong.case.name} {wrong.case.shape}: {wrong.wrong_values:,} wrong values")
    exact = sum(result.exact for result in results)
    console.print(f"{exact} of {len(results)}: every value equals the golden operators, every cycle as predicted")
    if json_file is not None:
        write_atomically(json_file, json.dumps([result.as_dict() for result in results], indent=2) + "\n")
    if exact != len(results):
        raise SystemExit(1)
