"""Progress of runs that report finished items, or the phases of several jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that goes when the work is done; hand the yielded function to ``progress=``."""
    with _bar(console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda finished: bar.update(task, completed=finished)


@contextmanager
def counted_bar(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """The same for work that tells how much of it there is: the yielded function takes both."""
    with _bar(console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda finished, total: bar.update(task, completed=finished, total=total)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


@contextmanager
def phases(console: Console, title: str) -> Iterator[Callable[[str, str], None]]:
    """A line per job, with its phase and time; hand the yielded function to ``progress=``. Jobs may be threads."""
    columns = (SpinnerColumn(), TextColumn("{task.fields[job]:16}"), TextColumn("{task.description:14}"))
    with Progress(TextColumn(title), *columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(job: str, phase: str) -> None:
            if job not in tasks:
                tasks[job] = bar.add_task(phase, job=job, total=1)
            bar.update(tasks[job], description=phase, completed=int(phase == "done"))

        yield show
