"""The host port's address map: 32-bit words at 32-bit word addresses, one truth for RTL, drivers and bridges.

Top-level ports (``host`` bundle of :class:`hdl.core.Core`)
    ``host__valid``, ``host__write``, ``host__addr`` (32), ``host__w_data`` (32) in; ``host__ready``,
    ``host__r_data`` (32), ``host__error`` out. A request is held until a cycle with ``ready``; ``r_data`` and ``error``
    are valid in that cycle.

Regions (address bits 31..30)
    0  registers (:class:`Register`), accessible at any time
    1  programs, write only: {queue, row, word}; the words of a row are written in ascending order, the last one commits
    2  SRAM: {group, slice, row, word}; writes as above (a row is ``lanes/4`` words, lane 0 in the low byte of word 0);
       reading word 0 fetches the row, words 1.. return the rest of the row fetched last
Where ``weights_from_host`` holds, weight groups are write only.
An access to regions 1 or 2 during a run, beyond the map, or to a missing row answers ``error`` and changes nothing.
"""

from __future__ import annotations

import enum
from functools import cache

from hdl.config import HOST_SRAM_BITS, LpuConfig, Unit
from hdl.isa import Queue, QueueKind, queues, word_bits

DEVICE_ID = 0x4C505531
"""'LPU1', the value of Register.ID."""
REGION_SHIFT = HOST_SRAM_BITS
NO_QUEUE = 0xFF
"""In Register.ERROR_QUEUE: no flag is up, or two queues raised it together (STREAM_CONFLICT)."""


class Region(enum.IntEnum):
    REGISTERS = 0
    PROGRAM = 1
    SRAM = 2


class Register(enum.IntEnum):
    """Word addresses in region 0."""

    ID = 0  # read: DEVICE_ID
    FINGERPRINT = 1  # read: LpuConfig.fingerprint
    CONTROL = 2  # write: bit 0 starts the program; an error while running
    STATUS = 3  # read: bit 0 running, bit 1 done
    CYCLES = 4  # read: cycles of the running or last run
    ERRORS = 5  # read: sticky flags (ErrorFlag); any write clears them
    ERROR_QUEUE = 6  # read: number of the queue that raised the first flag since the last clear, or NO_QUEUE
    ERROR_CYCLE = 7  # read: its cycle


class ErrorFlag(enum.IntFlag):
    """Sticky flags of Register.ERRORS; raised only by a core with ``assertions``."""

    ILLEGAL_OPCODE = 1  # a queue met an opcode that is not its own; the queue ends
    STREAM_CONFLICT = 2  # two drives of one stream at one position in one cycle
    ROW_RANGE = 4  # an SRAM row at or beyond the depth of its group


class HostMapError(ValueError):
    """An address outside the map."""


@cache
def memory_groups(config: LpuConfig) -> tuple[Unit, ...]:
    """Memory units in the order of the map's group numbers."""
    return tuple(unit for unit in config.units if unit.memory is not None)


def row_words(config: LpuConfig) -> int:
    """32-bit words of one SRAM row."""
    return config.lanes // 4


def program_words(config: LpuConfig, kind: QueueKind) -> int:
    """32-bit words of one instruction."""
    return -(-word_bits(config, kind) // 32)


def word_field_bits(config: LpuConfig) -> int:
    return (row_words(config) - 1).bit_length()


PROGRAM_WORD_BITS = 3


def register_address(register: Register) -> int:
    return int(register)


def program_address(config: LpuConfig, queue: Queue, row: int, word: int = 0) -> int:
    """Word ``word`` of instruction ``row`` of a queue. Raises HostMapError beyond the program memory."""
    rows = config.rows_of(queue.name)
    if not 0 <= row < rows:
        raise HostMapError(f"queue {queue.name}: row {row}: must be in 0..{rows - 1}")
    row_bits = (config.program_rows - 1).bit_length()
    number = queues(config).index(queue)
    return Region.PROGRAM << REGION_SHIFT | (number << row_bits | row) << PROGRAM_WORD_BITS | word


def sram_address(config: LpuConfig, unit: Unit, addr: int, word: int = 0) -> int:
    """Word ``word`` of the row at {slice, row} ``addr`` of a memory unit. Raises HostMapError for a missing row."""
    if unit.memory is None:
        raise HostMapError(f"{unit.name} is not a memory group")
    row_bits = config.row_bits(unit.memory)
    slice_, row = addr >> row_bits, addr & ((1 << row_bits) - 1)
    if not (0 <= slice_ < unit.memory.slices and row < unit.memory.depth_rows):
        raise HostMapError(
            f"{unit.name}: slice {slice_} row {row}: has {unit.memory.slices} x {unit.memory.depth_rows}"
        )
    group = memory_groups(config).index(unit)
    return Region.SRAM << REGION_SHIFT | (group << config.addr_bits | addr) << word_field_bits(config) | word
