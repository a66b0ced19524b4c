"""`lpu bench fpga`: the core on boards, against the figures of ``bench/fpga.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.fpga import CASES, MATRIX, Figures, load_baseline, measure, measure_matrix, save_baseline
from lpu.options import json_option
from lpu.progress import phases
from sim.files import write_atomically

COLUMNS = ("lut", "ff", "dsp", "bram", "spram")
COLUMN_WIDTH = 9
"""Of ``clock met`` and a board's name: all rows that are kept fit 80 columns."""


def table(rows: Mapping[str, Figures]) -> Table:
    """A column per build, red where it misses its clock or was refused."""
    shown = Table(title="the core on boards", title_justify="left", padding=0)
    shown.add_column("board\npreset")
    for name, row in rows.items():
        parts, style = name.split("/"), "" if row.get("met") else "red"
        shown.add_column("\n".join(parts), justify="right", style=style, width=max(COLUMN_WIDTH, *map(len, parts)))
    cells = [_cells(row) for row in rows.values()]
    for label in dict.fromkeys(label for column in cells for label in column):
        shown.add_row(label, *(column.get(label, "-") for column in cells))
    return shown


def _cells(row: Figures) -> dict[str, str]:
    """What is shown of a build, by label."""
    counted = {"cycles": f"{row['cycles']:,}"} if "cycles" in row else {}
    if "refused" in row:
        return {"clock, MHz": f"{row['clock_mhz']:.1f}", "built": "refused", **counted}
    cells = {name.upper(): f"{row[name]:,}" for name in COLUMNS if name in row}
    cells |= {"clock, MHz": f"{row['clock_mhz']:.1f}", "Fmax, median": f"{row['fmax_mhz_median']:.2f}"}
    cells |= {"Fmax, best": f"{row['fmax_mhz_best']:.2f}", "built": "clock met" if row["met"] else "too slow"}
    cells |= counted
    if "rate" in row:
        cells[f"{row['unit']}s/s"] = f"{row['rate']:,}"
    if "lut_per_mac" in row:
        cells["LUT per MAC"] = f"{row['lut_per_mac']}"
    return cells


@click.command()
@click.option("--row", "names", multiple=True, type=click.Choice([*CASES, MATRIX]), help="Only this row (repeatable).")
@click.option("--all", "nightly", is_flag=True, help="Also rows that take up to an hour and a half.")
@click.option("--matrix", is_flag=True, help="Only the matrix array alone.")
@click.option("--stored", is_flag=True, help="Build nothing: show the figures of the baseline.")
@click.option("--update", is_flag=True, help="Write the rows into the baseline.")
@json_option
def fpga(
    names: tuple[str, ...], nightly: bool, matrix: bool, stored: bool, update: bool, json_file: Path | None
) -> None:
    """Boards: LUT, FF, DSP, BRAM, Fmax of several seeds, tokens or images per second. Builds are cached."""
    console = Console()
    rows = load_baseline() if stored else {}
    if not stored:
        usual = (MATRIX,) if matrix else (*(n for n, case in CASES.items() if nightly or not case.nightly), MATRIX)
        for name in names or usual:
            with phases(console, name) as progress:
                rows[name] = measure_matrix(progress) if name == MATRIX else measure(CASES[name], progress)
    console.print(table(rows))
    for name, row in rows.items():
        if "refused" in row:
            console.print(f"{name}: {row['refused']}", soft_wrap=True, highlight=False)
    if update:
        save_baseline({**load_baseline(), **rows})
    if json_file is not None:
        write_atomically(json_file, json.dumps(rows, indent=2) + "\n")
