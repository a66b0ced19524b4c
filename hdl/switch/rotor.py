"""The switch operations that move data between superlanes: shift, rotate, distribute."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig, SwitchOp
from hdl.emit import Shared
from hdl.isa import Opcode, QueueKind
from hdl.layouts import issue_layout


def word_layout(config: LpuConfig) -> data.ArrayLayout:
    """One superlane of an SG4: a 32-bit word per lane."""
    return data.ArrayLayout(32, config.superlane_lanes)


def is_op(config: LpuConfig, issue: data.View, op: SwitchOp) -> Value:
    """Whether the command's operation is ``op``: never, where the core has it not."""
    found: Value = issue.op == Opcode[op.name] if op in config.switch_ops else Const(0, 1)
    return found


class Rotor(Shared):
    """out[i] = x[(i - amount) mod L] (ROTATE), the same with zeros shifted in (SHIFT), x[amount] (DISTRIBUTE), else
    x[i].

    ``x[r]`` is wanted r cycles after ``x[0]``; ``out[r]`` follows R cycles after ``x[r]``.
    The superlanes are brought into step, moved as one vector of L words, and staggered again.
    ``issue`` is the command in the cycle of ``x[0]``.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        self._rows = config.superlanes
        super().__init__(
            {
                "issue": In(issue_layout(config, QueueKind.SWITCH)),
                "x": In(data.ArrayLayout(word_layout(config), self._rows)),
                "out": Out(data.ArrayLayout(word_layout(config), self._rows)),
            }
        )

    @property
    def module_name(self) -> str:
        return f"lpu_rotor_{self._config.lanes}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = word_layout(self._config).size
        aligned = [_delay(m, self.x[r], self._rows - 1 - r, f"x{r}") for r in range(self._rows)]
        issue = _delay(m, self.issue, self._rows - 1, "issue")
        command = issue_layout(self._config, QueueKind.SWITCH)(issue)
        moved = Signal(width * self._rows, name="moved", reset_less=True)
        m.d.sync += moved.eq(self._move(m, Cat(aligned), command))
        for r in range(self._rows):
            word = moved[width * r : width * (r + 1)]
            m.d.comb += Value.cast(self.out[r]).eq(_delay(m, word, r, f"out{r}"))
        return m

    def _move(self, m: Module, x: Value, command: data.View) -> Value:
        """Rotations by powers of two, the greatest first: lane i takes part in those of its own distance from its
        source, so that DISTRIBUTE needs no logic of its own. Then zeros where SHIFT has no source.
        """
        lanes = self._config.lanes
        words = [x[32 * i : 32 * i + 32] for i in range(lanes)]
        distances = self._distances(m, command)
        for k in reversed(range((lanes - 1).bit_length())):
            turned = [Signal(32, name=f"turn{1 << k}_{i}") for i in range(lanes)]
            for i, word in enumerate(turned):
                m.d.comb += word.eq(Mux(distances[i][k], words[i - (1 << k)], words[i]))
            words = list(turned)
        is_shift = is_op(self._config, command, SwitchOp.SHIFT)
        outside = [is_shift & ((command.amount > i) | (command.amount < i - lanes + 1)) for i in range(lanes)]
        return Cat(Mux(out, 0, word) for out, word in zip(outside, words, strict=True))

    def _distances(self, m: Module, command: data.View) -> list[Signal]:
        """How many lanes each lane's source is before it, modulo L: amount; for DISTRIBUTE lane - amount; else 0."""
        lanes = self._config.lanes
        config = self._config
        turns = is_op(config, command, SwitchOp.SHIFT) | is_op(config, command, SwitchOp.ROTATE)
        is_distribute = is_op(config, command, SwitchOp.DISTRIBUTE)
        common = Signal(range(lanes), name="common_distance")
        m.d.comb += common.eq(Mux(turns, _modulo(command.amount, lanes), 0))
        distances = []
        for i in range(lanes):
            distance = Signal(range(lanes), name=f"distance{i}")
            m.d.comb += distance.eq(Mux(is_distribute, _modulo(i - command.amount, lanes), common))
            distances.append(distance)
        return distances


def _modulo(value: Value, lanes: int) -> Value:
    """value modulo L, for -L <= value < L."""
    return Mux(value < 0, value + lanes, value)


def _delay(m: Module, value: ValueLike, cycles: int, name: str) -> Value:
    current = Value.cast(value)
    for cycle in range(cycles):
        after = Signal(len(current), name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += after.eq(current)
        current = after
    return current
