"""`lpu isa`: the instruction set, as tables or as docs/isa.md."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hdl.config import LpuConfig
from lpu.isa_reference import ReferenceTable, markdown, reference
from lpu.options import OutputPath, preset_option
from sim.files import write_atomically


def shown(table: ReferenceTable) -> Table:
    rich = Table(*table.head, title=table.title, title_justify="left")
    for row in table.rows:
        rich.add_row(*map(escape, row))
    return rich


@click.command()
@preset_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown instead of tables.")
@click.option("-o", "--output", type=OutputPath(), help="File for the Markdown.")
def isa(config: LpuConfig, as_markdown: bool, output: Path | None) -> None:
    """Instructions, fields, encodings and latencies of a preset."""
    if output is not None and not as_markdown:
        raise click.UsageError("-o needs --markdown")
    if output is not None:
        write_atomically(output, markdown(config))
    elif as_markdown:
        click.echo(markdown(config), nl=False)
    else:
        console = Console()
        for table in reference(config):
            console.print(shown(table))
