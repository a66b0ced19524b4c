"""Deliberate faults of the RTL, each a plausible slip of one line, and the test that must catch it."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = "cocotb_tests/units/test_"
CORE = "cocotb_tests/core/test_"


@dataclass(frozen=True)
class Fault:
    """In ``file``, ``old`` (which occurs once) becomes ``new``; then ``caught_by`` (a pytest node id) must fail."""

    name: str
    unit: str
    what: str
    file: str
    old: str
    new: str
    caught_by: str


def _group(unit: str, catcher: str, *rows: tuple[str, str, str, str, str, str]) -> tuple[Fault, ...]:
    """Faults of a unit from rows (name, what, file, old, new, test)."""
    return tuple(
        Fault(name, unit, what, f"hdl/{file}", old, new, f"{catcher}.py::{test}")
        for name, what, file, old, new, test in rows
    )


_PROGRAMS = "test_random_programs_issue_as_the_sequencer_expands_them[0]"
_CONTROL = _group(
    "issue queue",
    UNITS + "control",
    (
        "loop-offset",
        "the address offset of a loop level survives its end",
        "control/loops.py",
        "stride.eq(self.stride), offset.eq(0)]",
        "stride.eq(self.stride)]",
        _PROGRAMS,
    ),
    (
        "loop-nesting",
        "the outer loop goes back together with the inner one",
        "control/loops.py",
        "& (self.pc == end) & ~inner_again",
        "& (self.pc == end)",
        _PROGRAMS,
    ),
    (
        "loop-count",
        "a loop runs once more than n",
        "control/loops.py",
        "left.eq(self.n - 1)",
        "left.eq(self.n)",
        _PROGRAMS,
    ),
    (
        "gap",
        "one idle cycle too many between elements",
        "control/queue.py",
        "self._wait.eq(self._word.gap)",
        "self._wait.eq(self._word.gap + 1)",
        _PROGRAMS,
    ),
    (
        "repeat-base",
        "a repetition starts from the last element's address, not from the base",
        "control/queue.py",
        "base = (self._base + stride)",
        "base = (self._addr + stride)",
        _PROGRAMS,
    ),
    (
        "illegal-sticks",
        "the illegal flag survives the next start",
        "control/queue.py",
        "self.ended.eq(0), self.illegal.eq(0),",
        "self.ended.eq(0),",
        "test_an_illegal_opcode_ends_its_queue_and_names_it",
    ),
)
_CONTROLLER = _group(
    "controller",
    UNITS + "control",
    (
        "notify-early",
        "NOTIFY reaches the queues without its register, a cycle early",
        "control/controller.py",
        "m.d.sync += notify.eq(",
        "m.d.comb += notify.eq(",
        _PROGRAMS,
    ),
    (
        "drain",
        "the run ends one cycle before the last superlane's last write",
        "control/controller.py",
        "drain.eq(self._config.superlanes)]",
        "drain.eq(self._config.superlanes - 1)]",
        _PROGRAMS,
    ),
    (
        "cycles-kept",
        "the cycle count of the last run is not cleared",
        "control/controller.py",
        "self.done.eq(0), self.cycles.eq(0)]",
        "self.done.eq(0)]",
        _PROGRAMS,
    ),
    (
        "first-end",
        "the run ends with the first queue that ends",
        "control/controller.py",
        "part.ended for part in parts).all()",
        "part.ended for part in parts).any()",
        _PROGRAMS,
    ),
)
_MEMORY = _group(
    "memory",
    UNITS + "memory",
    (
        "row-range",
        "the row after the last passes the range check",
        "memory/access.py",
        "row >= self._memory.depth_rows",
        "row > self._memory.depth_rows",
        "test_access_head[d0.r]",
    ),
    (
        "write-not-dropped",
        "a write to a row that does not exist is carried out",
        "memory/access.py",
        "Cat(enables) & ~Cat(bad)",
        "Cat(enables)",
        "test_access_head[d0.w]",
    ),
    (
        "index-high",
        "the index's high byte is ignored",
        "memory/access.py",
        "index = Cat(low, high)",
        "index = Cat(low, high & 0)",
        "test_access_head[w0.r]",
    ),
    (
        "spread",
        "spread takes every index from the one lane",
        "memory/access.py",
        "Mux(self.issue.spread, j, self.issue.lane)",
        "self.issue.lane",
        "test_access_head[w0.w]",
    ),
    (
        "poke-wide",
        "a host access inherits `wide` from the issue port",
        "memory/access.py",
        "wide = self.issue.wide & ~self.poke",
        "wide = self.issue.wide",
        "test_access_head[d0.r]",
    ),
    (
        "drive-early",
        "a read drives with the command of the access, a cycle early",
        "memory/group.py",
        "m.d.sync += read.eq(self.read)",
        "m.d.comb += read.eq(self.read)",
        "test_memory_tile[d1-1]",
    ),
    (
        "take-late",
        "a write takes the stream a cycle late",
        "memory/group.py",
        "m.d.sync += vector.eq(single)",
        "m.d.comb += vector.eq(single)",
        "test_memory_tile[w0-2]",
    ),
    (
        "bus-and-stream",
        "a wide weight read drives its stream beside the bus",
        "memory/group.py",
        "on_streams = read.valid & ~(read.wide & self._is_weights)",
        "on_streams = read.valid",
        "test_memory_tile[w0-2]",
    ),
)
_VECTOR = _group(
    "vector",
    UNITS + "vector",
    (
        "greater-equal",
        "GT also holds for equal operands",
        "vector/alu_int.py",
        "greater.eq(x > y)",
        "greater.eq(x >= y)",
        "test_int_alu",
    ),
    (
        "pick-swapped",
        "PICK takes the immediate where the predicate holds",
        "vector/alu_int.py",
        "_is(op, IntOp.PICK) & ~predicate",
        "_is(op, IntOp.PICK) & predicate",
        "test_int_alu",
    ),
    (
        "own-in-idle",
        "an accumulating ALU also accumulates in idle cycles",
        "vector/alu_int.py",
        "with m.If(self.command.valid):",
        "with m.If(self.command.valid | self.command.own):",
        "test_int_alu_keeps_its_own_result",
    ),
    (
        "ties-up",
        "ties round up instead of to even",
        "vector/alu_requant.py",
        "half & (sticky | shifted[1])",
        "half",
        "test_requant_alu[8]",
    ),
    (
        "mul-unsigned",
        "MUL takes its factor unsigned",
        "vector/alu_requant.py",
        "factor.eq(self.y[:bits].as_signed())",
        "factor.eq(self.y[:bits])",
        "test_requant_alu[16]",
    ),
    (
        "shift-logical",
        "negative products shift in zeros",
        "vector/alu_requant.py",
        'Signal(signed(len(product) + 1), name="extended")',
        'Signal(len(product) + 1, name="extended")',
        "test_requant_alu[16]",
    ),
    (
        "self-not-reset",
        "SELF of the first element takes the last instruction's result",
        "vector/tile.py",
        'Mux(own & at.first, IntOp.PASS, at[f"op{k}"])',
        'at[f"op{k}"]',
        "test_vector_tile[nano]",
    ),
    (
        "operand-late",
        "every y is taken a cycle late",
        "vector/tile.py",
        "at = stages[alu_offset(self._config, k)]",
        "at = stages[alu_offset(self._config, k) + 1]",
        "test_vector_tile[nano]",
    ),
    (
        "last-only",
        "every instruction drives its last result only",
        "vector/tile.py",
        "(at.last | ~at.last_only)",
        "at.last",
        "test_vector_tile[nano]",
    ),
    (
        "byte-unsigned",
        "int8 operands are not sign-extended",
        "vector/lane.py",
        "one_of(group, choice.stream).as_signed()",
        "one_of(group, choice.stream)",
        "test_vector_tile[nano]",
    ),
    (
        "saturation",
        "128 is not saturated",
        "vector/lane.py",
        "value > 127",
        "value > 128",
        "test_saturation",
    ),
)
_MATRIX = _group(
    "matrix",
    UNITS + "matrix",
    (
        "install-early",
        "LW with install copies the buffer before its last rows are in",
        "matrix/control.py",
        "m.d.sync += install_next.eq(",
        "m.d.comb += install_next.eq(",
        "test_matrix_plane[nano]",
    ),
    (
        "start-always",
        "`start` overwrites the accumulator with every element",
        "matrix/control.py",
        "issue.start & (issue.walk | issue.first)",
        "issue.start",
        "test_matrix_plane[nano]",
    ),
    (
        "walk-in-gaps",
        "the accumulator row walks on in idle cycles",
        "matrix/control.py",
        "Mux(issue.valid, row + 1, walked)",
        "row + 1",
        "test_matrix_plane[nano]",
    ),
    (
        "accumulate-late",
        "the accumulator command comes a cycle after its psums",
        "matrix/control.py",
        "PSUM_LATENCY = 4",
        "PSUM_LATENCY = 5",
        "test_matrix_plane[nano]",
    ),
    (
        "tile-step",
        "a new LW goes on in the tile of the last one",
        "matrix/control.py",
        "step.eq(Mux(self.issue.first, 0, pending))",
        "step.eq(pending)",
        "test_matrix_plane[duo]",
    ),
    (
        "x-unsigned",
        "activations are multiplied unsigned",
        "matrix/supercell.py",
        "self.x_next[span].as_signed()",
        "self.x_next[span]",
        "test_matrix_plane[nano]",
    ),
    (
        "quad-narrow",
        "the sum of four products is a bit too narrow",
        "matrix/supercell.py",
        "Signal(signed(18)",
        "Signal(signed(17)",
        "test_extreme_sums",
    ),
    (
        "every-column",
        "weight rows of one column are loaded into all",
        "matrix/supercell.py",
        "self.command.load & (self.command.column == 0)",
        "self.command.load",
        "test_matrix_plane[duo]",
    ),
)
_SWITCH = _group(
    "switch",
    UNITS + "switch",
    (
        "distribute-turn",
        "DISTRIBUTE rotates the wrong way",
        "switch/rotor.py",
        "Mux(is_distribute, -command.amount, command.amount)",
        "command.amount",
        "test_switch[nano]",
    ),
    (
        "shift-edge",
        "SHIFT loses a lane when it moves down",
        "switch/rotor.py",
        "(command.amount < i - lanes + 1)",
        "(command.amount <= i - lanes + 1)",
        "test_switch[nano]",
    ),
    (
        "max-unsigned",
        "MAXLANE takes negative values for large ones",
        "switch/rotor.py",
        "x[32 * i : 32 * i + 32].as_signed() for",
        "x[32 * i : 32 * i + 32] for",
        "test_maxlane_compares_signed[1]",
    ),
    (
        "permute-range",
        "PERMUTE takes the lane number S for lane 0",
        "switch/tile.py",
        "source < self._lanes",
        "source <= self._lanes",
        "test_switch[nano]",
    ),
    (
        "select-boundary",
        "SELECT's boundary lane comes from x",
        "switch/tile.py",
        "at.amount > i",
        "at.amount >= i",
        "test_switch[nano]",
    ),
    (
        "transpose-early",
        "TRANSPOSE enables the bus a cycle before its data",
        "switch/tile.py",
        "m.d.sync += self.drive_bus.eq(valid)",
        "m.d.comb += self.drive_bus.eq(valid)",
        "test_switch[nano]",
    ),
    (
        "narrow-byte",
        "a single stream gets the byte of its place in the SG4",
        "switch/tile.py",
        "Mux(at.wide, vector, vectors[0])",
        "vector",
        "test_switch[nano]",
    ),
)
_LINK = _group(
    "host port",
    UNITS + "link",
    (
        "missing-row",
        "the row after the last can be addressed",
        "link/host.py",
        "addr[:row_bits] < unit.memory.depth_rows",
        "addr[:row_bits] <= unit.memory.depth_rows",
        "test_nothing_is_there[False-row of d0]",
    ),
    (
        "commit-first",
        "a program row is committed with its first word",
        "link/host.py",
        "word_index == words - 1",
        "word_index == 0",
        "test_program_words_commit_with_the_last",
    ),
    (
        "sram-in-run",
        "the SRAM can be accessed during a run",
        "link/host.py",
        "(region == Region.SRAM) & ~self.running",
        "region == Region.SRAM",
        "test_programs_and_sram_are_closed_during_a_run",
    ),
    (
        "start-in-run",
        "a running core can be started",
        "link/host.py",
        "self.bus.w_data[0] & ~self.running",
        "self.bus.w_data[0]",
        "test_start",
    ),
    (
        "last-error",
        "the last error is named instead of the first",
        "link/host.py",
        "(self.new_errors != 0) & (self._errors == 0)",
        "self.new_errors != 0",
        "test_error_flags_are_sticky_and_the_first_is_kept",
    ),
    (
        "wrong-side",
        "rows of the east hemisphere are read from the west",
        "link/host.py",
        "self.captured[self._side]",
        "self.captured[0]",
        "test_sram_read[3]",
    ),
)
_FABRIC = _group(
    "stream fabric",
    UNITS + "fabric",
    (
        "priority",
        "what passes by wins over what is driven",
        "fabric.py",
        "Mux(enable, vector, passing)",
        "Mux(passing.any(), passing, Mux(enable, vector, passing))",
        "test_values_hop_and_are_replaced",
    ),
    (
        "direction",
        "streams flow the other way",
        "fabric.py",
        "step = 1 if direction is Direction.EAST else -1",
        "step = -1 if direction is Direction.EAST else 1",
        "test_values_hop_and_are_replaced",
    ),
    (
        "one-hop",
        "a value passes one position only",
        "fabric.py",
        "self.value(direction, position, index) if exists else",
        "self.value(direction, position, index) if not exists else",
        "test_values_hop_and_are_replaced",
    ),
    (
        "conflict-blind",
        "two drivers side by side are not compared",
        "fabric.py",
        "for b in drivers[i + 1 :]",
        "for b in drivers[i + 2 :]",
        "test_conflict_is_two_drives_of_one_place",
    ),
)
_WIRING = (
    *_group(
        "core",
        CORE + "host",
        (
            "link-stream",
            "host writes are taken from the stream beside the link's",
            "core.py",
            "self._config.data_streams(vector, direction)[0])",
            "self._config.data_streams(vector, direction)[1])",
            "test_round_trip_of_every_slice_of_every_group",
        ),
    ),
    *_group(
        "core",
        CORE + "assertions",
        (
            "flag-swapped",
            "the flags of a conflict and of a missing row are swapped",
            "core.py",
            "flags[1].eq(self._lanes[0].conflict)",
            "flags[1].eq(out_of_range.any())",
            "test_stream_conflict",
        ),
    ),
    *_group(
        "core",
        CORE + "timing",
        (
            "index-swapped",
            "low and high byte of the index are swapped",
            "core.py",
            "head.index_low.eq(index[0])",
            "head.index_low.eq(index[1])",
            "test_operands_and_results_are_there_in_their_cycle_only[nano]",
        ),
    ),
    *_group(
        "superlane",
        CORE + "random",
        (
            "select-superlane",
            "SELECT's boundary does not move on with the superlanes",
            "superlane.py",
            "amount - self._config.superlane_lanes",
            "amount",
            "test_random_programs[duo]",
        ),
    ),
)
FAULTS = (*_CONTROL, *_CONTROLLER, *_MEMORY, *_VECTOR, *_MATRIX, *_SWITCH, *_LINK, *_FABRIC, *_WIRING)
