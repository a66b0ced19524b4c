"""Room for wires: LUTs of an ECP5-85F that a placement leaves free.

Neither placer of nextpnr-ecp5 has a limit of LUTs a tile: each fills tiles with what belongs together until their
inputs cannot all be reached, while corners of the part stay empty. So cells that do nothing, each with a place of its
own, take LUTs of two rows of tiles in three; the third keeps all eight LUTs a tile for carry chains, which go along a
row. That is done for designs with so many LUTs that wires are scarce, and so few that they fit beside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DEVICE = "--85k"
"""nextpnr's option for the part whose tiles these are."""
COLUMNS = range(2, 125)
ROWS = [y for y in range(2, 94) if y % 12 != 10]
"""Rows of tiles with LUTs; those between have block RAMs and multipliers."""
LUTS = 8 * len(COLUMNS) * len(ROWS)
TAKEN = ("", "BCD", "BCD")
"""Slices that are taken in each tile of a row, by turns: two LUTs a slice, four slices a tile."""
MANY, MOST = 0.3, 0.45
"""Shares of the part's LUTs: from MANY on wires are scarce, beyond MOST there are too few LUTs left to take."""
PLACER = ("--placer", "static")
"""Where wires are scarce: it makes shorter ones than the default placer, but slower paths of small designs."""
RULE = tuple(map(str, (*TAKEN, MANY, MOST, *PLACER)))
"""All that the choice and the placement depend on."""

Units = Mapping[str, Mapping[str, int]]
"""Cells of a design, as :func:`fpga.cells.unit_cells` counts them."""


def has_scarce_wires(place: Sequence[str], units: Units) -> bool:
    """Whether wires are scarce in a design that nextpnr places with the arguments ``place``."""
    return DEVICE in place and _share(units) >= MANY


def has_room(place: Sequence[str], units: Units) -> bool:
    """Whether such a design is to leave LUTs free."""
    return has_scarce_wires(place, units) and _share(units) <= MOST


def _share(units: Units) -> float:
    return sum(unit["lut"] for unit in units.values()) / LUTS


def taken() -> list[str]:
    """Names of the places that are taken."""
    tiles = itertools.product(ROWS, COLUMNS)
    return [f"X{x}/Y{y}/SLICE{s}.K{k}" for y, x in tiles for s in TAKEN[y % len(TAKEN)] for k in (0, 1)]


def with_fillers(netlist: Mapping[str, Any]) -> dict[str, Any]:
    """yosys' JSON ``netlist`` of module ``top``, and a LUT at every taken place."""
    top = netlist["modules"]["top"]
    first = 1 + max(_bits(top))
    cells, names = dict(top["cells"]), dict(top["netnames"])
    for number, bel in enumerate(taken()):
        cells[f"filler.{number}"] = _filler(bel, first + number)
        names[f"filler.{number}.z"] = {"hide_name": 1, "bits": [first + number], "attributes": {}}
    return {**netlist, "modules": {**netlist["modules"], "top": {**top, "cells": cells, "netnames": names}}}


def _bits(module: Mapping[str, Any]) -> Iterator[int]:
    """Numbers of the nets of a module."""
    named = [name["bits"] for name in module["netnames"].values()]
    connected = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    return (bit for bit in itertools.chain(*named, *connected) if isinstance(bit, int))


def _filler(bel: str, output: int) -> dict[str, Any]:
    """A LUT of no inputs, whose output leads nowhere."""
    inputs = {name: ["x"] for name in "ABCD"}
    return {
        "hide_name": 0,
        "type": "LUT4",
        "parameters": {"INIT": "0" * 16},
        "attributes": {"BEL": bel, "keep": "1"},
        "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
        "connections": {**inputs, "Z": [output]},
    }
