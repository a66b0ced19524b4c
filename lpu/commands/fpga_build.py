"""`lpu fpga build`: a bitstream, and what it took."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fpga import FpgaError
from fpga.boards import board as board_named
from fpga.build import build as build_board
from fpga.pll import MHZ, fastest_below
from fpga.report import BuildReport
from fpga.top import board_frequency
from lpu.options import OutputPath, json_option, named_config
from lpu.progress import phases
from sim.files import write_atomically

PICTURE = Path("build")


def tables(report: BuildReport) -> list[Table]:
    """Resources, placements, and cells per unit."""
    title = f"{report.preset} on {report.board}, {report.part}, {report.clock_mhz:g} MHz"
    used = Table(title=title, title_justify="left")
    used.add_column("resource")
    for column in ("used", "available", "%"):
        used.add_column(column, justify="right")
    for name, count in report.used.items():
        available = report.available[name]
        share = f"{100 * count / available:.0f}" if available else "-"
        used.add_row(name, f"{count:,}", f"{available:,}", share)
    seeds = Table()
    for column in ("seed", "Fmax MHz", "critical path ns"):
        seeds.add_column(column, justify="right")
    seeds.add_column("from ... to")
    for placement in report.placements:
        path = f"{placement.path_from} ... {placement.path_to}"
        style = "green" if placement.fmax_mhz >= report.clock_mhz else "red"
        seeds.add_row(str(placement.seed), f"{placement.fmax_mhz:.2f}", f"{placement.path_ns:.2f}", path, style=style)
    units = Table()
    units.add_column("unit")
    for column in ("lut", "ff", "dsp", "bram", "spram"):
        units.add_column(column.upper(), justify="right")
    for name, counts in report.units.items():
        units.add_row(name, *(f"{count:,}" for count in counts.values()))
    return [used, seeds, units]


def timing_error(report: BuildReport) -> str:
    """What a build that misses its clock says: Fmax, the path, and the clock that would do."""
    platform, best = board_named(report.board).load(), report.best
    reachable = fastest_below(report.family, board_frequency(platform), best.fmax_mhz * MHZ)
    other = "" if reachable is None else f"; --clock {reachable / MHZ:g} would be met"
    return (
        f"timing not met: {report.preset} on {report.board} reaches {best.fmax_mhz:.2f} of {report.clock_mhz:g} MHz "
        f"(critical path from {best.path_from} to {best.path_to}){other}"
    )


@click.command()
@click.option("--board", "board_name", required=True, metavar="NAME", help="Which board; `lpu fpga list`.")
@click.option("--preset", "preset_name", metavar="NAME|FILE.toml", help="Which core (else the board's).")
@click.option("--clock", metavar="MHZ", type=float, help="Clock of the core (else the board's).")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1, 100), help="Placements to try.")
@click.option("--picture", type=OutputPath(), help="The picture (else build/fpga-BOARD-PRESET.png).")
@json_option
def build(
    board_name: str,
    preset_name: str | None,
    clock: float | None,
    seeds: int,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    """Build a bitstream. Utilisation, timing of every placement, cells per unit, and a picture of them."""
    from fpga.picture import save_picture

    board = board_named(board_name)
    config = named_config(preset_name or board.preset)
    console = Console()
    with phases(console, board.name) as progress:
        clock_mhz, numbers = board.clock_mhz if clock is None else clock, range(board.seed, board.seed + seeds)
        report = build_board(board, config, clock_mhz, numbers, progress)
    for table in tables(report):
        console.print(table)
    picture = picture or PICTURE / f"fpga-{board.name}-{config.name}.png"
    save_picture(picture, report)
    if json_file is not None:
        write_atomically(json_file, json.dumps(report.as_dict(), indent=2) + "\n")
    if not report.met:
        raise FpgaError(timing_error(report))
    console.print(f"bitstream: {report.bitstream}\npicture: {picture}", soft_wrap=True, highlight=False)
