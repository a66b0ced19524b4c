"""What a build came to: resources, Fmax of every placement, critical path, cells per unit."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

RESOURCES: Mapping[str, Mapping[str, str]] = {
    "ecp5": {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "DSP": "MULT18X18D", "BRAM": "DP16KD"},
    "ice40": {"LUT": "ICESTORM_LC", "DSP": "ICESTORM_DSP", "BRAM": "ICESTORM_RAM", "SPRAM": "ICESTORM_SPRAM"},
}
"""Columns of the report, and nextpnr's name of what each counts; an iCE40's logic cell is a LUT and a FF."""


@dataclass(frozen=True)
class Placement:
    """One seed's result; the critical path as names of its first and last cell. Utilisation: (used, available)."""

    seed: int
    fmax_mhz: float
    path_ns: float
    path_from: str
    path_to: str
    utilisation: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, seed: int, report: Path) -> Placement:
        """From nextpnr's report; the clock is the one with most to do, that of the lowest achieved frequency."""
        said = json.loads(report.read_text())
        clock = min(said["fmax"], key=lambda net: float(said["fmax"][net]["achieved"]))
        edge = f"posedge {clock}"
        paths = [p["path"] for p in said["critical_paths"] if p["from"] == edge and p["to"] == edge]
        longest = max(paths, key=lambda path: sum(step["delay"] for step in path))
        utilisation = {bel: (n["used"], n["available"]) for bel, n in said["utilization"].items()}
        return cls(
            seed,
            said["fmax"][clock]["achieved"],
            sum(step["delay"] for step in longest),
            longest[0]["from"]["cell"],
            longest[-1]["to"]["cell"],
            utilisation,
        )


@dataclass(frozen=True)
class BuildReport:
    """A build; ``units`` as :func:`fpga.cells.unit_cells` counts them. ``bitstream``: None when timing is not met."""

    board: str
    preset: str
    part: str
    family: str
    clock_mhz: float
    placements: tuple[Placement, ...]
    used: Mapping[str, int]
    available: Mapping[str, int]
    units: Mapping[str, Mapping[str, int]]
    bitstream: str | None

    @property
    def best(self) -> Placement:
        return max(self.placements, key=lambda placement: placement.fmax_mhz)

    @property
    def met(self) -> bool:
        return self.best.fmax_mhz >= self.clock_mhz

    @property
    def median_fmax_mhz(self) -> float:
        return statistics.median(placement.fmax_mhz for placement in self.placements)

    @property
    def flip_flops(self) -> int:
        return sum(unit["ff"] for unit in self.units.values())

    def as_dict(self) -> dict[str, object]:
        """For JSON: without nextpnr's full utilisation."""
        fields = asdict(self)
        for placement in fields["placements"]:
            del placement["utilisation"]
        return {**fields, "met": self.met, "best_seed": self.best.seed, "median_fmax_mhz": self.median_fmax_mhz}
