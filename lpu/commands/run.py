"""`lpu run`: a Llama, or a saved program image, on the RTL and on the golden model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from compiler.image import MAGIC, ImageError, ProgramImage
from hdl.config import LpuConfig
from lpu.llama import (
    clock_option,
    compile_and_build,
    generation_options,
    load,
    model_options,
    report,
    requested,
    simulated_speed,
    tell,
)
from lpu.options import OutputPath, json_option, preset_option
from sim.compare import ImageComparison, compare_image
from sim.files import write_atomically

MODEL_OPTIONS = (
    *("prompt", "tokens", "temperature", "seed", "no_check"),
    *("tokenizer", "context", "calibrate", "clock"),
)
IMAGE_OPTIONS = ("inputs", "folder", "trace")


class TensorFile(click.ParamType):
    """``NAME=FILE.npy``."""

    name = "NAME=FILE.npy"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, np.ndarray]:
        tensor, separator, path = value.partition("=")
        if not (tensor and separator and path):
            self.fail(f"{value!r}: must be NAME=FILE.npy", param, ctx)
        return tensor, load_array(Path(path))


def load_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file. Raises ImageError for any other file."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise ImageError(f"{path}: {error}: must be a .npy file of numbers") from error


def given_once(inputs: tuple[tuple[str, np.ndarray], ...]) -> dict[str, np.ndarray]:
    """Tensors by name. Raises ImageError for a name given twice."""
    for name, times in Counter(name for name, _ in inputs).items():
        if times > 1:
            raise ImageError(f"input '{name}' given {times} times: must be given once")
    return dict(inputs)


def table(image: ProgramImage, result: ImageComparison) -> Table:
    shown = Table(title=f"program on {image.config.name}", title_justify="left", show_header=False)
    shown.add_row("cycles, predicted", f"{image.cycles:,}")
    shown.add_row("cycles, measured", f"{result.measured:,}")
    for name, equal in result.equal.items():
        shown.add_row(f"{name} {list(result.outputs[name].shape)}", "RTL = golden" if equal else "RTL differs")
    return shown


@click.command()
@click.argument("path", metavar="MODEL|IMAGE", type=click.Path(exists=True, path_type=Path))
@preset_option
@generation_options
@model_options
@clock_option
@click.option("--input", "inputs", type=TensorFile(), multiple=True, help="Image: input tensors, one option each.")
@click.option("--output", "folder", type=OutputPath(folder=True), help="Image: folder for output .npy.")
@click.option("--trace", type=OutputPath(), help="Image: write the commit trace here.")
@json_option
@click.pass_context
def run(ctx: click.Context, path: Path, config: LpuConfig, json_file: Path | None, **options: Any) -> None:
    """Run a model or a program image on the RTL; exit code 1 where it, or its cycles, differ from the golden model.

    MODEL is a llama2.c checkpoint or the folder of a Hugging Face Llama: text appears as the core produces it. IMAGE
    is a file of `lpu compile` or `lpu asm`: all its outputs are compared.
    """
    is_saved = is_image(path)
    _check_options(ctx, MODEL_OPTIONS if is_saved else IMAGE_OPTIONS, "a model" if is_saved else "a program image")
    given = {name: options[name] for name in (IMAGE_OPTIONS if is_saved else MODEL_OPTIONS)}
    figures, is_exact = (run_image_file if is_saved else run_model)(path, config, **given)
    if json_file is not None:
        write_atomically(json_file, json.dumps(figures, indent=2) + "\n")
    if not is_exact:
        raise SystemExit(1)


def is_image(path: Path) -> bool:
    """Whether ``path`` is a program image; what is not may be a model."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _check_options(ctx: click.Context, names: Sequence[str], wanted: str) -> None:
    for parameter in ctx.command.params:
        if parameter.name in names and ctx.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{parameter.opts[0]}: only for {wanted}")


def run_model(
    path: Path,
    config: LpuConfig,
    prompt: str,
    tokens: int | None,
    temperature: float,
    seed: int,
    no_check: bool,
    tokenizer: Path | None,
    context: int | None,
    calibrate: Path | None,
    clock: float,
) -> tuple[dict[str, Any], bool]:
    """Generate, print text and tables; the figures, and whether everything was as predicted."""
    console = Console()
    prepared, buckets = load(config, path, tokenizer, context, calibrate, sampling=temperature > 0)
    request = requested(prepared, buckets, prompt, tokens, temperature, seed)
    compile_and_build(console, buckets, request)
    text, runs = tell(console, prepared, buckets, request, not no_check)
    speed = simulated_speed(runs)
    figures = report(console, prepared, buckets, request, text, runs, clock, simulated_cycles_per_second=speed)
    return figures, all(run.is_exact for run in runs)


def run_image_file(
    path: Path, config: LpuConfig, inputs: tuple[tuple[str, np.ndarray], ...], folder: Path | None, trace: Path | None
) -> tuple[dict[str, Any], bool]:
    """Run, print the table, save outputs; the figures, and whether everything was as predicted."""
    image = ProgramImage.load(path, config)
    result = compare_image(image, given_once(inputs), trace)
    Console().print(table(image, result))
    if folder is not None:
        save_outputs(folder, result.outputs)
    figures = {"predicted_cycles": image.cycles, "measured_cycles": result.measured, "equal": result.equal}
    return figures, result.measured == image.cycles and all(result.equal.values())


def save_outputs(folder: Path, outputs: dict[str, np.ndarray]) -> None:
    """One ``NAME.npy`` per output tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in outputs.items():
        partial = folder / f".{name}.partial.npy"
        try:
            np.save(partial, array)
            partial.replace(folder / f"{name}.npy")
        finally:
            partial.unlink(missing_ok=True)
