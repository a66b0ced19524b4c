"""The vector unit within one superlane, where its pipes work lane by lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hdl.choice import Choice
from hdl.config import STREAMS_PER_GROUP, PipeKind
from hdl.emit import shared
from hdl.isa import SHIFT_BITS, Source
from hdl.streams import any_of, choose, int32_lanes
from hdl.vector.int_pipe import IntPipe
from hdl.vector.lane import saturated
from hdl.vector.operand import gated, hits_group, sign_extended
from hdl.vector.requant_pipe import RequantPipe
from hdl.vector.tile import VectorTile, drives, operation_of

_TO_ROUNDED = 2
"""Cycles from an operand in a :class:`RequantPipe` to its rounded result."""
_CHOICES = 4
"""Values of a :class:`Choice`."""


class SerialTile(VectorTile):
    """The pipes of S lanes, each of them one pipe: lane i of an element is in the register before it in T + 2 + i.

    Stream operands are kept in T, and move down by a lane in each cycle after it, past that register; x and y of INT
    see the same SG4, so it is kept once. Result registers stay where they are: from them lane i takes its own in
    T + 1 + i. Ports, and times of a whole result: :class:`VectorTile`.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, self._platform = self._config, platform
        self._register(m)
        self._side = config.superlane_lanes
        self._held = {
            pipe: [Signal(32, name=f"{pipe.value}_held{i}", reset_less=True) for i in range(self._side)]
            for pipe in config.pipes
        }
        self._working = {pipe: self._works(m, pipe) for pipe in config.pipes}
        (direction,) = self._reads.streams
        words = int32_lanes(list(getattr(self, direction.name.lower())), self._side)
        self._compute(m, words)
        if PipeKind.REQUANT in config.pipes:
            self._requantise(m, words)
        self._drive(m)
        if config.trace:
            self._log(m)
        return m

    def _results(self, pipe: PipeKind) -> list[Value]:
        return list(self._held[pipe])

    # ------------------------------------------------------------------- lanes

    def _works(self, m: Module, pipe: PipeKind) -> Signal:
        """Which lane takes its operands now."""
        working = Signal(self._side, name=f"{pipe.value}_working")
        m.d.sync += working.eq(Cat(getattr(self, f"issue_{pipe.value}").valid, working))
        return working

    def _number(self, pipe: PipeKind) -> Value:
        """Number of the lane that takes its operands now."""
        working = self._working[pipe]
        bits = range((self._side - 1).bit_length())
        return Cat(Cat(working[i] for i in range(self._side) if i >> bit & 1).any() for bit in bits)

    def _kept(self, m: Module, pipe: PipeKind, words: Sequence[Value], bits: int) -> Value:
        """The word of the lane that takes its operands now, from those of an element that issued."""
        valid = getattr(self, f"issue_{pipe.value}").valid
        following: Value = Const(0, bits)
        for i in reversed(range(self._side)):
            kept = Signal(bits, name=f"{pipe.value}_kept{i}", reset_less=True)
            m.d.sync += kept.eq(Mux(valid, words[i][:bits], following))
            following = kept
        return following

    def _choose(self, m: Module, values: Sequence[Value], index: Value) -> Value:
        """values[index]."""
        if len(values) != _CHOICES:
            return choose(values, index)
        choice = Choice(len(values[0]))
        m.submodules += shared(choice, self._platform)
        return choice.among(m, list(values), index)

    def _entered(self, m: Module, pipe: PipeKind, entering: Mapping[str, Value]) -> dict[str, Value]:
        """The registers before a pipe, and for which lane they are."""
        registers: dict[str, Value] = {"working": self._delayed_by(m, self._working[pipe], f"{pipe.value}_in", 1)}
        for name, value in entering.items():
            register = Signal(len(value), name=f"{pipe.value}_in_{name}", reset_less=True)
            m.d.sync += register.eq(value)
            registers[name] = register
        return registers

    def _delayed_by(self, m: Module, value: Value, name: str, stages: int) -> Value:
        for stage in range(stages):
            after = Signal(len(value), name=f"{name}{stage}")
            m.d.sync += after.eq(value)
            value = after
        return value

    def _collect(self, m: Module, pipe: PipeKind, value: Value, due: Value) -> None:
        """The value into the result register of the lane that is due."""
        for i, register in enumerate(self._held[pipe]):
            with m.If(due[i]):
                m.d.sync += register.eq(value)

    # --------------------------------------------------------------------- INT

    def _compute(self, m: Module, words: Sequence[Value]) -> None:
        config, issue = self._config, self.issue_int
        word = self._kept(m, PipeKind.INT, words, 32)
        members = {"op": operation_of(config, PipeKind.INT, issue), "imm": issue.imm}
        members |= {**self._selection("x"), **self._selection("y")}
        members["swaps"] = Cat(
            (issue.y_from == Source.SWAP) & (issue.swap == k) for k in range(len(self._number(PipeKind.INT)))
        )
        command = Signal(data.StructLayout({n: len(v) for n, v in members.items()}), name="command", reset_less=True)
        with m.If(issue.valid):
            m.d.sync += [command[name].eq(value) for name, value in members.items()]
        pipe = IntPipe(config.has_floats, config.bitwise, self._side)
        m.submodules.int = shared(pipe, self._platform)
        own = self._choose(m, self._held[PipeKind.INT], self._number(PipeKind.INT))
        x = gated([own], command.x_from[Source.INT])
        if PipeKind.REQUANT in config.pipes:
            other = self._choose(m, self._held[PipeKind.REQUANT], self._number(PipeKind.INT))
            x += gated([other], command.x_from[Source.REQUANT])
        y = [*self._own_or_swapped(m, own, command), *gated([sign_extended(command.imm)], command.y_from[Source.IMM])]
        entering = {
            "op": command.op,
            "imm": command.imm,
            "x": any_of([*x, self._streamed(m, command, "x", word)]),
            "y": any_of([*y, self._streamed(m, command, "y", word)]),
        }
        entered = self._entered(m, PipeKind.INT, entering)
        m.d.comb += [
            pipe.command.valid.eq(entered["working"].any()),
            pipe.command.op.eq(entered["op"]),
            pipe.command.imm.eq(sign_extended(entered["imm"])),
            pipe.x.eq(entered["x"]),
            pipe.y.eq(entered["y"]),
        ]
        self._collect(m, PipeKind.INT, pipe.word, entered["working"])

    def _selection(self, field: str) -> dict[str, Value]:
        """Where operand ``field`` of INT comes from, and what part of the word that is kept it is."""
        issue = self.issue_int
        source, wide = issue[f"{field}_from"], issue[f"{field}_wide"]
        streamed = source == Source.STREAM
        return {
            f"{field}_from": Cat(source == other for other in Source),
            f"{field}_index": issue[field][1:3] & ~wide.replicate(2),
            f"{field}_high": streamed & wide,
            f"{field}_sign": streamed & ~wide,
        }

    def _streamed(self, m: Module, command: data.View, field: str, word: Value) -> Value:
        """The word or one of its bytes, sign-extended; zero where the operand comes from elsewhere."""
        byte = self._choose(m, [word[8 * j : 8 * j + 8] for j in range(STREAMS_PER_GROUP)], command[f"{field}_index"])
        sign = byte[7] & command[f"{field}_sign"]
        high = (word[8:] & command[f"{field}_high"].replicate(24)) | sign.replicate(24)
        return Cat(byte & command[f"{field}_from"][Source.STREAM].replicate(8), high)

    def _own_or_swapped(self, m: Module, own: Value, command: data.View) -> list[Value]:
        """INT's result in this lane, or in lane i XOR 2^k as it was before the element: a later lane's stands there
        still, an earlier one's was ``own`` 2^k cycles ago.
        """
        number = self._number(PipeKind.INT)
        past = command.swaps & number
        there = self._choose(m, self._held[PipeKind.INT], number ^ command.swaps)
        stands = (command.y_from[Source.INT] | command.y_from[Source.SWAP]) & ~past.any()
        terms, before = gated([there], stands), [own]
        for _ in range(self._side // 2):
            before.append(Signal(32, name=f"own_before{len(before)}", reset_less=True))
            m.d.sync += before[-1].eq(before[-2])
        for k in range(len(number)):
            terms += gated([before[1 << k]], past[k])
        return terms

    # ----------------------------------------------------------------- REQUANT

    def _requantise(self, m: Module, words: Sequence[Value]) -> None:
        config, issue = self._config, self.issue_requant
        bits = config.mult_bits + SHIFT_BITS
        word = self._kept(m, PipeKind.REQUANT, words, bits)
        op = Signal.like(issue.operation, name="requant_op", reset_less=True)
        imm, is_imm = Signal(bits, name="requant_imm", reset_less=True), Signal(name="is_imm", reset_less=True)
        with m.If(issue.valid):
            m.d.sync += [
                op.eq(issue.operation),
                imm.eq(sign_extended(issue.imm)),
                is_imm.eq(issue.y_from == Source.IMM),
            ]
        pipe = RequantPipe(config.mult_bits)
        m.submodules.requant = shared(pipe, self._platform)
        x = self._choose(m, self._held[PipeKind.INT], self._number(PipeKind.REQUANT))
        entered = self._entered(m, PipeKind.REQUANT, {"op": op, "x": x, "y": Mux(is_imm, imm, word)})
        m.d.comb += [
            pipe.command.valid.eq(entered["working"].any()),
            pipe.command.op.eq(entered["op"]),
            pipe.x.eq(entered["x"]),
            pipe.y.eq(entered["y"]),
        ]
        self._collect(
            m, PipeKind.REQUANT, pipe.rounded, self._delayed_by(m, entered["working"], "requant_due", _TO_ROUNDED)
        )

    # ------------------------------------------------------------------ results

    def _drive(self, m: Module) -> None:
        """INT alone drives, in the cycle after its last lane has left the pipe."""
        issue, groups = self.issue_int, self._groups()
        single = Cat((issue.out[1:3] == j) & ~issue.out_wide for j in range(STREAMS_PER_GROUP))
        layout = data.ArrayLayout(data.StructLayout({"whole": 1, "single": STREAMS_PER_GROUP}), len(groups))
        chosen, due = Signal(layout, name="chosen", reset_less=True), Signal(layout, name="due")
        driven = Signal(layout, name="driven")
        with m.If(issue.valid):
            for gates, group in zip(chosen, groups, strict=True):
                hit = drives(issue) & hits_group(issue.out, *group)
                m.d.sync += [gates.whole.eq(hit & issue.out_wide), gates.single.eq(Mux(hit, single, 0))]
        ends = self._working[PipeKind.INT][-1]
        m.d.sync += [Value.cast(due).eq(Mux(ends, Value.cast(chosen), 0)), driven.eq(due)]
        enables = Cat(gates.single | gates.whole.replicate(STREAMS_PER_GROUP) for gates in driven)
        vectors = Cat(self._vectors_of(gates) for gates in driven)
        for direction, streams in self._drives.streams.items():
            name, first = direction.name.lower(), groups.index((direction, streams[0])) * STREAMS_PER_GROUP
            m.d.comb += getattr(self, f"drive_{name}").eq(enables[first : first + len(streams)])
            out = Value.cast(getattr(self, f"{name}_out"))
            m.d.comb += out.eq(vectors[8 * self._side * first :][: len(out)])

    def _vectors_of(self, gates: data.View) -> Value:
        """Vectors of an SG4."""
        which = Cat(gates.whole, gates.single.any())
        words = [any_of(gated([word, saturated(word)], which)) for word in self._held[PipeKind.INT]]
        return Cat(word[8 * j : 8 * j + 8] for j in range(STREAMS_PER_GROUP) for word in words)
