"""A simulated board behind a pseudo-terminal, as a serial port that programs can open."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cocotb_tests.fpga import pty_player
from cocotb_tests.fpga.line import DIVISOR, built_board
from cocotb_tests.units.harness import UNITS, launch_in
from fpga.design import TOP
from hdl.config import LpuConfig

START_SECONDS = 60
PATIENCE = 60.0
"""Seconds that a host waits for a reply of a simulated board on a busy machine."""


@contextmanager
def simulated_board(config: LpuConfig) -> Iterator[str]:
    """The name of the port of a board with a core of ``config``, whose RTL runs until the context ends."""
    directory = built_board(config)
    (UNITS / "jobs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNITS / "jobs") as folder, ThreadPoolExecutor(1) as pool:
        job = Path(folder)
        (job / pty_player.SETTING).write_text(str(DIVISOR))
        running = pool.submit(launch_in, job, directory, TOP, pty_player.__name__)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (job / pty_player.PORT).exists():
                assert not running.done() and time.monotonic() < deadline, "the simulation did not start"
                time.sleep(0.05)
            yield (job / pty_player.PORT).read_text()
        finally:
            (job / pty_player.STOP).touch()
            running.result()
