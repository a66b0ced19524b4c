"""Cells of a flattened netlist, by the unit of the block diagram that their names begin with."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

LUT_PLACES: Mapping[str, int] = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6, "SB_LUT4": 1}
"""LUT places that a cell takes: a carry cell of the ECP5 two, a RAM cell six."""
DSP = ("MULT18X18D", "SB_MAC16")
BRAM = ("DP16KD", "SB_RAM40_4K")
SPRAM = ("SB_SPRAM256KA",)
COLUMNS = ("lut", "ff", "dsp", "bram", "spram")
UNIT = re.compile(r"((?:mxm|sxm|vxm|w|d)\d+|supercell|controller|host_port)(?:_.*)?")
DESIGN = "lpu"


def unit_of(cell: str) -> str:
    """The instance of the block diagram that a cell is in.

    ``streams``: a superlane's own cells; ``bridge``: the rest of ``lpu_board``; ``board``: what is around it;
    ``unnamed``: no name of the design is left.
    """
    if cell.startswith("$"):
        return "unnamed"
    parts = cell.split(".")
    for part in parts:
        if found := UNIT.fullmatch(part):
            return found[1]
    if any(part.startswith("superlane") for part in parts):
        return "streams"
    return "bridge" if parts[0] == DESIGN else "board"


def column_of(kind: str) -> str | None:
    """The report's column for a cell type; None for what it does not count (pins, PLL, carry of the iCE40)."""
    if kind in LUT_PLACES:
        return "lut"
    if kind == "TRELLIS_FF" or kind.startswith("SB_DFF"):
        return "ff"
    return next((name for name, kinds in (("dsp", DSP), ("bram", BRAM), ("spram", SPRAM)) if kind in kinds), None)


def unit_cells(cells: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """LUT places, FF, DSP, BRAM and SPRAM of each unit, dearest first; ``cells`` as in yosys' JSON."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, cell in cells.items():
        if (column := column_of(cell["type"])) is not None:
            counted[unit_of(name)][column] += LUT_PLACES.get(cell["type"], 1)
    order = sorted(counted, key=lambda unit: (-counted[unit]["lut"], unit))
    return {unit: {column: counted[unit][column] for column in COLUMNS} for unit in order}
