"""The pieces of a random bundle: uniform patterns, queue items, stream values, and the ways to encode a pattern."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hdl.config import Direction, LpuConfig, Unit
from hdl.isa import LOOP_CYCLES, Element, Instruction, Opcode, Queue, QueueKind, has_address

END = Instruction.of(Opcode.END)


class StuckError(Exception):
    """No legal choice is left; the caller starts another bundle."""


@dataclass(frozen=True)
class Pattern:
    """Cycles first, first + period, ...: n of them."""

    first: int
    n: int
    period: int

    def shift(self, cycles: int) -> Pattern:
        return Pattern(self.first + cycles, self.n, self.period)

    def split(self, m: int) -> Pattern:
        """m cycles for each of these, the last of them at the same time; m divides the period if there are several."""
        step = max(1, self.period // m)
        return Pattern(self.first - (m - 1) * step, self.n * m, step)


@dataclass(frozen=True)
class Item:
    """Consecutive instructions of one queue: they hold it in cycles start .. start+length-1."""

    queue: Queue
    start: int
    length: int
    program: tuple[Instruction, ...]
    elements: tuple[Element, ...] = ()


@dataclass
class Flow:
    """Values driven at ``position`` onto ``streams`` (one direction), wanted as far as position ``last``."""

    streams: tuple[int, ...]
    position: int
    pattern: Pattern
    last: int


@dataclass
class Bundle:
    """Items and flows of one rigid bundle; cycles are relative and may be negative."""

    items: list[Item] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)


def hops(source: Unit, reader: Unit, direction: Direction) -> int:
    distance = reader.position - source.position
    return distance if direction is Direction.EAST else -distance


def divisors(n: int) -> list[int]:
    return [c for c in range(1, n + 1) if n % c == 0]


def encode_pattern(
    config: LpuConfig,
    rng: random.Random,
    kind: QueueKind,
    instruction: Instruction,
    pattern: Pattern,
    inner: int | None,
) -> list[Instruction]:
    """Instructions that issue the pattern's elements, ``inner`` per instruction (None: any divisor), by count and gap,
    REPEAT, LOOP, LOOP in LOOP, LOOP over REPEAT, or one after the other; without LOOP and REPEAT always the last.

    Raises StuckError where the gap would be too long.
    """
    idle = pattern.period - 1
    long = idle >= 1 << config.gap_bits
    if long and inner is not None and inner > 1:
        raise StuckError
    count = inner or (1 if long else rng.choice(divisors(pattern.n)))
    groups = pattern.n // count
    mask = {"mask": rng.randrange(1 << config.loop_levels)} if has_address(kind) and config.loop_levels else {}
    unit = instruction.replace(count=count, gap=idle if count > 1 else 0, **mask)
    rest = [Instruction.of(Opcode.NOP, n=idle)] if idle else []

    def stride() -> dict[str, int]:
        return {"stride": rng.choice((0, 1, -1, 2, 3))} if has_address(kind) else {}

    def repeat(times: int) -> list[Instruction]:
        return [unit, Instruction.of(Opcode.REPEAT, n=times, d=idle, **stride())] if times else [unit]

    def loop(n: int, body: list[Instruction]) -> list[Instruction]:
        return [Instruction.of(Opcode.LOOP, n=n, length=len(body), **stride()), *body]

    in_line = [step for _ in range(groups - 1) for step in (unit, *rest)] + [unit]
    if not config.loop_levels:
        return in_line
    choices = [loop(groups, [unit, *rest]), repeat(groups - 1), repeat(groups - 1)]
    if groups == 1:
        choices += [[unit]] * 4
    if groups <= 3:
        choices.append(in_line)
    for outer in divisors(groups)[1:-1]:
        within = groups // outer - 1
        choices.append(loop(outer, [*repeat(within), *rest]))
        if config.loop_levels > 1 and idle >= LOOP_CYCLES:
            wait = [Instruction.of(Opcode.NOP, n=idle - LOOP_CYCLES)] if idle > LOOP_CYCLES else []
            choices.append(loop(outer, [unit, *wait, *loop(within, [unit, *rest])]))
    return rng.choice(choices)
