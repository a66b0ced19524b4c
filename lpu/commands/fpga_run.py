"""`lpu fpga run`: a Llama, or the digits classifier, on a board, checked against the golden model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fpga import FpgaError
from fpga.boards import Board
from fpga.boards import board as board_named
from fpga.link import SerialCore, serial_line
from hdl.config import LpuConfig
from lpu.commands.digits import art_row, table
from lpu.commands.digits import figures_of as digit_figures
from lpu.llama import compile_programs, generation_options, load, model_options, report, requested, tell
from lpu.options import json_option, named_config
from lpu.progress import counted_bar
from models.digits.data import HELD_OUT, load_split
from models.digits.evaluate import compile_digits, evaluate
from models.digits.model import FloatModel, quantise
from sim.files import write_atomically
from sim.run import Player, Words
from sim.script import Script

DIGITS = "digits"
Figures = dict[str, Any]


def loading(console: Console, core: SerialCore) -> Player:
    """``core`` as a player, with a bar while the first script loads it."""

    def play(scripts: Sequence[Script]) -> Iterator[tuple[Words, float]]:
        answers = core.play(scripts)
        with counted_bar(console, "loading the core") as core.progress:
            first = next(answers)
        core.progress = None
        yield first
        yield from answers

    return play


def run_digits(console: Console, core: SerialCore, count: int) -> tuple[Figures, bool]:
    """Held-out digits on the board; the figures, and whether all was as predicted."""
    split, model = load_split().first(count), FloatModel.load()
    int8 = quantise(model)
    compiled = compile_digits(core.config, int8)
    evaluation = evaluate(compiled, model, int8, split, player=loading(console, core))
    figures = digit_figures(evaluation, compiled.report)
    console.print(art_row(split.test_images, evaluation))
    console.print(table(core.config.name, figures))
    return figures, evaluation.exact


def run_llama(
    console: Console, core: SerialCore, path: Path, clock: float, options: dict[str, Any]
) -> tuple[Figures, bool]:
    """Text from the board; the figures, and whether all was as predicted."""
    sampling = options["temperature"] > 0
    how = options["tokenizer"], options["context"], options["calibrate"]
    prepared, buckets = load(core.config, path, *how, sampling)
    request = requested(
        prepared, buckets, options["prompt"], options["tokens"], options["temperature"], options["seed"]
    )
    compile_programs(console, buckets, request)
    text, runs = tell(console, prepared, buckets, request, not options["no_check"], loading(console, core))
    return report(console, prepared, buckets, request, text, runs, clock), all(run.is_exact for run in runs)


def chosen(board_name: str, preset_name: str | None, baud: int | None) -> tuple[Board, LpuConfig, int]:
    """Board, core and baud rate. Raises FpgaError for a board that is built only, ConfigError."""
    board = board_named(board_name)
    if not board.runs:
        raise FpgaError(
            f"board '{board.name}': has no serial line that has been tried: `lpu fpga list` says which have"
        )
    return board, named_config(preset_name or board.preset), board.baud if baud is None else baud


@click.command()
@click.argument("model", metavar=f"MODEL|{DIGITS}", type=click.Path(path_type=Path))
@click.option("--board", "board_name", required=True, metavar="NAME", help="Which board; `lpu fpga list`.")
@click.option("--port", required=True, metavar="DEVICE", help="Its serial port, /dev/ttyUSB1 say.")
@click.option("--preset", "preset_name", metavar="NAME|FILE.toml", help="Which core is on it (else the board's).")
@click.option("--baud", type=click.IntRange(300, 12_000_000), help="Of the serial line (else the board's).")
@click.option("--patience", default=1.0, show_default=True, help="Seconds to wait for a reply.", metavar="SECONDS")
@click.option(
    "--images", default=HELD_OUT, show_default=True, type=click.IntRange(1, HELD_OUT), help="Digits: how many."
)
@generation_options
@model_options
@json_option
def run(
    model: Path,
    board_name: str,
    port: str,
    preset_name: str | None,
    baud: int | None,
    patience: float,
    images: int,
    json_file: Path | None,
    **options: Any,
) -> None:
    """Load MODEL into the board's core and run it there; exit code 1 where it differs from the golden model.

    MODEL is a llama2.c checkpoint or the folder of a Hugging Face Llama, and its text appears as the board has it; or
    the word `digits`. The bitstream is that of `lpu fpga build`, already on the board.
    """
    console = Console()
    board, config, rate = chosen(board_name, preset_name, baud)
    is_digits = str(model) == DIGITS
    if not is_digits and not model.exists():
        raise FpgaError(f"{model}: no such model: must be a file, a folder or '{DIGITS}'")
    with serial_line(port, rate, patience) as line:
        core = SerialCore(line, config)
        core.check()
        if is_digits:
            figures, is_exact = run_digits(console, core, images)
        else:
            figures, is_exact = run_llama(console, core, model, board.clock_mhz, options)
    if json_file is not None:
        content = {"board": board.name, "preset": config.name, **figures}
        write_atomically(json_file, json.dumps(content, indent=2) + "\n")
    if not is_exact:
        raise SystemExit(1)
