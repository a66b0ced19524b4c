"""The verifier: every rule of the machine checked on a whole program, trusting neither compiler nor author."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.image import TensorInfo
from compiler.verify.instructions import check_encoding, check_instructions
from compiler.verify.issue import VerifyError, earliest, sites_of
from compiler.verify.matrix import check_matrix
from compiler.verify.memory import (
    InitialRows,
    check_initialised,
    check_rows,
    check_same_cycle,
    check_tensors,
    memory_logs,
)
from compiler.verify.size import check_size
from compiler.verify.streams import check_nothing_replaced, check_one_driver, check_operands_present, stream_events
from compiler.verify.vector import check_flags, check_registers
from golden.sequencer import Expansion, SequenceError, expand
from hdl.config import LpuConfig
from hdl.isa import Instruction

__all__ = ["InitialRows", "VerifyError", "verify"]


def verify(
    config: LpuConfig,
    programs: Mapping[str, Sequence[Instruction]],
    memory: Iterable[InitialRows] = (),
    tensors: Sequence[TensorInfo] = (),
) -> Expansion:
    """The expansion of a legal program; ``memory`` is what SRAM holds at the start.

    Raises VerifyError for the problem of the lowest cycle (for the first instruction without an encoding, or the first
    broken sequencing rule, before any cycle can be told).
    """
    check_encoding(config, programs)
    try:
        check_size(config, programs)
        expansion = expand(config, programs)
    except SequenceError as error:
        raise VerifyError(str(error)) from error
    sites = sites_of(config, programs, expansion)
    events, logs = stream_events(config, sites), memory_logs(config, sites)
    problem = earliest(
        (
            check_instructions(config, sites),
            check_one_driver(config, events),
            check_operands_present(config, events),
            check_nothing_replaced(config, events),
            check_rows(config, logs),
            check_same_cycle(config, logs),
            check_initialised(config, logs, memory),
            check_matrix(config, sites),
            check_registers(config, sites),
            check_flags(config, sites),
            check_tensors(config, tensors, expansion.cycles),
        )
    )
    if problem:
        raise VerifyError(str(problem))
    return expansion
