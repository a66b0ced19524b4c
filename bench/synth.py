"""What the core costs on an ECP5: cells per unit, from yosys `synth_ecp5` run on every module by itself.

    cost(module) = its own cells + sum over its instances of cost(instance's module)

Every module is synthesised once, with empty boxes for the modules inside it, and counted once per instance.
Nothing is optimised across a module's boundary, so a flattened build is a little smaller. Modules are independent runs:
they share the processors, and one whose text has not changed is not synthesised again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from fpga.tools import tool
from hdl.config import LpuConfig
from sim.build import core_verilog
from sim.files import write_atomically

BUILD = Path("build/synth")
TOP = "lpu_core"
SCRIPT = (
    "read_verilog -sv -lib boxes.v; read_verilog -sv module.v; "
    "synth_ecp5 -nowidelut -top {top} -noflatten -run begin:map_luts; splitnets; "
    "synth_ecp5 -nowidelut -top {top} -run map_luts:check; tee -q -o stat.json stat -json"
)
"""Without splitnets, yosys 0.70 meets two wires of one name after ABC9 in the supercell, and stops.

-nowidelut: ABC9 takes a multiplexer of four words as one LUT6, which is four LUT4; without wide LUTs it takes three.
"""

RESOURCES: Mapping[str, tuple[str, ...]] = {
    "lut4": ("LUT4",),
    "ccu2c": ("CCU2C",),
    "ff": ("TRELLIS_FF",),
    "dsp": ("MULT18X18D",),
    "bram": ("DP16KD",),
    "dist_ram": ("TRELLIS_DPR16X4",),
}
"""Columns of the report and the ECP5 cells each one counts."""

ECP5_85F = "83,640 of them, 156 MULT18 and 208 block RAMs"
"""What the part of the ULX3S-85F has."""

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
Progress = Callable[[int], None]
"""Told how many modules are done."""


class SynthError(ValueError):
    """yosys failed; names the module and its folder."""


@dataclass(frozen=True)
class SynthReport:
    """Cells per resource (keys of RESOURCES): for each unit, in total, and for one copy of each module alone."""

    preset: str
    units: dict[str, dict[str, int]]
    total: dict[str, int]
    modules: dict[str, dict[str, int]]

    @property
    def comb(self) -> int:
        """LUT4 places of the part that the core takes: a LUT4 one, a carry cell two, a RAM cell six."""
        return self.total["lut4"] + 2 * self.total["ccu2c"] + 6 * self.total["dist_ram"]

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "comb": self.comb}


def synth(config: LpuConfig, progress: Progress | None = None, build: Path = BUILD) -> SynthReport:
    """Synthesise the core of ``config``. Raises SynthError with yosys' last line when it fails."""
    modules = split_modules(core_verilog(config))
    own: dict[str, Cells] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(module_cells, name, modules, build): name for name in modules}
        for finished, run in enumerate(as_completed(runs), 1):
            own[runs[run]] = run.result()
            if progress:
                progress(finished)
    return report(config.name, {name: instances(text, modules) for name, text in modules.items()}, own)


# -------------------------------------------------------------------------- text


def module_count(config: LpuConfig) -> int:
    """Distinct modules of the core: what the progress of :func:`synth` counts to."""
    return len(split_modules(core_verilog(config)))


def split_modules(verilog: str) -> dict[str, str]:
    """Text of each module, by name."""
    found = re.finditer(r"^module\s+(\\\S+|\w+).*?^endmodule$", verilog, re.MULTILINE | re.DOTALL)
    return {match[1].removeprefix("\\"): match[0] for match in found}


def instances(text: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Module of each instance in a module's text, as Amaranth's back end writes them, one ``module name (`` a line."""
    found = re.findall(r"^\s+\\?(\S+)\s+\\?(\S+)\s+\($", text, re.MULTILINE)
    return {name: module for module, name in found if module in modules}


# ------------------------------------------------------------------------- yosys


def module_cells(name: str, modules: Mapping[str, str], build: Path = BUILD) -> Cells:
    """Own cells and instances of one module; from the cache when its text and its boxes have not changed."""
    inside = sorted(set(instances(modules[name], modules).values()))
    boxes = "\n".join(modules[module] for module in inside)
    key = hashlib.sha256("\0".join((SCRIPT, name, modules[name], boxes)).encode()).hexdigest()[:16]
    result = build / f"{key}.json"
    if not result.exists():
        folder = build / key
        write_atomically(folder / "boxes.v", boxes)
        write_atomically(folder / "module.v", modules[name])
        write_atomically(result, json.dumps(_run_yosys(name, folder)))
        shutil.rmtree(folder)
    return Counter(json.loads(result.read_text()))


def _run_yosys(name: str, folder: Path) -> dict[str, int]:
    """Cells by type; the folder stays when yosys fails."""
    log = folder / "yosys.log"  # YoWASP's own output ends with the first call of ABC
    command = [tool("yosys").path, "-q", "-l", log.name, "-p", SCRIPT.format(top=name)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        last = (log.read_text().strip() or "no message").splitlines()[-1]
        raise SynthError(f"yosys on module '{name}' in {folder} failed: {last}")
    counts: dict[str, int] = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return {kind.removeprefix("\\"): count for kind, count in counts.items()}


# ------------------------------------------------------------------------ report


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
    """Cost per unit; ``netlists`` gives the module of each instance in each module.

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
    return SynthReport(
        preset,
        {unit: resources(cells) for unit, cells in units.items()},
        resources(cost(TOP, own)),
        {module: resources(_primitives(module, own)) for module in own},
    )


def _primitives(module: str, own: Mapping[str, Cells]) -> Cells:
    return Counter({kind: count for kind, count in own[module].items() if kind not in own})
