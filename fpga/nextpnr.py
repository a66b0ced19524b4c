"""nextpnr while it runs: its phases, and when there is no use in going on."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from fpga import FpgaError
from fpga.report import RESOURCES
from fpga.tools import tool

ROUTING = "routing"
PHASES = (
    (re.compile(r"Info: Packing"), "packing"),
    (re.compile(r"Info: (Creating initial|Placed|Running main)"), "placing"),
    (re.compile(r"Info: (Routing|Setting up routing|Running router)"), ROUTING),
)
UTILISATION = re.compile(r"Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%")
ITERATION = re.compile(r"Info:\s+iter=(\d+) wires=(\d+) overused=(\d+) ")
"""What router2 says after each of its iterations: how many wires it uses, and how many of them are wanted twice."""
PATIENCE = 6
LESS = 0.95
"""Routing goes on while fewer than this share of the wires wanted twice PATIENCE iterations ago still are."""
ROUTING_MINUTES = 45
"""And no longer than this: where wires are far too few, an iteration alone takes a quarter of an hour."""
FEW = 1000
"""So few wires are always tried further: the last ones come free by fits and starts."""


class _Watch:
    """Reads what nextpnr says, line by line, and tells its phases; :meth:`refusal` is why to stop it, if at all."""

    def __init__(self, family: str, told: Sequence[Callable[[str], None]], log: Path) -> None:
        self._columns = {bel: column for column, bel in RESOURCES[family].items()}
        self._told, self._log = told, log
        self._short: list[str] = []
        self._overused: list[int] = []
        self._last = ""

    def refusal(self, line: str) -> str | None:
        for pattern, shown in PHASES:
            if pattern.match(line):
                self._phase(shown)
        if (found := UTILISATION.match(line)) and int(found[2]) > int(found[3]):
            self._short.append(f"{self._columns.get(found[1], found[1])} {int(found[2]):,} of {int(found[3]):,}")
        elif self._short:
            return f"does not fit: needs {', '.join(self._short)}"
        return self._stalled(*map(int, found.groups())) if (found := ITERATION.match(line)) else None

    def _phase(self, shown: str) -> None:
        for told in self._told:
            told(shown)

    def _stalled(self, iteration: int, wires: int, overused: int) -> str | None:
        self._overused.append(overused)
        self._phase(f"{ROUTING}, iteration {iteration}: {overused:,} wires wanted twice")
        before = self._overused[-1 - PATIENCE] if len(self._overused) > PATIENCE else None
        self._last = f": after {iteration} iterations {overused:,} of {wires:,} wires are wanted twice"
        if before is None or overused < max(FEW, LESS * before):
            return None
        return f"is not routed{self._last}, {before:,} were {PATIENCE} iterations before; log: {self._log}"

    def too_late(self) -> str:
        """Why it is stopped when the time is over."""
        return f"is not routed in {ROUTING_MINUTES} minutes{self._last}; log: {self._log}"


class _Limit:
    """Ends a process ROUTING_MINUTES after it has begun to route, whatever it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self._late = process, threading.Event()
        self._timer = threading.Timer(ROUTING_MINUTES * 60, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self._late.set()
        self._process.kill()

    def reached(self, phase: str) -> None:
        if phase == ROUTING and self._timer.ident is None:
            self._timer.start()

    def passed(self) -> bool:
        """Whether the time had run out; the process has ended."""
        self._timer.cancel()
        return self._late.is_set()


def run_nextpnr(
    family: str, arguments: Sequence[str], log: Path, what: str, phase: Callable[[str], None], work: Path
) -> None:
    """Run it in ``work``; all that it says goes to ``log``, its phases to ``phase``.

    Raises FpgaError: it counts more than the part has, routing gets no further, or it fails.
    """
    command = [tool(f"nextpnr-{family}").path, *arguments]
    refused: str | None = None
    with (
        log.open("w") as lines,
        subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        assert process.stdout is not None
        limit = _Limit(process)
        watch = _Watch(family, (phase, limit.reached), log)
        for line in process.stdout:
            lines.write(line)
            lines.flush()
            if refused := watch.refusal(line):
                process.kill()
                break
    if limit.passed():
        refused = watch.too_late()
    if refused:
        raise FpgaError(f"{what} {refused}")
    if process.returncode != 0:
        raise FpgaError(f"nextpnr-{family} failed on {what}: {last_error(log.read_text())}; log: {log}")


def last_error(said: str) -> str:
    """The first error of a tool's output, else its last line."""
    lines = said.strip().splitlines() or ["no message"]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1])
