"""An issue queue without LOOP and REPEAT: the instruction at hand is the program memory's output."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value

from hdl.config import LpuConfig
from hdl.control.sequencer import Sequencer
from hdl.isa import Opcode, Queue, has_address, queues, word_bits
from hdl.layouts import issue_layout, word_layout
from hdl.memory.program import ProgramMemory


class StraightQueue(Sequencer):
    """Issues the elements of one queue's program by the sequencing rule of ``hdl/isa``; never waits for data.

    As no instruction depends on the next one, none is fetched ahead and nothing is held: the row ``pc`` is read in
    every cycle, and an element issues in the cycle in which its instruction comes out of the memory. ``start`` in cycle
    c makes T = 0 the cycle c + 1. In the issue cycle of an element ``issue.valid`` holds. ``ended`` rises in the cycle
    T of END, ``notify_out`` is T of a NOTIFY; ``notify_in`` is the OR of all queues' one cycle later. An opcode that is
    not the queue's own ends it with ``illegal``.
    """

    def __init__(self, config: LpuConfig, queue: Queue) -> None:
        longest = max(queues(config), key=lambda queue: word_bits(config, queue.kind))
        self._is_longest = queue.kind is longest.kind
        super().__init__(config, queue)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, kind = self._config, self._kind
        self._word = Signal(word_layout(config, kind), name="word")
        self._active, self._step = Signal(name="active"), Signal(name="step")
        self._number = Signal(config.count_bits, init=1, name="number")
        self._wait = Signal(config.gap_bits, name="wait")
        op = self._word.op
        self._is_unit = self._active & self._is_own(op)
        self._count(m, self._is_unit | (self._active & (op == Opcode.NOP)))
        self._fetch(m, platform)
        self._finish(m)
        self._issue(m)
        return m

    def _fetch(self, m: Module, platform: object) -> None:
        program = ProgramMemory(self._rows, word_bits(self._config, self._kind), self._is_short, self._is_longest)
        pc = Signal.like(self.pc, name="row", reset_less=True)
        row = Mux(self.start, 0, pc + self._step)
        word = self._read_program(m, program, row, platform)
        m.d.sync += pc.eq(program.read_row)
        m.d.comb += [Value.cast(self._word).eq(word), self.pc.eq(pc)]

    def _count(self, m: Module, counted: Value) -> None:
        """Elements of the instruction at hand: their number, the gap after each, and the last of them.

        The cycles of a NOP stand where a unit instruction has its count; the bits above them, its gap, are 0.
        """
        self._is_last = self._number == self._word.count
        self._due = counted & (self._wait == 0)
        with m.If(self._due & ~self._is_last):
            m.d.sync += [self._number.eq(self._number + 1), self._wait.eq(self._word.gap)]
        with m.Elif(self._wait != 0):
            m.d.sync += self._wait.eq(self._wait - 1)
        with m.If(self._step | self.start):
            m.d.sync += [self._number.eq(1), self._wait.eq(0)]

    def _finish(self, m: Module) -> None:
        """When the next instruction is due, and when there is none."""
        op = self._word.op
        passed = (op == Opcode.NOTIFY) | ((op == Opcode.SYNC) & self.notify_in)
        m.d.comb += self._step.eq((self._active & passed) | (self._due & self._is_last))
        m.d.comb += self.notify_out.eq(self._active & (op == Opcode.NOTIFY))

        ends, done, foreign = Signal(name="ends"), Signal(name="done"), Signal(name="foreign")
        m.d.comb += [
            ends.eq(self._active & ((op == Opcode.END) | ~self._is_known(op))),
            self.ended.eq(done | ends),
            self.illegal.eq(foreign | (ends & (op != Opcode.END))),
        ]
        with m.If(ends):
            m.d.sync += [self._active.eq(0), done.eq(1), foreign.eq(self.illegal)]
        with m.If(self.start):
            m.d.sync += [self._active.eq(1), done.eq(0), foreign.eq(0)]

    def _issue(self, m: Module) -> None:
        is_first = self._number == 1
        sequenced: dict[str, Value] = {
            "valid": self._is_unit & (self._wait == 0),
            "first": is_first,
            "last": self._is_last,
        }
        if has_address(self._kind):
            following = Signal(self._config.addr_bits, name="following", reset_less=True)
            addr = Mux(is_first, self._word.addr, following)
            with m.If(self._due):
                m.d.sync += following.eq(addr + self._word.stride)
            sequenced["addr"] = addr
        for name, _ in issue_layout(self._config, self._kind):
            m.d.comb += self.issue[name].eq(sequenced[name] if name in sequenced else self._word[name])
