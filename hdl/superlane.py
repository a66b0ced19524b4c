"""One superlane: a 16-lane strip of every slice, and the streams that connect them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.choice import Choice
from hdl.config import Direction, LpuConfig, Unit, UnitKind
from hdl.emit import Shared, shared, technology_of
from hdl.fabric import StreamFabric
from hdl.isa import PIPES, Queue, QueueKind, queues
from hdl.layouts import (
    activations_layout,
    block_members,
    issue_layout,
    lane_bits,
    matrix_units,
    port_name,
    result_layout,
    superlane_command,
)
from hdl.link.hostmap import memory_groups
from hdl.memory.group import MemoryTile
from hdl.streams import Reach, StreamView, byte_vectors, digest, drive_enables
from hdl.switch.rotor import word_layout
from hdl.switch.tile import SwitchTile
from hdl.vector.serial import SerialTile
from hdl.vector.tile import VectorTile, drives_of, reads_of


def switch_units(config: LpuConfig) -> tuple[Unit, ...]:
    return config.units_of(UnitKind.SWITCH)


def traced_queues(config: LpuConfig) -> tuple[Queue, ...]:
    """Queues whose results the commit trace logs."""
    return tuple(q for q in queues(config) if q.kind is not QueueKind.MXM_WEIGHTS)


class Superlane(Shared):
    """S lanes of all units. ``command`` goes on to the next superlane a cycle later.

    For the matrix planes it hands out the weight bus and the chosen activations and takes results back; for the switch
    it hands out operands of cross-superlane moves; for the host port it drives ``link_row`` and shows what arrives.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        width = lane_bits(config)
        ports: dict[str, wiring.Member] = {
            "command": In(superlane_command(config)),
            "command_next": Out(superlane_command(config)),
            "link_row": In(width),
            "link_captured": Out(data.ArrayLayout(width, config.hemispheres)),
            "conflict": Out(1),
        }
        for unit in matrix_units(config):
            ports[f"{unit.name}_weights"] = Out(data.ArrayLayout(width, config.weight_streams))
            ports[f"{unit.name}_x"] = Out(activations_layout(config))
            ports[f"{unit.name}_result"] = In(result_layout(config))
        for unit in switch_units(config) if config.switch_moves else ():
            ports[f"{unit.name}_issue"] = Out(issue_layout(config, QueueKind.SWITCH))
            ports[f"{unit.name}_x"] = Out(word_layout(config))
            ports[f"{unit.name}_out"] = In(word_layout(config))
        for unit in filter(config.indexes, memory_groups(config)):
            ports[f"{unit.name}_index"] = Out(data.ArrayLayout(width, 2))
        if config.trace:
            for queue in traced_queues(config):
                ports[f"{port_name(queue)}_valid"] = Out(1)
                ports[f"{port_name(queue)}_digest"] = Out(32)
        super().__init__(ports)

    @property
    def module_name(self) -> str:
        return "lpu_superlane"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._fabric = StreamFabric(self._config, technology_of(platform))
        m.d.sync += Value.cast(self.command_next).eq(self.command)
        for unit in switch_units(self._config) if self._config.switch_moves else ():
            boundary = self.command[unit.name].amount - self._config.superlane_lanes
            m.d.sync += self.command_next[unit.name].amount.eq(boundary)
        for unit in self._config.units:
            match unit.kind:
                case UnitKind.MATRIX:
                    self._matrix(m, unit, platform)
                case UnitKind.SWITCH:
                    self._switch(m, unit)
                case UnitKind.VECTOR:
                    self._vector(m, unit)
                case _:
                    self._memory(m, unit, platform)
        m.d.comb += self.conflict.eq(self._fabric.build(m) | self._vector_conflict)
        return m

    def _connect_views(self, m: Module, unit: Unit, reach: Reach, component: object) -> None:
        for direction, streams in reach.streams.items():
            port = getattr(component, direction.name.lower())
            m.d.comb += Value.cast(port).eq(self._fabric.view(direction, unit.position, streams))

    def _bus(self, unit: Unit) -> Value:
        return self._fabric.view(unit.outward, unit.position, range(self._config.weight_streams))

    def _drive_bus(self, unit: Unit, component: object) -> None:
        for s in range(self._config.weight_streams):
            late = unit.kind is UnitKind.WEIGHT_MEMORY and self._config.weights_from_host
            self._fabric.drive(unit.outward, unit.position, s, component.drive_bus, component.bus[s], late=late)  # type: ignore[attr-defined]

    def _log(self, m: Module, name: str, valid: Value, value: Value) -> None:
        if self._config.trace:
            m.d.comb += [getattr(self, f"{name}_valid").eq(valid), getattr(self, f"{name}_digest").eq(value)]

    def _memory(self, m: Module, unit: Unit, platform: object) -> None:
        tile = MemoryTile(self._config, unit)
        m.submodules[unit.name] = shared(tile, platform)
        m.d.comb += [tile.read.eq(self.command[f"{unit.name}_r"]), tile.write.eq(self.command[f"{unit.name}_w"])]
        self._connect_views(m, unit, Reach.reads(self._config, unit), tile)
        self._fabric.drive_reach(unit.position, Reach.drives(self._config, unit), tile)
        if unit.kind is UnitKind.WEIGHT_MEMORY:
            self._drive_bus(unit, tile)
        for k, index in enumerate(self._config.index_streams(unit) if self._config.indexes(unit) else ()):
            value = self._fabric.value(unit.outward, unit.position, index)
            m.d.comb += getattr(self, f"{unit.name}_index")[k].eq(value)
        self._log(m, f"{unit.name}_r", tile.read_valid, tile.read_digest)
        if unit.kind is UnitKind.WEIGHT_MEMORY and self._config.weights_from_host:
            return
        self._log(m, f"{unit.name}_w", self.command[f"{unit.name}_w"].valid, tile.write_digest)

    def _matrix(self, m: Module, unit: Unit, platform: object) -> None:
        reach = Reach.reads(self._config, unit)
        view = _StreamsAt(self._fabric, unit, reach)
        activations = self.command[f"{unit.name}_a"]
        group = StreamView(view, reach, lane_bits(self._config)).group(activations.stream)
        m.d.comb += Value.cast(getattr(self, f"{unit.name}_weights")).eq(self._bus(unit))
        x = Value.cast(getattr(self, f"{unit.name}_x"))
        if self._config.last_bytes:
            chosen = group[-1]
        else:
            choice = Choice(lane_bits(self._config))
            m.submodules[f"{unit.name}_choice"] = shared(choice, platform)
            chosen = choice.among(m, group, activations.stream[1:3])
        m.d.comb += x.eq(Cat(chosen, *(activations[name] for name in block_members(self._config))))
        result = getattr(self, f"{unit.name}_result")
        words = [result.sums[i] for i in range(self._config.superlane_lanes)]
        vectors = byte_vectors(words)
        into = Reach.drives(self._config, unit)
        for inward, streams in into.streams.items():
            enables = drive_enables(into, inward, result.valid, 1, result.out)
            for k, s in enumerate(streams):
                late = self._config.sums_on_streams
                self._fabric.drive(inward, unit.position, s, enables[k], vectors[s % 4], late=late)
        valid = result.valid
        if self._config.sums_on_streams:
            valid = Signal(name=f"{unit.name}_there")
            m.d.sync += valid.eq(result.valid)
        self._log(m, f"{unit.name}_a", valid, digest(words))

    def _switch(self, m: Module, unit: Unit) -> None:
        tile = SwitchTile(self._config, unit)
        m.submodules[unit.name] = tile
        m.d.comb += [tile.issue.eq(self.command[unit.name]), Value.cast(tile.bus_in).eq(self._bus(unit))]
        self._drive_bus(unit, tile)
        self._log(m, unit.name, tile.valid, tile.digest)
        if not self._config.switch_moves:
            return
        self._connect_views(m, unit, Reach.reads(self._config, unit), tile)
        self._fabric.drive_reach(unit.position, Reach.drives(self._config, unit), tile, tile.single)
        m.d.comb += [
            getattr(self, f"{unit.name}_issue").eq(tile.rotor_issue),
            getattr(self, f"{unit.name}_x").eq(tile.rotor_x),
            tile.rotor_out.eq(getattr(self, f"{unit.name}_out")),
        ]

    def _vector(self, m: Module, unit: Unit) -> None:
        kind = SerialTile if self._config.lane_by_lane else VectorTile
        tile = kind(self._config)
        m.submodules[unit.name] = tile
        self._connect_views(m, unit, reads_of(self._config), tile)
        for direction, streams in drives_of(self._config).streams.items():
            name = direction.name.lower()
            enables, vectors = getattr(tile, f"drive_{name}"), getattr(tile, f"{name}_out")
            for k, s in enumerate(streams):
                self._fabric.drive(direction, unit.position, s, enables[k], vectors[k])
        for queue in queues(self._config):
            if queue.kind in PIPES:
                name, pipe = port_name(queue), PIPES[queue.kind].value
                m.d.comb += getattr(tile, f"issue_{pipe}").eq(self.command[name])
                self._log(m, name, getattr(tile, f"{pipe}_valid"), getattr(tile, f"{pipe}_digest"))
        self._vector_conflict = tile.conflict
        self._link(m, unit)

    def _link(self, m: Module, unit: Unit) -> None:
        """The host port's slice stands beside the vector unit: it drives outward and captures what comes inward."""
        for direction in drives_of(self._config).streams:
            stream = self._config.link_stream(direction)
            self._fabric.drive(direction, unit.position, stream, self.command.link_drive, self.link_row)
        for direction in reads_of(self._config).streams:
            hemisphere = 0 if direction is Direction.EAST else 1
            captured = self._fabric.value(direction, unit.position, self._config.link_stream(direction))
            m.d.comb += self.link_captured[hemisphere].eq(captured)


class _StreamsAt:
    """The streams at a unit's position, as a component with ``view_ports`` would show them."""

    def __init__(self, fabric: StreamFabric, unit: Unit, reach: Reach) -> None:
        self._fabric, self._unit, self._reach = fabric, unit, reach

    def __getattr__(self, name: str) -> Value:
        direction = Direction[name.upper()]
        return self._fabric.view(direction, self._unit.position, self._reach.streams[direction])
