"""The stream registers of one superlane."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hdl.config import STREAMS_PER_GROUP, Direction, LpuConfig
from hdl.emit import Technology
from hdl.layouts import lane_bits
from hdl.streams import Reach

Place = tuple[Direction, int, int]
"""(direction, position, stream)"""


@dataclass(frozen=True)
class Driver:
    """``vector`` is driven in cycles with ``enable``; ``soon`` is the enable of the next cycle, where that is known.

    ``late``: ``vector`` comes a cycle after ``enable``, from a register, which takes the place of the stream's.
    """

    enable: Value
    vector: Value
    soon: Value | None = None
    late: bool = False


class StreamFabric:
    """Collects what drives each stream at each position and builds the registers between positions.

    value[p + 1](t + 1) = driven at p in t ? driven value : value[p](t), eastward; westward streams mirror this.
    Registers exist only where some unit upstream can drive the stream. A stream on which nothing was driven holds
    anything: no program reads it, so the first driver of a stream needs no multiplexer. In a traced build it has one,
    and such a stream is zero: a test sees an operand that is read in the wrong cycle.
    """

    def __init__(self, config: LpuConfig, technology: Technology = Technology.GENERIC) -> None:
        self._config, self._spares_registers = config, technology is Technology.ICE40
        self._drivers: dict[Place, list[Driver]] = {}
        self._values: dict[Place, Signal] = {}

    def value(self, direction: Direction, position: int, index: int) -> Value:
        """The stream's register at a position; known to be zero where nothing can drive it."""
        place = (direction, position, index)
        if place not in self._values:
            name = f"{direction.name.lower()}{index}_p{position}"
            self._values[place] = Signal(lane_bits(self._config), name=name, reset_less=True)
        return self._values[place]

    def view(self, direction: Direction, position: int, streams: range) -> Value:
        return Cat(self.value(direction, position, s) for s in streams)

    def drive(
        self,
        direction: Direction,
        position: int,
        index: int,
        enable: Value,
        vector: Value,
        soon: Value | None = None,
        late: bool = False,
    ) -> None:
        self._drivers.setdefault((direction, position, index), []).append(Driver(enable, vector, soon, late))

    def drive_reach(self, position: int, reach: Reach, unit: object, single: Value | int = 0) -> None:
        """All drives of a component with ``drive_ports``; a vector ``single`` is ORed to each of its lanes."""
        for direction, streams in reach.streams.items():
            enables = getattr(unit, f"drive_{direction.name.lower()}")
            soon = getattr(unit, f"soon_{direction.name.lower()}", None)
            for k, s in enumerate(streams):
                vector = unit.lanes[s % STREAMS_PER_GROUP] | single  # type: ignore[attr-defined]
                self.drive(direction, position, s, enables[k], vector, None if soon is None else soon[k])

    def build(self, m: Module) -> Value:
        """Adds the registers; returns whether two drivers meet this cycle."""
        for direction in Direction:
            for index in range(self._config.streams(direction)):
                self._build_stream(m, direction, index)
        clashes = [
            a.enable & b.enable
            for drivers in self._drivers.values()
            for i, a in enumerate(drivers)
            for b in drivers[i + 1 :]
        ]
        return Cat(clashes).any() if clashes else Const(0, 1)

    def _build_stream(self, m: Module, direction: Direction, index: int) -> None:
        positions = range(self._config.positions)
        arriving: Value | None = None
        before: Place | None = None
        for position in positions if direction is Direction.EAST else reversed(positions):
            if before is not None and self._is_late(before):
                m.d.comb += Value.cast(self.value(direction, position, index)).eq(self._drivers[before][0].vector)
            elif arriving is not None:
                m.d.sync += Value.cast(self.value(direction, position, index)).eq(arriving)
            before = (direction, position, index)
            arriving = self._leaving(m, (direction, position, index), arriving)

    def _is_late(self, place: Place) -> bool:
        drivers = self._drivers.get(place, [])
        assert len(drivers) == 1 or not any(driver.late for driver in drivers), place
        return any(driver.late for driver in drivers)

    def _leaving(self, m: Module, place: Place, arriving: Value | None) -> Value | None:
        """What goes on from a place in the cycle after ``arriving``; None as long as nothing drives the stream."""
        drivers = self._drivers.get(place, [])
        known = not self._spares_registers and all(driver.soon is not None for driver in drivers)
        if arriving is not None and len(drivers) > 1 and known:
            return _merged(m, place, arriving, drivers)
        leaving = None if arriving is None else self.value(*place)
        if drivers and leaving is None and self._config.trace:
            leaving = Const(0, lane_bits(self._config))
        for driver in drivers:
            leaving = driver.vector if leaving is None else Mux(driver.enable, driver.vector, leaving)
        return leaving


def _merged(m: Module, place: Place, arriving: Value, drivers: list[Driver]) -> Value:
    """OR of what passes and what is driven.

    A second register holds what passes, reset to zero in time where a driver will replace it: that takes no logic, and
    spares the multiplexer an input.
    """
    direction, position, index = place
    passing = Signal(len(arriving), name=f"{direction.name.lower()}{index}_p{position}_passing", reset_less=True)
    replaced = Cat(driver.soon for driver in drivers if driver.soon is not None).any()
    m.d.sync += passing.eq(Mux(replaced, 0, arriving))
    merged: Value = passing
    for driver in drivers:
        merged = merged | Mux(driver.enable, driver.vector, 0)
    return merged
