"""How much a program issues, counted without running it, so that no few lines keep the verifier busy for hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.verify.issue import VerifyError
from golden.sequencer import check_structure
from hdl.config import LpuConfig
from hdl.isa import Instruction, Opcode, queue

MOST_STEPS = 1 << 22
"""Elements and control instructions of all queues together: a minute of verifying, a gigabyte of memory."""


def check_size(config: LpuConfig, programs: Mapping[str, Sequence[Instruction]]) -> None:
    """Raises VerifyError naming the longest queue; SequenceError for a broken structure, which has no size."""
    for name, program in programs.items():
        check_structure(config, queue(config, name), program)
    sizes = {name: steps(program) for name, program in programs.items()}
    total = sum(sizes.values())
    if total > MOST_STEPS:
        longest = max(sizes, key=lambda name: sizes[name])
        raise VerifyError(f"{total} steps, {sizes[longest]} of them in {longest}: must be at most {MOST_STEPS}")


def steps(program: Sequence[Instruction]) -> int:
    """Elements issued plus control instructions executed: each LOOP multiplies those of its block by its n."""
    total, times = 0, 1
    blocks: list[tuple[int, int]] = []  # (last pc, n) of the LOOPs around an instruction, outermost first
    for pc, instruction in enumerate(program):
        while blocks and blocks[-1][0] < pc:
            times //= blocks.pop()[1]
        if instruction.op is Opcode.END:
            break
        if instruction.op is Opcode.REPEAT:
            total += times * instruction["n"] * program[pc - 1]["count"]
        else:
            total += times * instruction["count"]
        if instruction.op is Opcode.LOOP:
            blocks.append((pc + instruction["length"], instruction["n"]))
            times *= instruction["n"]
    return total
