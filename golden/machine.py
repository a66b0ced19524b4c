"""The whole core, cycle by cycle: what ``docs/architecture.md`` and ``hdl/isa`` define, executed on full vectors.

Superlanes are deskewed: everything happens in superlane 0's time; only the trace shows superlane r r cycles later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from golden.execution import Execution
from golden.numerics import Bytes
from golden.sequencer import expand
from golden.trace import Event
from golden.units.memory import MemoryTwin
from hdl.config import LpuConfig
from hdl.isa import Instruction, encode, queue
from hdl.link.hostmap import ErrorFlag


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: its length in cycles, the sorted trace (empty unless asked for), and the error flags.

    ``faults`` says in words what raised each flag: cycle, queue, what.
    """

    cycles: int
    trace: tuple[Event, ...]
    errors: ErrorFlag
    faults: tuple[str, ...]


class Machine:
    """A core of ``config``; ``sram[unit name]`` is uint8 [slices, depth_rows, lanes] and persists between runs."""

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self._memories = {unit.name: MemoryTwin(config, unit) for unit in config.units if unit.memory is not None}
        self._programs: dict[str, tuple[Instruction, ...]] = {}
        self.sram: dict[str, Bytes] = {name: memory.sram for name, memory in self._memories.items()}

    def load_programs(self, programs: Mapping[str, Sequence[Instruction]]) -> None:
        """Replace the programs of all queues; absent queues only END. Raises IsaError for what cannot be encoded."""
        for name, program in programs.items():
            kind = queue(self.config, name).kind
            for instruction in set(program):
                encode(self.config, kind, instruction)
        self._programs = {name: tuple(program) for name, program in programs.items()}

    def run(self, trace: bool = False) -> RunResult:
        """Run the loaded programs to the end. Raises SequenceError, StreamError and GoldenError.

        Streams, weights and accumulators start at 0 in every run; a legal program does not depend on them.
        """
        expansion = expand(self.config, self._programs)
        execution = Execution(self.config, self._memories, trace)
        execution.run(expansion)
        return RunResult(expansion.cycles, tuple(sorted(execution.events)), execution.errors, tuple(execution.faults))
