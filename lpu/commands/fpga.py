"""`lpu fpga`: the core on FPGA boards."""

from __future__ import annotations

import click

from lpu.group import CommandGroup


@click.group(cls=CommandGroup, prefix="fpga_")
def fpga() -> None:
    """Build the core for boards, and run it there."""
