"""The text form of programs: what `lpu asm` reads and `lpu disasm` writes.

    tensor x input int8 4x16 d0 addr=0       also output, const, temp; `live=3..9` where not the whole run
    memory d2 addr=0:                        initial SRAM from that {slice, row} address on, a row a line
        00010203 04050607 08090a0b 0c0d0e0f  one hex byte per lane, lane 0 first, spaces as you like
        random seed=1 rows=8                 eight rows of random bytes
    queue vxm0.i:                            the program of a queue, an instruction a line
        NOP n=3
        ALU op=ADD x=E0 y=E8 drive=1 out=W16  as Instruction prints it; fields left out are 0, count is 1
        END

`#` begins a comment. Numbers are decimal or 0x hexadecimal; ``op`` also takes the names of the pipe's operations,
``x_from`` and ``y_from`` those of Source, and a 32-bit ``imm`` an fp32 number as ``f:1.5``. Indentation is free.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from compiler.build import input_rows
from compiler.image import DTYPES, ImageError, MemoryBlock, ProgramImage, TensorInfo, tensor_addresses, tensor_rows
from compiler.operands import drive_field, read_fields
from compiler.verify import VerifyError, verify
from compiler.verify.memory import check_tensors
from golden.numerics import Bytes
from hdl.config import ConfigError, Direction, LpuConfig, MemoryGroup, Unit
from hdl.isa import (
    PIPE_OPS,
    PIPES,
    Instruction,
    IsaError,
    Opcode,
    Queue,
    Source,
    control_fields,
    encode,
    fields_of,
    queue,
    stream,
    stream_name,
    unit_opcodes,
)

Programs = Mapping[str, Sequence[Instruction]]

_NUMBER = re.compile(r"-?(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})")
_FLOAT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?(e-?[0-9]{1,3})?")
_STREAMS = ("stream", "x", "y", "out")
_NAME = re.compile(r"[^/]+")
_SHAPE = re.compile(r"[0-9]{1,7}(x[0-9]{1,7})*")
_TO_THE_END = -1
"""``live_until`` of a tensor until the length of the run is known."""


class AssemblyError(ValueError):
    """A text that is no program; names file and line, value and rule."""


class Assembly(NamedTuple):
    """What a text says."""

    programs: dict[str, tuple[Instruction, ...]]
    memory: tuple[MemoryBlock, ...]
    tensors: tuple[TensorInfo, ...]


def parse(config: LpuConfig, text: str, place: str = "text") -> Assembly:
    """Programs, memory and tensors of a text; ``place`` names it in errors. Raises AssemblyError."""
    parser = _Parser(config)
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split("#")[0].split()
        try:
            if words:
                parser.take(words)
        except (AssemblyError, ConfigError, ImageError, IsaError) as error:
            raise AssemblyError(f"{place}:{number}: {error}") from error
    return parser.result()


def assemble(config: LpuConfig, text: str, place: str = "text") -> ProgramImage:
    """The verified image of a text, with its predicted cycles. Raises AssemblyError."""
    programs, memory, tensors = parse(config, text, place)
    try:
        cycles = verify(config, programs, [*memory, *input_rows(config, tensors)]).cycles
    except VerifyError as error:
        raise AssemblyError(f"{place}: {error}") from error
    tensors = tuple(_until(info, cycles) for info in tensors)
    if problem := check_tensors(config, tensors, cycles):
        raise AssemblyError(f"{place}: {problem}")
    return ProgramImage(config, programs, memory, tensors, cycles)


def _until(info: TensorInfo, cycles: int) -> TensorInfo:
    return dataclasses.replace(info, live_until=cycles) if info.live_until == _TO_THE_END else info


# ----------------------------------------------------------------------- parsing


class _Parser:
    """Takes a text line by line; ``_section`` is what a line means that opens no section."""

    def __init__(self, config: LpuConfig) -> None:
        self.config = config
        self._programs: dict[str, list[Instruction]] = {}
        self._blocks: list[tuple[str, int, list[Bytes]]] = []
        self._tensors: dict[str, TensorInfo] = {}
        self._filled: set[tuple[str, int]] = set()
        self._section: Callable[[Sequence[str]], None] = _outside
        self._openings = {"queue": self._open_queue, "memory": self._open_memory, "tensor": self._tensor}

    def take(self, words: Sequence[str]) -> None:
        self._openings.get(words[0], self._section)(words)

    def result(self) -> Assembly:
        programs = {name: tuple(program) for name, program in self._programs.items()}
        lanes = self.config.lanes
        blocks = [(unit, addr, np.array(rows, np.uint8).reshape(-1, lanes)) for unit, addr, rows in self._blocks]
        return Assembly(programs, tuple(MemoryBlock(*block) for block in blocks), tuple(self._tensors.values()))

    def _open_queue(self, words: Sequence[str]) -> None:
        _require(len(words) == 2 and words[1].endswith(":"), words, "must be 'queue NAME:'")
        target = queue(self.config, words[1][:-1])
        _require(target.name not in self._programs, words, "must be the only section of its queue")
        program = self._programs[target.name] = []
        self._section = lambda line: program.append(_instruction(self.config, target, line))

    def _open_memory(self, words: Sequence[str]) -> None:
        _require(len(words) == 3 and words[2].endswith(":"), words, "must be 'memory UNIT addr=N:'")
        unit = self.config.unit(words[1])
        addr = _address(words[2][:-1])
        rows: list[Bytes] = []
        self._blocks.append((unit.name, addr, rows))
        self._section = partial(self._rows, unit, _memory_of(unit), addr, rows)

    def _rows(self, unit: Unit, memory: MemoryGroup, addr: int, rows: list[Bytes], words: Sequence[str]) -> None:
        bits = self.config.row_bits(memory)
        for row in _row_bytes(self.config, memory, words):
            at = addr + len(rows)
            exists = 0 <= at >> bits < memory.slices and at & ((1 << bits) - 1) < memory.depth_rows
            rule = f"must be a row of the {memory.slices} slices x {memory.depth_rows} rows of {unit.name}"
            _require(exists, [f"addr={at}"], rule)
            _require((unit.name, at) not in self._filled, [f"addr={at}"], f"row of {unit.name} must be given once")
            self._filled.add((unit.name, at))
            rows.append(row)

    def _tensor(self, words: Sequence[str]) -> None:
        form = "must be 'tensor NAME KIND DTYPE SHAPE UNIT addr=N [live=A..B]', as 'tensor x input int8 4x16 d0 addr=0'"
        _require(len(words) in (7, 8), words, form)
        _, name, kind, dtype, shape_text, unit_name, addr_text, *live = words
        _require(
            _NAME.fullmatch(name) and name not in self._tensors,
            [name],
            "must be a name without / that no other tensor has",
        )
        _require(_SHAPE.fullmatch(shape_text), [shape_text], "must be a shape such as 4x16")
        shape = tuple(map(int, shape_text.split("x")))
        addr, unit = _address(addr_text), self.config.unit(unit_name)
        _require(dtype in DTYPES, [dtype], f"must be {' or '.join(DTYPES)}")
        rows = tensor_rows(self.config, unit, dtype, shape)
        most = _memory_of(unit).depth_rows * _memory_of(unit).slices
        _require(rows <= most, [shape_text], f"{rows} rows must be at most the {most} of {unit.name}")
        info = TensorInfo(name, kind, dtype, shape, unit.name, addr, rows, *_live(live))
        tensor_addresses(self.config, info)
        self._tensors[name] = info
        self._section = _outside


def _require(holds: object, words: Sequence[str], rule: str) -> None:
    if not holds:
        raise AssemblyError(f"'{' '.join(words)}': {rule}")


def _outside(words: Sequence[str]) -> None:
    raise AssemblyError(f"'{' '.join(words)}': must follow a line 'queue NAME:' or 'memory UNIT addr=N:'")


def _number(word: str, text: str) -> int:
    _require(_NUMBER.fullmatch(text), [word], "must be a decimal or 0x hexadecimal number of 32 bits")
    return int(text, 0) if "x" in text else int(text)


def _options(words: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The numbers of exactly ``names``, each given as ``name=value``."""
    found = dict(word.partition("=")[::2] for word in words)
    _require(sorted(found) == sorted(names) and len(words) == len(names), words, f"must be {'=, '.join(names)}=")
    return {name: _number(f"{name}={text}", text) for name, text in found.items()}


def _address(word: str) -> int:
    addr = _options([word], ("addr",))["addr"]
    _require(addr >= 0, [word], "must be at least 0")
    return addr


def _memory_of(unit: Unit) -> MemoryGroup:
    if unit.memory is None:
        raise AssemblyError(f"'{unit.name}': must be a memory group")
    return unit.memory


def _row_bytes(config: LpuConfig, memory: MemoryGroup, words: Sequence[str]) -> Sequence[Bytes]:
    """Rows uint8 [lanes] of one line of a memory section."""
    if words[0] == "random":
        options = _options(words[1:], ("seed", "rows"))
        most = memory.slices * memory.depth_rows
        _require(options["seed"] >= 0, words, "seed must be at least 0")
        _require(1 <= options["rows"] <= most, words, f"rows must be in 1..{most}")
        return list(np.random.default_rng(options["seed"]).integers(0, 256, (options["rows"], config.lanes), np.uint8))
    digits = "".join(words)
    is_row = re.fullmatch(r"[0-9a-fA-F]*", digits) and len(digits) == 2 * config.lanes
    _require(is_row, words, f"must be {config.lanes} hexadecimal bytes, one per lane, or 'random seed=N rows=N'")
    return [np.frombuffer(bytes.fromhex(digits), np.uint8)]


def _live(words: Sequence[str]) -> tuple[int, int]:
    """First and last cycle of ``live=A..B``; the whole run when there is none."""
    if not words:
        return 0, _TO_THE_END
    found = re.fullmatch(r"live=(-?[0-9]{1,10})\.\.(-?[0-9]{1,10})", words[0])
    _require(found, words, "must be live=A..B, two cycles")
    assert found is not None
    return int(found[1]), int(found[2])


# ------------------------------------------------------------------ instructions


def _instruction(config: LpuConfig, target: Queue, words: Sequence[str]) -> Instruction:
    known = (*unit_opcodes(config, target.kind), *sorted(control_fields(config, target.kind)))
    rule = f"must be an instruction of a {target.kind.value} queue: {', '.join(op.name for op in known)}"
    _require(words[0] in Opcode.__members__ and Opcode[words[0]] in known, words[:1], rule)
    op, values = Opcode[words[0]], dict[str, int]()
    names = [field.name for field in fields_of(config, target.kind, op)]
    for word in words[1:]:
        name, _, text = word.partition("=")
        _require(name in names, [word], f"must be a field of {op.name} and its value: {', '.join(names) or 'none'}")
        _require(name not in values, [word], f"{name} must be given once")
        values[name] = _value(config, target, name, text)
    instruction = Instruction.of(op, **values)
    encode(config, target.kind, instruction)
    return instruction


def _symbols(target: Queue, name: str) -> type[enum.IntEnum] | None:
    """The enumeration whose names a field of a vector instruction takes."""
    if target.kind not in PIPES:
        return None
    if name == "op":
        return PIPE_OPS[PIPES[target.kind]]
    return Source if name in ("x_from", "y_from") else None


def _value(config: LpuConfig, target: Queue, name: str, text: str) -> int:
    symbols, word = _symbols(target, name), f"{name}={text}"
    if name in _STREAMS:
        return _stream(config, word, text)
    if name == "imm" and text.startswith("f:") and config.imm_bits == 32:
        return _float_bits(word, text[2:])
    if symbols is None:
        return _number(word, text)
    if text in symbols.__members__:
        return symbols[text]
    _require(_NUMBER.fullmatch(text), [word], f"must be one of {', '.join(symbols.__members__)}")
    return _number(word, text)


def _float_bits(word: str, text: str) -> int:
    """The fp32 number nearest to a decimal one, as signed bits."""
    _require(_FLOAT.fullmatch(text), [word], "must be a decimal number, as f:1.5 or f:-2e-3")
    with np.errstate(over="ignore"):
        return int(np.float32(text).view(np.int32))


def _stream(config: LpuConfig, word: str, text: str) -> int:
    spans = " or ".join(f"{d.name[0]}0..{d.name[0]}{config.streams(d) - 1}" for d in Direction)
    found = re.fullmatch(r"([EW])([0-9]{1,3})", text)
    direction = Direction.WEST if text[:1] == "W" else Direction.EAST
    _require(found and int(found[2]) < config.streams(direction), [word], f"must be a stream, {spans}")
    return stream(direction, int(text[1:]))


# -------------------------------------------------------------------- formatting


def format_program(config: LpuConfig, programs: Programs) -> str:
    """The text of programs; :func:`parse` of it gives the same programs, field by field."""
    sections = []
    for name, program in programs.items():
        target = queue(config, name)
        lines = [f"    {_instruction_text(target, instruction)}\n" for instruction in program]
        sections.append(f"queue {name}:\n{''.join(lines)}")
    return "\n".join(sections)


def format_image(image: ProgramImage) -> str:
    """The text of an image, unused fields at their defaults left out; :func:`assemble` of it gives the same file."""
    tensors = "".join(f"{_tensor_text(info)}\n" for info in image.tensors)
    programs = {name: _shortest(image.config, name, program) for name, program in image.programs.items()}
    head = f"# {image.cycles} cycles on '{image.preset}'\n"
    parts = [head, tensors, *map(_block_text, image.memory), format_program(image.config, programs)]
    return "\n".join(part for part in parts if part)


def _shortest(config: LpuConfig, name: str, program: Sequence[Instruction]) -> list[Instruction]:
    """The program with the least fields that mean the same, and every stream that is read or driven."""
    target, short = queue(config, name), []
    for instruction in program:
        streams = {*read_fields(target, instruction), drive_field(target, instruction)}
        default = Instruction.of(instruction.op)
        kept = {field: value for field, value in instruction.args if value != default[field] or field in streams}
        short.append(Instruction.of(instruction.op, **kept))
    return short


def _instruction_text(target: Queue, instruction: Instruction) -> str:
    """As ``str(instruction)``, with names for operations and operand sources."""
    return " ".join([instruction.op.name, *(_field_text(target, *arg) for arg in instruction.args)])


def _field_text(target: Queue, name: str, value: int) -> str:
    symbols = _symbols(target, name)
    if symbols is not None and value in symbols.__members__.values():
        return f"{name}={symbols(value).name}"
    return f"{name}={stream_name(value) if name in _STREAMS else value}"


def _tensor_text(info: TensorInfo) -> str:
    shape, live = "x".join(map(str, info.shape)), f"{info.live_from}..{info.live_until}"
    return f"tensor {info.name} {info.kind} {info.dtype} {shape} {info.unit} addr={info.addr} live={live}"


def _block_text(block: MemoryBlock) -> str:
    rows = "".join(f"    {row.tobytes().hex(' ', 4)}\n" for row in block.rows)
    return f"memory {block.unit} addr={block.addr}:\n{rows}"
