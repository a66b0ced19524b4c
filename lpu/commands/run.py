"""`lpu run`: a saved program image on the RTL and on the golden machine."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from compiler.image import ImageError, ProgramImage
from hdl.config import LpuConfig
from lpu.options import OutputPath, json_option, preset_option
from sim.compare import ImageComparison, compare_image
from sim.files import write_atomically


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
@click.argument("image_file", metavar="IMAGE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@preset_option
@click.option("--input", "inputs", type=TensorFile(), multiple=True, help="Input tensors, one option each.")
@click.option("--output", "folder", type=OutputPath(folder=True), help="Folder for output .npy.")
@click.option("--trace", type=OutputPath(), help="Write the commit trace here.")
@json_option
def run(
    image_file: Path,
    config: LpuConfig,
    inputs: tuple[tuple[str, np.ndarray], ...],
    folder: Path | None,
    trace: Path | None,
    json_file: Path | None,
) -> None:
    """Run IMAGE on the RTL and on the golden machine; exit code 1 where they or the cycles differ."""
    image = ProgramImage.load(image_file, config)
    result = compare_image(image, given_once(inputs), trace)
    Console().print(table(image, result))
    if folder is not None:
        save_outputs(folder, result.outputs)
    if json_file is not None:
        figures = {"predicted_cycles": image.cycles, "measured_cycles": result.measured, "equal": result.equal}
        write_atomically(json_file, json.dumps(figures, indent=2) + "\n")
    if result.measured != image.cycles or not all(result.equal.values()):
        raise SystemExit(1)


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
