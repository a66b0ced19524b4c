"""Timing of chained passes through the vector unit: an int32 from the streams, driven as saturated int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from formal.pipe import implies
from formal.run import add_rule
from hdl.config import PRESETS, STREAMS_PER_GROUP, Direction, LpuConfig, PipeKind
from hdl.isa import PIPE_LATENCY, AddOp, IntOp, MulOp, Source, stream
from hdl.layouts import vector_lead
from hdl.vector.tile import VectorTile, drives_of, reads_of

CONFIG: LpuConfig = PRESETS["tiny"].replace(name="chain", pipes=(PipeKind.INT, PipeKind.MUL, PipeKind.ADD), imm_bits=32)
"""The smallest core with these pipes: one superlane of four lanes."""
OTHER_LANES_FREE = tuple(f"cutpoint top.tile/lane{i}" for i in range(1, CONFIG.superlane_lanes))
"""yosys: lanes other than lane 0 give anything in any cycle (they reach lane 0 through SWAP)."""
ONE = 0x3F800000
LEAD = vector_lead(CONFIG)


@dataclass(frozen=True)
class Step:
    """One element of a chain."""

    pipe: PipeKind
    fields: Mapping[str, int]


def _step(pipe: PipeKind, **fields: int) -> Step:
    return Step(pipe, {"valid": 1, **fields})


_I2F = _step(PipeKind.ADD, operation=AddOp.I2F, x_from=Source.STREAM, fold=0)
CHAINS: Mapping[str, tuple[Step, ...]] = {
    "INT": (_step(PipeKind.INT, operation=IntOp.PASS, x_from=Source.STREAM, x_wide=1),),
    "ADD-INT": (_I2F, _step(PipeKind.INT, operation=IntOp.F2I8, x_from=Source.ADD)),
    "ADD-MUL-INT": (
        _I2F,
        _step(PipeKind.MUL, operation=MulOp.FMUL, x_from=Source.ADD, y_from=Source.IMM, imm=ONE),
        _step(PipeKind.INT, operation=IntOp.F2I8, x_from=Source.MUL),
    ),
}
"""Each takes n from an SG4 in T and ends in the INT pipe, which drives min(max(n, -128), 127) on a single stream."""


class ChainTiming(wiring.Component):
    """``start`` is LEAD cycles before T; the result of ``steps`` is on its stream in T + 1 + the sum of the latencies.

    An element issues in the first cycle in which it can take the result of the one before: T, T + latency, ...; the
    last one ``early`` cycles before that. All else is free: what issues in all other cycles in these and the other
    pipes, the streams, the reset. In every cycle just those streams are driven that the elements of all pipes ask for.
    """

    def __init__(self, steps: tuple[Step, ...], early: int = 0) -> None:
        self._steps = steps
        self._early = early
        self._tile = VectorTile(CONFIG)
        members = self._tile.signature.members.items()
        super().__init__({"start": In(1), **{name: In(port.shape) for name, port in members if port.flow is In}})

    @property
    def cycles(self) -> int:
        """From ``start`` to the cycle of the result."""
        return LEAD + 1 + sum(PIPE_LATENCY[step.pipe] for step in self._steps) - self._early

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tile = tile = self._tile
        for name, port in tile.signature.members.items():
            if port.flow is In:
                m.d.comb += Value.cast(getattr(tile, name)).eq(Value.cast(getattr(self, name)))
        read, driven = first_stream(reads_of(CONFIG).streams), first_stream(drives_of(CONFIG).streams)
        self._assume(m, 0, self._steps[0].pipe, {"x": stream(*read)})
        out = {"fold": 0, "drive": 1, "last_only": 0, "out_wide": 0, "out": stream(*driven)}
        self._assume(m, self.cycles - LEAD - 1 - PIPE_LATENCY[PipeKind.INT], PipeKind.INT, out)
        cycle = 0
        for step in self._steps:
            early = self._early if step is self._steps[-1] else 0
            self._assume(m, cycle - early, step.pipe, step.fields)
            cycle += PIPE_LATENCY[step.pipe]
        port = getattr(tile, read[0].name.lower())
        word = Cat(port[k][:8] for k in range(STREAMS_PER_GROUP)).as_signed()
        byte = delayed(m, Mux(word > 127, 127, Mux(word < -128, -128, word))[:8], self.cycles - LEAD)
        done = delayed(m, self.start, self.cycles) & ~tile.conflict
        add_rule(m, "result", implies(done, getattr(tile, f"{driven[0].name.lower()}_out")[0][:8] == byte))
        self._drives(m)
        return m

    def _assume(self, m: Module, cycle: int, pipe: PipeKind, fields: Mapping[str, int]) -> None:
        """What issues in T + ``cycle`` of each start."""
        issue = getattr(self, f"issue_{pipe.value}")
        holds = Cat(issue[name] == value for name, value in fields.items()).all()
        m.d.comb += Assume(implies(delayed(m, self.start, cycle), holds))

    def _drives(self, m: Module) -> None:
        known = delayed(m, Const(1, 1), LEAD + 1 + max(PIPE_LATENCY[pipe] for pipe in CONFIG.pipes))
        for direction, streams in drives_of(CONFIG).streams.items():
            enables = getattr(self._tile, f"drive_{direction.name.lower()}")
            for k, index in enumerate(streams):
                asked = [
                    delayed(m, asks_for(self, pipe, direction, index), LEAD + 1 + PIPE_LATENCY[pipe])
                    for pipe in CONFIG.pipes
                ]
                add_rule(m, f"drive_{direction.name}{index}", ~known | (enables[k] == Cat(asked).any()))


def asks_for(view: object, pipe: PipeKind, direction: Direction, index: int) -> Value:
    """Whether the element that issues in the pipe LEAD cycles later drives the stream."""
    issue = getattr(view, f"issue_{pipe.value}")
    group = issue.out[3:] == index // STREAMS_PER_GROUP
    single = issue.out[1:3] == index % STREAMS_PER_GROUP
    whole = issue.out_wide if pipe is PipeKind.INT else Const(1, 1)
    last = implies(issue.last_only, issue.last)
    return issue.valid & issue.drive & last & (issue.out[0] == direction) & group & (whole | single)


def first_stream(streams: Mapping[Direction, range]) -> tuple[Direction, int]:
    direction, span = next(iter(streams.items()))
    return direction, span[0]


def delayed(m: Module, value: Value, cycles: int) -> Value:
    for _ in range(cycles):
        after = Signal(len(value))
        m.d.sync += after.eq(value)
        value = after
    return value
