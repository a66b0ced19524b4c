"""Put each deliberate fault into a copy of the sources and see whether its test fails: ``make faults``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cocotb_tests.faults.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
FAILED_TESTS = 1
"""pytest's exit code when tests ran and some failed."""
REASONS = ("E   assert ", "E   AssertionError", "HostError", "did not finish")
"""How a test tells that the core is wrong; anything else that fails is a fault that makes no core at all."""


@contextmanager
def source_copy() -> Iterator[Path]:
    """A folder with the sources as they are now, and Verilator's runtime objects."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        copy = Path(folder)
        for name in filter(None, names):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        for runtime in (ROOT / "build" / "sim").glob("runtime-*"):
            shutil.copytree(runtime, copy / "build" / "sim" / runtime.name)
        yield copy


def run_tests(folder: Path, nodes: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--tb=short",
        "--show-capture=no",
        "-p",
        "no:cacheprovider",
        *nodes,
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def outcome(fault: Fault) -> tuple[str, str]:
    """(caught, missed or broken; the end of pytest's output)."""
    with source_copy() as folder:
        path = folder / fault.file
        path.write_text(path.read_text().replace(fault.old, fault.new))
        done = run_tests(folder, [fault.caught_by])
    if done.returncode == 0:
        return "missed", done.stdout[-500:]
    caught = done.returncode == FAILED_TESTS and any(reason in done.stdout for reason in REASONS)
    return ("caught" if caught else "broken"), done.stdout[-3000:]


def table(rows: Sequence[tuple[Fault, str]]) -> Table:
    shown = Table("fault", "unit", "what is wrong", "test", "outcome")
    for fault, result in rows:
        style = None if result == "caught" else "red"
        shown.add_row(fault.name, fault.unit, fault.what, fault.caught_by, result, style=style)
    return shown


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Run the faults of these NAMES (default: all). Exit code 1 unless every one is caught.

    The tests must pass on the unchanged sources first.
    """
    console = Console()
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    if unknown := {*names} - {fault.name for fault in chosen}:
        raise click.UsageError(f"no faults {', '.join(sorted(unknown))}; faults: {', '.join(f.name for f in FAULTS)}")
    with source_copy() as folder:
        done = run_tests(folder, sorted({fault.caught_by for fault in chosen}))
    if done.returncode:
        console.print(done.stdout[-3000:], done.stderr[-1000:], markup=False, highlight=False)
        raise click.ClickException("the tests do not pass on the unchanged sources")
    rows = []
    for fault in chosen:
        result, output = outcome(fault)
        rows.append((fault, result))
        console.print(f"{len(rows)}/{len(chosen)} {fault.name}: {result}", highlight=False)
        if result != "caught":
            console.print(output, markup=False, highlight=False)
    console.print(table(rows))
    if any(result != "caught" for _, result in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
