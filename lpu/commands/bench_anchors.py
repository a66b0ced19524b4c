"""`lpu bench anchors`: the matrix products that other open accelerators publish cycles for."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from bench.check import MATMULS
from bench.matmul import measure
from hdl.config import LpuConfig
from lpu.commands.bench_matmul import table
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from sim.files import write_atomically


@click.command()
@preset_option
@json_option
def anchors(config: LpuConfig, json_file: Path | None) -> None:
    """The anchor workloads on the RTL; exit code 1 when cycles or values are not exact."""
    console, results = Console(), []
    with progress_bar(console, "compiling and simulating", len(MATMULS)) as progress:
        for shape in MATMULS:
            results.append(measure(config, shape))
            progress(len(results))
    console.print(table(results))
    exact = sum(result.exact for result in results)
    console.print(f"{exact} of {len(results)}: every value equals the golden operators, every cycle as predicted")
    if json_file is not None:
        write_atomically(json_file, json.dumps([result.as_dict() for result in results], indent=2) + "\n")
    if exact != len(results):
        raise SystemExit(1)
