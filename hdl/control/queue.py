"""An issue queue: the program memory of one slice port and the sequencer that issues its elements."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hdl.control.loops import LoopStack
from hdl.control.sequencer import Sequencer
from hdl.isa import Opcode, has_address, word_bits
from hdl.layouts import control_layout, issue_layout, word_layout
from hdl.memory.bank import Bank

_KIND = data.StructLayout(dict.fromkeys(("own", "counted", "notify", "sync", "loop", "ends", "illegal"), 1))
"""What an opcode is to the queue. ``counted``: NOP or its own; ``illegal`` ones end the program like END does."""


class IssueQueue(Sequencer):
    """Issues the elements of one queue's program by the sequencing rule of ``hdl/isa``; never waits for data.

    ``start`` in cycle c makes T = 0 the cycle c + 3. In the issue cycle of an element ``issue.valid`` holds; ``coming``
    is what ``issue`` will be in the next cycle. ``ended`` rises in the cycle T of END. ``notify_out`` is T - 1 of a
    NOTIFY; ``notify_in`` is the OR of all queues' one cycle later. An opcode that is not the queue's own ends it with
    ``illegal``.
    """

    # The sequencer holds the current instruction in ``word`` while the memory already shows the next one, so a new
    # instruction can start every cycle. REPEAT never enters ``word``: it re-arms the instruction that is there;
    # only as a program's first word, with nothing there, it does, and is flagged.

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._declare()
        self._fetch(m, platform)
        with m.If(self._wait != 0):
            m.d.sync += self._wait.eq(self._wait - 1)
        with m.Elif(self._is_counted & ~self._is_last):
            self._next_element(m)
        with m.Elif(self._is_counted & (self._repeats != 0)):
            m.d.sync += self._repeats.eq(self._repeats - 1)
            self._begin_repetition(m, self._repeat_gap, self._repeat_stride)
        with m.If(self._step):
            self._load_next(m)
        self._finish(m)
        self._issue(m)
        return m

    def _declare(self) -> None:
        config, kind = self._config, self._kind
        self._word = Signal(word_layout(config, kind), reset_less=True, name="word")
        self._is = Signal(_KIND, reset_less=True, name="is")
        self._active = Signal(name="active")
        self._priming = Signal(name="priming")
        self._fetch_pc = Signal.like(self.pc, name="fetch_pc", reset_less=True)
        self._word_pc = Signal.like(self.pc, name="word_pc", reset_less=True)
        self._wait = Signal(config.gap_bits, name="wait")
        self._left = Signal(config.count_bits, name="left", reset_less=True)
        self._first = Signal(name="first", reset_less=True)
        self._repeats = Signal(config.count_bits, name="repeats")
        self._repeat_gap = Signal(config.gap_bits, name="repeat_gap", reset_less=True)
        self._repeat_stride = Signal(config.addr_bits, name="repeat_stride", reset_less=True)
        self._base = Signal(config.addr_bits, name="base", reset_less=True)
        self._addr = Signal(config.addr_bits, name="addr", reset_less=True)
        self._step = Signal(name="step")
        self._next = Signal(word_layout(config, kind), name="next_word")

        self._is_unit, self._is_counted = self._active & self._is.own, self._active & self._is.counted
        self._is_last = self._left == 1

    def _as_control(self, word: Value, opcode: Opcode, field: str) -> Value:
        return control_layout(self._config, self._kind, opcode)(word)[field]

    def _fetch(self, m: Module, platform: object) -> None:
        config = self._config
        program = Bank(self._rows, word_bits(config, self._kind), short=self._is_short)
        m.submodules.loops = loops = LoopStack(config)
        word = Value.cast(self._word)
        row = Mux(self.start, 0, Mux(self._step, loops.next_pc, self._fetch_pc))
        m.d.comb += [
            Value.cast(self._next).eq(self._read_program(m, program, row, platform)),
            loops.clear.eq(self.start),
            loops.step.eq(self._step),
            loops.pc.eq(self._fetch_pc),
            loops.push.eq(self._active & self._is.loop & (self._wait != 0)),
            loops.n.eq(self._as_control(word, Opcode.LOOP, "n")),
            loops.length.eq(self._as_control(word, Opcode.LOOP, "length")),
        ]
        if has_address(self._kind):
            m.d.comb += loops.stride.eq(self._as_control(word, Opcode.LOOP, "stride"))
        self._offsets = loops.offsets
        m.d.sync += [self._fetch_pc.eq(program.read_row), self._priming.eq(self.start)]

    def _next_element(self, m: Module) -> None:
        m.d.sync += [self._left.eq(self._left - 1), self._first.eq(0)]
        with m.If(self._is.own):
            m.d.sync += self._wait.eq(self._word.gap)
        if has_address(self._kind):
            m.d.sync += self._addr.eq(self._addr + self._word.stride)

    def _kind_of(self, op: Value) -> dict[str, Value]:
        own = self._is_own(op)
        illegal = ~self._is_known(op) | (op == Opcode.REPEAT)
        return {
            "own": own,
            "counted": own | (op == Opcode.NOP),
            "notify": op == Opcode.NOTIFY,
            "sync": op == Opcode.SYNC,
            "loop": op == Opcode.LOOP,
            "ends": illegal | (op == Opcode.END),
            "illegal": illegal,
        }

    def _count_of(self, word: Value, own: Value) -> Value:
        return Mux(own, word_layout(self._config, self._kind)(word).count, self._as_control(word, Opcode.NOP, "n"))

    def _begin_repetition(self, m: Module, gap: Value, stride: Value) -> None:
        count = self._count_of(Value.cast(self._word), self._is.own)
        m.d.sync += [self._wait.eq(gap), self._left.eq(count), self._first.eq(1)]
        if has_address(self._kind):
            base = (self._base + stride)[: self._config.addr_bits]
            m.d.sync += [self._base.eq(base), self._addr.eq(base)]

    def _load_next(self, m: Module) -> None:
        following = Value.cast(self._next)
        with m.If((self._next.op == Opcode.REPEAT) & ~self._priming):
            gap = self._as_control(following, Opcode.REPEAT, "d")
            stride: Value = Const(0, 1)
            if has_address(self._kind):
                stride = self._as_control(following, Opcode.REPEAT, "stride")
                m.d.sync += self._repeat_stride.eq(stride)
            repeats = self._as_control(following, Opcode.REPEAT, "n")
            m.d.sync += [self._repeats.eq(repeats - 1), self._repeat_gap.eq(gap)]
            self._begin_repetition(m, gap, stride)
        with m.Else():
            m.d.sync += [Value.cast(self._word).eq(following), self._word_pc.eq(self._fetch_pc), self._active.eq(1)]
            kind = self._kind_of(self._next.op)
            m.d.sync += [self._is[name].eq(value) for name, value in kind.items()]
            m.d.sync += [self._left.eq(self._count_of(following, kind["own"])), self._first.eq(1), self._repeats.eq(0)]
            pauses = kind["own"] & (self._next.count == 1)
            m.d.sync += self._wait.eq(Mux(pauses, self._next.gap, self._next.op == Opcode.LOOP))
            if has_address(self._kind):
                base = self._first_address()
                m.d.sync += [self._base.eq(base), self._addr.eq(base)]

    def _first_address(self) -> Value:
        bits = self._config.addr_bits
        base = self._next.addr
        for level in range(self._config.loop_levels):
            base = (base + Mux(self._next.mask[level], self._offsets.word_select(level, bits), 0))[:bits]
        return base

    def _finish(self, m: Module) -> None:
        """When the next instruction takes over, and when there is none."""
        at_rest = self._active & (self._wait == 0)
        counted_done = self._is_counted & self._is_last & (self._repeats == 0)
        passed = self._is.notify | self._is.loop | (self._is.sync & self.notify_in)
        m.d.comb += self._step.eq(self._priming | (at_rest & (counted_done | passed)))
        m.d.comb += self.notify_out.eq(self._active & self._is.notify)
        with m.If(self._active & self._is.ends):
            m.d.sync += [self._active.eq(0), self.ended.eq(1), self.illegal.eq(self._is.illegal)]
        with m.If(self.start):
            m.d.sync += [self.ended.eq(0), self.illegal.eq(0), self._active.eq(0), self._wait.eq(0)]

    def _issue(self, m: Module) -> None:
        sequenced = {"valid": self._is_unit & (self._wait == 0), "first": self._first, "last": self._is_last}
        if has_address(self._kind):
            sequenced["addr"] = self._addr
        for name, _ in issue_layout(self._config, self._kind):
            source = sequenced[name] if name in sequenced else self._word[name]
            m.d.comb += self.coming[name].eq(source)
        m.d.sync += [Value.cast(self.issue).eq(self.coming), self.pc.eq(self._word_pc)]
