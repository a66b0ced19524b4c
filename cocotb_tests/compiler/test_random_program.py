"""Random programs are legal, reproducible, dense, and together use everything the ISA has."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.image import MemoryBlock
from compiler.operands import register_reads
from compiler.random_program import all_features, coverage, random_program
from golden.machine import Machine, RunResult
from golden.sequencer import expand
from golden.units.vector import VectorTwin
from hdl.config import Direction, LpuConfig, PipeKind, SwitchOp, preset
from hdl.isa import PIPE_LATENCY, PIPES, Opcode, queues, stream_direction

PRESETS = ("nano", "tiny", "small", "ulx3s", "ulx3s_narrow", "duo")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "small", "ulx3s"])
def test_at_most_four_dozen_seeds_cover_everything(name: str) -> None:
    """Stops at the seed that completes the coverage."""
    config = preset(name)
    found: set[str] = set()
    for seed in range(48):
        programs, _ = random_program(config, seed, 200)
        found |= coverage(config, programs)
        if found == all_features(config):
            return
    pytest.fail(f"not covered: {sorted(all_features(config) - found)}")


@pytest.mark.parametrize("name", PRESETS)
def test_reads_use_both_directions_repeats_and_strides(name: str) -> None:
    config = preset(name)
    programs, _ = random_program(config, 1, 200)
    reads = [step for program in programs.values() for step in program if step.op is Opcode.READ]
    assert {stream_direction(step["stream"]) for step in reads} == set(Direction)
    for field in ("stride", "gap", "mask") if config.loop_levels else ("stride", "gap"):
        assert any(step[field] for step in reads)


@pytest.mark.parametrize("name", PRESETS)
def test_programs_are_dense_and_end_in_time(name: str) -> None:
    config = preset(name)
    for seed in range(2):
        programs, _ = random_program(config, seed, 250)
        expansion = expand(config, programs)
        assert sum(map(len, expansion.elements.values())) >= expansion.cycles / 2
        assert 100 < expansion.cycles <= 250 + config.superlanes + 2


def _taken_at_once(config: LpuConfig, seed: int) -> dict[PipeKind, set[int]]:
    """By pipe, the cycles in which another pipe takes a result of it in the first cycle that it can."""
    elements = expand(config, random_program(config, seed, 200)[0]).elements
    vector = {PIPES[q.kind]: elements[q.name] for q in queues(config) if q.kind in PIPES}
    found: dict[PipeKind, set[int]] = {pipe: set() for pipe in vector}
    for pipe, own in vector.items():
        for element in own:
            for _, made in register_reads(element.instruction, pipe, element.first):
                issue = element.cycle - PIPE_LATENCY[made]
                if made is not pipe and any(other.cycle == issue for other in vector[made]):
                    found[made].add(element.cycle)
    return found


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_results_are_handed_on_with_a_pipe_full_of_elements(name: str) -> None:
    """In more successive cycles than the pipe has stages."""
    config = preset(name)
    runs = [_taken_at_once(config, seed) for seed in range(4)]
    for pipe in config.pipes:
        row = range(PIPE_LATENCY[pipe] + 1)
        assert any({cycle + i for i in row} <= run[pipe] for run in runs for cycle in run[pipe]), pipe


def test_one_seed_gives_one_program() -> None:
    config = preset("small")
    assert random_program(config, 7, 100) == random_program(config, 7, 100)
    assert random_program(config, 7, 100)[0] != random_program(config, 8, 100)[0]


def test_memory_holds_edge_values_and_leaves_rows_uninitialised() -> None:
    config = preset("small")
    _, blocks = random_program(config, 0, 50)
    content = np.concatenate([block.rows for block in blocks])
    assert {0x00, 0x7F, 0x80, 0xFF} <= set(content.ravel().tolist())
    assert len(content) < config.sram_bytes // config.lanes


class DirtyVector(VectorTwin):
    """A vector unit after some other program: NaNs in the result registers, every flag set."""

    def __init__(self, config: LpuConfig) -> None:
        super().__init__(config)
        for register in self.registers.values():
            register[...] = -1
        self._flag = np.ones(config.lanes, np.bool_)


def _run(config: LpuConfig, seed: int, garbage: int) -> RunResult:
    """The golden machine's run with ``garbage`` in every SRAM byte that the program's blocks do not set."""
    programs, blocks = random_program(config, seed, 150)
    machine = Machine(config)
    for sram in machine.sram.values():
        sram[...] = garbage
    for block in blocks:
        _preload(machine, config, block)
    machine.load_programs(programs)
    return machine.run(trace=True)


def _preload(machine: Machine, config: LpuConfig, block: MemoryBlock) -> None:
    memory = config.unit(block.unit).memory
    assert memory is not None
    for addr, row in enumerate(block.rows, block.addr):
        machine.sram[block.unit][addr >> config.row_bits(memory), addr % (1 << config.row_bits(memory))] = row


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", PRESETS)
def test_what_was_there_before_never_shows(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verified program runs without error flags; no result depends on what SRAM, registers and flags held before."""
    config = preset(name)
    first = _run(config, seed, 0x00)
    monkeypatch.setattr("golden.execution.VectorTwin", DirtyVector)
    second = _run(config, seed, 0xA5)
    assert not first.errors and not first.faults
    assert len(first.trace) > first.cycles
    assert first.trace == second.trace


@pytest.mark.parametrize(
    "change",
    [
        {"hemispheres": 2, "streams_east": 24},
        {"pipes": (PipeKind.INT,)},
        {"streams_east": 12},
        {"mxm_planes": 2},
        {"loop_levels": 4},
        {"acc_rows": 1},
        {"switch_ops": ()},
        {"loop_levels": 0, "program_rows": 1024},
        {"indexed": False},
        {"plain_groups": ("d0", "w0"), "lane0_index": True},
        {"last_bytes": True, "switch_ops": (SwitchOp.TRANSPOSE,)},
        {"stride_bits": 3},
        {"switch_ops": (SwitchOp.TRANSPOSE,)},
    ],
    ids=str,
)
def test_other_configs(change: dict[str, object]) -> None:
    """random_program verifies what it returns."""
    programs, _ = random_program(preset("small").replace(**change), 0, 80)
    assert sum(map(len, programs.values())) > len(programs)
