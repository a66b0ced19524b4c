"""`lpu fpga list`: the boards."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from fpga.boards import BOARDS


@click.command(name="list")
def list() -> None:
    """The boards: part, preset, clock, and whether `lpu fpga run` talks to them."""
    shown = Table()
    for column in ("board", "part", "preset"):
        shown.add_column(column, no_wrap=True)
    for column in ("MHz", "baud"):
        shown.add_column(column, justify="right")
    shown.add_column("lpu fpga", no_wrap=True)
    for board in BOARDS.values():
        what = "build, run" if board.runs else "build"
        shown.add_row(board.name, board.part, board.preset, f"{board.clock_mhz:g}", f"{board.baud:,}", what)
    Console().print(shown)
