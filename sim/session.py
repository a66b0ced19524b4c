"""Sessions: program images that take over from each other on one core, whose states stay in SRAM between the runs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from compiler.image import ProgramImage, tensor_addresses, unpack_tensor
from hdl.config import LpuConfig
from hdl.link.hostmap import Register
from sim.build import Simulator, build
from sim.run import (
    Player,
    Words,
    job_directory,
    load_memory,
    read_answer,
    read_tensor,
    simulate,
    write_tensor,
)
from sim.script import RunStatus, Script, as_rows

_POLL_SECONDS = 0.05
Place = tuple[str, int]


@dataclass(frozen=True)
class SessionRun:
    """What one image of a session answered, and the seconds that it took from the answer before."""

    outputs: dict[str, np.ndarray]
    cycles: int
    seconds: float


def run_session(
    config: LpuConfig,
    images: Sequence[ProgramImage],
    start: Mapping[str, np.ndarray],
    states: Collection[str],
    outputs: Sequence[str],
    player: Player | None = None,
) -> Iterator[SessionRun]:
    """Run ``images`` one after the other; yields each result as soon as the simulated core has it.

    ``start``: states that the host writes before the first run; all ``states`` are at the same addresses in all images.
    ``outputs`` are read after every run. Between different images the host writes programs and those constants that
    are not where, or not what, they were. Raises ImageError, SimError; HostError when the core raises an error flag.
    """
    load = Script(config)
    load_memory(load, images[0].memory)
    load.load_programs(images[0].programs)
    for name, array in start.items():
        write_tensor(load, images[0], name, array)
    load.read_register(Register.CYCLES)  # an answer, whose time is that of the end of loading
    befores = (None, *images[:-1])
    runs = [_RunScript(config, *pair, states, outputs) for pair in zip(befores, images, strict=True)]
    answers = (player or simulated(build(config)))([load, *(run.script for run in runs)])
    _, written = next(answers)
    for run, (words, now) in zip(runs, answers, strict=True):
        yield run.result(words, now - written)
        written = now


class _RunScript:
    """The script of one run: swap programs where the image is a new one, run, read the outputs."""

    def __init__(
        self,
        config: LpuConfig,
        before: ProgramImage | None,
        image: ProgramImage,
        states: Collection[str],
        outputs: Sequence[str],
    ) -> None:
        self.config, self.image = config, image
        self.script = Script(config)
        if before is not None and before is not image:
            for (unit, addr), row in moved_constants(before, image, states).items():
                self.script.write_rows(unit, [addr], row[None, :])
            self.script.load_programs(image.programs)
        self._status = self.script.run(2 * image.cycles + 1000)
        self._outputs = {name: read_tensor(self.script, image, name) for name in outputs}

    def result(self, words: Words, seconds: float) -> SessionRun:
        status = RunStatus.of(self.config, words[self._status])
        status.check()
        tensors = {
            name: unpack_tensor(self.config, self.image.tensor(name), as_rows(self.config, words[part]))
            for name, part in self._outputs.items()
        }
        return SessionRun(tensors, status.cycles, seconds)


def moved_constants(before: ProgramImage, image: ProgramImage, states: Collection[str]) -> dict[Place, np.ndarray]:
    """Rows of constants of ``image`` that are not in ``before`` at their address, uint8 [L] each."""
    old, new = _constants(before, states), _constants(image, states)
    return {place: row for place, row in new.items() if place not in old or not np.array_equal(old[place], row)}


def _constants(image: ProgramImage, states: Collection[str]) -> dict[Place, np.ndarray]:
    infos = [image.tensor(name) for name in states]
    own = {(info.unit, addr) for info in infos for addr in tensor_addresses(image.config, info)}
    rows = {(block.unit, block.addr + i): row for block in image.memory for i, row in enumerate(block.rows)}
    return {place: row for place, row in rows.items() if place not in own}


# ------------------------------------------------------------------------ launches


def simulated(simulator: Simulator) -> Player:
    """A player on a simulated core, in a launch of its own."""
    return partial(_played, simulator)


def _played(simulator: Simulator, scripts: Sequence[Script]) -> Iterator[tuple[Words, float]]:
    with job_directory() as directory:
        for index, script in enumerate(scripts):
            script.requests.tofile(directory / f"script.{index}")
        with ThreadPoolExecutor(1) as pool:
            launch = pool.submit(simulate, simulator, directory, len(scripts))
            for index, script in enumerate(scripts):
                _wait(launch, directory, index)
                path = directory / f"answer.{index}"
                yield read_answer(path, script), path.stat().st_mtime
            launch.result()


def _wait(launch: Future[None], directory: Path, index: int) -> None:
    """Until script ``index`` is done: the next has begun, or the simulator has ended. Raises SimError if it failed."""
    while not (directory / f"answer.{index + 1}").exists():
        if launch.done():
            launch.result()
            return
        time.sleep(_POLL_SECONDS)
