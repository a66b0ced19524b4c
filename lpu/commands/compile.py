"""`lpu compile`: program images to run."""

from __future__ import annotations

import click
from rich.console import Console

from compiler.build import CompiledProgram
from lpu.group import CommandGroup


@click.group(cls=CommandGroup, prefix="compile_")
def compile() -> None:
    """Compile a model or a workload to a program image."""


def show(compiled: CompiledProgram) -> None:
    """The compile report, and the tensors that `lpu run` takes and gives."""
    console = Console()
    console.print(compiled.report.table())
    for info in compiled.image.tensors:
        if info.kind in ("input", "output"):
            console.print(f"{info.kind} {info.name}: {info.dtype} {list(info.shape)}", markup=False, highlight=False)
