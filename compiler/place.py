"""Tensors -> SRAM rows: first fit over the rows of each memory group; rows of dead temporaries once it is full.

Weights go to weight groups, everything else to data groups. Tensors that one pass reads in the same cycles go to
different data groups where there are several, so that their read queues do not collide. Layouts are those of
``compiler/image.py``; a tensor's rows are consecutive addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compiler.blocks import Block, blocks_of
from compiler.fuse import Pass
from compiler.image import TensorInfo, tensor_rows
from compiler.ir import CompileError, Graph, OpKind, Tensor
from compiler.reads import rows_read
from hdl.config import Direction, LpuConfig, MemoryGroup, Unit, UnitKind

NOISE = 3.0
"""Largest factor by which a trial changes the weight of a collision."""


@dataclass(frozen=True)
class Allocation:
    """``rows`` consecutive addresses from ``addr`` of ``unit``; ``tiles`` SRAM rows per row of the tensor.

    ``wide`` (int32, fp32): each address is a row of all 4 slices. ``spare`` rows behind it take what KV_SCATTER writes
    in the slices that do not hold the position.
    """

    unit: Unit
    addr: int
    rows: int
    tiles: int
    wide: bool
    spare: int = 0

    @property
    def wide_access(self) -> bool:
        """Whether READ and WRITE access all slices at once."""
        return self.wide or self.unit.kind is UnitKind.WEIGHT_MEMORY

    def row_addr(self, m: int, tile: int) -> int:
        """Address of channels [tile*L, (tile+1)*L) of row m."""
        return self.addr + m * self.tiles + tile


@dataclass(frozen=True)
class _Request:
    """A tensor to place: live from pass ``first`` to pass ``last`` (both inclusive)."""

    tensor: Tensor
    kind: str
    unit_kind: UnitKind
    first: int
    last: int

    @property
    def wide(self) -> bool:
        return self.tensor.dtype.is_wide

    def spare(self, config: LpuConfig) -> int:
        """Rows behind the tensor, one for each that a position takes in a slice."""
        in_weights = self.tensor.mutable and self.unit_kind is UnitKind.WEIGHT_MEMORY
        return spare_rows(config, self.tensor) if in_weights else 0


@dataclass(frozen=True)
class Placement:
    """Where each tensor lives, and the kind (input, output, const, temp) it has in the image.

    ``shared``: for temporaries of later iterations of a block, which have no kind, the one of the first iteration.
    """

    allocations: Mapping[Tensor, Allocation]
    kinds: Mapping[Tensor, str]
    shared: Mapping[Tensor, Tensor]

    def __getitem__(self, tensor: Tensor) -> Allocation:
        return self.allocations[tensor]

    def info(self, tensor: Tensor, live_from: int, live_until: int) -> TensorInfo:
        at = self.allocations[tensor]
        return TensorInfo(
            tensor.name,
            self.kinds[tensor],
            tensor.dtype.value,
            tensor.shape,
            at.unit.name,
            at.addr,
            at.rows,
            live_from,
            live_until,
        )


def place(config: LpuConfig, graph: Graph, passes: Sequence[Pass], trial: int = 0) -> Placement:
    """First-fit placement, longest-lived tensors first, larger before smaller; states from the top down.

    ``trial``: which of several placements; states are at the same addresses in all of them.

    Raises CompileError with a table of all tensors and their bytes when one does not fit, or is both weights and data.
    """
    blocks = blocks_of(passes)
    once = [p for p in passes if p.block is None or p.block.number == 0]
    requests = _requests(graph, once)
    placer = _Placer(config, once, requests, trial)
    for request in sorted((r for r in requests if _is_state(r)), key=lambda r: r.tensor.name):
        placer.place(request)
    for block in blocks:
        placer.place_block(block)
    done = {tensor for block in blocks for tensor in block.copies} | set(placer.allocations)
    for request in sorted(requests, key=lambda r: (r.first - r.last, -placer.rows(r), r.first)):
        if request.tensor not in done:
            placer.place(request)
    kinds = {request.tensor: request.kind for request in requests}
    for block in blocks:
        placer.allocations |= {copy: placer.allocations[first] for copy, first in block.shared.items()}
        kinds |= {copy: kinds[first] for first, copies in block.copies.items() for copy in copies}
    shared = {copy: first for block in blocks for copy, first in block.shared.items()}
    return Placement(placer.allocations, kinds, shared)


# ---------------------------------------------------------------------- liveness


def _requests(graph: Graph, passes: Sequence[Pass]) -> list[_Request]:
    """Inputs, constants and states live throughout, outputs to the end, temporaries from first write to last read."""
    end = len(passes)
    requests = [_Request(tensor, "input", UnitKind.DATA_MEMORY, -1, end) for tensor in graph.inputs]
    for tensor, unit_kind in _initialised(passes).items():
        kind = "output" if tensor in graph.outputs else "const"
        requests.append(_Request(tensor, kind, unit_kind, -1, end))
    for number, p in enumerate(passes):
        requests += [_result(graph, passes, number, t) for t in p.writes if not t.mutable]
    return requests


def _result(graph: Graph, passes: Sequence[Pass], number: int, tensor: Tensor) -> _Request:
    end = len(passes)
    if tensor in graph.outputs:
        return _Request(tensor, "output", UnitKind.DATA_MEMORY, number, end)
    uses = [number, *(later for later in range(number, end) if tensor in passes[later].reads)]
    spans = [_span(passes, use) for use in uses]
    return _Request(tensor, "temp", UnitKind.DATA_MEMORY, min(first for first, _ in spans), max(e for _, e in spans))


def _span(passes: Sequence[Pass], number: int) -> tuple[int, int]:
    """First and last pass around a use: all of a block, in which later iterations write and read again."""
    block = passes[number].block
    if block is None:
        return number, number
    inside = [i for i, p in enumerate(passes) if p.block == block]
    return inside[0], inside[-1]


def _initialised(passes: Sequence[Pass]) -> dict[Tensor, UnitKind]:
    """Constants and states, and the kind of memory that each is in."""
    kinds: dict[Tensor, UnitKind] = {}
    for p in passes:
        in_weights = set(p.in_weight_groups)
        for tensor in (*p.reads, *p.in_weight_groups, *p.writes):
            if tensor.value is not None:
                kind = UnitKind.WEIGHT_MEMORY if tensor in in_weights else UnitKind.DATA_MEMORY
                if kinds.setdefault(tensor, kind) is not kind:
                    raise CompileError(f"{p.name}: {tensor}: is both weights and data; make two tensors of it")
    return kinds


_INDEXED_OPS = frozenset({OpKind.GATHER, OpKind.SCATTER, OpKind.PUT})
"""Operators that add an index to the row of their first input, which must stay in its slice."""


def spare_rows(config: LpuConfig, cache: Tensor) -> int:
    """Rows of a weight group that one row of a cache takes in a slice, times the steps of a tile."""
    return -(-cache.shape[1] // config.lanes) * config.tile_load_cycles


# --------------------------------------------------------------------- first fit


class _Placer:
    def __init__(self, config: LpuConfig, passes: Sequence[Pass], requests: Sequence[_Request], trial: int) -> None:
        self.config = config
        self._rng = np.random.default_rng(trial) if trial else None
        self.requests = requests
        self.allocations: dict[Tensor, Allocation] = {}
        self._together = _read_together(config, passes)
        self._indexed = {p.x for p in passes if p.op is not None and p.op.kind in _INDEXED_OPS}
        self._lifetimes: list[tuple[_Request, Allocation]] = []

    def rows(self, request: _Request) -> int:
        unit = self._units(request.unit_kind)[0]
        return tensor_rows(self.config, unit, request.tensor.dtype.value, request.tensor.shape)

    def place(self, request: _Request, records: Mapping[Tensor, Unit] | None = None) -> None:
        """``records``: units of tensors that are not placed yet."""
        rows, spare = self.rows(request), request.spare(self.config)
        for unit in sorted(self._units_for(request), key=lambda unit: self._collisions(request, unit, records or {})):
            for reuse in (False, True):
                addr = self._first_fit(unit, request, rows + spare, reuse)
                if addr is not None:
                    self._put(request, request.tensor, unit, addr)
                    return
        raise CompileError(self._out_of_memory(request))

    def place_block(self, block: Block) -> None:
        """Tensors of a block, those first that most others should not share a unit with.

        What differs between iterations goes into records, one of each unit after the other in the order of the passes.
        """
        inside = {tensor for p in block.passes[0] for tensor in p.tensors}
        requests = [r for r in self.requests if r.tensor in inside and r.unit_kind is UnitKind.DATA_MEMORY]
        records: dict[Tensor, Unit] = {}
        for request in sorted(requests, key=lambda r: -self._conflicts(r.tensor)):
            if request.tensor in block.copies:
                records[request.tensor] = self._least_collisions(request, records)
            elif self._conflicts(request.tensor) and request.tensor not in self.allocations:
                self.place(request, records)
        for unit in self._units(UnitKind.DATA_MEMORY):
            self._place_records(unit, [r for r in requests if records.get(r.tensor) == unit], block)
        for unit in self._units(UnitKind.WEIGHT_MEMORY)[:1]:
            weights = [r for r in self.requests if r.tensor in block.copies and r.unit_kind is UnitKind.WEIGHT_MEMORY]
            self._place_records(unit, weights, block)

    def _conflicts(self, tensor: Tensor) -> int:
        """How many tensors are read row by row with this one."""
        return sum(n >= _MUST for n in self._together.get(tensor, Counter()).values())

    def _least_collisions(self, request: _Request, records: Mapping[Tensor, Unit]) -> Unit:
        """The unit with the fewest collisions, among those the one with the fewest rows of records so far."""
        if not request.wide:
            raise CompileError(f"{request.tensor}: int8 outside weight groups: must not differ between iterations")
        sizes = {r.tensor: self.rows(r) for r in self.requests if r.tensor in records}

        def cost(unit: Unit) -> tuple[float, int]:
            rows = sum(size for tensor, size in sizes.items() if records[tensor] == unit)
            return self._collisions(request, unit, records), rows

        return min(self._units_for(request), key=cost)

    def _place_records(self, unit: Unit, requests: Sequence[_Request], block: Block) -> None:
        if not requests:
            return
        sizes = [self.rows(r) + r.spare(self.config) for r in requests]
        stride, n = sum(sizes), len(block.passes)
        first = self._first_fit(unit, replace(requests[0], first=-1), stride * n, False)
        if first is None:
            raise CompileError(self._out_of_memory(requests[0]))
        for i in range(n):
            addr = first + i * stride
            for request, size in zip(requests, sizes, strict=True):
                self._put(request, block.copies[request.tensor][i], unit, addr)
                addr += size

    def _put(self, request: _Request, tensor: Tensor, unit: Unit, addr: int) -> None:
        tiles = -(-tensor.shape[1] // self.config.lanes)
        at = Allocation(unit, addr, self.rows(request), tiles, request.wide, request.spare(self.config))
        self.allocations[tensor] = at
        self._lifetimes.append((request, at))

    def _units(self, kind: UnitKind) -> list[Unit]:
        """Memory units of a kind in the west hemisphere, where the compiler works."""
        return [unit for unit in self.config.units_of(kind) if unit.outward is Direction.WEST]

    def _units_for(self, request: _Request) -> list[Unit]:
        """Those that may hold the tensor: where an index is added to its rows, those that take one."""
        indexed = self.config.indexed and request.tensor in self._indexed
        units = [unit for unit in self._units(request.unit_kind) if not indexed or self.config.indexes(unit)]
        if not units:
            plain = ", ".join(self.config.plain_groups)
            raise CompileError(f"config '{self.config.name}': plain_groups = {plain}: {request.tensor} takes an index")
        return units

    def _collisions(self, request: _Request, unit: Unit, records: Mapping[Tensor, Unit]) -> float:
        """Reads of tensors already in ``unit`` that fall into the same cycles as reads of this one."""
        together = self._together.get(request.tensor, Counter())
        units = {other: self[other].unit for other in together if other in self.allocations}
        units |= {other: records[other] for other in together if other in records}
        found = sum(n for other, n in together.items() if units.get(other) == unit)
        if self._rng is None or request.tensor.mutable:
            return found
        return found * self._rng.uniform(1, NOISE) + self._rng.random()

    def __getitem__(self, tensor: Tensor) -> Allocation:
        return self.allocations[tensor]

    def _first_fit(self, unit: Unit, request: _Request, rows: int, reuse: bool) -> int | None:
        """The first address with enough free rows; with ``reuse``, rows of tensors dead by then count as free.

        An int8 tensor may go on in the next slice, unless an index reaches into it. A state of a data group has the
        last such address, where the sizes of other tensors do not move it: programs of one model share their states.
        """
        assert unit.memory is not None
        used = self._used(unit, unit.memory, request, reuse)
        in_data = unit.kind is UnitKind.DATA_MEMORY
        run = _last_run if in_data and request.tensor.mutable else _first_run
        if request.wide or not in_data:
            return run(np.any(used, axis=0), rows)
        row_bits = self.config.row_bits(unit.memory)
        if unit.memory.depth_rows == 1 << row_bits and request.tensor not in self._indexed:
            return run(used.reshape(-1), rows)
        starts = ((slice_, run(used[slice_], rows)) for slice_ in range(unit.memory.slices))
        return next(((slice_ << row_bits) + row for slice_, row in starts if row is not None), None)

    def _used(self, unit: Unit, memory: MemoryGroup, request: _Request, reuse: bool) -> NDArray[np.bool_]:
        """bool [slices, depth_rows]: rows of all tensors, or (``reuse``) of those alive together with ``request``."""
        used = np.zeros((memory.slices, memory.depth_rows), dtype=np.bool_)
        row_bits = self.config.row_bits(memory)
        for other, at in self._lifetimes:
            together = other.first <= request.last and request.first <= other.last
            if at.unit == unit and (together or not reuse):
                for slices, row, count in _spans(at, row_bits):
                    used[slices, row : row + count] = True
        return used

    def _out_of_memory(self, request: _Request) -> str:
        lanes = self.config.lanes
        slices = {UnitKind.WEIGHT_MEMORY: self.config.weight_streams, UnitKind.DATA_MEMORY: 4}
        lines = [f"{'tensor':<24} {'kind':<7} {'shape':>14} {'bytes':>10}"]
        for r in self.requests:
            if r.unit_kind is request.unit_kind:
                flat = r.unit_kind is UnitKind.DATA_MEMORY and not r.wide
                size = self.rows(r) * lanes * (1 if flat else slices[r.unit_kind])
                lines.append(f"{r.tensor.name:<24} {r.kind:<7} {r.tensor.shape!s:>14} {size:>10}")
        groups = [unit.memory for unit in self._units(request.unit_kind) if unit.memory is not None]
        total = sum(group.slices * group.depth_rows for group in groups) * lanes
        word = "weight" if request.unit_kind is UnitKind.WEIGHT_MEMORY else "data"
        head = f"out of memory: {request.tensor} does not fit the {word} groups of config '{self.config.name}'"
        return f"{head}, {total} bytes:\n" + "\n".join(lines)


def _is_state(request: _Request) -> bool:
    return request.tensor.mutable and request.unit_kind is UnitKind.DATA_MEMORY


def _read_together(config: LpuConfig, passes: Sequence[Pass]) -> dict[Tensor, Counter[Tensor]]:
    """For each tensor, how many rows of each other one are read while a pass reads rows of it."""
    together: dict[Tensor, Counter[Tensor]] = {tensor: Counter() for p in passes for tensor in p.tensors}
    for p in passes:
        rows = rows_read(config, p)
        for a in rows:
            together[a].update({b: min(rows[a], rows[b]) for b in rows if b is not a})
        for a, b in _pairs(p):
            if a is not b:
                together[a][b] += _MUST
                together[b][a] += _MUST
    return together


_MUST = 1000
"""Weight of two tensors that are read row by row in the same cycles."""


def _pairs(p: Pass) -> Iterator[tuple[Tensor, Tensor]]:
    """Operands of one element: x and y of the first stage; of whole-row operators, what meets on its way."""
    if p.op is None:
        yield from ((p.x, stage.operand) for stage in p.stages[:1] if isinstance(stage.operand, Tensor))
        return
    match p.op.kind:
        case OpKind.ATTENTION:
            powers, inverse, _, codes, _ = p.scratch
            _, _, _, mask, scale, divisor = p.op.inputs
            yield from ((powers, inverse), (mask, scale), (codes, divisor))
        case OpKind.ROPE_PROJECT | OpKind.ROPE_CACHE:
            yield p.scratch[0], p.op.inputs[4]
        case OpKind.RMS_NORM:
            yield p.op.inputs[0], p.op.inputs[1]
        case OpKind.EXP2_GATE:
            yield p.op.inputs[2], p.op.inputs[3]
        case OpKind.NOISE:
            yield p.scratch[0], p.consts[0]


def _spans(at: Allocation, row_bits: int) -> Iterator[tuple[slice, int, int]]:
    """(slices, first row, rows) of an allocation, one piece per slice it touches."""
    if at.wide or at.unit.kind is UnitKind.WEIGHT_MEMORY:
        yield slice(None), at.addr, at.rows + at.spare
        return
    addr, end = at.addr, at.addr + at.rows
    while addr < end:
        slice_, row = addr >> row_bits, addr & ((1 << row_bits) - 1)
        count = min(end - addr, (1 << row_bits) - row)
        yield slice(slice_, slice_ + 1), row, count
        addr += count


def overlap(config: LpuConfig, a: Allocation, b: Allocation) -> bool:
    """Whether two allocations share a row."""
    if a.unit != b.unit or a.unit.memory is None:
        return False
    row_bits, used = config.row_bits(a.unit.memory), np.zeros((a.unit.memory.slices, a.unit.memory.depth_rows), np.int8)
    for at in (a, b):
        for slices, row, count in _spans(at, row_bits):
            used[slices, row : row + count] += 1
    return bool((used > 1).any())


def _first_run(used: NDArray[np.bool_], rows: int) -> int | None:
    """Start of the first ``rows`` free entries in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], used, [True])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    fitting = starts[ends - starts >= rows]
    return int(fitting[0]) if fitting.size else None


def _last_run(used: NDArray[np.bool_], rows: int) -> int | None:
    """Start of the last ``rows`` free entries in a row."""
    first = _first_run(used[::-1], rows)
    return None if first is None else len(used) - first - rows
