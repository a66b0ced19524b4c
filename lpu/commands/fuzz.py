"""`lpu fuzz`: random programs on the golden machine and on the RTL."""

from __future__ import annotations

import click
from rich.console import Console

from hdl.config import LpuConfig
from lpu.options import preset_option
from lpu.progress import progress_bar
from sim.compare import fuzz as compare_random


class SeedRange(click.ParamType):
    """``A`` or ``A-B``, both inclusive."""

    name = "A-B"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> range:
        first, _, last = value.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) < int(first):
            self.fail(f"{value!r}: must be A or A-B with A <= B", param, ctx)
        return range(int(first), int(last or first) + 1)


@click.command()
@preset_option
@click.option("--seeds", type=SeedRange(), default="0-9", show_default=True, help="One program per seed.")
@click.option("--length", type=click.IntRange(20, 100_000), default=400, show_default=True, help="Cycles, about.")
def fuzz(config: LpuConfig, seeds: range, length: int) -> None:
    """Run random programs on the RTL and on the golden machine; exit code 1 at the first difference."""
    console = Console()
    with progress_bar(console, "simulating programs", len(seeds)) as progress:
        results = compare_random(config, seeds, length, progress)
    for seed, result in zip(seeds, results, strict=True):
        if result.difference is not None:
            console.print(f"seed {seed}: {result.difference}", style="red", markup=False)
    bad = sum(result.difference is not None for result in results)
    elements, cycles = (sum(getattr(result, name) for result in results) for name in ("elements", "cycles"))
    console.print(f"{len(results)} programs on {config.name}, {elements:,} elements in {cycles:,} cycles: {bad} differ")
    if bad:
        raise SystemExit(1)
