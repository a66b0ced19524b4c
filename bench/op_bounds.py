"""Lower bounds of the float operators, from their definitions in ``golden/operators``: no schedule is looked at.

A bound is the largest of what the data flow takes (latencies and hops along the longest chain of operations) and of
what each pipe must issue, between the shortest chain before its first element and the shortest after its last one.

What every schedule is held to
    Tensors lie in data groups. A tensor is in one group, which reads and writes one vector per cycle.
    Only MUL multiplies, ADD adds and SFU has the special functions of fp32; only INT finds larger values, compares and
    chooses. A pipe takes one vector per cycle, so k entries take :meth:`Core.vectors` (k) issues of it.
    The largest or the sum of n entries takes n - 1 operations. Over one row that is tiles - 1 of them, and after those
    one for each halving of the lanes: an operation that takes lanes together does not take tiles together.
    fp32 moves from one superlane to another through the switch alone.
    An integer is divided by REQUANT, or converted, multiplied and converted back; it is doubled by INT.

All functions return the cycles of a whole run, from the first issue until the last superlane has ended, by what takes
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from golden.operators import SUM_WIDTH
from hdl.config import LpuConfig, PipeKind, Unit, UnitKind
from hdl.isa import PIPE_LATENCY, Opcode, QueueKind, timing

INT, REQUANT, MUL, ADD, SFU = (PIPE_LATENCY[kind] for kind in PipeKind)
DATA_FLOW = "data flow"

Limits = Mapping[str, int]
"""Cycles, by what takes them: the data flow or a pipe."""


@dataclass(frozen=True)
class Core:
    """Distances and widths of a core."""

    config: LpuConfig

    def vectors(self, entries: int) -> int:
        """Vectors that hold so many entries."""
        return -(-entries // self.config.lanes)

    def levels(self, n: int) -> int:
        """Halvings of the lanes that a row of n entries takes."""
        return (min(n, self.config.lanes) - 1).bit_length()

    def hops(self, a: UnitKind, b: UnitKind) -> int:
        """The least there are between units of two kinds."""
        return min(_hops(x, y) for x in self.config.units_of(a) for y in self.config.units_of(b))

    @property
    def to_vector(self) -> int:
        """Hops between the nearest data group and the vector unit."""
        return self.hops(UnitKind.DATA_MEMORY, UnitKind.VECTOR)

    @property
    def read(self) -> int:
        """From the issue of a READ or GATHER to its drive."""
        return self._func(QueueKind.MEM_READ, Opcode.READ)

    @property
    def close(self) -> int:
        """From the issue of the last WRITE to the end: its own cycle, and those the last superlane is behind."""
        return 1 + self.config.superlanes

    def crossing(self, n: int) -> int:
        """Cycles by which a vector is later at the vector unit that comes through the switch, as those of a reduction
        over several superlanes must.
        """
        if min(n, self.config.lanes) <= self.config.superlane_lanes:
            return 0
        data, switches = (self.config.units_of(kind) for kind in (UnitKind.DATA_MEMORY, UnitKind.SWITCH))
        to_switch = min(_hops(d, s) for d in data for s in switches)
        from_switch = self.hops(UnitKind.SWITCH, UnitKind.VECTOR)
        return to_switch + self._func(QueueKind.SWITCH, Opcode.ROTATE) + from_switch - self.to_vector

    def between_groups(self, latency: int = 0) -> int:
        """From a drive at a data group to that vector at a data group, operations of ``latency`` on the way.

        Without any, it may go straight to a group farther out; else the vector unit has to send it back.
        """
        positions = {unit.position for unit in self.config.units_of(UnitKind.DATA_MEMORY)}
        return 1 if len(positions) > 1 and not latency else self.to_vector + max(latency, INT) + 1 + self.to_vector

    def from_sram(self, limits: Limits) -> Limits:
        """Cycles of a run whose limits count from the operand at the vector unit to the result in its register."""
        around = self.read + self.to_vector + 1 + self.to_vector + self.close
        return {what: cycles + around for what, cycles in limits.items()}

    def _func(self, kind: QueueKind, opcode: Opcode) -> int:
        func = timing(self.config, kind, opcode).func
        assert func is not None
        return func


def _hops(a: Unit, b: Unit) -> int:
    return abs(a.position - b.position)


# ------------------------------------------------------------------ element-wise


def chain(core: Core, m: int, n: int, *pipes: PipeKind) -> Limits:
    """[m, n] through ``pipes``, one after the other."""
    latency = [PIPE_LATENCY[pipe] for pipe in pipes]
    limits = {DATA_FLOW: m * core.vectors(n) - 1 + sum(latency)}
    for pipe in dict.fromkeys(pipes):
        uses = [i for i, other in enumerate(pipes) if other is pipe]
        issues = core.vectors(len(uses) * m * n)
        limits[pipe.name] = sum(latency[: uses[0]]) + issues - 1 + sum(latency[uses[-1] :])
    return core.from_sram(limits)


def rope(core: Core, m: int, n: int) -> Limits:
    """Two products and a sum for each entry."""
    products, sums = core.vectors(2 * m * n), core.vectors(m * n)
    return core.from_sram({"MUL": products - 1 + MUL + ADD, "ADD": MUL + sums - 1 + ADD})


def causal_limit(core: Core, n: int) -> Limits:
    """A comparison and a choice for each entry."""
    return chain(core, 1, n, PipeKind.INT, PipeKind.INT)


# -------------------------------------------------------------------------- rows


def rms_norm(core: Core, m: int, n: int) -> Limits:
    """Squares and their sum, 1/n, epsilon, inverse root; then two products for each entry."""
    tiles = core.vectors(n)
    scaling = MUL + ADD + SFU + max(2 * tiles - 1 + MUL, tiles - 1 + 2 * MUL)
    return core.from_sram(
        {
            DATA_FLOW: core.crossing(n) + MUL + _sum(core, n) + scaling,
            "MUL": core.vectors(3 * m * n) - 1 + MUL,
            "ADD": MUL + core.vectors(m * (n - 1)) - 1 + ADD + scaling,
        }
    )


def quantise(core: Core, m: int, n: int) -> Limits:
    """The largest magnitude, 1/127, reciprocal; then product and conversion of each entry."""
    inverse = _largest(core, n) + MUL + SFU
    entries = core.vectors(m * n)
    return core.from_sram(
        {
            DATA_FLOW: inverse + core.vectors(n) - 1 + MUL + INT,
            "INT": core.vectors(m * (2 * n - 1)) - 1 + INT,
            "MUL": inverse + entries - 1 + MUL + INT,
        }
    )


def softmax(core: Core, m: int, n: int) -> Limits:
    """Limit and largest; difference, exponent and exponential of each entry; their sum, reciprocal, products.

    INT limits the entries and finds the largest, ADD subtracts and sums.
    """
    tiles, levels = core.vectors(n), core.levels(n)
    largest = core.crossing(n) + 2 * tiles - 2 + INT + levels * INT
    division = SFU + tiles - 1 + MUL
    after_largest = max(ADD + MUL + SFU + _sum(core, n), 2 * tiles - 2 + ADD + levels * ADD) + division
    twice, entries = core.vectors(m * (2 * n - 1)), core.vectors(m * n)
    return core.from_sram(
        {
            DATA_FLOW: largest + after_largest,
            "INT": twice - 1 + INT + after_largest,
            "ADD": largest + twice - 1 + ADD + division,
            "MUL": largest + ADD + core.vectors(2 * m * n) - 1 + MUL,
            "SFU": largest + ADD + MUL + entries - 1 + SFU + division,
        }
    )


def argmax(core: Core, m: int, n: int) -> Limits:
    """The largest; then a comparison and a choice for each entry, and the least of what was chosen."""
    halving = core.levels(n) * INT
    return core.from_sram(
        {
            DATA_FLOW: _largest(core, n) + 2 * core.vectors(n) - 1 + INT + halving,
            "INT": core.vectors(m * (3 * n - 1)) - 1 + INT,
        }
    )


def _largest(core: Core, n: int) -> int:
    """Of a row that arrives tile by tile."""
    return core.crossing(n) + core.vectors(n) - 1 + INT + core.levels(n) * INT


def _sum(core: Core, n: int) -> int:
    """Of a row whose tiles arrive one per cycle: best, those first that most additions are to follow."""
    depths = sorted(sum_depths(core.vectors(n), core.config.lanes), reverse=True)
    return max(i + ADD * depth for i, depth in enumerate(depths)) + core.levels(n) * ADD


def sum_depths(tiles: int, lanes: int) -> list[int]:
    """Per tile, the additions it goes through in ``row_sum`` before lanes are added; +0.0 for padding is left out.

    Tiles 64/L apart are added in sequence, then the 64/L sums in halves.
    """
    classes = max(1, SUM_WIDTH // lanes)
    columns = [list(range(first, tiles, classes)) for first in range(classes)]
    depths = [0] * tiles
    for column in columns:
        for i, tile in enumerate(column):
            depths[tile] = len(column) - max(i, 1)
    while len(columns) > 1:
        half = len(columns) // 2
        for low, high in zip(columns[:half], columns[half:], strict=True):
            for tile in low + high if low and high else ():
                depths[tile] += 1
        columns = [low + high for low, high in zip(columns[:half], columns[half:], strict=True)]
    return depths


# ------------------------------------------------------------------- by position


def gather(core: Core, n: int) -> Limits:
    """The index goes to the table's group, the row comes back to a group."""
    tiles = core.vectors(n)
    return {DATA_FLOW: _index(core, tiles) + core.read + core.between_groups() + tiles - 1 + core.close}


def scatter(core: Core, n: int) -> Limits:
    """The index goes to the cache's group."""
    tiles = core.vectors(n)
    return {DATA_FLOW: _index(core, tiles) + tiles - 1 + core.close}


def kv_scatter(core: Core, n: int) -> Limits:
    """position // d in each slice, that or the row behind the cache, from the vector unit to the weight group."""
    has_shift = PipeKind.REQUANT in core.config.pipes
    quotient = REQUANT if has_shift else ADD + MUL + SFU
    index = core.read + core.to_vector + quotient + INT + 1 + core.hops(UnitKind.VECTOR, UnitKind.WEIGHT_MEMORY)
    return {DATA_FLOW: index + core.vectors(n) - 1 + core.close}


def _index(core: Core, tiles: int) -> int:
    """Until an index, times the tiles of a row, is at a data group: by doublings or one integer product."""
    doublings = (tiles - 1).bit_length() * INT
    product = min(doublings, REQUANT) if PipeKind.REQUANT in core.config.pipes else doublings
    return core.read + core.between_groups(product)
