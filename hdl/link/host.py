"""The host port: registers, program and SRAM windows behind a 32-bit request port; see ``hdl/link/hostmap.py``."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.isa import queues, word_bits
from hdl.link.hostmap import (
    DEVICE_ID,
    NO_QUEUE,
    PROGRAM_WORD_BITS,
    REGION_SHIFT,
    ErrorFlag,
    Region,
    Register,
    memory_groups,
    program_words,
    row_words,
    word_field_bits,
)
from hdl.streams import any_of

HOST_SIGNATURE = wiring.Signature(
    {
        "valid": Out(1),
        "write": Out(1),
        "addr": Out(32),
        "w_data": Out(32),
        "ready": In(1),
        "r_data": In(32),
        "error": In(1),
    }
)


def settle_cycles(config: LpuConfig) -> int:
    """Cycles after which a held link row has reached every bank, or a row read over and over the link."""
    return config.positions + config.superlanes + 6


class HostPort(wiring.Component):
    """Answers one request at a time; an SRAM row takes ``settle_cycles``, everything else one cycle.

    An SRAM write drives ``row`` onto the streams and holds a write poke until the row is surely everywhere; a read
    holds a read poke until the row surely reached ``captured``. Holding spares the port all hop counts.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._groups = memory_groups(config)
        self._queues = queues(config)
        pc_bits = (config.program_rows - 1).bit_length()
        row = unsigned(8 * config.lanes)
        super().__init__(
            {
                "bus": In(HOST_SIGNATURE),
                "start": Out(1),
                "running": In(1),
                "done": In(1),
                "cycles": In(32),
                "new_errors": In(len(ErrorFlag)),
                "error_queue": In(8),
                "program_en": Out(len(self._queues)),
                "program_row": Out(pc_bits),
                "program_word": Out(max(word_bits(config, q.kind) for q in self._queues)),
                "write_poke": Out(len(self._groups)),
                "read_poke": Out(len(self._groups)),
                "poke_addr": Out(config.addr_bits),
                "row": Out(row),
                "drive_row": Out(1),
                "captured": In(data.ArrayLayout(row, config.hemispheres)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        region = self.bus.addr[REGION_SHIFT:]
        self._busy = Signal(range(settle_cycles(self._config) + 1), name="busy")
        self._reading = Signal(name="reading")
        self._side = Signal(name="side")
        self._errors = Signal(len(ErrorFlag), name="errors")
        self._error_queue = Signal(8, init=NO_QUEUE, name="first_error_queue")
        self._error_cycle = Signal(32, name="first_error_cycle")
        self._values = {
            Register.ID: Const(DEVICE_ID, 32),
            Register.FINGERPRINT: Const(self._config.fingerprint, 32),
            Register.STATUS: Cat(self.running, self.done),
            Register.CYCLES: self.cycles,
            Register.ERRORS: self._errors,
            Register.ERROR_QUEUE: self._error_queue,
            Register.ERROR_CYCLE: self._error_cycle,
        }
        m.d.sync += self.bus.r_data.eq(any_of(list(self._read_words())))
        m.d.sync += [self.bus.ready.eq(0), self.bus.error.eq(0), self.start.eq(0), self.program_en.eq(0)]
        if row_words(self._config) == 1:
            m.d.comb += self.row.eq(self.bus.w_data)  # a request stays until it is answered
        words = -(-len(self.program_word) // 32)
        self._kept_words = [Signal(32, name=f"program_word{i}", reset_less=True) for i in range(max(1, words - 1))]
        m.d.comb += self.program_row.eq(self.bus.addr[PROGRAM_WORD_BITS:])
        m.d.comb += self.program_word.eq(Cat(self._kept_words, *([self.bus.w_data] if words > 1 else [])))
        with m.If(self._busy != 0):
            self._settle(m)
        with m.Elif(self.bus.valid & ~self.bus.ready):
            with m.If(region == Region.REGISTERS):
                self._register(m)
            with m.Elif((region == Region.PROGRAM) & ~self.running):
                self._program(m)
            with m.Elif((region == Region.SRAM) & ~self.running):
                self._sram(m)
            with m.Else():
                self._refuse(m)
        self._flags(m)
        return m

    def _read_words(self) -> Iterator[Value]:
        """What a read answers in the next cycle if it answers, of which all but one are zero: AND-OR takes the least
        logic.
        """
        settling, region = self._busy != 0, self.bus.addr[REGION_SHIFT:]
        number, words = self.bus.addr[:REGION_SHIFT], row_words(self._config)
        yield self._captured[:32] & settling.replicate(32)
        registers = ~settling & (region == Region.REGISTERS) & ~self.bus.write
        for register, value in self._values.items():
            yield value & (registers & (number == register)).replicate(len(value))
        if words > 1:
            word = self.bus.addr[: word_field_bits(self._config)]
            fetched = ~settling & (region == Region.SRAM) & (word < words) & ~self.running
            yield self.row.word_select(word, 32) & fetched.replicate(32)

    @property
    def _captured(self) -> Value:
        captured = [Value.cast(row) for row in self.captured]
        return captured[0] if len(captured) == 1 else Mux(self._side, captured[1], captured[0])

    def _accept(self, m: Module) -> None:
        m.d.sync += self.bus.ready.eq(1)

    def _refuse(self, m: Module) -> None:
        m.d.sync += [self.bus.ready.eq(1), self.bus.error.eq(1)]

    # ------------------------------------------------------------ registers

    def _register(self, m: Module) -> None:
        number = self.bus.addr[:REGION_SHIFT]
        with m.If(self.bus.write):
            with m.If((number == Register.CONTROL) & self.bus.w_data[0] & ~self.running):
                m.d.sync += self.start.eq(1)
                self._accept(m)
            with m.Elif(number == Register.ERRORS):
                m.d.sync += [self._errors.eq(0), self._error_queue.eq(NO_QUEUE), self._error_cycle.eq(0)]
                self._accept(m)
            with m.Else():
                self._refuse(m)
        with m.Elif(Cat(number == register for register in self._values).any()):
            self._accept(m)
        with m.Else():
            self._refuse(m)

    def _flags(self, m: Module) -> None:
        with m.If((self.new_errors != 0) & (self._errors == 0)):
            m.d.sync += [self._error_queue.eq(self.error_queue), self._error_cycle.eq(self.cycles)]
        with m.If(self.new_errors != 0):
            m.d.sync += self._errors.eq(self._errors | self.new_errors)

    # ------------------------------------------------------------- programs

    def _program(self, m: Module) -> None:
        word_index = self.bus.addr[:PROGRAM_WORD_BITS]
        number = self.bus.addr[PROGRAM_WORD_BITS + len(self.program_row) : REGION_SHIFT]
        accepts, commits = [], []
        for k, queue in enumerate(self._queues):
            words = program_words(self._config, queue.kind)
            accept = Signal(name=f"accept{k}")
            m.d.comb += accept.eq(self.bus.write & (number == k) & (word_index < words))
            accepts.append(accept)
            commits.append(accept & (word_index == words - 1))
        with m.If(Cat(accepts).any()):
            m.d.sync += self.program_en.eq(Cat(commits))
            for i, kept in enumerate(self._kept_words):
                with m.If(word_index == i):
                    m.d.sync += kept.eq(self.bus.w_data)
            self._accept(m)
        with m.Else():
            self._refuse(m)

    # ----------------------------------------------------------------- SRAM

    def _sram(self, m: Module) -> None:
        word_bits_ = word_field_bits(self._config)
        word = self.bus.addr[:word_bits_] if word_bits_ else 0
        addr = self.bus.addr[word_bits_ : word_bits_ + self._config.addr_bits]
        group = self.bus.addr[word_bits_ + self._config.addr_bits : REGION_SHIFT]
        exists = Signal(len(self._groups), name="exists")
        for g, unit in enumerate(self._groups):
            assert unit.memory is not None
            row_bits = self._config.row_bits(unit.memory)
            in_group = (addr[:row_bits] < unit.memory.depth_rows) & ((addr >> row_bits) < unit.memory.slices)
            m.d.comb += exists[g].eq((group == g) & in_group)
        hidden = Cat(not self._config.drivable(unit) for unit in self._groups)
        with m.If(~exists.any() | (word >= row_words(self._config)) | (~self.bus.write & (exists & hidden).any())):
            self._refuse(m)
        with m.Elif(self.bus.write):
            if row_words(self._config) > 1:
                m.d.sync += self.row.word_select(word, 32).eq(self.bus.w_data)
            with m.If(word == row_words(self._config) - 1):
                self._begin(m, self.write_poke, exists, addr)
                m.d.sync += self.drive_row.eq(1)
            with m.Else():
                self._accept(m)
        with m.Elif(word == 0):
            self._begin(m, self.read_poke, exists, addr)
            m.d.sync += self._reading.eq(1)
        with m.Else():
            self._accept(m)

    def _begin(self, m: Module, poke: Signal, groups: Signal, addr: Signal) -> None:
        m.d.sync += [poke.eq(groups), self.poke_addr.eq(addr), self._busy.eq(settle_cycles(self._config))]
        west_half = [int(unit.outward == self._groups[0].outward) for unit in self._groups]
        m.d.sync += self._side.eq(~(groups & Cat(west_half)).any())

    def _settle(self, m: Module) -> None:
        m.d.sync += self._busy.eq(self._busy - 1)
        with m.If(self._busy == 1):
            m.d.sync += [self.write_poke.eq(0), self.read_poke.eq(0), self.drive_row.eq(0), self._reading.eq(0)]
            if row_words(self._config) > 1:
                with m.If(self._reading):
                    m.d.sync += self.row.eq(self._captured)
            self._accept(m)
