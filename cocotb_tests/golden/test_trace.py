"""golden/trace.py: digests, text form, and what a difference is called."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.trace import Event, TraceError, digest, first_difference, read_trace, write_trace
from hdl.config import preset
from hdl.isa import Instruction, Opcode, west

DUO = preset("duo")
PROGRAMS = {
    "d0.r": [
        Instruction.of(Opcode.NOP, n=3),
        Instruction.of(Opcode.READ, addr=7, stream=west(17)),
        Instruction.of(Opcode.END),
    ],
    "d0.w": [Instruction.of(Opcode.WRITE, count=2), Instruction.of(Opcode.END)],
    "sxm0": [
        Instruction.of(Opcode.SHIFT, amount=1),
        Instruction.of(Opcode.TRANSPOSE),
        Instruction.of(Opcode.END),
    ],
}
TRACE = [
    Event(3, "d0.r", "I", 1),
    Event(5, "d0.r", "R", 0, 0xABCDEF01),
    Event(6, "d0.r", "R", 1, 0x0000BEEF),
    Event(8, "d0.w", "I", 0),
    Event(9, "d0.w", "I", 0),
    Event(9, "d0.w", "R", 0, 1),
    Event(10, "d0.w", "R", 0, 2),
    Event(10, "d0.w", "R", 1, 3),
    Event(11, "d0.w", "R", 1, 4),
    Event(20, "sxm0", "I", 0),
    Event(21, "sxm0", "I", 1),
    Event(24, "sxm0", "R", 0, 5),
    Event(25, "sxm0", "R", 0, 6),
]


def test_digest_rotates_each_word_by_its_index() -> None:
    words = np.random.default_rng(1).integers(0, 2**32, (3, 20), dtype=np.uint32)
    expected = []
    for row in words:
        total = 0
        for i, word in enumerate(row):
            bits = f"{int(word):032b}"
            left = 5 * i % 32
            total ^= int(bits[left:] + bits[:left], 2)
        expected.append(total)
    assert digest(words).tolist() == expected


def test_text_form_and_canonical_order() -> None:
    file = io.StringIO()
    write_trace(reversed(TRACE[:4]), file)
    assert file.getvalue() == "I 3 d0.r 1\nR 5 d0.r 0 abcdef01\nR 6 d0.r 1 0000beef\nI 8 d0.w 0\n"
    shuffled = file.getvalue().splitlines()[::-1]
    assert read_trace([*shuffled, "", " "]) == TRACE[:4]


@pytest.mark.parametrize("line", ["I 3 d0.r", "R 3 d0.r 0", "X 3 d0.r 1", "R 3 d0.r 0 xyz", "I three d0.r 1"])
def test_malformed_lines(line: str) -> None:
    with pytest.raises(TraceError, match=rf"line 2: '{line}': must be 'I cycle queue pc' or 'R cycle"):
        read_trace(["I 1 d0.r 0", line])


def test_equal_traces_have_no_difference() -> None:
    assert first_difference(TRACE, TRACE[::-1], PROGRAMS, DUO) is None
    assert first_difference([], [], PROGRAMS, DUO) is None


def changed(index: int, **fields: Any) -> list[Event]:
    return [replace(e, **fields) if i == index else e for i, e in enumerate(TRACE)]


def without(index: int) -> list[Event]:
    return TRACE[:index] + TRACE[index + 1 :]


READ_AT_3 = "pc 1: READ addr=7 stream=W17, issued in cycle 3"
DIFFERENCES = [
    (
        changed(1, digest=1),
        f"cycle 5, queue d0.r, superlane 0: result abcdef01 in golden, 00000001 in rtl; {READ_AT_3}",
    ),
    (
        changed(2, digest=1),
        f"cycle 6, queue d0.r, superlane 1: result 0000beef in golden, 00000001 in rtl; {READ_AT_3}",
    ),
    (without(0), f"cycle 3, queue d0.r: issue in golden only; {READ_AT_3}"),
    (without(1), f"cycle 5, queue d0.r, superlane 0: result in golden only; {READ_AT_3}"),
    (changed(0, cycle=4), f"cycle 3, queue d0.r: issue in golden only; {READ_AT_3}"),
    (changed(3, cycle=7), "cycle 7, queue d0.w: issue in rtl only; pc 0: WRITE count=2, issued in cycle 7"),
    (
        changed(7, digest=0),
        "cycle 10, queue d0.w, superlane 1: result 00000003 in golden, 00000000 in rtl; "
        "pc 0: WRITE count=2, issued in cycle 8",
    ),
    (
        changed(11, digest=0),
        "cycle 24, queue sxm0, superlane 0: result 00000005 in golden, 00000000 in rtl; "
        "pc 0: SHIFT amount=1, issued in cycle 20",
    ),
    (
        [*TRACE, Event(30, "vxm0.i", "R", 0, 7)],
        "cycle 30, queue vxm0.i, superlane 0: result in rtl only; no such instruction in the program",
    ),
    (TRACE[:-1], "cycle 25, queue sxm0, superlane 0: result in golden only; pc 1: TRANSPOSE, issued in cycle 21"),
]


@pytest.mark.parametrize(("rtl", "message"), DIFFERENCES)
def test_first_difference_names_cycle_unit_and_instruction(rtl: list[Event], message: str) -> None:
    assert first_difference(TRACE, rtl, PROGRAMS, DUO) == message
