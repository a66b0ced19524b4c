"""The switch operations that move data between superlanes: shift, rotate, distribute, maximum over lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.emit import Shared
from hdl.isa import Opcode, QueueKind
from hdl.layouts import issue_layout


def word_layout(config: LpuConfig) -> data.ArrayLayout:
    """One superlane of an SG4: a 32-bit word per lane."""
    return data.ArrayLayout(32, config.superlane_lanes)


class Rotor(Shared):
    """out[i] = x[(i - amount) mod L] (ROTATE), the same with zeros shifted in (SHIFT), x[amount] (DISTRIBUTE), or
    max_j int32 x[j] (MAXLANE).

    ``x[r]`` is wanted r cycles after ``x[0]``; ``out[r]`` follows R cycles after ``x[r]``, MAXLANE's late in it.
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
        top, is_max = self._maximum(m, Cat(aligned), command)
        for r in range(self._rows):
            word = moved[width * r : width * (r + 1)]
            merged = Mux(is_max, top.replicate(self._config.superlane_lanes), word)
            m.d.comb += Value.cast(self.out[r]).eq(_delay(m, merged, r, f"out{r}"))
        return m

    def _move(self, m: Module, x: Value, command: data.View) -> Value:
        """A barrel rotation by powers of two, then zeros or the broadcast of lane 0."""
        lanes = self._config.lanes
        is_distribute = command.op == Opcode.DISTRIBUTE
        signed_turn = Mux(is_distribute, -command.amount, command.amount)
        amount = Signal(range(lanes), name="turn")
        m.d.comb += amount.eq(Mux(signed_turn < 0, signed_turn + lanes, signed_turn))
        for k in range(len(amount)):
            turned = Signal(len(x), name=f"turn{1 << k}")
            m.d.comb += turned.eq(Mux(amount[k], x.rotate_left(32 * ((1 << k) % lanes)), x))
            x = turned
        words = [x[32 * i : 32 * i + 32] for i in range(lanes)]
        is_shift = command.op == Opcode.SHIFT
        kept = []
        for i, word in enumerate(words):
            outside = is_shift & ((command.amount > i) | (command.amount < i - lanes + 1))
            own = Mux(is_distribute, words[0], word)
            kept.append(Mux(outside, Const(0, 32), own))
        return Cat(kept)

    def _maximum(self, m: Module, x: Value, command: data.View) -> tuple[Value, Signal]:
        """max over lanes in two halves around a register."""
        values = [x[32 * i : 32 * i + 32].as_signed() for i in range(self._config.lanes)]
        levels = max(1, (self._config.lanes - 1).bit_length() // 2)
        registered = []
        for i, value in enumerate(_max_levels(m, values, levels, "low")):
            partial = Signal(signed(32), name=f"partial{i}", reset_less=True)
            m.d.sync += partial.eq(value)
            registered.append(partial)
        (top,) = _max_levels(m, registered, 32, "high")
        is_max = Signal(name="is_max", reset_less=True)
        m.d.sync += is_max.eq(command.op == Opcode.MAXLANE)
        return top.as_unsigned(), is_max


def _max_levels(m: Module, values: list, levels: int, name: str) -> list:
    """``levels`` levels of pairwise maxima, or as many as it takes."""
    for level in range(levels):
        if len(values) == 1:
            break
        larger = []
        for i in range(0, len(values) - 1, 2):
            best = Signal(signed(32), name=f"{name}{level}_{i // 2}")
            m.d.comb += best.eq(Mux(values[i] > values[i + 1], values[i], values[i + 1]))
            larger.append(best)
        values = larger + values[len(larger) * 2 :]
    return values


def _delay(m: Module, value: ValueLike, cycles: int, name: str) -> Value:
    current = Value.cast(value)
    for cycle in range(cycles):
        after = Signal(len(current), name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += after.eq(current)
        current = after
    return current
