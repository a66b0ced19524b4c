"""The instruction set: opcodes, fields, encodings, queue sequencing and operand timing, as data.

Time
    Every queue issues *elements*. An element's issue cycle T is the cycle in which superlane 0 acts on it; superlane r
    acts at T + r, on data that is r cycles late as well, so programs are written for superlane 0 alone.
    An operand with skew d must be on its stream, at the unit's position, in cycle T + d. A result with latency f is
    driven in cycle T + f and is on that stream at a position h >= 1 hops downstream in cycle T + f + h.

Vector pipes
    An element takes its stream operands in T and result registers as they stand in T + 1. Its own result is in the
    pipe's register from T + 1 + latency on, so an element issued at T + latency or later can take it from there, until
    the next element of the pipe replaces it; with ``drive`` it is driven in T + 1 + latency.
    Where a pipe works lane by lane, lane i < S of a superlane takes result registers as they stand in T + 1 + i, with
    SWAP lane j as it stands in T + 1 + min(i, j); its own result is in the pipe's register from T + 1 + latency + i on.
    So SWAP takes it S - 1 cycles later than others, it is driven in T + S + latency, and the pipe's next element comes
    S cycles later at least.

Matrix unit
    ABC issued in T works on rows b * mac_rows .. of each supercell in T + b, b < n = S / mac_rows, with the array as of
    T. So the next element of a plane's ABC comes n cycles later at least, and no IW in T + 1 .. T + n - 1.

Transposition
    TRANSPOSE takes S x S blocks of weights, each in n = S / weight_streams elements in successive cycles, and drives
    element i of the transposed block n cycles after element i came in. With n > 1 its gap is 0 and its count a multiple
    of n.

Sequencing, per queue; T is the issue cycle of the instruction, "next" that of the following one
    unit instruction   count elements at T, T + (gap+1), ...; next = T + (count-1)*(gap+1) + 1. With count = 1 the gap
                       is a pause before the element: that is at T + gap, next = T + gap + 1. (Where loop_levels = 0
                       queues look no instruction ahead: there is no pause, and the gap means nothing.)
    NOP n              next = T + n
    REPEAT n, d        issues the preceding unit instruction or NOP n more times, each after d idle cycles;
                       repetition i (1..n) starts with the address base + i*stride, and without the pause;
                       next = T + n*(d + duration)
    LOOP n, length     the next ``length`` instructions run n times; next = T + 2, going back costs nothing. Iteration i
                       adds i*stride to the address of each instruction whose mask names the level (outermost = bit 0)
    NOTIFY             releases every queue that is waiting at SYNC in cycle T + 1; next = T + 1
    SYNC               waits; next = (cycle of the NOTIFY) + 2
    END                ends the queue. The program takes max(T of END) + R cycles, R = superlanes: by then every
                       WRITE issued before an END has reached its SRAM.

Streams are encoded as 2*index + direction (EAST 0, WEST 1) and written ``E3``, ``W17``.
"""

from hdl.isa.fields import (
    Field,
    control_fields,
    fields_of,
    has_address,
    unit_fields,
    unit_opcodes,
    word_bits,
)
from hdl.isa.instruction import (
    Element,
    Instruction,
    decode,
    encode,
)
from hdl.isa.opcodes import (
    CONTROL_OPCODES,
    FLAG_OPS,
    INDEX_BITS,
    IW_TO_ABC,
    LOOP_CYCLES,
    LW_TO_IW,
    OPCODE_BITS,
    PIPE_LATENCY,
    PIPE_OPS,
    PIPE_QUEUES,
    PIPES,
    REGISTERS,
    SHIFT_BITS,
    SWITCH_LATENCY,
    SYNC_LATENCY,
    WRITE_TO_READ,
    AddOp,
    IntOp,
    IsaError,
    MulOp,
    Opcode,
    QueueKind,
    RequantOp,
    SfuOp,
    Source,
    can_drive,
    can_fold,
    east,
    first_of_fold,
    operations,
    pipe_cycles,
    pipe_latency,
    reads_y,
    sources,
    stream,
    stream_direction,
    stream_index,
    stream_name,
    west,
    whole_latency,
)
from hdl.isa.queues import (
    Queue,
    memory_ports,
    queue,
    queues,
)
from hdl.isa.timing import (
    DOCS,
    Timing,
    timing,
)

__all__ = [
    "CONTROL_OPCODES",
    "DOCS",
    "FLAG_OPS",
    "INDEX_BITS",
    "IW_TO_ABC",
    "LOOP_CYCLES",
    "LW_TO_IW",
    "OPCODE_BITS",
    "PIPES",
    "PIPE_LATENCY",
    "PIPE_OPS",
    "PIPE_QUEUES",
    "REGISTERS",
    "SHIFT_BITS",
    "SWITCH_LATENCY",
    "SYNC_LATENCY",
    "WRITE_TO_READ",
    "AddOp",
    "Element",
    "Field",
    "Instruction",
    "IntOp",
    "IsaError",
    "MulOp",
    "Opcode",
    "Queue",
    "QueueKind",
    "RequantOp",
    "SfuOp",
    "Source",
    "Timing",
    "can_drive",
    "can_fold",
    "control_fields",
    "decode",
    "east",
    "encode",
    "fields_of",
    "first_of_fold",
    "has_address",
    "memory_ports",
    "operations",
    "pipe_cycles",
    "pipe_latency",
    "queue",
    "queues",
    "reads_y",
    "sources",
    "stream",
    "stream_direction",
    "stream_index",
    "stream_name",
    "timing",
    "unit_fields",
    "unit_opcodes",
    "west",
    "whole_latency",
    "word_bits",
]
