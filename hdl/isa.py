"""The instruction set: opcodes, fields, encodings, queue sequencing and operand timing, as data.

Time
    Every queue issues *elements*. An element's issue cycle T is the cycle in which superlane 0 acts on it; superlane r
    acts at T + r, on data that is r cycles late as well, so programs are written for superlane 0 alone.
    An operand with skew d must be on its stream, at the unit's position, in cycle T + d. A result with latency f is
    driven in cycle T + f and is on that stream at a position h >= 1 hops downstream in cycle T + f + h.

Sequencing, per queue; T is the issue cycle of the instruction, "next" that of the following one
    unit instruction   count elements at T, T + (gap+1), ...; next = T + (count-1)*(gap+1) + 1
    NOP n              next = T + n
    REPEAT n, d        issues the preceding unit instruction or NOP n more times, each after d idle cycles;
                       repetition i (1..n) starts with the address base + i*stride; next = T + n*(d + duration)
    LOOP n, length     the next ``length`` instructions run n times; next = T + 2, going back costs nothing. Iteration i
                       adds i*stride to the address of each instruction whose mask names the level (outermost = bit 0)
    NOTIFY             releases every queue that is waiting at SYNC in cycle T + 1; next = T + 1
    SYNC               waits; next = (cycle of the NOTIFY) + 2
    END                ends the queue. The program takes max(T of END) + R cycles, R = superlanes: by then every
                       WRITE issued before an END has reached its SRAM.

Streams are encoded as 2*index + direction (EAST 0, WEST 1) and written ``E3``, ``W17``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from hdl.config import AluKind, Direction, LpuConfig, Unit, UnitKind

OPCODE_BITS = 5
SYNC_LATENCY = 2
"""Cycles from a NOTIFY to the first instruction after the SYNC it releases."""
LOOP_CYCLES = 2
"""Cycles from a LOOP to the first instruction of its block."""
LW_TO_IW = 1
"""IW at T installs what LW captured up to T - 1."""
IW_TO_ABC = 0
"""ABC at T multiplies with the tile installed by the latest IW at or before T."""
WRITE_TO_READ = 1
"""READ at T returns what WRITE stored up to T - 1; reading a row in the cycle of its WRITE is illegal."""
INDEX_BITS = 16
"""GATHER and SCATTER indices: unsigned, low byte first, on the pair LpuConfig.index_streams(unit)."""
SHIFT_BITS = 6
"""Width of the shift in a requantisation word {shift, multiplier}."""


class IsaError(ValueError):
    """An instruction, field value or word that the ISA does not allow; names value, rule and place."""


class Opcode(enum.IntEnum):
    END = 0
    NOP = 1
    REPEAT = 2
    SYNC = 3
    NOTIFY = 4
    LOOP = 5
    READ = 8
    GATHER = 9
    WRITE = 10
    SCATTER = 11
    LW = 12
    IW = 13
    ABC = 14
    CHAIN = 15
    SHIFT = 16
    ROTATE = 17
    PERMUTE = 18
    DISTRIBUTE = 19
    SELECT = 20
    TRANSPOSE = 21
    MAXLANE = 22


CONTROL_OPCODES = frozenset(Opcode(code) for code in range(6))


class QueueKind(enum.StrEnum):
    """Instruction formats; one per kind of slice port."""

    MEM_READ = "mem.r"
    MEM_WRITE = "mem.w"
    MXM_WEIGHTS = "mxm.w"
    MXM_ACTIVATIONS = "mxm.a"
    SWITCH = "sxm"
    VECTOR = "vxm"


class IntOp(enum.IntEnum):
    """Operations of an INT ALU on int32 x (from the chain) and y; results wrap modulo 2^32. Latency 1.

    GT and EQ return x and set the lane's predicate, which travels along the chain (0 at its start).
    """

    PASS = 0  # x
    ADD = 1  # x + y
    SUB = 2  # x - y
    RSUB = 3  # y - x
    MAX = 4
    MIN = 5
    AND = 6
    OR = 7
    XOR = 8
    GT = 9  # x; predicate := x > y
    EQ = 10  # x; predicate := x == y
    SELECT = 11  # predicate ? x : y
    PICK = 12  # predicate ? y : imm


class RequantOp(enum.IntEnum):
    """Operations of a REQUANT ALU; m = y[0:mult_bits] unsigned, s = y[mult_bits:mult_bits+6]. Latency 3.

    Products are exact; results keep the low 32 bits.
    """

    PASS = 0  # x
    REQUANT = 1  # round_half_even(x * m / 2^s)
    SHR = 2  # floor(x * m / 2^s)
    MUL = 3  # x * signed(y[0:mult_bits])


class Source(enum.IntEnum):
    """Where an ALU takes y from. SELF is the ALU's own result of the preceding element of the same instruction
    (of the same repetition); for the first element the ALU then passes x on, predicate unchanged. SELF: INT only.
    """

    STREAM = 0
    IMM = 1
    SELF = 2


ALU_OPS: Mapping[AluKind, type[enum.IntEnum]] = {AluKind.INT: IntOp, AluKind.REQUANT: RequantOp}
ALU_LATENCY: Mapping[AluKind, int] = {AluKind.INT: 1, AluKind.REQUANT: 3}


# ---------------------------------------------------------------------- streams


def stream(direction: Direction, index: int) -> int:
    """Encoded stream number."""
    return index << 1 | direction


def east(index: int) -> int:
    return stream(Direction.EAST, index)


def west(index: int) -> int:
    return stream(Direction.WEST, index)


def stream_direction(code: int) -> Direction:
    return Direction(code & 1)


def stream_index(code: int) -> int:
    return code >> 1


def stream_name(code: int) -> str:
    return f"{stream_direction(code).name[0]}{stream_index(code)}"


# ----------------------------------------------------------------------- queues


@dataclass(frozen=True)
class Queue:
    """One instruction queue: ``name`` (``d0.r``, ``mxm0.a``, ``vxm0``), its format and the unit it feeds."""

    name: str
    kind: QueueKind
    unit: Unit


_UNIT_QUEUES: Mapping[UnitKind, tuple[tuple[str, QueueKind], ...]] = {
    UnitKind.MATRIX: ((".w", QueueKind.MXM_WEIGHTS), (".a", QueueKind.MXM_ACTIVATIONS)),
    UnitKind.SWITCH: (("", QueueKind.SWITCH),),
    UnitKind.WEIGHT_MEMORY: ((".r", QueueKind.MEM_READ), (".w", QueueKind.MEM_WRITE)),
    UnitKind.DATA_MEMORY: ((".r", QueueKind.MEM_READ), (".w", QueueKind.MEM_WRITE)),
    UnitKind.VECTOR: (("", QueueKind.VECTOR),),
}


@cache
def queues(config: LpuConfig) -> tuple[Queue, ...]:
    """All queues, in the order of the host port's program windows."""
    return tuple(
        Queue(unit.name + suffix, kind, unit) for unit in config.units for suffix, kind in _UNIT_QUEUES[unit.kind]
    )


def queue(config: LpuConfig, name: str) -> Queue:
    for candidate in queues(config):
        if candidate.name == name:
            return candidate
    raise IsaError(f"unknown queue '{name}'; queues: {', '.join(q.name for q in queues(config))}")


# ----------------------------------------------------------------------- fields


@dataclass(frozen=True)
class Field:
    """A bit field of an instruction word; ``low`` is the least value the program may hold."""

    name: str
    bits: int
    doc: str
    signed: bool = False
    low: int = 0

    @property
    def minimum(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else self.low

    @property
    def maximum(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1


def _stream_bits(config: LpuConfig) -> int:
    return 1 + (max(config.streams_east, config.streams_west) - 1).bit_length()


def _element_fields(config: LpuConfig) -> tuple[Field, ...]:
    return (
        Field("count", config.count_bits, "elements to issue", low=1),
        Field("gap", config.gap_bits, "idle cycles between elements"),
    )


def _memory_fields(config: LpuConfig) -> tuple[Field, ...]:
    return (
        Field("wide", 1, "all slices of the group (else the one slice that addr names)"),
        Field("addr", config.addr_bits, "{slice, row} of the first element"),
        Field("stride", config.addr_bits, "added to addr after each element", signed=True),
        Field("mask", config.loop_levels, "loop levels whose offsets are added to addr"),
        Field("stream", _stream_bits(config), "data stream (aligned SG4 if wide on a data group)"),
        Field("lane", 4, "lane of superlane 0 holding the index (GATHER, SCATTER)"),
        Field("spread", 1, "slice j takes its index from lane j (wide GATHER, SCATTER)"),
    )


def _switch_fields(config: LpuConfig) -> tuple[Field, ...]:
    return (
        Field("wide", 1, "work on aligned SG4s (else on single streams)"),
        Field("x", _stream_bits(config), "operand x"),
        Field("y", _stream_bits(config), "operand y (SELECT), lane map (PERMUTE)"),
        Field("out", _stream_bits(config), "result stream"),
        Field("amount", config.lanes.bit_length() + 1, "lanes to move, lane, or boundary", signed=True),
    )


def _vector_fields(config: LpuConfig) -> tuple[Field, ...]:
    stream_bits = _stream_bits(config)
    fields = [
        Field("x", stream_bits, "operand x of ALU 0"),
        Field("x_wide", 1, "x is an int32 SG4 (else int8, sign-extended)"),
        Field("out", stream_bits, "result stream"),
        Field("out_wide", 1, "result is an int32 SG4 (else saturated to int8)"),
        Field("last_only", 1, "drive the result of the last element only"),
        Field("imm", config.imm_bits, "immediate, sign-extended to 32 bits", signed=True),
    ]
    for k, kind in enumerate(config.alus):
        fields += [
            Field(f"op{k}", 4, f"operation of ALU {k} ({kind.value})"),
            Field(f"src{k}", 2, f"where ALU {k} takes y from: stream, imm, self"),
            Field(f"y{k}", stream_bits, f"stream of ALU {k}'s y"),
            Field(f"y{k}_wide", 1, f"y of ALU {k} is an int32 SG4 (else int8)"),
        ]
    return tuple(fields)


@cache
def unit_fields(config: LpuConfig, kind: QueueKind) -> tuple[Field, ...]:
    """Fields of every unit instruction of a queue kind, in order above the opcode; all share one layout."""
    element = _element_fields(config)
    if kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE):
        return element + _memory_fields(config)
    if kind is QueueKind.MXM_WEIGHTS:
        return (*element, Field("install", 1, "IW by itself one cycle after each complete tile"))
    if kind is QueueKind.MXM_ACTIVATIONS:
        return (
            *element,
            Field("stream", _stream_bits(config), "activation stream (data, outward)"),
            Field("out", _stream_bits(config), "inward SG4 for the int32 result"),
            Field("row", config.acc_addr_bits, "accumulator row of the first element"),
            Field("walk", 1, "one accumulator row per element (else all elements into one)"),
            Field("start", 1, "overwrite instead of accumulate: every element if walk, else the first"),
            Field("emit", 1, "drive the sum on out: every element if walk, else after the last"),
        )
    if kind is QueueKind.SWITCH:
        return element + _switch_fields(config)
    return element + _vector_fields(config)


def has_address(kind: QueueKind) -> bool:
    """Whether REPEAT and LOOP of this queue kind carry an address stride."""
    return kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE)


@cache
def control_fields(config: LpuConfig, kind: QueueKind) -> Mapping[Opcode, tuple[Field, ...]]:
    """Fields of the control instructions, by opcode."""
    stride = (Field("stride", config.addr_bits, "address step", signed=True),) if has_address(kind) else ()
    length = Field("length", (config.program_rows - 1).bit_length(), "instructions in the block", low=1)
    return {
        Opcode.END: (),
        Opcode.NOP: (Field("n", config.count_bits, "cycles", low=1),),
        Opcode.REPEAT: (
            Field("n", config.count_bits, "repetitions", low=1),
            Field("d", config.gap_bits, "idle cycles before each"),
            *stride,
        ),
        Opcode.SYNC: (),
        Opcode.NOTIFY: (),
        Opcode.LOOP: (Field("n", config.count_bits, "iterations", low=1), length, *stride),
    }


UNIT_OPCODES: Mapping[QueueKind, tuple[Opcode, ...]] = {
    QueueKind.MEM_READ: (Opcode.READ, Opcode.GATHER),
    QueueKind.MEM_WRITE: (Opcode.WRITE, Opcode.SCATTER),
    QueueKind.MXM_WEIGHTS: (Opcode.LW, Opcode.IW),
    QueueKind.MXM_ACTIVATIONS: (Opcode.ABC,),
    QueueKind.SWITCH: tuple(Opcode(code) for code in range(Opcode.SHIFT, Opcode.MAXLANE + 1)),
    QueueKind.VECTOR: (Opcode.CHAIN,),
}


def fields_of(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> tuple[Field, ...]:
    """Fields of one instruction. Raises IsaError when the queue kind does not know the opcode."""
    if opcode in CONTROL_OPCODES:
        return control_fields(config, kind)[opcode]
    if opcode in UNIT_OPCODES[kind]:
        return unit_fields(config, kind)
    raise IsaError(f"{opcode.name}: not an instruction of a {kind.value} queue")


@cache
def word_bits(config: LpuConfig, kind: QueueKind) -> int:
    """Width of the instruction words of a queue kind."""
    layouts = [unit_fields(config, kind), *control_fields(config, kind).values()]
    return OPCODE_BITS + max(sum(f.bits for f in layout) for layout in layouts)


# ----------------------------------------------------------------- instructions


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
    def of(cls, op: Opcode, **values: int) -> Instruction:
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
        """Cycles a unit instruction or NOP holds its queue; the others depend on their neighbours."""
        if self.op is Opcode.NOP:
            return self["n"]
        if self.is_control:
            raise IsaError(f"{self.op.name} has no duration of its own")
        return (self["count"] - 1) * (self["gap"] + 1) + 1

    def __str__(self) -> str:
        shown = []
        for name, value in self.args:
            is_stream = name in ("stream", "x", "y", "out") or (name[0] == "y" and name[1:].isdigit())
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


# ----------------------------------------------------------------------- timing


@dataclass(frozen=True)
class Timing:
    """Operand skews and result latency of an instruction, in cycles from its issue; ``func`` None: no result."""

    skew: Mapping[str, int]
    func: int | None = None


def alu_offset(config: LpuConfig, k: int) -> int:
    """Cycles from issue until ALU k's y must be on its stream: the latencies of the ALUs before it."""
    return sum(ALU_LATENCY[kind] for kind in config.alus[:k])


def timing(config: LpuConfig, kind: QueueKind, opcode: Opcode) -> Timing:
    """d_skew per operand and d_func of a unit instruction, computed from the config."""
    hops = config.superlanes - 1
    if opcode in CONTROL_OPCODES:
        return Timing({})
    fields_of(config, kind, opcode)
    match opcode:
        case Opcode.READ:
            return Timing({}, 2)
        case Opcode.GATHER:
            return Timing({"index": 0}, 2)
        case Opcode.WRITE:
            return Timing({"stream": 0})
        case Opcode.SCATTER:
            return Timing({"stream": 0, "index": 0})
        case Opcode.LW:
            return Timing({"weights": 0})
        case Opcode.IW:
            return Timing({})
        case Opcode.ABC:
            return Timing({"stream": 0}, 5 + 2 * hops)
        case Opcode.CHAIN:
            skew = {f"y{k}": alu_offset(config, k) for k in range(len(config.alus))}
            return Timing({"x": 0, **skew}, 1 + alu_offset(config, len(config.alus)))
        case Opcode.PERMUTE | Opcode.SELECT:
            return Timing({"x": 0, "y": 0}, 3 + hops)
        case Opcode.SHIFT | Opcode.ROTATE | Opcode.DISTRIBUTE | Opcode.MAXLANE:
            return Timing({"x": 0}, 3 + hops)
        case _:
            return Timing({"weights": 0}, 1)


# ------------------------------------------------------------------- sequencing


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


DOCS: Mapping[Opcode, str] = {
    Opcode.END: "The queue is done.",
    Opcode.NOP: "Wait n cycles.",
    Opcode.REPEAT: "Issue the preceding unit instruction or NOP n more times, d idle cycles before each.",
    Opcode.SYNC: "Wait for a NOTIFY.",
    Opcode.NOTIFY: "Release the queues that wait at SYNC.",
    Opcode.LOOP: "Run the next `length` instructions n times, without overhead between iterations.",
    Opcode.READ: "stream <- SRAM[addr]. Data group: one slice on any data stream, or (wide) row `addr` of the 4 slices "
    "on an SG4. Weight group: one slice on any data stream, or (wide) slice j on weight-bus stream j.",
    Opcode.GATHER: "READ at addr + index; with `spread` slice j uses the index in lane j.",
    Opcode.WRITE: "SRAM[addr] <- stream. Data group: one slice, or (wide) an SG4 into the 4 slices. Weight group: one "
    "slice, or (wide) the same stream into every slice.",
    Opcode.SCATTER: "WRITE at addr + index; with `spread` slice j uses the index in lane j.",
    Opcode.LW: "buffer rows [i*ws, (i+1)*ws) <- weight bus streams 0..ws-1, i = element number modulo L/ws.",
    Opcode.IW: "array <- buffer.",
    Opcode.ABC: "acc[row][n] (+)= sum_k W[n][k] * x[k]; int8 x int8 -> int32.",
    Opcode.CHAIN: "out = ALU_k(...ALU_0(x, y0)..., y_k), each lane on its own.",
    Opcode.SHIFT: "out[i] = x[i - amount] where that lane exists, else 0.",
    Opcode.ROTATE: "out[i] = x[(i - amount) mod L], 0 <= amount < L.",
    Opcode.PERMUTE: "out[i] = x[y[i]] within each superlane; 0 where y[i] (unsigned) >= its lanes.",
    Opcode.DISTRIBUTE: "out[i] = x[amount] for all lanes, 0 <= amount < L.",
    Opcode.SELECT: "out[i] = x[i] if i < amount else y[i], 0 <= amount <= L.",
    Opcode.TRANSPOSE: "weight bus: out_s[i] = in_i[s] within each superlane; needs weight_streams = its lanes.",
    Opcode.MAXLANE: "out[i] = max over all lanes j of int32 x[j]; wide only.",
}
