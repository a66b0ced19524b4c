"""`lpu eval`: how well a Llama predicts a text, in float32 and quantised."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from hdl.config import LpuConfig
from lpu.llama import figure_table, load, model_options
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from models.llama.perplexity import Comparison, compare
from models.llama.prepare import read_text, sequences
from sim.files import write_atomically


def figures_of(found: Comparison) -> dict[str, int | float | str]:
    """The figures of the table and of the JSON file."""
    return {
        "perplexity_tokens": found.tokens,
        "perplexity_fp32": found.fp32,
        "perplexity_int8": found.int8,
        "difference_percent": 100 * found.difference,
        "same_likeliest_token_percent": 100 * found.agreement,
    }


@click.command()
@click.argument("path", metavar="MODEL", type=click.Path(exists=True, path_type=Path))
@click.option("--text", type=click.Path(path_type=Path), required=True, help="Blank lines separate documents.")
@click.option(
    "--tokens", type=click.IntRange(2), default=1000, show_default=True, help="The first so many of the text."
)
@preset_option
@model_options
@json_option
def eval(
    path: Path,
    text: Path,
    tokens: int,
    config: LpuConfig,
    tokenizer: Path | None,
    context: int | None,
    calibrate: Path | None,
    json_file: Path | None,
) -> None:
    """Perplexity of MODEL on a text: float32, and the golden model of the core, which the RTL equals on every bit."""
    console = Console()
    content = read_text(text)
    prepared, buckets = load(config, path, tokenizer, context, calibrate)
    parts = sequences(prepared.tokenizer, content, buckets.context, tokens)
    with progress_bar(console, "predicting tokens", sum(map(len, parts)) - len(parts)) as progress:
        found = compare(prepared.model, buckets, parts, progress)
    figures = {"calibration": prepared.calibration, **figures_of(found)}
    console.print(f"{prepared.model.name} on {text}, quantised for {config.name}", highlight=False)
    console.print(figure_table(figures))
    if json_file is not None:
        figures = {"model": prepared.model.name, "preset": config.name, "text": str(text), **figures}
        write_atomically(json_file, json.dumps(figures, indent=2) + "\n")
