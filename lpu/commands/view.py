"""`lpu view`: what a program does in every cycle, as a page for the browser and a trace for Perfetto."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.build import CompiledProgram, compile_graph
from compiler.image import MAGIC, ProgramImage
from compiler.llama.program import EFFORT
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig
from lpu.llama import load
from lpu.options import OutputPath, preset_option
from lpu.view.build import build_timeline
from lpu.view.page import write_view
from lpu.view.timeline import Timeline
from lpu.view.trace import write_trace
from models.digits.evaluate import compile_digits
from models.digits.model import FloatModel, quantise

WORKLOADS = "digits, matmul M K N, a Llama, or the file of a program image"


@click.command()
@click.argument("what")
@click.argument("sizes", metavar="[M K N]", type=click.IntRange(min=1), nargs=-1)
@preset_option
@click.option("-o", "--output", metavar="FILE.html", type=OutputPath(), required=True, help="The page.")
@click.option("--trace", "trace_file", metavar="FILE.json", type=OutputPath(), help="Also a trace, for Perfetto.")
@click.option("--bucket", type=click.IntRange(1), help="Llama: positions looked at; default the smallest bucket.")
@click.option("--cycles", metavar="FIRST LAST", nargs=2, type=click.IntRange(min=0), help="This part of the run only.")
def view(
    what: str,
    sizes: tuple[int, ...],
    config: LpuConfig,
    output: Path,
    trace_file: Path | None,
    bucket: int | None,
    cycles: tuple[int, int] | None,
) -> None:
    """Draw instruction queues and streams over the cycles of one run.

    WHAT is digits, matmul M K N, a Llama (one token of it), or the file of a program image. An image does not name
    operators: its boxes are coloured by what their instructions do.
    """
    if trace_file is not None and trace_file.resolve() == output.resolve():
        raise click.UsageError(f"--trace '{trace_file}': must be another file than the page")
    window = None if cycles is None else range(cycles[0], cycles[1] + 1)
    timeline = _timeline(what, sizes, config, window, bucket)
    write_view(output, timeline)
    if trace_file is not None:
        write_trace(trace_file, timeline)
    boxes, flows = len(timeline.boxes), len(timeline.flows)
    click.echo(f"{output}: {timeline.run_cycles:,} cycles, {boxes:,} boxes, {flows:,} flows")


def _timeline(
    what: str, sizes: tuple[int, ...], config: LpuConfig, window: range | None, bucket: int | None
) -> Timeline:
    expected = 3 if what == "matmul" else 0
    if len(sizes) != expected:
        raise click.UsageError(f"{what}: {len(sizes)} sizes: must be {'M K N' if expected else 'none'}")
    if what == "digits":
        return _compiled(what, compile_digits(config, quantise(FloatModel.load())), window)
    if what == "matmul":
        m, k, n = sizes
        return _compiled(f"matmul {m} x {k} x {n}", compile_graph(config, matmul_graph(config, m, k, n)), window)
    path = Path(what)
    if not path.exists():
        raise click.UsageError(f"'{what}': must be {WORKLOADS}")
    if path.is_file() and path.read_bytes()[: len(MAGIC)] == MAGIC:
        return build_timeline(ProgramImage.load(path, config), path.name, window=window)
    return _token(path, config, window, bucket)


def _token(path: Path, config: LpuConfig, window: range | None, bucket: int | None) -> Timeline:
    """One token of a Llama."""
    _, buckets = load(config, path)
    size = buckets.sizes[0] if bucket is None else bucket
    if size not in buckets.sizes:
        raise click.UsageError(f"--bucket {size}: must be one of {', '.join(map(str, buckets.sizes))}")
    title = f"{path.stem}, a token, {size} positions"
    return _compiled(title, compile_graph(config, buckets.graph(size), effort=EFFORT), window)


def _compiled(title: str, program: CompiledProgram, window: range | None) -> Timeline:
    return build_timeline(program.image, title, program.owners, program.report, window)
