"""What a pipe of the vector unit is told each cycle."""

from __future__ import annotations

from amaranth.lib import data

PIPE_COMMAND = data.StructLayout({"valid": 1, "op": 5, "imm": 32})
"""One cycle of a pipe: whether an element enters, its operation, and the immediate (for PICK)."""
