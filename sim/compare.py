"""The same run on the golden machine and on the RTL: every cycle of the trace, the cycle count, the flags, the SRAM."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.image import ImageError, MemoryBlock, ProgramImage, pack_tensor, tensor_addresses, unpack_tensor
from compiler.random_program import random_program
from golden.machine import Machine
from golden.machine import RunResult as GoldenResult
from golden.numerics import Bytes
from golden.trace import Event, first_difference, read_trace
from hdl.config import LpuConfig
from hdl.isa import Instruction
from sim.build import Simulator
from sim.run import Job, JobResult, Progress, run_image, run_programs

Programs = Mapping[str, Sequence[Instruction]]


@dataclass(frozen=True)
class Comparison:
    """``difference`` names the first thing in which the RTL differs from the golden machine, None when nothing does."""

    cycles: int
    elements: int
    difference: str | None


@dataclass(frozen=True)
class ImageComparison:
    """Outputs of an image on the RTL, the cycles it took there, and which outputs equal the golden machine's."""

    outputs: dict[str, np.ndarray]
    measured: int
    equal: dict[str, bool]


# -------------------------------------------------------------------------- golden


def _rows(machine: Machine, unit: str, addresses: Sequence[int]) -> Bytes:
    """Views of SRAM rows at {slice, row} addresses, uint8 [n, L]."""
    memory = machine.config.unit(unit).memory
    assert memory is not None
    bits = machine.config.row_bits(memory)
    at = np.asarray(addresses)
    return machine.sram[unit][at >> bits, at & ((1 << bits) - 1)]


def _store(machine: Machine, unit: str, addresses: Sequence[int], rows: Bytes) -> None:
    memory = machine.config.unit(unit).memory
    assert memory is not None
    bits = machine.config.row_bits(memory)
    at = np.asarray(addresses)
    machine.sram[unit][at >> bits, at & ((1 << bits) - 1)] = rows


def golden_machine(config: LpuConfig, programs: Programs, memory: Sequence[MemoryBlock]) -> Machine:
    """A golden machine with programs and SRAM content loaded."""
    machine = Machine(config)
    machine.load_programs(programs)
    for block in memory:
        _store(machine, block.unit, range(block.addr, block.addr + len(block.rows)), block.rows)
    return machine


def golden_image(
    image: ProgramImage, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], trace: bool = False
) -> tuple[dict[str, np.ndarray], GoldenResult]:
    """Outputs of an image on the golden machine, and its run. Raises ImageError."""
    config = image.config
    machine = golden_machine(config, image.programs, image.memory)
    for name, array in inputs.items():
        for unit, addr, row in pack_tensor(config, image.tensor(name), array):
            _store(machine, unit, [addr], row)
    result = machine.run(trace)
    found = {}
    for info in map(image.tensor, outputs):
        found[info.name] = unpack_tensor(config, info, _rows(machine, info.unit, tensor_addresses(config, info)))
    return found, result


def compare_image(image: ProgramImage, inputs: Mapping[str, np.ndarray], trace: Path | None = None) -> ImageComparison:
    """One run of an image on both; every input tensor must be given. Raises ImageError, SimError, HostError."""
    check_inputs(image, inputs)
    names = [info.name for info in image.tensors if info.kind == "output"]
    config = image.config.replace(trace=trace is not None)
    rtl = run_image(config, image, [inputs], names, trace)[0]
    golden, _ = golden_image(image, inputs, names)
    equal = {name: np.array_equal(rtl.outputs[name], golden[name]) for name in names}
    return ImageComparison(rtl.outputs, rtl.cycles, equal)


def check_inputs(image: ProgramImage, inputs: Mapping[str, np.ndarray]) -> None:
    """Raise ImageError unless ``inputs`` are exactly the input tensors of the image."""
    wanted = [info.name for info in image.tensors if info.kind == "input"]
    if sorted(wanted) != sorted(inputs):
        raise ImageError(f"inputs given: {', '.join(inputs) or 'none'}: must be {', '.join(wanted) or 'none'}")


# --------------------------------------------------------------------- random programs


def fuzz(
    config: LpuConfig,
    seeds: Sequence[int],
    length: int,
    progress: Progress | None = None,
    simulator: Simulator | None = None,
) -> list[Comparison]:
    """Random programs of the seeds, about ``length`` cycles each, on both; one simulator launch.

    The traces agree on every issue and result of every cycle; the SRAM rows the program touches agree at the end.
    """
    traced = config.replace(trace=True)
    cases = [random_program(traced, seed, length) for seed in seeds]
    return compare_programs(traced, cases, progress, simulator)


def compare_programs(
    config: LpuConfig,
    cases: Sequence[tuple[Programs, Sequence[MemoryBlock]]],
    progress: Progress | None = None,
    simulator: Simulator | None = None,
) -> list[Comparison]:
    """Golden machine and RTL, or what ``simulator`` holds, case by case; ``config.trace`` must be set."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(programs, memory, _read_back(config, memory), Path(folder) / f"trace.{number}")
            for number, (programs, memory) in enumerate(cases)
        ]
        results = run_programs(config, jobs, progress=progress, simulator=simulator)
        return [_compare(config, job, result) for job, result in zip(jobs, results, strict=True)]


def _read_back(config: LpuConfig, memory: Sequence[MemoryBlock]) -> list[tuple[str, int, int]]:
    """The rows that the host can read."""
    readable = [block for block in memory if config.drivable(config.unit(block.unit))]
    return [(block.unit, block.addr, len(block.rows)) for block in readable]


def _compare(config: LpuConfig, job: Job, rtl: JobResult) -> Comparison:
    machine = golden_machine(config, job.programs, job.memory)
    golden = machine.run(trace=True)
    assert job.trace is not None
    with job.trace.open() as file:
        expected, found = (_during(golden.cycles, events) for events in (golden.trace, read_trace(file)))
    difference = first_difference(expected, found, job.programs, config)
    elements = sum(event.kind == "I" for event in golden.trace)
    return Comparison(golden.cycles, elements, difference or _end_difference(machine, golden, job, rtl))


def _during(cycles: int, events: Sequence[Event]) -> list[Event]:
    """The events of the run itself: the trace ends with the last cycle, whatever is still on its way then."""
    return [event for event in events if event.cycle < cycles]


def _end_difference(machine: Machine, golden: GoldenResult, job: Job, rtl: JobResult) -> str | None:
    """What differs after the run: length, flags, SRAM."""
    if golden.cycles != rtl.status.cycles:
        return f"{golden.cycles} cycles in golden, {rtl.status.cycles} in rtl"
    if golden.errors != rtl.status.errors:
        return f"flags {golden.errors!r} in golden, {rtl.status.errors!r} in rtl"
    for (unit, addr, count), rows in zip(job.read_back, rtl.memory, strict=True):
        wrong = (_rows(machine, unit, range(addr, addr + count)) != rows).any(axis=1)
        if wrong.any():
            return f"SRAM of {unit} at address {addr + int(wrong.argmax())} differs after the run"
    return None
