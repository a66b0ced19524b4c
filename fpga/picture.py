"""A build as a picture: LUTs per unit, utilisation of the part, Fmax of every placement against the clock."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from fpga.report import BuildReport
from sim.files import write_atomically

KINDS = (("mxm", "matrix", "#d1495b"), ("sxm", "switch", "#8d6cab"), ("vxm", "vector", "#edae49"))
MEMORY, CONTROL, OTHER = ("memory", "#00798c"), ("control", "#30638e"), ("other", "#9aa5b1")
UNITS_SHOWN = 14


def kind_of(unit: str) -> tuple[str, str]:
    """Legend entry and colour of a unit."""
    for prefix, name, colour in KINDS:
        if unit.startswith(prefix):
            return name, colour
    if unit[0] in "wd" and unit[1:].isdigit():
        return MEMORY
    return CONTROL if unit in ("controller", "host_port") else OTHER


def _units(axis: Axes, report: BuildReport) -> None:
    shown = list(report.units.items())[:UNITS_SHOWN]
    total = sum(counts["lut"] for counts in report.units.values())
    for i, (unit, counts) in enumerate(shown):
        name, colour = kind_of(unit)
        axis.barh(i, counts["lut"], color=colour, label=name)
        extra = [f"{counts[column]} {column.upper()}" for column in ("dsp", "bram", "spram") if counts[column]]
        text = f" {counts['lut']:,}" + (f"   ({', '.join(extra)})" if extra else "")
        axis.text(counts["lut"], i, text, va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), [unit for unit, _ in shown])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.3 * max(counts["lut"] for _, counts in shown))
    axis.set_title(f"LUT places per unit ({total:,} before packing)", loc="left", fontsize=10)
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axis.legend(unique.values(), unique.keys(), loc="lower right", fontsize=8, frameon=False)


def _utilisation(axis: Axes, report: BuildReport) -> None:
    names = [name for name in report.used if report.available[name]]
    for i, name in enumerate(names):
        used, available = report.used[name], report.available[name]
        axis.barh(i, 100, color="#eef1f4")
        axis.barh(i, 100 * used / available, color="#00798c")
        axis.text(101, i, f"{used:,} / {available:,}", va="center", fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(0, 150)
    axis.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axis.set_title(f"of {report.part}", loc="left", fontsize=10)


def _timing(axis: Axes, report: BuildReport) -> None:
    for i, placement in enumerate(report.placements):
        met = placement.fmax_mhz >= report.clock_mhz
        axis.barh(i, placement.fmax_mhz, color="#66a182" if met else "#d1495b")
        axis.text(placement.fmax_mhz, i, f" {placement.fmax_mhz:.1f}", va="center", fontsize=8)
    axis.axvline(report.clock_mhz, color="black", linewidth=1, linestyle="--")
    axis.set_yticks(range(len(report.placements)), [f"seed {p.seed}" for p in report.placements])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.25 * max(report.clock_mhz, report.best.fmax_mhz))
    axis.set_title(f"Fmax, MHz; clock {report.clock_mhz:g} (dashed)", loc="left", fontsize=10)


def save_picture(path: Path, report: BuildReport) -> None:
    """Three panels, written to ``path`` as PNG."""
    figure = plt.figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(f"{report.preset} on {report.board}", x=0.01, ha="left", fontweight="bold")
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    panels = ((grid[:, 0], _units), (grid[0, 1], _utilisation), (grid[1, 1], _timing))
    for place, draw in panels:
        axis = figure.add_subplot(place)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(length=0, labelsize=8)
        draw(axis, report)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=130, format="png")
    plt.close(figure)
    write_atomically(path, drawn.getvalue())
