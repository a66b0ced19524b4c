"""The switch unit within one superlane: operand selection, permute, select, transpose, and the drive of all results."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, Unit
from hdl.isa import Opcode, QueueKind
from hdl.layouts import issue_layout, lane_bits
from hdl.streams import (
    Reach,
    StreamView,
    byte_vectors,
    choose,
    digest,
    drive_enables,
    drive_ports,
    int32_lanes,
    one_of,
    view_ports,
)
from hdl.switch.rotor import word_layout


class SwitchTile(wiring.Component):
    """PERMUTE and SELECT within the superlane; SHIFT, ROTATE, DISTRIBUTE and MAXLANE through the :class:`Rotor`.

    Operands are taken in T; ``amount`` of SELECT is relative to this superlane. ``rotor_x`` (T + 1) is x as a word per
    lane, its counterpart ``rotor_out`` is wanted in T + 2 + (R - 1); every result is driven in T + 3 + (R - 1). A
    single stream travels in the low byte of each word.
    TRANSPOSE takes the weight bus in T and drives it, transposed, in T + 1.
    """

    def __init__(self, config: LpuConfig, unit: Unit) -> None:
        self._config = config
        self._reach = Reach.of(config, unit)
        self._lanes = config.superlane_lanes
        bus = data.ArrayLayout(lane_bits(config), config.weight_streams)
        super().__init__(
            {
                "issue": In(issue_layout(config, QueueKind.SWITCH)),
                **view_ports(self._reach, lane_bits(config)),
                **drive_ports(config, self._reach),
                "bus_in": In(bus),
                "drive_bus": Out(1),
                "bus": Out(bus),
                "rotor_x": Out(word_layout(config)),
                "rotor_issue": Out(issue_layout(config, QueueKind.SWITCH)),
                "rotor_out": In(word_layout(config)),
                "valid": Out(1),
                "digest": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        hops = self._config.superlanes - 1
        is_transpose = self.issue.op == Opcode.TRANSPOSE
        at = [self.issue]
        for stage in range(1, 4 + hops):
            after = Signal.like(self.issue, name=f"stage{stage}")
            m.d.sync += after.eq(at[-1])
            at.append(after)
        x, y, mapping = self._operands(m)
        m.d.comb += [Value.cast(self.rotor_x).eq(Cat(x)), self.rotor_issue.eq(at[1])]
        local = self._local(m, at[1], x, y, mapping)
        for stage in range(2, 3 + hops):
            after = Signal(len(local), name=f"local{stage}", reset_less=True)
            m.d.sync += after.eq(local)
            local = after
        result = Signal(len(local), name="result", reset_less=True)
        is_local = (at[2 + hops].op == Opcode.PERMUTE) | (at[2 + hops].op == Opcode.SELECT)
        m.d.sync += result.eq(Mux(is_local, local, Value.cast(self.rotor_out)))
        valid = Signal(name="result_valid")
        m.d.sync += valid.eq(at[2 + hops].valid & (at[2 + hops].op != Opcode.TRANSPOSE))
        self._drive(m, valid, at[3 + hops], result)
        self._transpose(m, self.issue.valid & is_transpose)
        return m

    def _operands(self, m: Module) -> tuple[list[Value], list[Value], Value]:
        """x and y as a word per lane, and the lane map, registered."""
        view = StreamView(self, self._reach, lane_bits(self._config))
        words = []
        for name, code in (("x", self.issue.x), ("y", self.issue.y)):
            group = view.group(code)
            single = one_of(group, code)
            picked = [Mux(self.issue.wide, group[0], single)]
            picked += [Mux(self.issue.wide, group[j], 0) for j in range(1, STREAMS_PER_GROUP)]
            held = Signal(word_layout(self._config), name=name, reset_less=True)
            m.d.sync += Value.cast(held).eq(Cat(int32_lanes(picked, self._lanes)))
            words.append([held[i] for i in range(self._lanes)])
        mapping = Signal(lane_bits(self._config), name="map", reset_less=True)
        m.d.sync += mapping.eq(single)  # y, the last one
        return words[0], words[1], mapping

    def _local(self, m: Module, at: data.View, x: list[Value], y: list[Value], mapping: Value) -> Value:
        """PERMUTE, or SELECT: the boundary counts from this superlane's first lane."""
        results = []
        lane_number_bits = (self._lanes - 1).bit_length()
        for i in range(self._lanes):
            source = mapping[8 * i : 8 * i + 8]
            permuted = Mux(source < self._lanes, choose(x, source[:lane_number_bits]), Const(0, 32))
            selected = Mux(at.amount > i, x[i], y[i])
            results.append(Mux(at.op == Opcode.PERMUTE, permuted, selected))
        return Cat(results)

    def _drive(self, m: Module, valid: Value, at: data.View, result: Signal) -> None:
        words = [result[32 * i : 32 * i + 32] for i in range(self._lanes)]
        vectors = byte_vectors(words)
        for j, vector in enumerate(vectors):
            m.d.comb += self.lanes[j].eq(Mux(at.wide, vector, vectors[0]))
        for direction in Direction:
            enables = drive_enables(self._reach, direction, valid, at.wide, at.out)
            m.d.comb += getattr(self, f"drive_{direction.name.lower()}").eq(enables)
        if self._config.trace:
            self._trace(m, valid, digest(words))

    def _trace(self, m: Module, valid: Value, digest_: Value) -> None:
        """TRANSPOSE is logged with the latency of the other results, so a cycle has one event at most."""
        event = Cat(digest(_words_of(self.bus, self._lanes)), self.drive_bus)
        for stage in range(2, 4 + self._config.superlanes - 1):
            after = Signal(33, name=f"transposed{stage}")
            m.d.sync += after.eq(event)
            event = after
        m.d.comb += [self.valid.eq(valid | event[32]), self.digest.eq(Mux(event[32], event[:32], digest_))]

    def _transpose(self, m: Module, valid: Value) -> None:
        """out_s[i] = in_i[s]: wiring and one register."""
        if self._config.weight_streams != self._lanes:
            return
        m.d.sync += self.drive_bus.eq(valid)
        for s in range(self._lanes):
            m.d.sync += self.bus[s].eq(Cat(self.bus_in[i][8 * s : 8 * s + 8] for i in range(self._lanes)))


def _words_of(bus: data.View, lanes: int) -> list[Value]:
    """Four lanes a word, stream by stream."""
    return [bus[s][32 * i : 32 * i + 32] for s in range(bus.shape().length) for i in range(lanes // 4)]
