"""`lpu bench check`: cycles, program bytes and area against the committed baseline."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from bench.check import Change, Figures, area_figures, compare, load_baseline, program_figures, save_baseline


def table(changes: list[Change]) -> Table:
    """A row per changed figure, regressions in red."""
    shown = Table(title="changed figures", title_justify="left")
    shown.add_column("figure")
    for column in ("baseline", "now", ""):
        shown.add_column(column, justify="right")
    for change in changes:
        verdict, style = ("worse", "red") if change.regression else ("within bounds", "green")
        cells = ("-" if value is None else f"{value:,}" for value in (change.before, change.now))
        shown.add_row(change.name, *cells, verdict, style=style)
    return shown


def measure(area: bool) -> Figures:
    """Today's figures; without synthesis, the baseline's own area figures stand in."""
    if area:
        return program_figures() | area_figures()
    return program_figures() | {name: value for name, value in load_baseline().items() if "/area/" in name}


@click.command()
@click.option("--update", is_flag=True, help="Rewrite the baseline with today's figures.")
@click.option("--area/--no-area", default=True, show_default=True, help="Also synthesise (minutes, cached).")
def check(update: bool, area: bool) -> None:
    """Compare with the committed baseline. Cycles, program bytes and area; exit code 1 on a regression."""
    console = Console()
    with console.status("compiling and synthesising" if area else "compiling"):
        now = measure(area)
    if update:
        save_baseline(now)
        console.print(f"{len(now)} figures written to bench/baseline.json")
        return
    changes = compare(load_baseline(), now)
    if changes:
        console.print(table(changes))
    worse = sum(change.regression for change in changes)
    console.print(f"{len(now)} figures: {len(now) - len(changes)} as in the baseline, {worse} worse")
    if worse:
        raise SystemExit(1)
