"""Verilog benches that count through all operands themselves, and write how many results were wrong."""

from __future__ import annotations

from cocotb_tests.units import vector_player
from cocotb_tests.units.harness import UNITS, launch
from sim.build import compiled

COUNTS = "counts"
"""The file that a bench writes: operands compared, and wrong results, in decimal."""


def counted(name: str, unit: str, bench: str, top: str) -> tuple[int, int]:
    """What the module ``top`` of ``bench`` counts of the Verilog ``unit``."""
    directory = compiled(UNITS, name, {"unit.v": unit, f"{top}.sv": bench}, top)
    compared, wrong = launch(directory, top, vector_player.__name__, {}, COUNTS).split()
    return int(compared), int(wrong)
