"""Runs of the simulated core from ordinary Python: program images with their inputs, and bare programs."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner
from numpy.typing import NDArray

from compiler.image import MemoryBlock, ProgramImage, pack_tensor, tensor_addresses, unpack_tensor
from hdl.config import LpuConfig
from hdl.isa import Instruction
from hdl.link.hostmap import ErrorFlag
from sim import SimError
from sim.build import CACHE, Simulator, build
from sim.script import HostError, Op, Rows, RunStatus, Script, as_rows
from sim.testbench import SCRIPTS
from sim.wrapper import TOP

Words = NDArray[np.uint32]
Progress = Callable[[int], None]
"""Told how many items are finished, a few times a second."""
Player = Callable[[Sequence[Script]], Iterator[tuple[Words, float]]]
"""What plays host scripts on a core, a simulated or a real one: each answer as soon as all of it is there, and when
(``time.time()``) that was."""

CYCLE_LIMIT = 1_000_000
"""A bare program that runs longer than this is taken for hung."""
LOG = "sim.log"
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RunResult:
    """Outputs of one item of :func:`run_image` and what the core said about the run."""

    outputs: dict[str, np.ndarray]
    status: RunStatus

    @property
    def cycles(self) -> int:
        return self.status.cycles

    @property
    def errors(self) -> ErrorFlag:
        return self.status.errors


@dataclass(frozen=True)
class Job:
    """A bare program: its SRAM content, the (unit, addr, rows) to read back, and where its trace goes."""

    programs: Mapping[str, Sequence[Instruction]]
    memory: Sequence[MemoryBlock] = ()
    read_back: Sequence[tuple[str, int, int]] = ()
    trace: Path | None = None


@dataclass(frozen=True)
class JobResult:
    """``memory[i]`` is uint8 (rows, L), what ``Job.read_back[i]`` held after the run."""

    status: RunStatus
    memory: list[Rows] = field(default_factory=list)


# ------------------------------------------------------------------------- images


def run_image(
    config: LpuConfig,
    image: ProgramImage,
    inputs: Sequence[Mapping[str, np.ndarray]],
    outputs: Sequence[str] | None = None,
    trace: Path | None = None,
    progress: Progress | None = None,
    simulator: Simulator | None = None,
    player: Player | None = None,
) -> list[RunResult]:
    """Load an image once, then run it on every item of ``inputs``; ``outputs`` are all output tensors unless named.

    ``simulator``: of the core's netlist, say, instead of its RTL; ``player``: a core elsewhere, which gives no trace.
    ``trace`` receives the commit trace of the first item and needs ``config.trace``.
    Raises ImageError, SimError; HostError when the core raises an error flag.
    """
    names = [info.name for info in image.tensors if info.kind == "output"] if outputs is None else list(outputs)
    load = Script(config)
    load_memory(load, image.memory)
    load.load_programs(image.programs)
    items = [_ItemScript(config, image, item, names, trace is not None and i == 0) for i, item in enumerate(inputs)]
    scripts = [load, *(item.script for item in items)]
    report = progress and (lambda finished: progress(max(0, finished - 1)))  # loading is not an item
    if player is None:
        answers = play(simulator or build(config), scripts, [trace] if trace else [], report)
    else:
        answers = _heard(player, scripts, report)
    return [item.result(words) for item, words in zip(items, answers[1:], strict=True)]


def _heard(player: Player, scripts: Sequence[Script], progress: Progress | None) -> list[Words]:
    answers = []
    for words, _ in player(scripts):
        answers.append(words)
        if progress:
            progress(len(answers))
    return answers


class _ItemScript:
    """The script of one item: write the inputs, run, read the outputs."""

    def __init__(
        self, config: LpuConfig, image: ProgramImage, item: Mapping[str, np.ndarray], names: list[str], trace: bool
    ) -> None:
        self.config, self.image = config, image
        self.script = Script(config)
        for name, array in item.items():
            write_tensor(self.script, image, name, array)
        if trace:
            self.script.trace()
        self._status = self.script.run(2 * image.cycles + 1000)
        self._outputs = {name: read_tensor(self.script, image, name) for name in names}

    def result(self, words: Words) -> RunResult:
        status = RunStatus.of(self.config, words[self._status])
        status.check()
        tensors = {
            name: unpack_tensor(self.config, self.image.tensor(name), as_rows(self.config, words[part]))
            for name, part in self._outputs.items()
        }
        return RunResult(tensors, status)


def write_tensor(script: Script, image: ProgramImage, name: str, array: np.ndarray) -> None:
    """Have ``script`` write a tensor of an image, a state or a constant as well."""
    info = image.tensor(name)
    packed = pack_tensor(script.config, info, array)
    script.write_rows(info.unit, [addr for _, addr, _ in packed], np.stack([row for _, _, row in packed]))


def read_tensor(script: Script, image: ProgramImage, name: str) -> slice:
    """Have ``script`` read a tensor; where its words are in the answer."""
    info = image.tensor(name)
    return script.read_rows(info.unit, tensor_addresses(script.config, info))


def load_memory(script: Script, memory: Sequence[MemoryBlock]) -> None:
    """Have ``script`` write blocks of SRAM."""
    for block in memory:
        script.write_rows(block.unit, range(block.addr, block.addr + len(block.rows)), block.rows)


# ------------------------------------------------------------------ bare programs


def run_programs(
    config: LpuConfig,
    jobs: Sequence[Job],
    limit: int = CYCLE_LIMIT,
    progress: Progress | None = None,
    simulator: Simulator | None = None,
) -> list[JobResult]:
    """Run several programs in one launch, each from a reset core; the SRAMs keep what earlier jobs left.

    Error flags are part of the result. Raises SimError when a program takes more than ``limit`` cycles.
    """
    built = [_job_script(config, job, number, limit) for number, job in enumerate(jobs)]
    scripts, traces = [script for script, _, _ in built], [job.trace for job in jobs]
    answers = play(simulator or build(config), scripts, traces, progress)
    return [
        JobResult(RunStatus.of(config, words[status]), [as_rows(config, words[part]) for part in memory])
        for (_, status, memory), words in zip(built, answers, strict=True)
    ]


def run_program(
    config: LpuConfig,
    programs: Mapping[str, Sequence[Instruction]],
    memory: Sequence[MemoryBlock] = (),
    read_back: Sequence[tuple[str, int, int]] = (),
    trace: Path | None = None,
    limit: int = CYCLE_LIMIT,
) -> JobResult:
    """:func:`run_programs` for one program."""
    return run_programs(config, [Job(programs, memory, read_back, trace)], limit)[0]


def _job_script(config: LpuConfig, job: Job, number: int, limit: int) -> tuple[Script, slice, list[slice]]:
    script = Script(config)
    script.reset()
    load_memory(script, job.memory)
    script.load_programs(job.programs)
    if job.trace is not None:
        script.trace(number)
    status = script.run(limit)
    return script, status, [script.read_rows(unit, range(addr, addr + n)) for unit, addr, n in job.read_back]


# ------------------------------------------------------------------------ launches


def play(
    simulator: Simulator,
    scripts: Sequence[Script],
    traces: Sequence[Path | None] = (),
    progress: Progress | None = None,
) -> list[Words]:
    """The answers of host scripts, played one after the other in one launch; trace number i goes to ``traces[i]``.

    Raises SimError for a run that hangs or a simulator that fails, HostError for a request the core refuses.
    """
    if any(traces) and not simulator.config.trace:
        raise SimError(f"config '{simulator.config.name}': trace = False: must be True to log a trace")
    with job_directory() as directory:
        for index, script in enumerate(scripts):
            script.requests.tofile(directory / f"script.{index}")
        with ThreadPoolExecutor(1) as pool:
            launch = pool.submit(simulate, simulator, directory, len(scripts))
            while progress and wait([launch], _POLL_SECONDS).not_done:
                progress(max(0, len(list(directory.glob("answer.*"))) - 1))
            launch.result()
        answers = [read_answer(directory / f"answer.{index}", script) for index, script in enumerate(scripts)]
        for number, destination in enumerate(traces):
            if destination is not None:
                _publish(directory / f"trace.{number}", destination)
    if progress:
        progress(len(scripts))
    return answers


@contextmanager
def job_directory() -> Iterator[Path]:
    """A directory for one launch: scripts, answers, traces, log."""
    (CACHE / "jobs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE / "jobs") as directory:
        yield Path(directory)


def simulate(simulator: Simulator, directory: Path, scripts: int) -> None:
    """Run the testbench. Raises SimError naming the log."""
    passed = run_testbench(directory, simulator.directory, TOP, "sim.testbench", {SCRIPTS: str(scripts)})
    if not passed:
        raise SimError(f"simulation of '{simulator.config.name}' failed; see {kept_log(directory, CACHE)}")


def run_testbench(job: Path, built: Path, top: str, module: str, environment: Mapping[str, str]) -> bool:
    """Whether cocotb's ``module`` passed on ``top``, in the folder ``job``.

    The runner's exit status says nothing outside pytest: the results file decides.
    """
    runner, results = get_runner("verilator"), job / "results.xml"
    runner.log.setLevel(logging.CRITICAL)
    try:
        runner.test(
            test_module=module,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=job,
            results_xml=str(results),
            extra_env={"COCOTB_LOG_LEVEL": "WARNING", **environment},
            log_file=job / LOG,
        )
        return get_results(results) == (1, 0)
    except (RuntimeError, SystemExit, subprocess.CalledProcessError):
        return False


def kept_log(job: Path, folder: Path) -> Path:
    """Where the log of a failed job in a temporary folder stays."""
    kept = folder / "failed.log"
    shutil.copy(job / LOG, kept)
    return kept


def read_answer(path: Path, script: Script) -> Words:
    """The words that a script's READs gave. Raises SimError where a run hangs, HostError for a refused request."""
    lines = path.read_text().split("\n")[:-1]
    if lines and (words := lines[-1].split())[0] in ("error", "timeout"):
        raise _failure(words[0], script.requests[int(words[1])])
    if len(lines) != script.reads:
        raise SimError(f"{path.name}: {len(lines)} words: must be {script.reads}")
    return np.array([int(line, 16) for line in lines], np.uint32)


def _failure(reason: str, request: np.void) -> SimError:
    op, addr, data = Op(int(request["op"])), int(request["addr"]), int(request["data"])
    if op is Op.WAIT:
        return SimError(f"the program did not finish within {data} cycles")
    verb = "refused" if reason == "error" else "did not answer"
    return HostError(f"core {verb} {op.name} of host address {addr:#010x}")


def _publish(source: Path, destination: Path) -> None:
    """Move a finished file into place, whole or not at all, also across file systems."""
    partial = destination.with_name(f".{destination.name}.{os.getpid()}")
    shutil.move(source, partial)
    os.replace(partial, destination)
