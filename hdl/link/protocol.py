"""The frames of the UART bridge: one truth for the RTL, the host side and the tests; explained in docs/protocol.md.

    request   operation, count, address (4 bytes), WRITE: count words, CRC (2 bytes)
    reply     code; OK of a READ: count words, code; CRC (2 bytes)

Numbers are little-endian, words have 32 bits, addresses are those of ``hdl/link/hostmap.py``; the CRC goes over all
bytes before it, high byte first. A READ's second code says whether all words were there: those that were not are zero.
"""

from __future__ import annotations

import enum

from amaranth.lib.crc import Parameters, catalog

from hdl.config import LpuConfig
from hdl.isa import queues
from hdl.link.hostmap import program_words, row_words

CRC = catalog.CRC16_IBM_3740
"""x^16 + x^12 + x^5 + 1, initial value 0xFFFF, most significant bit first; sent high byte first."""
HEADER_BYTES = 6
CRC_BYTES = 2
WORD_BYTES = 4
READ_WORDS = 255
"""Most words of a READ."""
IDLE_SECONDS = 0.01
"""A frame whose next byte takes longer than this is short."""


class Operation(enum.IntEnum):
    """First byte of a request."""

    WRITE = 0x57  # one whole row of the map: a register, an instruction, an SRAM row; all of its words or none
    READ = 0x52  # count words from address on, 1..READ_WORDS


class Code(enum.IntEnum):
    """First byte of a reply. Whatever is not OK has changed nothing."""

    OK = 0x00
    CRC = 0x01  # the request's CRC does not fit
    SHORT = 0x02  # the request ended early
    COMMAND = 0x03  # no such operation, or a count out of range
    REFUSED = 0x04  # the host port refuses: outside memory, read-only or write-only
    ROW = 0x05  # a WRITE that is not one whole row: some of it would be there before the rest is refused
    BUSY = 0x06  # a run is under way, and this is not a READ of registers


def write_words(config: LpuConfig) -> int:
    """Most words of a WRITE: those of an SRAM row or of the longest instruction."""
    return max(row_words(config), *(program_words(config, queue.kind) for queue in queues(config)))


def crc_parameters() -> Parameters:
    """The CRC over bytes: ``.compute(data)`` for software, ``.create()`` for hardware."""
    return CRC(data_width=8)


def crc_bytes(data: bytes) -> bytes:
    """The two bytes that follow ``data``."""
    return crc_parameters().compute(data).to_bytes(CRC_BYTES, "big")
