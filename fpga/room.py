"""Room for wires: LUTs of an ECP5-85F that a placement leaves free.

Neither placer of nextpnr-ecp5 has a limit of LUTs a tile: each fills tiles with what belongs together until their
inputs cannot all be reached, while corners of the part stay empty. So cells that do nothing, each with a place of its
own, take half of the LUTs of two rows of tiles in three; the third keeps all eight LUTs a tile for carry chains, which
go along a row. That is done for designs with so many LUTs that wires are scarce, and so few that they fit beside.
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
WHOLE_ROWS = 3
"""One row of so many is left whole."""
TAKEN = ("SLICEB.K0", "SLICEB.K1", "SLICED.K0", "SLICED.K1")
"""LUTs of a tile that are taken in the others."""
SHARE = (0.3, 0.55)
"""Designs with fewer LUT places than this share of the part are routed anyway; larger ones leave too few to take."""
PLACER = ("--placer", "static")
"""For such designs: shorter wires than the default placer's. It makes slower ones of small designs."""

RULE = tuple(map(str, (WHOLE_ROWS, *TAKEN, *SHARE, *PLACER)))
"""All that the choice and the placement depend on."""


def has_scarce_wires(place: Sequence[str], units: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether a design with the cells of ``units`` is placed so by nextpnr with the arguments ``place``."""
    places = sum(unit["lut"] for unit in units.values())
    return DEVICE in place and SHARE[0] * LUTS <= places <= SHARE[1] * LUTS


def taken() -> list[str]:
    """Names of the places that are taken."""
    tiles = itertools.product((y for y in ROWS if y % WHOLE_ROWS), COLUMNS)
    return [f"X{x}/Y{y}/{lut}" for y, x in tiles for lut in TAKEN]


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
