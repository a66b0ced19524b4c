"""`lpu verilog`: the core of a preset as one standalone Verilog file."""

from __future__ import annotations

from pathlib import Path

import click

from hdl.config import LpuConfig
from lpu.options import OutputPath, preset_option
from sim.build import core_verilog
from sim.files import write_atomically


@click.command()
@preset_option
@click.option("-o", "--output", type=OutputPath(), help="The file (else stdout).")
@click.option("--trace", is_flag=True, help="With the commit-trace ports.")
@click.option("--no-assertions", is_flag=True, help="Without the in-design checks.")
def verilog(config: LpuConfig, output: Path | None, trace: bool, no_assertions: bool) -> None:
    """Write the core as Verilog, top module lpu_core."""
    text = core_verilog(config.replace(trace=trace, assertions=not no_assertions))
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)
