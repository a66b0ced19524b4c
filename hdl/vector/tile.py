"""The vector unit within one superlane: the lanes and the control that walks along their chain."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import Direction, LpuConfig, Unit
from hdl.emit import shared
from hdl.isa import IntOp, Opcode, QueueKind, Source, alu_offset, timing
from hdl.layouts import issue_layout, lane_bits
from hdl.streams import Reach, byte_vectors, digest, drive_enables, drive_ports, view_ports
from hdl.vector.alu_int import ALU_COMMAND
from hdl.vector.lane import Lane


def reads_of(config: LpuConfig) -> Reach:
    """The vector unit reads what flows inward."""
    directions = tuple(Direction) if config.hemispheres == 2 else (Direction.EAST,)
    return Reach.of(config, _vector(config), directions)


def drives_of(config: LpuConfig) -> Reach:
    """The vector unit drives what flows outward."""
    directions = tuple(Direction) if config.hemispheres == 2 else (Direction.WEST,)
    return Reach.of(config, _vector(config), directions)


def _vector(config: LpuConfig) -> Unit:
    return config.unit("vxm0")


class VectorTile(wiring.Component):
    """One CHAIN element a cycle on S lanes. x in T; y_k in T + alu_offset(k); the result is driven in T + d_func."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._reads = reads_of(config)
        self._drives = drives_of(config)
        super().__init__(
            {
                "issue": In(issue_layout(config, QueueKind.VECTOR)),
                **view_ports(self._reads, lane_bits(config)),
                **drive_ports(config, self._drives),
                "valid": Out(1),
                "digest": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        func = timing(self._config, QueueKind.VECTOR, Opcode.CHAIN).func
        assert func is not None
        stages = [self.issue]
        for stage in range(1, func + 1):
            after = Signal.like(self.issue, name=f"stage{stage}")
            m.d.sync += after.eq(stages[-1])
            stages.append(after)
        results = self._lanes(m, platform, stages)
        self._drive(m, stages[func], results)
        return m

    def _lanes(self, m: Module, platform: object, stages: list[data.View]) -> list[Value]:
        commands = [self._alu_command(m, k, stages) for k in range(len(self._config.alus))]
        results = []
        for i in range(self._config.superlane_lanes):
            lane = Lane(self._config, self._reads)
            m.submodules[f"lane{i}"] = shared(lane, platform)
            for direction in self._reads.streams:
                name = direction.name.lower()
                bytes_ = [vector[8 * i : 8 * i + 8] for vector in getattr(self, name)]
                m.d.comb += Value.cast(getattr(lane, name)).eq(Cat(bytes_))
            m.d.comb += [lane.x.stream.eq(self.issue.x), lane.x.wide.eq(self.issue.x_wide)]
            m.d.comb += lane.narrow.eq(~stages[-1].out_wide)
            for k, command in enumerate(commands):
                at = stages[alu_offset(self._config, k)]
                m.d.comb += [
                    lane.y[k].stream.eq(at[f"y{k}"]),
                    lane.y[k].wide.eq(at[f"y{k}_wide"]),
                    lane.y[k].source.eq(at[f"src{k}"]),
                    lane.y[k].imm.eq(at.imm),
                    lane.alus[k].eq(command),
                ]
            results.append(lane.result)
        return results

    def _alu_command(self, m: Module, k: int, stages: list[data.View]) -> Signal:
        """ALU k's command, one cycle after its operand; the first element of an accumulation passes x on."""
        at = stages[alu_offset(self._config, k) + 1]
        own = at[f"src{k}"] == Source.SELF
        command = Signal(ALU_COMMAND, name=f"command{k}")
        m.d.comb += [
            command.valid.eq(at.valid),
            command.own.eq(own),
            command.op.eq(Mux(own & at.first, IntOp.PASS, at[f"op{k}"])),
            command.imm.eq(at.imm),
        ]
        return command

    def _drive(self, m: Module, at: data.View, results: list[Value]) -> None:
        valid = at.valid & (at.last | ~at.last_only)
        for direction in self._drives.streams:
            enables = drive_enables(self._drives, direction, valid, at.out_wide, at.out)
            m.d.comb += getattr(self, f"drive_{direction.name.lower()}").eq(enables)
        low = Cat(result[:8] for result in results)
        for j, vector in enumerate(byte_vectors(results)):
            m.d.comb += self.lanes[j].eq(Mux(at.out_wide, vector, low))
        if self._config.trace:
            m.d.comb += [self.valid.eq(valid), self.digest.eq(digest(results))]
