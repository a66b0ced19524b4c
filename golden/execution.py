"""One run of the machine: which unit does what in which cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from golden.numerics import Bytes, Int32, int32_to_planes, planes_to_int32, saturate_int8
from golden.sequencer import Expansion
from golden.streams import StreamRegisters
from golden.trace import Event, Words, digest, lane_words, memory_words, result_latency, transpose_words
from golden.units.matrix import MatrixTwin
from golden.units.memory import Access, MemoryTwin
from golden.units.switch import switch, transpose
from golden.units.vector import Entering, VectorError, VectorTwin, is_wide, streamed_operands
from hdl.config import STREAMS_PER_GROUP, LpuConfig, PipeKind, UnitKind
from hdl.isa import (
    LW_TO_IW,
    PIPES,
    Element,
    Instruction,
    Opcode,
    Queue,
    QueueKind,
    pipe_cycles,
    pipe_latency,
    queues,
    stream,
    timing,
    unit_opcodes,
)
from hdl.link.hostmap import ErrorFlag

Step = Callable[[Queue, Element], None]
Agenda = defaultdict[int, list[Callable[[], None]]]

_STEP_ORDER = (
    QueueKind.MEM_READ,  # a cycle's reads see the SRAM before that cycle's writes
    QueueKind.MXM_WEIGHTS,  # IW in T reaches ABC in T
    QueueKind.MXM_ACTIVATIONS,
    QueueKind.SWITCH,
    *PIPES,
    QueueKind.MEM_WRITE,
)
_INDEXED = frozenset({Opcode.GATHER, Opcode.SCATTER})


class GoldenError(ValueError):
    """A program asks for something the contract does not define; names instruction, rule and place."""


class Execution:
    """State of one run on the SRAM of ``memories``.

    A cycle is: what earlier cycles put off (``_later``, then ``_entering``), its elements in ``_STEP_ORDER``, then the
    drives due (``_drives``), so every read of a stream precedes the drives of its cycle.
    """

    def __init__(self, config: LpuConfig, memories: Mapping[str, MemoryTwin], trace: bool) -> None:
        self.config, self.trace = config, trace
        self.streams = StreamRegisters(config)
        matrices = {unit.name: MatrixTwin(config) for unit in config.units_of(UnitKind.MATRIX)}
        units = {queue.name: queue.unit.name for queue in queues(config)}
        self.memories = {queue: memories[unit] for queue, unit in units.items() if unit in memories}
        self.matrices = {queue: matrices[unit] for queue, unit in units.items() if unit in matrices}
        self.vector = VectorTwin(config)
        self._multiplied: dict[str, int] = {}  # cycle of the latest ABC element of a plane
        self._entered: dict[PipeKind, int] = {}  # cycle of the latest element of a pipe
        self._turning: defaultdict[str, list[Bytes]] = defaultdict(list)  # elements of a block so far, by switch
        self.cycle = 0
        self.events: list[Event] = []
        self.errors = ErrorFlag(0)
        self.faults: list[str] = []
        self._later: Agenda = defaultdict(list)
        self._entering: Agenda = defaultdict(list)
        self._drives: Agenda = defaultdict(list)
        kinds = [(queue.kind, op) for queue in queues(config) for op in unit_opcodes(config, queue.kind)]
        self._drive_latency = {(kind, op): timing(config, kind, op).func or 0 for kind, op in kinds}
        self._result_latency = {(kind, op): result_latency(config, kind, op) for kind, op in kinds}
        self._steps: dict[QueueKind, Step] = {
            QueueKind.MEM_READ: self._read,
            QueueKind.MXM_WEIGHTS: self._load_weights,
            QueueKind.MXM_ACTIVATIONS: self._multiply,
            QueueKind.SWITCH: self._switch,
            **dict.fromkeys(PIPES, self._issue_to_pipe),
            QueueKind.MEM_WRITE: self._write,
        }

    # ------------------------------------------------------------------ the clock

    def run(self, expansion: Expansion) -> None:
        """Execute every element; results still on their way when the last queue ends are driven as well."""
        issues = self._issues_by_cycle(expansion)
        while self.cycle < expansion.cycles or self._later or self._drives:
            self.streams.advance(self.cycle)
            for action in [*self._later.pop(self.cycle, ()), *self._entering.pop(self.cycle, ())]:
                action()
            for queue, element in issues.pop(self.cycle, ()):
                if self.trace:
                    self.events.append(Event(self.cycle, queue.name, "I", element.pc))
                self._steps[queue.kind](queue, element)
            for action in self._drives.pop(self.cycle, ()):
                action()
            self.cycle += 1

    def _issues_by_cycle(self, expansion: Expansion) -> dict[int, list[tuple[Queue, Element]]]:
        issues: defaultdict[int, list[tuple[Queue, Element]]] = defaultdict(list)
        for queue in sorted(queues(self.config), key=lambda q: _STEP_ORDER.index(q.kind)):
            for element in expansion.elements[queue.name]:
                issues[element.cycle].append((queue, element))
        return issues

    def _drive(self, queue: Queue, element: Element, code: int, values: Bytes) -> None:
        """Put values [streams, lanes] on the streams at ``code`` when the element's result is due."""
        due = element.cycle + self._drive_latency[queue.kind, element.instruction.op]
        self._drives[due].append(partial(self._drive_now, queue, code, values))

    def _drive_now(self, queue: Queue, code: int, values: Bytes) -> None:
        if self.streams.drive(queue.unit.position, code, values):
            self._fault(ErrorFlag.STREAM_CONFLICT, queue, f"a second drive at position {queue.unit.position}")

    def _fault(self, flag: ErrorFlag, queue: Queue, what: str) -> None:
        self.errors |= flag
        self.faults.append(f"cycle {self.cycle}, queue {queue.name}: {flag.name}: {what}")

    def _result(self, queue: Queue, element: Element, words: Words) -> None:
        """Trace the result words [R, n] of an element."""
        due = element.cycle + self._result_latency[queue.kind, element.instruction.op]
        due += int(self.config.weights_from_host and queue.unit.kind is UnitKind.WEIGHT_MEMORY)
        for superlane, value in enumerate(digest(words)):
            self.events.append(Event(due + superlane, queue.name, "R", superlane, int(value)))

    # --------------------------------------------------------------------- memory

    def _access(self, queue: Queue, element: Element) -> Access:
        indices = None
        if element.instruction.op in _INDEXED:
            low, _ = self.config.index_streams(queue.unit)
            indices = self.streams.read(queue.unit.position, stream(queue.unit.outward, low), 2)
        access = self.memories[queue.name].access(element, indices)
        if not all(access.in_range):
            self._fault(ErrorFlag.ROW_RANGE, queue, f"rows {access.rows}")
        return access

    def _read(self, queue: Queue, element: Element) -> None:
        instruction, memory = element.instruction, self.memories[queue.name]
        access = self._access(queue, element)
        data = memory.read(access)
        on_bus = instruction["wide"] and queue.unit.kind is UnitKind.WEIGHT_MEMORY
        self._drive(queue, element, _weight_bus(queue) if on_bus else instruction["stream"], data)
        if self.trace:
            self._result(queue, element, memory_words(self.config, len(memory.sram), access, data))

    def _write(self, queue: Queue, element: Element) -> None:
        instruction, memory = element.instruction, self.memories[queue.name]
        is_group = instruction["wide"] and queue.unit.kind is UnitKind.DATA_MEMORY
        count = STREAMS_PER_GROUP if is_group else 1
        data = self.streams.read(queue.unit.position, instruction["stream"], count)
        access = self._access(queue, element)
        memory.write(access, data)
        if self.trace:
            self._result(queue, element, memory_words(self.config, len(memory.sram), access, data))

    # --------------------------------------------------------------------- matrix

    def _load_weights(self, queue: Queue, element: Element) -> None:
        matrix = self.matrices[queue.name]
        if element.instruction.op is Opcode.IW:
            self._install(queue)
            return
        bus = self.streams.read(queue.unit.position, _weight_bus(queue), self.config.weight_streams)
        tile_complete = matrix.load_weights(element, bus)
        if tile_complete and element.instruction["install"]:
            self._later[self.cycle + LW_TO_IW].append(partial(self._install, queue))

    def _install(self, queue: Queue) -> None:
        self._check_array(queue, "IW")
        self.matrices[queue.name].install()

    def _check_array(self, queue: Queue, what: str) -> None:
        """Raises GoldenError where an element of ABC still works with the array."""
        since = self._multiplied.get(queue.unit.name)
        if since is not None and self.cycle < since + self.config.abc_cycles:
            rule = f"must be at least {self.config.abc_cycles} cycles after the ABC in cycle {since}"
            raise GoldenError(f"cycle {self.cycle}, queue {queue.name}: {what}: {rule}")

    def _multiply(self, queue: Queue, element: Element) -> None:
        self._check_array(queue, "ABC")
        self._multiplied[queue.unit.name] = self.cycle
        x = self.streams.read(queue.unit.position, element.instruction["stream"])[0]
        emitted = self.matrices[queue.name].multiply(element, x)
        if emitted is None:
            return
        self._drive(queue, element, element.instruction["out"], int32_to_planes(emitted))
        if self.trace:
            self._result(queue, element, lane_words(self.config, emitted))

    # --------------------------------------------------------------------- switch

    def _switch(self, queue: Queue, element: Element) -> None:
        if element.instruction.op is Opcode.TRANSPOSE:
            self._transpose(queue, element)
            return
        instruction, position = element.instruction, queue.unit.position
        count = STREAMS_PER_GROUP if instruction["wide"] else 1
        if instruction.op is Opcode.PERMUTE and count != 1:
            raise GoldenError(
                f"cycle {self.cycle}, queue {queue.name}: {instruction}: wide = 1: PERMUTE must be single"
            )
        x, y = self.streams.read(position, instruction["x"], count), None
        if instruction.op in (Opcode.PERMUTE, Opcode.SELECT):
            y = self.streams.read(position, instruction["y"], count if instruction.op is Opcode.SELECT else 1)
        out = switch(self.config, instruction, x, y)
        self._drive(queue, element, instruction["out"], out)
        if self.trace:
            lanes = planes_to_int32(out) if instruction["wide"] else out[0].astype(np.int32)
            self._result(queue, element, lane_words(self.config, lanes))

    def _transpose(self, queue: Queue, element: Element) -> None:
        size, instruction = self.config.turn_cycles, element.instruction
        if size > 1 and (instruction["gap"] or instruction["count"] % size):
            rule = f"gap must be 0 and count a multiple of {size}"
            raise GoldenError(f"cycle {self.cycle}, queue {queue.name}: {instruction}: {rule}")
        block = self._turning[queue.name]
        block.append(self.streams.read(queue.unit.position, _weight_bus(queue), self.config.weight_streams))
        if len(block) < size:
            return
        for i, out in enumerate(np.split(transpose(self.config, np.concatenate(block)), size)):
            turned = replace(element, cycle=self.cycle - size + 1 + i)
            self._drive(queue, turned, _weight_bus(queue), out)
            if self.trace:
                self._result(queue, turned, transpose_words(self.config, out))
        block.clear()

    # --------------------------------------------------------------------- vector

    # An element enters its pipe in T + 1, lane by lane from T + 1 on, when the registers that change in a cycle have.

    def _issue_to_pipe(self, queue: Queue, element: Element) -> None:
        pipe, instruction = PIPES[queue.kind], element.instruction
        self._check_pipe(queue, pipe)
        fields = streamed_operands(pipe, instruction)
        read = {field: self._operand(queue, instruction, field) for field in fields}
        entering = Entering(pipe, element, read.get("x"), read.get("y"))
        for step in range(self.config.vector_cycles):
            self._entering[self.cycle + 1 + step].append(partial(self._enter, queue, entering, step))

    def _operand(self, queue: Queue, instruction: Instruction, name: str) -> Int32:
        wide = is_wide(PIPES[queue.kind], instruction, name)
        planes = self.streams.read(queue.unit.position, instruction[name], STREAMS_PER_GROUP if wide else 1)
        return planes_to_int32(planes) if wide else planes[0].view(np.int8).astype(np.int32)

    def _check_pipe(self, queue: Queue, pipe: PipeKind) -> None:
        since, cycles = self._entered.get(pipe), pipe_cycles(self.config, pipe)
        if since is not None and self.cycle < since + cycles:
            rule = f"must be at least {cycles} cycles after the one in cycle {since}"
            raise GoldenError(f"cycle {self.cycle}, queue {queue.name}: element of the {pipe.name} pipe: {rule}")
        self._entered[pipe] = self.cycle

    def _enter(self, queue: Queue, entering: Entering, step: int) -> None:
        pipe, steps = entering.pipe, self.config.vector_cycles
        lanes = np.arange(self.config.lanes) % steps == step
        try:
            value = self.vector.enter(entering, lanes)
        except VectorError as error:
            raise GoldenError(f"cycle {entering.element.cycle}, queue {queue.name}: {error}") from None
        self._later[self.cycle + pipe_latency(self.config, pipe)].append(partial(self.vector.leave, pipe, value, lanes))
        if step == steps - 1:
            self._complete(queue, entering, value)

    def _complete(self, queue: Queue, entering: Entering, value: Int32) -> None:
        """All lanes of an element are known."""
        element, instruction = entering.element, entering.element.instruction
        if self.trace:
            self._result(queue, element, lane_words(self.config, value))
        if not instruction["drive"] or (instruction["last_only"] and not element.last):
            return
        wide = is_wide(entering.pipe, instruction, "out")
        out = int32_to_planes(value) if wide else saturate_int8(value).view(np.uint8)[np.newaxis]
        self._drive(queue, element, instruction["out"], out)


def _weight_bus(queue: Queue) -> int:
    """Code of weight-bus stream 0 of the queue's hemisphere."""
    return stream(queue.unit.outward, 0)
