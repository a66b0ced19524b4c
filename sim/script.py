"""Host scripts: what a host does to the core, as a list of requests that the simulated host port plays on its own.

A request is 9 bytes: operation, address, data (both big-endian 32-bit words). The wrapper (``sim/wrapper.py``) takes
one request after the other, each on the core's real host port, so a script of any length costs Python nothing.
Each READ answers with one 32-bit word, in order.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdl.config import LpuConfig
from hdl.isa import Instruction, Opcode, Queue, encode, queue, queues
from hdl.link.hostmap import (
    NO_QUEUE,
    ErrorFlag,
    Register,
    program_address,
    program_words,
    register_address,
    row_words,
    sram_address,
    word_field_bits,
)
from sim import SimError

Rows = NDArray[np.uint8]
Addresses = Sequence[int] | NDArray[np.integer]
"""{slice, row} addresses of SRAM rows."""
REQUEST = np.dtype([("op", "u1"), ("addr", ">u4"), ("data", ">u4")])


LONGEST_WAIT = (1 << 32) - 1
"""Cycles that a WAIT can hold."""


class Op(enum.IntEnum):
    """Operations of a request."""

    WRITE = 0  # addr, data
    READ = 1  # addr; answers a word
    WAIT = 2  # until the core is done, at most `data` cycles
    TRACE = 3  # open trace file number `data`; the next WAIT closes it
    RESET = 4  # reset the core for a cycle; the SRAMs keep their content


class HostError(SimError):
    """The core answered a request with an error, or raised an error flag during a run."""


def _little_endian_words(value: int, count: int) -> NDArray[np.uint32]:
    return np.frombuffer(value.to_bytes(4 * count, "little"), "<u4").astype(np.uint32)


class Script:
    """Requests in the order they were added; READs are answered in the same order."""

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self._parts: list[NDArray[np.void]] = []
        self._reads = 0

    def _add(self, op: Op, addr: object = 0, data: object = 0, count: int = 1) -> None:
        part = np.zeros(count, REQUEST)
        part["op"], part["addr"], part["data"] = op, addr, data
        self._parts.append(part)

    @property
    def requests(self) -> NDArray[np.void]:
        return np.concatenate([np.zeros(0, REQUEST), *self._parts], dtype=REQUEST)

    @property
    def reads(self) -> int:
        """Words that the script answers with."""
        return self._reads

    def reset(self) -> None:
        self._add(Op.RESET)

    def trace(self, number: int = 0) -> None:
        """Log the next run into trace file ``number``."""
        self._add(Op.TRACE, data=number)

    def write_register(self, register: Register, value: int) -> None:
        self._add(Op.WRITE, register_address(register), value)

    def read_register(self, register: Register) -> slice:
        return self._read([register_address(register)])

    def _read(self, addresses: Addresses) -> slice:
        self._add(Op.READ, addresses, count=len(addresses))
        first, self._reads = self._reads, self._reads + len(addresses)
        return slice(first, self._reads)

    def _word_addresses(self, unit_name: str, rows: Addresses) -> NDArray[np.uint32]:
        """Addresses of all words of SRAM rows. Raises HostMapError when the least or greatest row is missing."""
        unit = self.config.unit(unit_name)
        for row in (min(rows), max(rows)):
            sram_address(self.config, unit, int(row))
        base = sram_address(self.config, unit, 0)
        row_base = base + (np.asarray(rows, np.uint32) << np.uint32(word_field_bits(self.config)))
        words = np.arange(row_words(self.config), dtype=np.uint32)
        return (row_base[:, None] + words).reshape(-1)

    def write_rows(self, unit: str, addresses: Addresses, rows: Rows) -> None:
        """SRAM[addresses[i]] <- rows[i], rows uint8 (n, L). Raises SimError for another shape, HostMapError."""
        expected = (len(addresses), self.config.lanes)
        if rows.shape != expected or rows.dtype != np.uint8:
            raise SimError(f"{unit}: {rows.dtype} rows {rows.shape}: must be uint8 {expected}")
        if len(rows):
            words = np.ascontiguousarray(rows).view("<u4").reshape(-1)
            self._add(Op.WRITE, self._word_addresses(unit, addresses), words, len(words))

    def read_rows(self, unit: str, addresses: Addresses) -> slice:
        """Read SRAM rows; :func:`as_rows` turns the words of the answer into bytes. Raises HostMapError."""
        return self._read(self._word_addresses(unit, addresses))

    def load_program(self, target: Queue, program: Sequence[Instruction]) -> None:
        words = program_words(self.config, target.kind)
        for row, instruction in enumerate(program):
            base = program_address(self.config, target, row)
            value = encode(self.config, target.kind, instruction)
            self._add(Op.WRITE, base + np.arange(words), _little_endian_words(value, words), words)

    def load_programs(self, programs: Mapping[str, Sequence[Instruction]]) -> None:
        """Write the program of every queue; queues that ``programs`` leaves out get a lone END."""
        for name in programs:
            queue(self.config, name)
        for target in queues(self.config):
            self.load_program(target, programs.get(target.name) or (Instruction.of(Opcode.END),))

    def run(self, limit: int) -> slice:
        """Clear the flags, start, wait at most ``limit`` cycles, read what :class:`RunStatus` holds.

        Raises SimError for a limit that no 32-bit count holds.
        """
        if limit > LONGEST_WAIT:
            raise SimError(f"run of up to {limit} cycles: must be at most {LONGEST_WAIT}, a 32-bit count")
        self.write_register(Register.ERRORS, 0)
        self.write_register(Register.CONTROL, 1)
        self._add(Op.WAIT, data=limit)
        registers = (Register.CYCLES, Register.ERRORS, Register.ERROR_QUEUE, Register.ERROR_CYCLE)
        return self._read([register_address(register) for register in registers])


def as_rows(config: LpuConfig, words: NDArray[np.uint32]) -> Rows:
    """SRAM rows uint8 (n, L) of the words that answered :meth:`Script.read_rows`."""
    return words.astype("<u4").view(np.uint8).reshape(-1, config.lanes)


@dataclass(frozen=True)
class RunStatus:
    """What the core says about a finished run: its cycles, its error flags, and where the first one was raised."""

    cycles: int
    errors: ErrorFlag
    error_queue: str | None
    error_cycle: int

    @classmethod
    def of(cls, config: LpuConfig, words: NDArray[np.uint32]) -> RunStatus:
        """The status in the words that answered :meth:`Script.run`."""
        cycles, flags, number, error_cycle = (int(word) for word in words)
        name = None if number == NO_QUEUE else queues(config)[number].name
        return cls(cycles, ErrorFlag(flags), name, error_cycle)

    def check(self) -> None:
        """Raise HostError when an error flag is up."""
        if self.errors:
            names = ", ".join(flag.name or "" for flag in self.errors)
            where = f", queue {self.error_queue}" if self.error_queue else ""
            raise HostError(f"core raised {names} in cycle {self.error_cycle}{where}")
