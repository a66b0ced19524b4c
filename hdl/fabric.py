"""The stream registers of one superlane."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hdl.config import Direction, LpuConfig
from hdl.layouts import lane_bits
from hdl.streams import Reach

Driver = tuple[Value, Value]
"""(enable, vector)"""


class StreamFabric:
    """Collects what drives each stream at each position and builds the registers between positions.

    value[p + 1](t + 1) = driven at p in t ? driven value : value[p](t), eastward; westward streams mirror this.
    Registers exist only where some unit upstream can drive the stream; elsewhere a stream reads as zeros.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._drivers: dict[tuple[Direction, int, int], list[Driver]] = {}
        self._values: dict[tuple[Direction, int, int], Signal] = {}

    def value(self, direction: Direction, position: int, index: int) -> Value:
        """The stream's register at a position; known to be zero where nothing can drive it."""
        key = (direction, position, index)
        if key not in self._values:
            name = f"{direction.name.lower()}{index}_p{position}"
            self._values[key] = Signal(lane_bits(self._config), name=name, reset_less=True)
        return self._values[key]

    def view(self, direction: Direction, position: int, streams: range) -> Value:
        return Cat(self.value(direction, position, s) for s in streams)

    def drive(self, direction: Direction, position: int, index: int, enable: Value, vector: Value) -> None:
        self._drivers.setdefault((direction, position, index), []).append((enable, vector))

    def drive_reach(self, position: int, reach: Reach, unit: object) -> None:
        """All drives of a component with ``drive_ports``."""
        for direction, streams in reach.streams.items():
            enables = getattr(unit, f"drive_{direction.name.lower()}")
            for k, s in enumerate(streams):
                self.drive(direction, position, s, enables[k], unit.lanes[s % 4])  # type: ignore[attr-defined]

    def build(self, m: Module) -> Value:
        """Adds the registers; returns whether two drivers meet this cycle."""
        for direction in Direction:
            for index in range(self._config.streams(direction)):
                self._build_stream(m, direction, index)
        clashes = [
            a[0] & b[0] for drivers in self._drivers.values() for i, a in enumerate(drivers) for b in drivers[i + 1 :]
        ]
        return Cat(clashes).any() if clashes else Const(0, 1)

    def _build_stream(self, m: Module, direction: Direction, index: int) -> None:
        positions = range(self._config.positions)
        step = 1 if direction is Direction.EAST else -1
        exists = False
        for position in positions if step == 1 else reversed(positions):
            drivers = self._drivers.get((direction, position, index), [])
            if not exists and not drivers:
                continue
            passing: Value = self.value(direction, position, index) if exists else Const(0, lane_bits(self._config))
            for enable, vector in drivers:
                passing = Mux(enable, vector, passing)
            exists = True
            if position + step in positions:
                m.d.sync += self.value(direction, position + step, index).eq(passing)
