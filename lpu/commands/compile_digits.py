"""`lpu compile digits`: the handwritten-digits classifier."""

from __future__ import annotations

from pathlib import Path

import click

from hdl.config import LpuConfig
from lpu.commands.compile import show
from lpu.options import image_option, preset_option
from models.digits.evaluate import compile_digits
from models.digits.model import FloatModel, quantise


@click.command()
@image_option
@preset_option
def digits(output: Path, config: LpuConfig) -> None:
    """The digits classifier, one image a run."""
    compiled = compile_digits(config, quantise(FloatModel.load()))
    compiled.image.save(output)
    show(compiled)
