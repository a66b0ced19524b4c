"""When operands must be on their streams and when results are, per instruction; what each instruction does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hdl.config import LpuConfig
from hdl.isa.fields import fields_of
from hdl.isa.opcodes import CONTROL_OPCODES, PIPES, SWITCH_LATENCY, Opcode, QueueKind, sources, whole_latency


@dataclass(frozen=True)
class Timing:
    """Operand skews and result latency of an instruction, in cycles from its issue; ``func`` None: no result."""

    skew: Mapping[str, int]
    func: int | None = None


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
            latency = 4 if config.sums_on_streams else 5
            return Timing({"stream": 0}, latency + config.abc_cycles - 1 + 2 * hops)
        case Opcode.ALU:
            operands = ("x", "y") if sources(config, PIPES[kind], "y") else ("x",)
            return Timing(dict.fromkeys(operands, 0), 1 + whole_latency(config, PIPES[kind]))
        case Opcode.PERMUTE | Opcode.SELECT:
            return Timing({"x": 0, "y": 0}, SWITCH_LATENCY + hops)
        case Opcode.SHIFT | Opcode.ROTATE | Opcode.DISTRIBUTE:
            return Timing({"x": 0}, SWITCH_LATENCY + hops)
        case _:
            return Timing({"weights": 0}, config.turn_cycles)


DOCS: Mapping[Opcode, str] = {
    Opcode.END: "The queue is done.",
    Opcode.NOP: "Wait n cycles.",
    Opcode.REPEAT: "Issue the preceding unit instruction or NOP n more times, d idle cycles before each.",
    Opcode.SYNC: "Wait for a NOTIFY.",
    Opcode.NOTIFY: "Release the queues that wait at SYNC.",
    Opcode.LOOP: "Run the next `length` instructions n times, without overhead between iterations.",
    Opcode.READ: "stream <- SRAM[addr]. Data group: one slice on any data stream, or (wide) row `addr` of the 4 slices "
    "on an SG4. Weight group: one slice on a stream of the first inward SG4, or (wide) slice j on weight-bus stream j.",
    Opcode.GATHER: "READ at addr + index; with `spread` slice j uses the index in lane j.",
    Opcode.WRITE: "SRAM[addr] <- stream. Data group: one slice, or (wide) an SG4 into the 4 slices. Weight group: one "
    "slice, or (wide) the same stream into every slice.",
    Opcode.SCATTER: "WRITE at addr + index; with `spread` slice j uses the index in lane j.",
    Opcode.LW: "buffer rows [i*ws, (i+1)*ws) <- weight bus streams 0..ws-1, i = element number modulo L/ws.",
    Opcode.IW: "array <- buffer.",
    Opcode.ABC: "acc[row][n] (+)= sum_k W[n][k] * x[k]; int8 x int8 -> int32. An element takes S/mac_rows cycles.",
    Opcode.ALU: "register = op(x, y), each lane on its own; driven on out with `drive`. An SFU element takes "
    "its pipe for sfu_cycles cycles.",
    Opcode.SHIFT: "out[i] = x[i - amount] where that lane exists, else 0.",
    Opcode.ROTATE: "out[i] = x[(i - amount) mod L], 0 <= amount < L.",
    Opcode.PERMUTE: "out[i] = x[y[i]] within each superlane, single streams; 0 where y[i] (unsigned) >= its lanes.",
    Opcode.DISTRIBUTE: "out[i] = x[amount] for all lanes, 0 <= amount < L.",
    Opcode.SELECT: "out[i] = x[i] if i < amount else y[i], 0 <= amount <= L.",
    Opcode.TRANSPOSE: "weight bus: S x S blocks transposed within each superlane, S/ws elements a block.",
}
