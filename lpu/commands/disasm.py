"""`lpu disasm`: the text form of a program image."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.assembly import format_image
from compiler.image import ProgramImage
from hdl.config import LpuConfig
from lpu.options import preset_option


@click.command()
@click.argument("image_file", metavar="IMAGE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@preset_option
def disasm(image_file: Path, config: LpuConfig) -> None:
    """Print IMAGE as text; `lpu asm` makes the same file of it."""
    click.echo(format_image(ProgramImage.load(image_file, config)), nl=False)
