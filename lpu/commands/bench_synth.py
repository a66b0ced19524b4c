"""`lpu bench synth`: what the core costs on an ECP5, per unit."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import synth as area
from hdl.config import LpuConfig
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from sim.files import write_atomically


def table(report: area.SynthReport) -> Table:
    """The report as a table: a row per unit, dearest first, then the total."""
    shown = Table(title=f"{report.preset}: yosys synth_ecp5, hierarchy kept", title_justify="left")
    shown.add_column("unit")
    for column in area.RESOURCES:
        shown.add_column(column.upper(), justify="right")
    for unit, counts in sorted(report.units.items(), key=lambda item: -item[1]["lut4"]):
        shown.add_row(unit, *(f"{counts[column]:,}" for column in area.RESOURCES))
    shown.add_section()
    shown.add_row("total", *(f"{report.total[column]:,}" for column in area.RESOURCES))
    shown.caption = f"{report.comb:,} LUT4 places with carry and RAM cells; an ECP5-85F has {area.ECP5_85F}"
    return shown


@click.command()
@preset_option
@json_option
def synth(config: LpuConfig, json_file: Path | None) -> None:
    """Area of the core on an ECP5. Per unit, by yosys; cached by the hash of the Verilog."""
    console = Console()
    with progress_bar(console, "synthesising modules", area.module_count(config)) as progress:
        report = area.synth(config, progress)
    console.print(table(report))
    if json_file is not None:
        write_atomically(json_file, json.dumps(report.as_dict(), indent=2) + "\n")
