"""`lpu bench`: measurements; each prints a table and can write JSON."""

from __future__ import annotations

import click

from lpu.group import CommandGroup


@click.group(cls=CommandGroup, prefix="bench_")
def bench() -> None:
    """Measure cycles and area."""
