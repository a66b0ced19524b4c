"""`lpu asm`: a program in text form, verified, as an image."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.assembly import AssemblyError, assemble
from hdl.config import LpuConfig
from lpu.options import image_option, preset_option


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@image_option
@preset_option
def asm(source: Path, output: Path, config: LpuConfig) -> None:
    """Assemble and verify FILE, and save its program image. The text form: compiler/assembly.py."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise AssemblyError(f"{source}: {error}: must be UTF-8 text") from error
    image = assemble(config, text, str(source))
    image.save(output)
    instructions = sum(map(len, image.programs.values()))
    click.echo(
        f"{output}: {instructions} instructions in {len(image.programs)} queues, {image.cycles:,} cycles predicted"
    )
