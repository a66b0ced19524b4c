"""What the commands around a Llama share: loading it, its text on the terminal, the table of a generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from compiler.ir import CompileError
from compiler.llama.budget import DoesNotFitError, check_budget
from compiler.llama.program import Buckets
from hdl.config import LpuConfig
from models.llama.generate import Request, Run, check_request, generate
from models.llama.load import read_shape
from models.llama.model import ModelError
from models.llama.prepare import Prepared, prepare
from sim.build import build
from sim.programs import keep_programs, kept_program
from sim.run import Player

LAUNCH_TOKENS = 4
"""Tokens of a launch: how much text comes at once."""
TOKENS = 64
"""Tokens of a text where nobody says how many."""
WIDTH = 100
_Command = TypeVar("_Command", bound=Callable[..., Any])


# --------------------------------------------------------------------------- options


def model_options(command: _Command) -> _Command:
    """``--tokenizer``, ``--context``, ``--calibrate``: how a model is read."""
    options = (
        click.option(
            "--tokenizer",
            type=click.Path(path_type=Path),
            help="tokenizer.bin or tokenizer.json; default beside MODEL.",
        ),
        click.option(
            "--context", type=click.IntRange(1), help="Positions to make room for; default the model's own context."
        ),
        click.option(
            "--calibrate", type=click.Path(path_type=Path), help="Text for the scales; default what ships with MODEL."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def generation_options(command: _Command) -> _Command:
    """``--prompt``, ``--tokens``, ``--temperature``, ``--seed``, ``--no-check``: what is generated, and how."""
    likeliest = "Model: 0, the default, takes the likeliest token."
    options = (
        click.option("--prompt", default="", help="Model: what the text begins with; default nothing."),
        click.option(
            "--tokens", type=click.IntRange(1), help=f"Model: how many to generate; default {TOKENS}, or what fits."
        ),
        click.option("--temperature", type=float, default=0.0, help=likeliest),
        click.option("--seed", type=click.IntRange(0), default=0, help="Model: of the noise; default 0."),
        click.option("--no-check", is_flag=True, help="Model: do not compare with the golden model."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def clock_option(command: _Command) -> _Command:
    """``--clock MHZ``."""
    return click.option(
        "--clock", type=click.FloatRange(0, min_open=True), default=50.0, show_default=True, help="MHz, for tokens/s."
    )(command)


# ----------------------------------------------------------------------------- model


def load(
    config: LpuConfig,
    path: Path,
    tokenizer: Path | None = None,
    context: int | None = None,
    text: Path | None = None,
    sampling: bool = False,
) -> tuple[Prepared, Buckets]:
    """The model and its programs, not yet compiled; a model that does not fit is refused before its weights are read.

    Raises ModelError, DoesNotFitError (its table is printed here), CompileError.
    """
    shape, is_tied = read_shape(path)
    context = shape.context if context is None else context
    if context > shape.context:
        raise ModelError(f"context {context}: must be at most {shape.context}, the model's")
    try:
        check_budget(config, shape, is_tied, context)
    except DoesNotFitError as error:
        click.echo(error.table, err=True)
        raise
    prepared = prepare(path, tokenizer, text)
    return prepared, Buckets(config, prepared.quantised, context, sampling=sampling, compiler=kept_program)


def requested(
    prepared: Prepared, buckets: Buckets, prompt: str, tokens: int | None, temperature: float, seed: int
) -> Request:
    """What the options of a generation ask for."""
    ids = tuple(prepared.tokenizer.encode(prompt))
    return Request(ids, tokens or max(1, min(TOKENS, buckets.context - len(ids))), temperature, seed)


def compile_and_build(console: Console, buckets: Buckets, request: Request) -> None:
    """All programs that a request needs, and the simulator. Raises ModelError, CompileError, SimError."""
    compile_programs(console, buckets, request)
    with console.status(f"building the simulator of {buckets.config.name} (once)"):
        build(buckets.config)


def compile_programs(console: Console, buckets: Buckets, request: Request) -> None:
    """All programs that a request needs. Raises ModelError, CompileError."""
    check_request(buckets, request)
    wanted = dict.fromkeys((launch.bucket, launch.steps) for launch in buckets.plan(request.steps, LAUNCH_TOKENS))
    jobs = [buckets.job(*one) for one in sorted(wanted, reverse=True)]  # those that take longest first
    try:
        with console.status("looking for the programs") as status:
            keep_programs(jobs, lambda left: status.update(f"compiling, {left} of {len(jobs)} programs to go"))
        for one in wanted:
            buckets.program(*one)
    except CompileError as error:
        head, _, rest = str(error).partition("\n")
        if not rest:
            raise
        click.echo(rest, err=True)
        raise CompileError(head) from error


# ------------------------------------------------------------------------------ text


class Typewriter:
    """Text on a console as it comes, broken between words."""

    def __init__(self, console: Console) -> None:
        self._console, self._width = console, min(console.width, WIDTH)
        self._column = 0
        self._word = ""

    def write(self, text: str, style: str = "") -> None:
        for character in text:
            if character not in " \n":
                self._word += character
                continue
            self._put(style)
            if character == "\n" or self._column >= self._width:
                self._print("\n", style)
                self._column = 0
            elif self._column:
                self._print(" ", style)
                self._column += 1

    def end(self) -> None:
        self._put("")
        self._print("\n", "")

    def _put(self, style: str) -> None:
        """The word that is complete, on a new line where this one is full."""
        if self._column + len(self._word) > self._width:
            self._print("\n", style)
            self._column = 0
        self._print(self._word, style)
        self._column += len(self._word)
        self._word = ""

    def _print(self, text: str, style: str) -> None:
        self._console.print(text, style=style, end="", markup=False, highlight=False, soft_wrap=True)


def tell(
    console: Console, prepared: Prepared, buckets: Buckets, request: Request, check: bool, player: Player | None = None
) -> tuple[str, list[Run]]:
    """Generate, and print prompt and text as the core has them: the whole text, and the launches.

    ``player``: a core that is not the simulated one.
    """
    spelled, ends = prepared.tokenizer.stream(), prepared.tokenizer.ends
    pen, runs = Typewriter(console), []
    pieces = ["".join(map(spelled, request.prompt))]
    pen.write(pieces[0], "dim")
    known = len(request.prompt)
    with console.status("writing the model into the core") as status:
        for run in generate(buckets, request, LAUNCH_TOKENS, check, player):
            status.stop()
            runs.append(run)
            fresh = run.tokens[max(0, known - 1 - run.launch.position) :]
            text = "".join("\n" if token in ends else spelled(token) for token in fresh)
            pieces.append(text)
            pen.write(text)
    pen.end()
    return "".join(pieces), runs


# --------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class BucketFigures:
    """Launches of one bucket: cycles of one token by the compiler, of all by the compiler and by the core."""

    bucket: int
    tokens: int
    cycles_per_token: int
    bound_cycles: int
    ratio: float
    matrix_occupancy: float
    program_bytes: int
    predicted_cycles: int
    measured_cycles: int


def bucket_figures(buckets: Buckets, runs: Sequence[Run]) -> list[BucketFigures]:
    """One entry for each bucket that ran."""
    found = []
    for bucket in dict.fromkeys(run.launch.bucket for run in runs):
        mine = [run for run in runs if run.launch.bucket == bucket]
        reports = [buckets.program(bucket, run.launch.steps).report for run in mine]
        found.append(
            BucketFigures(
                bucket=bucket,
                tokens=sum(run.launch.steps for run in mine),
                cycles_per_token=reports[0].cycles,
                bound_cycles=reports[0].bound_cycles,
                ratio=reports[0].ratio,
                matrix_occupancy=reports[0].matrix_occupancy,
                program_bytes=max(report.program_bytes for report in reports),
                predicted_cycles=sum(run.predicted for run in mine),
                measured_cycles=sum(run.cycles for run in mine),
            )
        )
    return found


def figures_of(request: Request, runs: Sequence[Run], clock: float) -> dict[str, int | float | str]:
    """The figures below the table of buckets, and of the JSON file."""
    cycles, launches = sum(run.cycles for run in runs), len(runs)
    compared = [run for run in runs if run.differs is not None]
    differing = sorted({name for run in compared for name in run.differs or ()})
    return {
        "prompt_tokens": len(request.prompt),
        "tokens": request.tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "launches": launches,
        "launches_in_predicted_cycles": sum(run.cycles == run.predicted for run in runs),
        "launches_equal_to_golden": sum(not run.differs for run in compared) if compared else "not compared",
        "differs_from_golden": ", ".join(differing) or "nothing",
        "cycles": cycles,
        "clock_mhz": clock,
        "tokens_per_second_at_clock": request.steps * clock * 1e6 / cycles,
    }


def simulated_speed(runs: Sequence[Run]) -> float:
    """Simulated cycles per second, loading included."""
    return sum(run.cycles for run in runs) / max(sum(run.seconds for run in runs), 1e-9)


def report(
    console: Console,
    prepared: Prepared,
    buckets: Buckets,
    request: Request,
    text: str,
    runs: Sequence[Run],
    clock: float,
    **more: int | float | str,
) -> dict[str, Any]:
    """Print the tables of a generation; ``more`` figures join them. All of it, for JSON."""
    rows = bucket_figures(buckets, runs)
    name, preset = prepared.model.name, buckets.config.name
    figures = {"calibration": prepared.calibration, **figures_of(request, runs, clock), **more}
    console.print(bucket_table(f"{name} on {preset}", rows, clock))
    console.print(figure_table(figures))
    return {"model": name, "preset": preset, "text": text, **figures, "buckets": [asdict(row) for row in rows]}


def bucket_table(title: str, rows: Sequence[BucketFigures], clock: float) -> Table:
    """A column for each bucket."""
    table = Table(title=title, title_justify="left")
    table.add_column("positions")
    for row in rows:
        table.add_column(f"< {row.bucket}", justify="right")
    for label, values in {
        "tokens": [f"{row.tokens}" for row in rows],
        "cycles a token": [f"{row.cycles_per_token:,}" for row in rows],
        "lower bound": [f"{row.bound_cycles:,}" for row in rows],
        "ratio": [f"{row.ratio:.2f}" for row in rows],
        "matrix unit busy": [f"{row.matrix_occupancy:.1%}" for row in rows],
        "program bytes": [f"{row.program_bytes:,}" for row in rows],
        "all cycles, predicted": [f"{row.predicted_cycles:,}" for row in rows],
        "all cycles, measured": [f"{row.measured_cycles:,}" for row in rows],
        f"tokens/s at {clock:g} MHz": [f"{clock * 1e6 / row.cycles_per_token:,.0f}" for row in rows],
    }.items():
        table.add_row(label, *values)
    return table


def figure_table(figures: dict[str, int | float | str]) -> Table:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, value in figures.items():
        table.add_row(label.replace("_", " "), _shown(value))
    return table


def _shown(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
