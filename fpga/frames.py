"""Host scripts as exchanges of the serial protocol: whole rows to write, stretches of words to read, waits."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from fpga import FpgaError
from hdl.config import LpuConfig
from hdl.isa import queues
from hdl.link.hostmap import (
    PROGRAM_WORD_BITS,
    REGION_SHIFT,
    Region,
    Register,
    program_words,
    register_address,
    row_words,
)
from hdl.link.protocol import CRC_BYTES, READ_WORDS, Operation
from sim.script import Op, Script


@dataclass(frozen=True)
class Exchange:
    """A request and what it is about: ``count`` words at ``address``; a WAIT has its limit there and no frame."""

    op: Operation | Op
    address: int
    count: int = 0
    data: bytes = b""

    @property
    def is_start(self) -> bool:
        """Whether it starts a program, which is not done twice."""
        return self.op is Operation.WRITE and self.address == register_address(Register.CONTROL)

    @property
    def is_plain_write(self) -> bool:
        """Whether it may be repeated, and followed by the next without waiting for the reply."""
        return self.op is Operation.WRITE and not self.is_start

    @cached_property
    def frame(self) -> bytes:
        """The bytes on the line."""
        body = struct.pack("<BBI", self.op, self.count, self.address) + self.data
        return body + binascii.crc_hqx(body, 0xFFFF).to_bytes(CRC_BYTES, "big")

    def __str__(self) -> str:
        return f"{self.op.name} of {self.count} words at {self.address:#010x}"


def exchanges(config: LpuConfig, script: Script) -> Iterator[Exchange]:
    """The requests of a script, words of a row and of neighbouring rows together.

    Raises FpgaError for what a board cannot do: RESET, TRACE, a WRITE of a part of a row.
    """
    requests = script.requests
    ops, addresses = requests["op"].tolist(), requests["addr"].tolist()
    words = requests["data"].astype("<u4")
    i = 0
    while i < len(ops):
        op, address = Op(ops[i]), addresses[i]
        if op is Op.WAIT:
            yield Exchange(op, int(words[i]))
            i += 1
            continue
        if op not in (Op.WRITE, Op.READ):
            raise FpgaError(f"{op.name}: a board can only WRITE, READ and WAIT")
        row = row_size(config, address)
        most = row if op is Op.WRITE else max(row, READ_WORDS // row * row)
        count = _stretch(ops, addresses, i, most)
        if op is Op.WRITE and count != row:
            raise FpgaError(f"WRITE of {count} words at {address:#010x}: must be a row of {row}")
        data = words[i : i + count].tobytes() if op is Op.WRITE else b""
        yield Exchange(Operation[op.name], address, count, data)
        i += count


def _stretch(ops: list[int], addresses: list[int], first: int, most: int) -> int:
    """How many requests from ``first`` on are the same operation at successive addresses, at most ``most``."""
    count = 1
    while (
        count < most
        and first + count < len(ops)
        and ops[first + count] == ops[first]
        and addresses[first + count] == addresses[first] + count
    ):
        count += 1
    return count


def row_size(config: LpuConfig, address: int) -> int:
    """Words that a WRITE at an address has. Raises FpgaError beyond the map."""
    region = address >> REGION_SHIFT
    if region == Region.REGISTERS:
        return 1
    if region == Region.SRAM:
        return row_words(config)
    row_bits = (config.program_rows - 1).bit_length()
    number = (address & ((1 << REGION_SHIFT) - 1)) >> (PROGRAM_WORD_BITS + row_bits)
    if region != Region.PROGRAM or number >= len(queues(config)):
        raise FpgaError(f"host address {address:#010x}: must be in the map of '{config.name}'")
    return program_words(config, queues(config)[number].kind)
