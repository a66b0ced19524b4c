"""AccessHead and MemoryTile against ``golden.units.memory``: which rows, in which cycle, and what is driven."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.units.content import StreamContent, as_int, codes, driven, on_streams
from cocotb_tests.units.harness import Bench, Cycle, Stimulus
from golden.trace import digest, memory_words
from golden.units.memory import Access, MemoryTwin
from hdl.config import STREAMS_PER_GROUP, MemoryGroup, UnitKind, preset
from hdl.isa import Element, Instruction, Opcode, Queue, QueueKind, queue, west
from hdl.memory.access import AccessHead
from hdl.memory.group import MemoryTile
from hdl.streams import Reach

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny").replace(
    name="memory", weight_groups=(MemoryGroup(4, 600),), data_groups=(MemoryGroup(4, 24),) * 2, trace=True
)
"""Depths that are no powers of two: addresses exist that name no row. Rows of w0 need both bytes of an index."""
Result = tuple[int, Access]


# ----------------------------------------------------------------------- AccessHead


def random_access(rng: np.random.Generator, source: Queue) -> Instruction:
    is_read = source.kind is QueueKind.MEM_READ
    op = rng.choice([Opcode.READ, Opcode.GATHER] if is_read else [Opcode.WRITE, Opcode.SCATTER])
    return Instruction.of(
        Opcode(op),
        wide=int(rng.integers(2)),
        addr=int(rng.integers(1 << CONFIG.addr_bits)),
        spread=int(rng.integers(2)),
        lane=int(rng.integers(CONFIG.superlane_lanes)),
        stream=int(rng.choice(codes(Reach.drives(CONFIG, source.unit), wide=True))),
    )


def expected_access(source: Queue, instruction: Instruction, indices: np.ndarray) -> Access:
    """Rows of an element; of a write, the rows that exist."""
    twin = MemoryTwin(CONFIG, source.unit)
    indexed = instruction.op in (Opcode.GATHER, Opcode.SCATTER)
    return twin.access(Element(0, 0, instruction, 0, instruction["addr"]), indices if indexed else None)


def issue_of(instruction: Instruction) -> dict[str, int]:
    return {"valid": 1, "op": int(instruction.op), "first": 1, "last": 1, **dict(instruction.args)}


def check_rows(source: Queue, access: Access, outputs: Cycle) -> None:
    """The access one cycle after issue: enables and rows, and the flag for a row that does not exist."""
    is_read = source.kind is QueueKind.MEM_READ
    allowed = [s for s, ok in zip(access.slices, access.in_range, strict=True) if ok or is_read]
    command = outputs["command"]
    assert command["valid"] == 1
    assert command["access"]["en"] == sum(1 << s for s in allowed)
    for slice_, row in zip(access.slices, access.rows, strict=True):
        assert command["access"]["rows"][slice_] == row
    assert outputs["out_of_range"] == (not all(access.in_range))


@pytest.mark.parametrize("name", ["d0.r", "d0.w", "w0.r", "w0.w"])
def test_access_head(name: str) -> None:
    """Back-to-back elements; then host pokes, beside an issue port that holds garbage; then nothing."""
    source, rng = queue(CONFIG, name), np.random.default_rng(7)
    is_read, stimulus, count = source.kind is QueueKind.MEM_READ, Stimulus(), 400
    issued = [random_access(rng, source) for _ in range(count)]
    indices = rng.integers(0, 256, (2 * count, 2, CONFIG.lanes), np.uint8)
    for cycle, instruction in enumerate(issued):
        low, high = (as_int(vector) for vector in indices[cycle])
        stimulus.at(cycle, issue=issue_of(instruction), index_low=low, index_high=high)
    link, addresses = west(5), [int(a) for a in rng.integers(0, 1 << CONFIG.addr_bits, 50)]
    for cycle, addr in enumerate(addresses, count):
        stale = {**issue_of(random_access(rng, source)), "valid": 0}
        stimulus.at(cycle, issue=stale, poke=1, poke_addr=addr, poke_stream=link)
    response = Bench(AccessHead(CONFIG, source)).run(stimulus, extra=3)

    poke = Instruction.of(Opcode.READ, stream=link)
    pokes = [poke.replace(addr=addr) for addr in addresses]
    for cycle, instruction in enumerate(issued + pokes):
        access = expected_access(source, instruction, indices[cycle])
        check_rows(source, access, response[cycle + 1])
        route = response[cycle + 1 if is_read else cycle]["command"]
        assert (route["wide"], route["stream"]) == (instruction["wide"], instruction["stream"])
    idle = response[-1]
    assert (idle["command"]["valid"], idle["command"]["access"]["en"], idle["out_of_range"]) == (0, 0, 0)


# ----------------------------------------------------------------------- MemoryTile


class TileSession:
    """Random reads and writes of one tile, with what they must do."""

    def __init__(self, name: str, seed: int, cycles: int) -> None:
        self.unit, self.rng = CONFIG.unit(name), np.random.default_rng(seed)
        assert self.unit.memory is not None
        self.slices, self.depth = self.unit.memory.slices, self.unit.memory.depth_rows
        self.is_weights = self.unit.kind is UnitKind.WEIGHT_MEMORY
        self.reads, self.drivable = Reach.reads(CONFIG, self.unit), Reach.drives(CONFIG, self.unit)
        self.content = StreamContent(CONFIG, self.rng, cycles + 8)
        self.twin, self.stimulus = MemoryTwin(CONFIG, self.unit), Stimulus()
        self.drives: dict[int, dict[int, int]] = {}
        self.bus: dict[int, list[int]] = {}
        self.digests: dict[str, dict[int, int]] = {"read": {}, "write": {}}
        for t in range(cycles + 4):
            self.stimulus.at(t, **self.content.ports(t, self.reads))

    def _digest(self, access: Access, data: np.ndarray) -> int:
        return int(digest(memory_words(CONFIG, self.slices, access, data))[0])

    def _enables(self, access: Access) -> dict[str, object]:
        rows = dict.fromkeys(range(self.slices), 0) | dict(zip(access.slices, access.rows, strict=True))
        return {"en": sum(1 << s for s in access.slices), "rows": [rows[j] for j in range(self.slices)]}

    def access(self, wide: bool, slice_: int, rows: list[int]) -> Access:
        slices = tuple(range(self.slices)) if wide else (slice_,)
        return Access(slices, tuple(rows[: len(slices)]), (True,) * len(slices))

    def write(self, t: int, access: Access) -> None:
        """The stream of cycle t goes to the SRAM in t + 1."""
        wide = len(access.slices) > 1
        takes_group = wide and not self.is_weights
        code = int(self.rng.choice(codes(self.reads, takes_group)))
        data = self.content.read(t, code, STREAMS_PER_GROUP if takes_group else 1)
        command = self.stimulus.values[t].setdefault("write", {})
        command |= {"stream": code, "wide": int(wide)}
        later = self.stimulus.values[t + 1].setdefault("write", {})
        later |= {"valid": 1, "access": self._enables(access)}
        self.twin.write(access, data)
        self.digests["write"][t + 1] = self._digest(access, data)

    def read(self, t: int, access: Access) -> None:
        """The SRAM is read in t, the streams or the bus are driven in t + 1."""
        wide = len(access.slices) > 1
        code = int(self.rng.choice(codes(self.drivable, wide and not self.is_weights)))
        data = self.twin.read(access)
        command = {"valid": 1, "wide": int(wide), "stream": code}
        self.stimulus.at(t, read={**command, "access": self._enables(access)})
        if wide and self.is_weights:
            self.bus[t + 1] = [as_int(row) for row in data]
        else:
            self.drives[t + 1] = on_streams(code, data)
        self.digests["read"][t + 1] = self._digest(access, data)

    def check(self, response: list[Cycle]) -> None:
        for t, outputs in enumerate(response[:-1]):
            assert driven(self.drivable, outputs) == self.drives.get(t, {}), f"cycle {t}"
            for direction in self.drivable.streams:
                name = direction.name.lower()
                assert outputs[f"soon_{name}"] == response[t + 1][f"drive_{name}"], f"cycle {t}"
            assert outputs["drive_bus"] == (t in self.bus), f"cycle {t}"
            if t in self.bus:
                assert [outputs["bus"][j] for j in range(self.slices)] == self.bus[t], f"cycle {t}"
            assert outputs["read_valid"] == (t in self.digests["read"])
            for port, expected in self.digests.items():
                if t in expected:
                    assert outputs[f"{port}_digest"] == expected[t], f"cycle {t}"


@pytest.mark.parametrize(("name", "seed"), [("d1", 1), ("w0", 2)])
def test_memory_tile(name: str, seed: int) -> None:
    """Fill every row, then read and write at random, both in the same cycles, and rows one cycle after their write."""
    memory = CONFIG.unit(name).memory
    assert memory is not None
    fill = memory.slices * memory.depth_rows
    session = TileSession(name, seed, cycles=fill + 500)
    for i in range(fill):
        session.write(i, session.access(False, i % memory.slices, [i // memory.slices]))
    written: Access | None = session.access(False, memory.slices - 1, [memory.depth_rows - 1])
    for t in range(fill, fill + 500):
        # the write issued in t - 1 reaches the SRAM in t: that row is not read now, the one before may be
        rows = [int(r) for r in session.rng.integers(0, memory.depth_rows, memory.slices)]
        wide, slice_ = bool(session.rng.integers(2)), int(session.rng.integers(memory.slices))
        access = session.access(wide, slice_, rows)
        clash = written is not None and set(zip(access.slices, access.rows, strict=True)) & set(
            zip(written.slices, written.rows, strict=True)
        )
        if not clash and session.rng.random() < 0.8:
            session.read(t, access)
        written = None
        if session.rng.random() < 0.8:
            again = bool(session.rng.integers(2))
            written = session.access(again, int(session.rng.integers(memory.slices)), rows)
            session.write(t, written)
    session.check(Bench(MemoryTile(CONFIG, CONFIG.unit(name))).run(session.stimulus))
