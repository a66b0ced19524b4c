"""The switch unit within one superlane: operand selection, permute, select, transpose, and the drive of all results."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig, SwitchOp, Unit
from hdl.isa import SWITCH_LATENCY, Opcode, QueueKind
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
from hdl.switch.rotor import is_op, word_layout
from hdl.switch.transposer import Transposer


class SwitchTile(wiring.Component):
    """PERMUTE and SELECT within the superlane; SHIFT, ROTATE and DISTRIBUTE through the :class:`Rotor`.

    Operands are taken in T; ``amount`` of SELECT is relative to this superlane. ``rotor_x`` (T + 1) is x as a word per
    lane, its counterpart ``rotor_out`` is wanted in T + 2 + (R - 1) and is x itself for SELECT; every result is driven
    in T + 3 + (R - 1). A single stream travels in the low byte of each word; a wide one is the first of its SG4.
    ``single``, zero for a wide result, is to be ORed to the driven ``lanes``: a LUT has room for it where a stream is
    driven. TRANSPOSE works on the weight bus through the :class:`Transposer`.
    What serves only operations that ``config.switch_ops`` does not name is left out.
    """

    def __init__(self, config: LpuConfig, unit: Unit) -> None:
        self._config = config
        self._reads, self._drives = Reach.reads(config, unit), Reach.drives(config, unit)
        self._lanes = config.superlane_lanes
        bus = data.ArrayLayout(lane_bits(config), config.weight_streams)
        issue = issue_layout(config, QueueKind.SWITCH)
        ports = {
            "issue": In(issue),
            "bus_in": In(bus),
            "drive_bus": Out(1),
            "bus": Out(bus),
            "valid": Out(1),
            "digest": Out(32),
        }
        if config.switch_moves:
            ports |= view_ports(self._reads, lane_bits(config)) | drive_ports(config, self._drives)
            ports |= {"single": Out(lane_bits(config)), "rotor_x": Out(word_layout(config)), "rotor_issue": Out(issue)}
            ports["rotor_out"] = In(word_layout(config))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        moved = self._move(m) if self._config.switch_moves else (Const(0, 1), Const(0, 32))
        self._transpose(m)
        if self._config.trace:
            self._trace(m, *moved)
        return m

    def _move(self, m: Module) -> tuple[Value, Value]:
        """Everything but TRANSPOSE; whether a result is driven now, and its digest."""
        hops = self._config.superlanes - 1
        at = [self.issue]
        for stage in range(1, 4 + hops):
            after = Signal.like(self.issue, name=f"stage{stage}")
            m.d.sync += after.eq(at[-1])
            at.append(after)
        x, y = self._operand(m, "x"), self._operand(m, "y")
        m.d.comb += [self.rotor_x.eq(x), self.rotor_issue.eq(at[1])]
        local = self._local(at[1], x, y)
        for stage in range(2, 3 + hops):
            after = Signal(len(local), name=f"local{stage}", reset_less=True)
            m.d.sync += after.eq(local)
            local = after
        result = Signal(word_layout(self._config), name="result", reset_less=True)
        self._merge(m, result, at[2 + hops], word_layout(self._config)(local))
        valid = Signal(name="result_valid")
        m.d.sync += valid.eq(at[2 + hops].valid & (at[2 + hops].op != Opcode.TRANSPOSE))
        words = [result[i] for i in range(self._lanes)]
        self._drive(m, valid, at[3 + hops], words)
        return valid, digest(words)

    def _operand(self, m: Module, name: str) -> data.View:
        """The operand as a word per lane, registered."""
        code = self.issue[name]
        group = StreamView(self, self._reads, lane_bits(self._config)).group(code)
        vectors = [one_of(group, code), *(Mux(self.issue.wide, vector, 0) for vector in group[1:])]
        held: data.View = Signal(word_layout(self._config), name=name, reset_less=True)
        m.d.sync += Value.cast(held).eq(Cat(int32_lanes(vectors, self._lanes)))
        return held

    def _local(self, at: data.View, x: data.View, y: data.View) -> Value:
        """What does not come from the rotor: y of SELECT; for PERMUTE, whose map is y, the byte of x that it names."""
        words = []
        is_permute = is_op(self._config, at, SwitchOp.PERMUTE)
        sources = [x[i][:8] for i in range(self._lanes)]
        for i in range(self._lanes):
            lane = y[i][:8]
            named = Mux(lane < self._lanes, choose(sources, lane[: (self._lanes - 1).bit_length()]), 0)
            words.append(Cat(Mux(is_permute, named, lane), y[i][8:]))
        return Cat(words)

    def _merge(self, m: Module, result: data.View, at: data.View, local: data.View) -> None:
        """SELECT takes y from its boundary on, which counts from this superlane's first lane."""
        is_permute, is_select = is_op(self._config, at, SwitchOp.PERMUTE), is_op(self._config, at, SwitchOp.SELECT)
        for i in range(self._lanes):
            takes_local = is_permute | (is_select & (at.amount <= i))
            merged = Mux(takes_local, local[i], self.rotor_out[i])
            m.d.sync += [result[i].eq(merged), self.single[8 * i : 8 * i + 8].eq(Mux(at.wide, 0, merged[:8]))]

    def _drive(self, m: Module, valid: Value, at: data.View, words: list[Value]) -> None:
        m.d.comb += [lane.eq(vector) for lane, vector in zip(self.lanes, byte_vectors(words), strict=True)]
        for direction in self._drives.streams:
            enables = drive_enables(self._drives, direction, valid, at.wide, at.out)
            m.d.comb += getattr(self, f"drive_{direction.name.lower()}").eq(enables)

    def _trace(self, m: Module, valid: Value, digest_: Value) -> None:
        """All operations are logged with the largest of their latencies, so a cycle has one event at most."""
        transposed = Cat(digest(_words_of(self.bus, self._lanes)), self.drive_bus)
        ready = {
            "moved": (Cat(digest_, valid), SWITCH_LATENCY + self._config.superlanes - 1),
            "transposed": (transposed, self._config.turn_cycles),
        }
        latency = max(cycles for _, cycles in ready.values())
        events = []
        for name, (event, cycles) in ready.items():
            for stage in range(cycles, latency):
                after = Signal(33, name=f"{name}{stage}")
                m.d.sync += after.eq(event)
                event = after
            events.append(event)
        first, second = events
        m.d.comb += [self.valid.eq(first[32] | second[32]), self.digest.eq(Mux(second[32], second[:32], first[:32]))]

    def _transpose(self, m: Module) -> None:
        if SwitchOp.TRANSPOSE not in self._config.switch_ops:
            return
        m.submodules.transposer = transposer = Transposer(self._config)
        m.d.comb += [
            transposer.bus_in.eq(self.bus_in),
            transposer.valid.eq(self.issue.valid & (self.issue.op == Opcode.TRANSPOSE)),
            transposer.first.eq(self.issue.first),
            self.bus.eq(transposer.bus),
            self.drive_bus.eq(transposer.drive_bus),
        ]


def _words_of(bus: data.View, lanes: int) -> list[Value]:
    """Four lanes a word, stream by stream."""
    return [bus[s][32 * i : 32 * i + 32] for s in range(bus.shape().length) for i in range(lanes // 4)]
