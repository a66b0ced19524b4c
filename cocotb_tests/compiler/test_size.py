"""The size of a program: counted as the sequencer runs it, refused before it runs when it is endless in practice."""

from __future__ import annotations

import pytest

from compiler.random_program import random_program
from compiler.verify import VerifyError, verify
from compiler.verify.size import MOST_STEPS, steps
from golden.sequencer import expand
from hdl.config import preset
from hdl.isa import Instruction, Opcode

I = Instruction.of  # noqa: E741
SMALL = preset("small")
END = I(Opcode.END)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ([END], 0),
        ([I(Opcode.NOP, n=9), I(Opcode.READ, count=5), I(Opcode.REPEAT, n=3), END], 1 + 5 + 15),
        ([I(Opcode.LOOP, n=4, length=2), I(Opcode.READ), I(Opcode.NOP, n=1), I(Opcode.READ), END], 1 + 4 * 2 + 1),
        ([I(Opcode.LOOP, n=3, length=2), I(Opcode.LOOP, n=5, length=1), I(Opcode.READ), END], 1 + 3 * (1 + 5)),
        ([END, I(Opcode.READ, count=100)], 0),
    ],
)
def test_steps(program: list[Instruction], expected: int) -> None:
    assert steps(program) == expected


@pytest.mark.parametrize("seed", range(3))
def test_steps_count_at_least_every_element(seed: int) -> None:
    programs, _ = random_program(SMALL, seed, 200)
    elements = expand(SMALL, programs).elements
    for name, program in programs.items():
        control = sum(i.is_control for i in program)
        assert len(elements[name]) <= steps(program) <= len(elements[name]) + 100 * control


def test_an_endless_program_is_refused_at_once() -> None:
    loops = [I(Opcode.LOOP, n=4095, length=2), I(Opcode.LOOP, n=4095, length=1), I(Opcode.NOP, n=1), END]
    text = rf"^\d+ steps, 16773121 of them in vxm0.i: must be at most {MOST_STEPS}$"
    with pytest.raises(VerifyError, match=text):
        verify(SMALL, {"vxm0.i": loops, "sxm0": [I(Opcode.NOP, n=1), END]})
