"""The UART bridge: framed, CRC-checked requests on a serial line become requests on the host port."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.isa import queues
from hdl.link.host import HOST_SIGNATURE
from hdl.link.hostmap import PROGRAM_WORD_BITS, REGION_SHIFT, Region, program_words, row_words, word_field_bits
from hdl.link.protocol import HEADER_BYTES, Code, Operation, crc_bytes, crc_parameters, write_words
from hdl.link.uart import UartReceiver, UartTransmitter

_SHORT_REPLY = 3
"""Bytes of a reply without words."""


class HostBridge(wiring.Component):
    """Answers the requests of ``hdl/link/protocol.py`` that come on ``rx`` on ``tx``.

    A WRITE's words stay in a shift register until its CRC was right, then go to the host port one by one. They are one
    row, which the host port stores with its last word, so whatever is not answered with OK has changed nothing. Replies
    without words leave while the next request arrives, so WRITEs may follow each other without a pause; after a READ
    the line must wait for its reply.

    ``running``: the core's; ``divisor``: clock cycles of a bit; ``idle_cycles``: a frame whose next byte takes longer
    is short.
    """

    def __init__(self, config: LpuConfig, divisor: int, idle_cycles: int) -> None:
        self._config, self._words = config, write_words(config)
        self._divisor, self._idle_cycles = divisor, idle_cycles
        ports = {"rx": In(1, init=1), "tx": Out(1, init=1), "running": In(1), "host": Out(HOST_SIGNATURE)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._declare(m)
        with m.If(self._receiver.valid):
            m.d.sync += self._idle.eq(0)
        with m.Elif(~self._late):
            m.d.sync += self._idle.eq(self._idle + 1)
        is_row = self._is_row(m)
        with m.FSM(name="state"):
            self._receive(m)
            self._execute(m, is_row)
            self._answer(m)
        self._reply(m)
        return m

    def _declare(self, m: Module) -> None:
        m.submodules.receiver = self._receiver = UartReceiver(self._divisor)
        m.submodules.transmitter = self._transmitter = UartTransmitter(self._divisor)
        m.submodules.crc = self._crc = crc_parameters().create()
        self._header = Signal(8 * HEADER_BYTES, name="header", reset_less=True)
        self._operation, self._count, self._address = self._header[:8], self._header[8:16], self._header[16:]
        self._buffer = Signal(32 * self._words, name="buffer", reset_less=True)
        self._left = Signal(range(max(HEADER_BYTES, 4 * self._words)), init=HEADER_BYTES - 1, name="left")
        self._spare = Signal(range(self._words), name="spare", reset_less=True)
        self._idle = Signal(range(self._idle_cycles + 1), name="idle")
        self._late = self._idle == self._idle_cycles
        self._refused = Signal(name="refused", reset_less=True)
        self._code = Signal(Code, name="code", reset_less=True)
        self._due = Signal(range(_SHORT_REPLY + 1), name="due")
        self._begun = Signal(name="begun")
        self._accepted = Signal(name="accepted")
        m.d.comb += self._accepted.eq(self._transmitter.ready & self._transmitter.valid)
        m.d.comb += [self._receiver.rx.eq(self.rx), self.tx.eq(self._transmitter.tx)]
        m.d.comb += [self._crc.data.eq(self._receiver.data), self._crc.valid.eq(self._receiver.valid)]
        m.d.comb += self.host.write.eq(self._operation == Operation.WRITE)
        m.d.comb += [self.host.addr.eq(self._address), self.host.w_data.eq(self._buffer[:32])]

    def _finish(self, m: Module, code: Code) -> None:
        """Back to waiting for a request; the reply goes out by itself."""
        m.d.sync += [self._code.eq(code), self._due.eq(_SHORT_REPLY)]
        self._listen(m)

    def _listen(self, m: Module) -> None:
        m.d.sync += [self._left.eq(HEADER_BYTES - 1), self._begun.eq(0)]
        m.d.comb += self._crc.start.eq(1)
        m.next = "HEADER"

    # --------------------------------------------------------------- the request

    def _receive(self, m: Module) -> None:
        byte, got = self._receiver.data, self._receiver.valid
        with m.State("HEADER"):
            with m.If(got):
                m.d.sync += [self._header.eq(Cat(self._header[8:], byte)), self._left.eq(self._left - 1)]
                with m.If(self._left == 0):
                    m.next = "LOOK"
            with m.Elif(self._late & (self._left != HEADER_BYTES - 1)):
                self._finish(m, Code.SHORT)
        with m.State("LOOK"):
            writes = (self._operation == Operation.WRITE) & (self._count != 0) & (self._count <= self._words)
            m.d.sync += [self._left.eq(Mux(writes, 4 * self._count - 1, 1)), self._spare.eq(self._words - self._count)]
            with m.If(writes):
                m.next = "WORDS"
            with m.Elif((self._operation == Operation.READ) & (self._count != 0)):
                m.next = "CRC"
            with m.Else():
                m.next = "SKIP"
        with m.State("WORDS"):
            with m.If(got):
                m.d.sync += self._buffer.eq(Cat(self._buffer[8:], byte))
            self._bytes(m, "CRC")
        with m.State("CRC"):
            self._bytes(m, "CHECK")
        with m.State("SKIP"):
            with m.If(self._late):
                self._finish(m, Code.COMMAND)

    def _bytes(self, m: Module, following: str) -> None:
        """Take bytes until there is none left, then those of the CRC, or go on."""
        with m.If(self._receiver.valid):
            m.d.sync += self._left.eq(Mux(self._left == 0, 1, self._left - 1))
            with m.If(self._left == 0):
                m.next = following
        with m.Elif(self._late):
            self._finish(m, Code.SHORT)

    # -------------------------------------------------------------- the host port

    def _execute(self, m: Module, is_row: Value) -> None:
        """Words to the host port one by one; the first that is refused ends it."""
        with m.State("CHECK"):
            registers = self._address[REGION_SHIFT:] == Region.REGISTERS
            with m.If(~self._crc.match_detected):
                self._finish(m, Code.CRC)
            with m.Elif(self.running & (self.host.write | ~registers)):
                self._finish(m, Code.BUSY)
            with m.Elif(self.host.write & ~is_row):
                self._finish(m, Code.ROW)
            with m.Else():
                m.next = "ALIGN"
        with m.State("ALIGN"):
            m.d.sync += [self._spare.eq(self._spare - 1), self._refused.eq(0)]
            with m.If((self._spare == 0) | ~self.host.write):
                m.next = "REQUEST"
            with m.Else():
                self._shift_word(m)
        with m.State("REQUEST"):
            m.d.comb += self.host.valid.eq(1)
            with m.If(self.host.ready):
                m.d.sync += [self._address.eq(self._address + 1), self._count.eq(self._count - 1)]
                with m.If(~self.host.write):
                    self._begin_word(m)
                with m.Elif(self.host.error):
                    self._finish(m, Code.REFUSED)
                with m.Elif(self._count == 1):
                    self._finish(m, Code.OK)
                with m.Else():
                    self._shift_word(m)

    def _is_row(self, m: Module) -> Value:
        """Whether address and count are those of one whole row of the map; they have been there for cycles."""
        config, fits, is_row = self._config, Signal(name="fits"), Signal(name="is_row", reset_less=True)
        pc_bits = (config.program_rows - 1).bit_length()
        number = self._address[PROGRAM_WORD_BITS + pc_bits : REGION_SHIFT]
        with m.Switch(self._address[REGION_SHIFT:]):
            with m.Case(Region.SRAM):
                aligned = self._address[: word_field_bits(config)] == 0
                m.d.comb += fits.eq(aligned & (self._count == row_words(config)))
            with m.Case(Region.PROGRAM):
                sizes = [
                    (number == k) & (self._count == program_words(config, q.kind)) for k, q in enumerate(queues(config))
                ]
                m.d.comb += fits.eq((self._address[:PROGRAM_WORD_BITS] == 0) & Cat(sizes).any())
            with m.Default():
                m.d.comb += fits.eq(self._count == 1)
        m.d.sync += is_row.eq(fits)
        return is_row

    def _shift_word(self, m: Module) -> None:
        m.d.sync += self._buffer.eq(self._buffer[32:])

    # ---------------------------------------------------------------- the replies

    def _begin_word(self, m: Module) -> None:
        """A word of a READ is there; a READ whose very first word is refused has a reply without words."""
        m.d.sync += [self._buffer[:32].eq(self.host.r_data), self._refused.eq(self._refused | self.host.error)]
        with m.If(self._begun):
            m.d.sync += self._left.eq(3)
            m.next = "WORD"
        with m.Elif(self.host.error):
            self._finish(m, Code.REFUSED)
        with m.Else():
            m.next = "OK"

    def _answer(self, m: Module) -> None:
        """The reply of a READ: OK, the words, how it ended, the CRC."""
        with m.State("OK"):
            self._send(m, Const(Code.OK, 8))
            m.d.comb += self._crc.start.eq(self._accepted)
            with m.If(self._accepted):
                m.d.sync += [self._begun.eq(1), self._left.eq(3)]
                m.next = "WORD"
        with m.State("WORD"):
            self._send(m, self._buffer[:8])
            with m.If(self._accepted):
                m.d.sync += [self._buffer[:32].eq(self._buffer[8:32]), self._left.eq(self._left - 1)]
                with m.If(self._left == 0):
                    m.next = "REQUEST"
                    with m.If(self._count == 0):
                        m.next = "END"
        with m.State("END"):
            self._send(m, Mux(self._refused, Const(Code.REFUSED, 8), Const(Code.OK, 8)))
            with m.If(self._accepted):
                m.next = "HIGH"
        for state, part, following in (("HIGH", self._crc.crc[8:], "LOW"), ("LOW", self._crc.crc[:8], None)):
            with m.State(state):
                m.d.comb += [self._transmitter.data.eq(part), self._transmitter.valid.eq(1)]
                with m.If(self._accepted):
                    if following:
                        m.next = following
                    else:
                        self._listen(m)

    def _send(self, m: Module, byte: Value) -> None:
        """Send a byte and count it in the CRC."""
        m.d.comb += [self._transmitter.data.eq(byte), self._transmitter.valid.eq(1)]
        m.d.comb += [self._crc.data.eq(byte), self._crc.valid.eq(self._accepted)]

    def _reply(self, m: Module) -> None:
        """Send a reply without words: a code and its CRC, from a table."""
        table = Array(Const(int.from_bytes(crc_bytes(bytes([code])), "big"), 16) for code in Code)
        crc = Signal(16, name="reply_crc")
        m.d.comb += crc.eq(table[self._code])
        with m.If(self._due != 0):
            m.d.comb += self._transmitter.valid.eq(1)
            m.d.comb += self._transmitter.data.eq(Mux(self._due[0], Mux(self._due[1], self._code, crc[:8]), crc[8:]))
            with m.If(self._transmitter.ready):
                m.d.sync += self._due.eq(self._due - 1)
