"""Entry point of the `lpu` command."""

from __future__ import annotations

import click

from lpu.group import CommandGroup


@click.group(cls=CommandGroup)
def main() -> None:
    """Metronome, an open LPU core: generate it, program it, simulate it, measure it."""


if __name__ == "__main__":
    main()
