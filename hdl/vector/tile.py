"""The vector unit within one superlane: its lanes, and the control they share."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind
from hdl.emit import shared
from hdl.isa import PIPE_QUEUES, can_fold, first_of_fold, operations, whole_latency
from hdl.layouts import issue_layout, lane_bits, vector_lead
from hdl.streams import Reach, digest, view_ports
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.lane import Lane, shares_sfu
from hdl.vector.operand import Operand, hits_group, sign_extended
from hdl.vector.sfu_turns import SfuTurns


def reads_of(config: LpuConfig) -> Reach:
    """The vector unit reads what flows inward; which part, depends on pipe and operand."""
    return Reach(config.readable(config.unit("vxm0"), "y", PipeKind.MUL))


def drives_of(config: LpuConfig) -> Reach:
    """The vector unit drives what flows outward."""
    return Reach(config.drivable(config.unit("vxm0")))


class VectorTile(wiring.Component):
    """The pipes of S lanes; ``issue_<pipe>`` gives each an element a cycle.

    An element that issues in T is at its port ``vector_lead`` cycles before. Its streams are read in T, its result
    registers in T + 1; its result is driven in T + 1 + latency: stream k of a direction shows ``<direction>_out[k]``
    where ``drive_<direction>[k]`` is on.
    ``conflict``: two pipes drive the same SG4. ``<pipe>_valid`` and ``<pipe>_digest`` are the commit trace's.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._reads, self._drives = reads_of(config), drives_of(config)
        ports = view_ports(self._reads, lane_bits(config))
        for pipe in config.pipes:
            ports[f"issue_{pipe.value}"] = In(issue_layout(config, PIPE_QUEUES[pipe]))
            ports |= {f"{pipe.value}_valid": Out(1), f"{pipe.value}_digest": Out(32)}
        for direction, streams in self._drives.streams.items():
            ports[f"drive_{direction.name.lower()}"] = Out(len(streams))
            ports[f"{direction.name.lower()}_out"] = Out(self._drives.layout(direction, lane_bits(config)))
        super().__init__({**ports, "conflict": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._register(m)
        self._commands: dict[PipeKind, data.View[data.StructLayout]] = {}
        self._lanes = [Lane(self._config, self._reads, self._drives) for _ in range(self._config.superlane_lanes)]
        for i, lane in enumerate(self._lanes):
            m.submodules[f"lane{i}"] = shared(lane, platform)
            self._show_streams(m, i, lane)
        for pipe in self._config.pipes:
            self._issue(m, pipe)
        if shares_sfu(self._config):
            self._share_sfu(m, platform)
        self._drive(m)
        if self._config.trace:
            self._log(m)
        return m

    def _register(self, m: Module) -> None:
        """The elements that issue now."""
        self._issued = {pipe: getattr(self, f"issue_{pipe.value}") for pipe in self._config.pipes}
        for pipe, coming in self._issued.items() if vector_lead(self._config) else ():
            self._issued[pipe] = Signal(coming.shape(), name=f"{pipe.value}_issued")
            m.d.sync += Value.cast(self._issued[pipe]).eq(coming)

    def _show_streams(self, m: Module, i: int, lane: Lane) -> None:
        for direction in self._reads.streams:
            name = direction.name.lower()
            bytes_ = [vector[8 * i : 8 * i + 8] for vector in getattr(self, name)]
            m.d.comb += Value.cast(getattr(lane, name)).eq(Cat(bytes_))

    def _share_sfu(self, m: Module, platform: object) -> None:
        n = self._config.sfu_cycles
        command = Signal(PIPE_COMMAND, name="sfu_command_now")
        m.d.sync += command.eq(self._commands[PipeKind.SFU])
        for i in range(0, len(self._lanes), n):
            sfu = SfuTurns(n, PipeKind.SFU in self._config.operand_registers)
            m.submodules[f"sfu{i}"] = shared(sfu, platform)
            m.d.comb += sfu.command.eq(command)
            for j, lane in enumerate(self._lanes[i : i + n]):
                m.d.comb += [sfu.x[j].eq(lane.sfu_entering), lane.sfu_result.eq(sfu.result[j])]

    def _to_lanes(self, m: Module, port: str, value: Value) -> None:
        m.d.comb += [Value.cast(getattr(lane, port)).eq(value) for lane in self._lanes]

    # ----------------------------------------------------------------- operands

    def _issue(self, m: Module, pipe: PipeKind) -> None:
        issue = self._issued[pipe]
        command = Signal(PIPE_COMMAND, name=f"{pipe.value}_command")
        m.d.comb += [command.valid.eq(issue.valid), command.op.eq(operation_of(self._config, pipe, issue))]
        if pipe is PipeKind.INT:
            m.d.sync += command.imm.eq(sign_extended(issue.imm))
        self._commands[pipe] = command
        if pipe is not PipeKind.SFU or not shares_sfu(self._config):
            self._to_lanes(m, f"{pipe.value}_command", Value.cast(command))
        for operand in Operand.all_of(self._config, pipe):
            if operand.picks:
                self._pick(m, pipe, operand)
            if operand.takes:
                take = Signal(operand.take_layout, name=f"{operand.name}_take")
                m.d.comb += Value.cast(take).eq(operand.take(issue))
                self._to_lanes(m, f"{operand.name}_take", Value.cast(take))
            for i, lane in enumerate(self._lanes):
                for k in range(operand.swaps):
                    other = getattr(self._lanes[i ^ 1 << k], f"{pipe.value}_result")
                    m.d.comb += getattr(lane, f"{pipe.value}_swapped")[k].eq(other)

    def _pick(self, m: Module, pipe: PipeKind, operand: Operand) -> None:
        pick = Signal(operand.pick_layout, name=f"{operand.name}_pick", reset_less=True)
        registered = operand.is_masked_bit_by_bit and vector_lead(self._config)
        domain = m.d.sync if registered else m.d.comb
        domain += Value.cast(pick).eq(operand.pick(getattr(self, f"issue_{pipe.value}")))
        self._to_lanes(m, operand.name, Value.cast(pick))

    # ------------------------------------------------------------------ results

    def _whole(self, m: Module, pipe: PipeKind) -> Value:
        """The SG4s that the pipe drives in the next cycle."""
        issue = self._issued[pipe]
        hits = Cat(drives(issue) & hits_group(issue.out, *group) for group in self._groups())
        wide = issue.out_wide.replicate(len(hits)) if pipe is PipeKind.INT else hits
        return self._delayed(m, hits & wide, f"{pipe.value}_whole", whole_latency(self._config, pipe))

    def _single(self, m: Module) -> Value:
        """The single streams that INT drives in the next cycle, as bits of all streams in reach."""
        issue = self._issued[PipeKind.INT]
        singly = drives(issue) & ~issue.out_wide
        hits = [
            singly & hits_group(issue.out, *group) & (issue.out[1:3] == j)
            for group in self._groups()
            for j in range(STREAMS_PER_GROUP)
        ]
        return self._delayed(m, Cat(hits), "int_single", whole_latency(self._config, PipeKind.INT))

    def _groups(self) -> list[tuple[Direction, int]]:
        return [(d, s) for d, streams in self._drives.streams.items() for s in streams[::STREAMS_PER_GROUP]]

    @staticmethod
    def _delayed(m: Module, value: Value, name: str, cycles: int) -> Value:
        for stage in range(1, 1 + cycles):
            after = Signal(len(value), name=f"{name}{stage}")
            m.d.sync += after.eq(value)
            value = after
        return value

    def _drive(self, m: Module) -> None:
        """Enables and vectors of the streams. Two drives of one SG4 meet on a stream, as only INT has single ones."""
        whole, single = [self._whole(m, pipe) for pipe in self._config.pipes], self._single(m)
        enables, gates = [], []
        for g in range(len(self._groups())):
            bytes_ = single[STREAMS_PER_GROUP * g : STREAMS_PER_GROUP * (g + 1)]
            hits = [groups[g] for groups in whole]
            enables.append(bytes_ | Cat(hits).any().replicate(STREAMS_PER_GROUP))
            gates.append([*hits, bytes_.any()])
        self._to_lanes(m, "drive", Cat(Cat(bits) for bits in gates))
        now = Signal(1 + len(Cat(enables)), name="drive_now")
        m.d.sync += now.eq(Cat(Cat(_several(bits) for bits in gates).any(), Cat(enables)))
        m.d.comb += self.conflict.eq(now[0])
        enable, position = now[1:], 0
        for direction, streams in self._drives.streams.items():
            name = direction.name.lower()
            m.d.comb += getattr(self, f"drive_{name}").eq(enable[position : position + len(streams)])
            m.d.comb += Value.cast(getattr(self, f"{name}_out")).eq(self._vectors(position, len(streams)))
            position += len(streams)

    def _vectors(self, first: int, count: int) -> Value:
        """Vectors of the streams ``first`` and on, of all in reach."""
        places = [divmod(first + k, STREAMS_PER_GROUP) for k in range(count)]
        return Cat(lane.out[group][8 * byte : 8 * byte + 8] for group, byte in places for lane in self._lanes)

    def _results(self, pipe: PipeKind) -> list[Value]:
        return [getattr(lane, f"{pipe.value}_result") for lane in self._lanes]

    def _log(self, m: Module) -> None:
        for pipe in self._config.pipes:
            issued = self._issued[pipe].valid
            valid = self._delayed(m, issued, f"{pipe.value}_valid", 1 + whole_latency(self._config, pipe))
            words = self._results(pipe)
            m.d.comb += getattr(self, f"{pipe.value}_valid").eq(valid)
            m.d.comb += getattr(self, f"{pipe.value}_digest").eq(digest(words))


def operation_of(config: LpuConfig, pipe: PipeKind, issue: data.View) -> Value:
    """The element's operation; the first element of a fold begins it."""
    operation: Value = issue.operation
    if not can_fold(pipe):
        return operation
    beginning: Value = Const(0, len(operation))
    for op in operations(config, pipe):
        if begins := first_of_fold(pipe, op):
            beginning = Mux(operation == op, begins, beginning)
    return Mux(issue.fold & issue.first, beginning, operation)


def drives(issue: data.View) -> Value:
    """Whether the element drives its result."""
    drives: Value = issue.valid & issue.drive & (issue.last | ~issue.last_only)
    return drives


def _several(bits: list[Value]) -> Value:
    """Whether more than one bit is on."""
    return Cat(a & b for i, a in enumerate(bits) for b in bits[i + 1 :]).any()
