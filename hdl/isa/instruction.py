"""Instructions, their words, and the elements a queue issues for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hdl.config import LpuConfig
from hdl.isa.fields import fields_of
from hdl.isa.opcodes import CONTROL_OPCODES, OPCODE_BITS, IsaError, Opcode, QueueKind, stream_name


@dataclass(frozen=True)
class Instruction:
    """An opcode and its field values; fields not given are 0, ``count`` is 1.

    >>> Instruction.of(Opcode.READ, addr=7, stream=east(3))["count"]
    1
    """

    op: Opcode
    args: tuple[tuple[str, int], ...] = ()
    _values: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", dict(self.args))

    @classmethod
    def of(cls, op: Opcode, /, **values: int) -> Instruction:
        return cls(op, tuple(sorted((name, int(value)) for name, value in values.items())))

    def __getitem__(self, name: str) -> int:
        return self._values.get(name, 1 if name == "count" else 0)

    def replace(self, **values: int) -> Instruction:
        return Instruction.of(self.op, **{**self._values, **values})

    @property
    def is_control(self) -> bool:
        return self.op in CONTROL_OPCODES

    @property
    def duration(self) -> int:
        """Cycles from a unit instruction's first element to the next instruction, or of a NOP; the others depend on
        their neighbours.
        """
        if self.op is Opcode.NOP:
            return self["n"]
        if self.is_control:
            raise IsaError(f"{self.op.name} has no duration of its own")
        return (self["count"] - 1) * (self["gap"] + 1) + 1

    @property
    def pause(self) -> int:
        """Idle cycles before the only element of a unit instruction, in queues that look an instruction ahead."""
        return 0 if self.is_control or self["count"] > 1 else self["gap"]

    def __str__(self) -> str:
        shown = []
        for name, value in self.args:
            is_stream = name in ("stream", "x", "y", "out")
            shown.append(f"{name}={stream_name(value) if is_stream else value}")
        return " ".join([self.op.name, *shown])


def encode(config: LpuConfig, kind: QueueKind, instruction: Instruction) -> int:
    """The instruction word. Raises IsaError naming field, value and range."""
    fields = fields_of(config, kind, instruction.op)
    known = {f.name for f in fields}
    for name, _ in instruction.args:
        if name not in known:
            raise IsaError(f"{instruction.op.name} on a {kind.value} queue: no field '{name}'")
    word, offset = int(instruction.op), OPCODE_BITS
    for f in fields:
        value = instruction[f.name]
        if not f.minimum <= value <= f.maximum:
            raise IsaError(f"{instruction.op.name}: {f.name} = {value}: must be in {f.minimum}..{f.maximum}")
        word |= (value & ((1 << f.bits) - 1)) << offset
        offset += f.bits
    return word


def decode(config: LpuConfig, kind: QueueKind, word: int) -> Instruction:
    """The instruction of a word. Raises IsaError for an illegal opcode or field."""
    code = word & ((1 << OPCODE_BITS) - 1)
    if code not in Opcode.__members__.values():
        raise IsaError(f"word {word:#x}: illegal opcode {code}")
    op, offset, values = Opcode(code), OPCODE_BITS, {}
    for f in fields_of(config, kind, op):
        value = (word >> offset) & ((1 << f.bits) - 1)
        if f.signed and value >> (f.bits - 1):
            value -= 1 << f.bits
        if not f.minimum <= value <= f.maximum:
            raise IsaError(f"{op.name}: {f.name} = {value}: must be in {f.minimum}..{f.maximum}")
        values[f.name] = value
        offset += f.bits
    if word >> offset:
        raise IsaError(f"{op.name}: word {word:#x}: bits above the fields must be 0")
    return Instruction.of(op, **values)


@dataclass(frozen=True)
class Element:
    """One issued element: queue-relative ``cycle``, program counter of its instruction, position in it, address."""

    cycle: int
    pc: int
    instruction: Instruction
    number: int
    addr: int

    @property
    def first(self) -> bool:
        return self.number == 0

    @property
    def last(self) -> bool:
        return self.number == self.instruction["count"] - 1
