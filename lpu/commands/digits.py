"""`lpu digits`: the held-out handwritten digits on the simulated core, checked against the golden model."""

from __future__ import annotations

import json
from pathlib import Path

import click
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from compiler.report import Report
from hdl.config import LpuConfig
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from models.digits.data import HELD_OUT, PIXEL_MAX, load_split
from models.digits.evaluate import Evaluation, compile_digits, evaluate
from models.digits.model import FloatModel, quantise
from sim.build import build
from sim.files import write_atomically

PICTURE = Path("build/digits.png")
SHOWN = 4
SHADES = " .:-=+*#%@"


def terminal_art(image: NDArray[np.int8]) -> str:
    """8 x 8 pixels as 8 lines of characters, two per pixel."""
    levels = image.reshape(8, 8).astype(int) * (len(SHADES) - 1) // PIXEL_MAX
    return "\n".join("".join(2 * SHADES[level] for level in row) for row in levels)


def art_row(images: NDArray[np.int8], evaluation: Evaluation) -> Columns:
    """The first few images with the core's answer under each, red where it is wrong."""
    cells = []
    for image, answer, label in zip(images[:SHOWN], evaluation.rtl_digits, evaluation.labels, strict=False):
        verdict = f"{answer}".center(16) if answer == label else f"{answer} (is {label})".center(16)
        cells.append(Text(terminal_art(image) + "\n") + Text(verdict, style="green" if answer == label else "red"))
    return Columns(cells, padding=(0, 2))


def save_picture(path: Path, images: NDArray[np.int8], evaluation: Evaluation) -> None:
    """Two rows of ten digits, titled with the core's answers, wrong ones in red (errors first, if there are any)."""
    wrong = evaluation.rtl_digits != evaluation.labels
    chosen = np.argsort(~wrong, kind="stable")[:20]
    figure, axes = plt.subplots(2, 10, figsize=(10, 2.6))
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, chosen, strict=False):
        axis.imshow(images[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=PIXEL_MAX)
        answer, label = evaluation.rtl_digits[i], evaluation.labels[i]
        title = f"{answer}" if answer == label else f"{answer} (is {label})"
        axis.set_title(title, fontsize=9, color="red" if wrong[i] else "black")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def figures_of(evaluation: Evaluation, report: Report) -> dict[str, int | float | str]:
    """The figures of the table and of the JSON file, in the order they are shown; ``equal``: to the golden model."""
    return {
        "images": len(evaluation.labels),
        "accuracy_fp32": evaluation.accuracy(evaluation.float_digits),
        "accuracy_golden_int8": evaluation.accuracy(evaluation.golden_digits),
        "accuracy_rtl": evaluation.accuracy(evaluation.rtl_digits),
        "images_with_equal_logits": evaluation.equal_logits,
        "images_with_equal_digit": evaluation.equal_digits,
        "images_with_predicted_cycles": evaluation.as_predicted,
        "predicted_cycles_per_image": evaluation.predicted,
        "bound_cycles": report.bound_cycles,
        "bound_set_by": report.bound_by,
        "cycles_over_bound": report.ratio,
        "program_bytes": report.program_bytes,
    }


def simulated_speed(evaluation: Evaluation) -> dict[str, float]:
    """How fast the simulator was, loading included."""
    seconds = evaluation.seconds
    return {
        "simulated_images_per_second": len(evaluation.labels) / seconds,
        "simulated_core_cycles_per_second": int(evaluation.cycles.sum()) / seconds,
    }


def shown_figure(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4f}" if isinstance(value, float) and value < 10 else f"{value:,.0f}"


def table(name: str, figures: dict[str, int | float | str]) -> Table:
    shown = Table(title=f"digits on {name}", title_justify="left", show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    for label, value in figures.items():
        shown.add_row(label.replace("_", " "), shown_figure(value))
    return shown


@click.command()
@preset_option
@click.option("--images", "count", type=click.IntRange(1, HELD_OUT), default=HELD_OUT, help="How many; default all.")
@json_option
def digits(config: LpuConfig, count: int, json_file: Path | None) -> None:
    """Recognise handwritten digits on the core. Exit code 1 where RTL and golden model differ."""
    console, split, model = Console(), load_split().first(count), FloatModel.load()
    int8 = quantise(model)
    with console.status(f"compiling the classifier for {config.name}"):
        compiled = compile_digits(config, int8)
    with console.status(f"building the simulator of {config.name} (once)"):
        build(config)
    with progress_bar(console, "simulating images", count) as progress:
        evaluation = evaluate(compiled, model, int8, split, progress)
    figures = figures_of(evaluation, compiled.report) | simulated_speed(evaluation)
    console.print(art_row(split.test_images, evaluation))
    console.print(table(config.name, figures))
    save_picture(PICTURE, split.test_images, evaluation)
    console.print(f"picture: {PICTURE}")
    if json_file is not None:
        write_atomically(json_file, json.dumps({"preset": config.name, **figures}, indent=2) + "\n")
    if not evaluation.exact:
        raise SystemExit(1)
