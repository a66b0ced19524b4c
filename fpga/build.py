"""From a board and a core to a bitstream: yosys, nextpnr for each seed, pack; all in ``build/fpga``, keyed by content.

    build/fpga/BOARD-PRESET-KEY/            netlist: sources, top.json, cells.json, yosys' log
    build/fpga/BOARD-PRESET-KEY/seed-N/     one placement: report.json, nextpnr's log, the configuration

A folder is there when its step has succeeded, and never made twice; a failed step leaves its log beside it.
Scripts, constraints and tool arguments are those that Amaranth's platform prepares.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Elaboratable

from fpga import FpgaError
from fpga.boards import Board
from fpga.cells import unit_cells
from fpga.design import TOP, board_verilog
from fpga.pll import MHZ, PllSetting, solve
from fpga.report import RESOURCES, BuildReport, Placement
from fpga.tools import tool
from fpga.top import BoardTop, board_frequency, family_of
from hdl.config import LpuConfig
from hdl.emit import Technology
from sim.build import CACHE
from sim.files import locked, work_directory, write_atomically

FOLDER = CACHE / "fpga"
SYNTH_OPTIONS: Mapping[str, str] = {"ecp5": "-nowidelut", "ice40": ""}
"""See docs/fpga.md for what the others cost. No -dsp: the SB_MAC16 are instantiated."""
ASSERTION = "ERROR: Assert"
"""How yosys ends where its ABC9 step breaks one of its own rules, as yosys 0.70 does on preset `small`, flattened."""
ROUTER: Mapping[str, tuple[str, ...]] = {"ecp5": ("--router", "router2"), "ice40": ()}
"""The default one was still at it after 100 minutes on a full ECP5-85F."""
ROUTING_MINUTES = 30
"""What is not routed by then is stopped: too many wires are wanted twice, and they do not become fewer."""
NETLIST_FILES = (".il", ".ys", ".lpf", ".pcf", ".v")
ROUTING = "routing"
PHASES = (
    (re.compile(r"Info: Packing"), "packing"),
    (re.compile(r"Info: (Creating initial|Placed|Running main)"), "placing"),
    (re.compile(r"Info: (Routing|Setting up routing|Running router)"), ROUTING),
)
OVERUSED = re.compile(r"Info:\s+iter=\d+ wires=(\d+) overused=(\d+) ")
"""A line of router2 after each of its iterations."""
UTILISATION = re.compile(r"Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%")

Progress = Callable[[str, str], None]
"""Told which job is in which phase."""


@dataclass(frozen=True)
class Flow:
    """What a build is made of: files, and the arguments of nextpnr and of the packer."""

    family: str
    files: Mapping[str, str]
    place: tuple[str, ...]
    pack: tuple[str, ...]

    @property
    def key(self) -> str:
        """Changes with anything that the result depends on."""
        tools = [tool(name).version for name in ("yosys", self.place[0], self.pack[0])]
        parts = [*tools, *self.place, *self.pack, *(f"{name}\0{text}" for name, text in sorted(self.files.items()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def clock_setting(board: Board, clock_mhz: float) -> tuple[PllSetting | None, float]:
    """PLL setting (None: the board's own clock) and the clock in Hz that comes out. Raises FpgaError."""
    if not 0 < clock_mhz < 1000:
        raise FpgaError(f"clock of {clock_mhz:g} MHz: must be above 0 and below 1000")
    platform = board.load()
    wanted, own = round(clock_mhz * MHZ), board_frequency(platform)
    if wanted == own:
        return None, float(own)
    pll = solve(family_of(platform), own, wanted)
    return pll, float(pll.output_hz)


def flow(platform: Any, top: Elaboratable, sources: Mapping[str, str]) -> Flow:
    """What Amaranth prepares for ``top``, whose Instances are modules of ``sources``."""
    for name, text in sources.items():
        platform.add_file(name, text)
    family = family_of(platform)
    options = {"synth_opts": SYNTH_OPTIONS[family], "read_verilog_opts": "-sv", "emit_src": False}
    plan = platform.prepare(top, name="top", **options)
    commands = [shlex.split(line) for line in plan.files["build_top.sh"].splitlines() if line.startswith('"$')]
    texts = {name: content if isinstance(content, str) else content.decode() for name, content in plan.files.items()}
    files = {
        name: text for name, text in texts.items() if name.endswith(NETLIST_FILES) and not name.endswith(".debug.v")
    }
    packer = "ecppack" if family == "ecp5" else "icepack"
    place = [f"../{word}" if word in ("top.json", "top.lpf", "top.pcf") else word for word in commands[1][1:]]
    place.remove("--quiet")
    place += ROUTER[family]
    return Flow(family, files, (f"nextpnr-{family}", *place), (packer, *commands[2][1:]))


def build(
    board: Board,
    config: LpuConfig,
    clock_mhz: float,
    seeds: Sequence[int],
    progress: Progress = lambda job, phase: None,
) -> BuildReport:
    """Build for ``board``; the placement with the highest Fmax is packed when it meets the clock.

    Raises FpgaError: clock not reachable, a resource that does not suffice, a tool that fails.
    """
    progress("design", "writing")
    pll, clock_hz = clock_setting(board, clock_mhz)
    technology = Technology(family_of(board.load()))
    text = board_verilog(config, round(clock_hz), board.baud, technology=technology)
    return build_design(board, config.name, text, pll, clock_hz, seeds, progress)


def build_design(
    board: Board,
    name: str,
    design: str,
    pll: PllSetting | None,
    clock_hz: float,
    seeds: Sequence[int],
    progress: Progress,
) -> BuildReport:
    """The same for any Verilog ``design`` with the ports of ``lpu_board``; ``name`` stands for it in the report."""
    made = flow(board.load(), BoardTop(pll, clock_hz, board.pll_pad), {f"{TOP}.v": design})
    progress("design", "done")
    folder = netlist(f"{board.name}-{name}", made, progress)
    placements = place_all(folder, made, seeds, f"preset '{name}' on {board.name} ({board.part})", progress)
    best = max(placements, key=lambda placement: placement.fmax_mhz)
    met = best.fmax_mhz * MHZ >= clock_hz
    columns = RESOURCES[made.family]
    return BuildReport(
        board=board.name,
        preset=name,
        part=board.part,
        family=made.family,
        clock_mhz=clock_hz / MHZ,
        placements=tuple(placements),
        used={column: best.utilisation[bel][0] for column, bel in columns.items()},
        available={column: best.utilisation[bel][1] for column, bel in columns.items()},
        units=json.loads((folder / "cells.json").read_text()),
        bitstream=str(pack(folder, made, best.seed, progress)) if met else None,
    )


# ------------------------------------------------------------------------- steps


def netlist(name: str, made: Flow, progress: Progress) -> Path:
    """The folder with the netlist, synthesised when it is not there."""
    folder = FOLDER / f"{name}-{made.key}"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            progress("yosys", "synthesising")
            with work_directory(folder) as work:
                for file, text in made.files.items():
                    (work / file).write_text(text)
                _synthesise(work, folder.with_suffix(".yosys.log"), progress)
                cells = json.loads((work / "top.json").read_text())["modules"]["top"]["cells"]
                write_atomically(work / "cells.json", json.dumps(unit_cells(cells), indent=2) + "\n")
    progress("yosys", "done")
    return folder


def _synthesise(work: Path, log: Path, progress: Progress) -> None:
    """Run yosys; once more, without ABC9, where that is what stops it: such a netlist is larger, and is a netlist."""
    command = ["-q", "-l", "top.rpt", "top.ys"]
    try:
        _run("yosys", command, work, log)
    except FpgaError as error:
        script = work / "top.ys"
        text = script.read_text()
        if ASSERTION not in str(error) or "synth_ecp5 " not in text:
            raise
        progress("yosys", "synthesising again, without ABC9")
        script.write_text(text.replace("synth_ecp5 ", "synth_ecp5 -noabc9 "))
        _run("yosys", command, work, log)


def place_all(folder: Path, made: Flow, seeds: Sequence[int], what: str, progress: Progress) -> list[Placement]:
    """Every seed's placement, as many at a time as there are processors, in the order of ``seeds``."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda seed: place(folder, made, seed, what, progress), seeds))


def place(folder: Path, made: Flow, seed: int, what: str, progress: Progress) -> Placement:
    """Place and route with one seed. Raises FpgaError naming the resources that do not suffice."""
    job, target = f"nextpnr seed {seed}", folder / f"seed-{seed}"
    log = folder / f"seed-{seed}.log"
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            progress(job, "starting")
            with work_directory(target) as work:
                extra = ["--seed", str(seed), "--report", "report.json", "--timing-allow-fail"]
                with log.open("w") as lines:
                    _watch(made, [*made.place[1:], *extra], work, lines, what, lambda phase: progress(job, phase))
    progress(job, "done")
    return Placement.read(seed, target / "report.json")


def _watch(made: Flow, arguments: Sequence[str], work: Path, log: Any, what: str, phase: Callable[[str], None]) -> None:
    """Run nextpnr; stop it when what it counts is more than the part has, or when routing takes too long."""
    name = made.place[0]
    command = [tool(name).path, *arguments]
    columns = {bel: column for column, bel in RESOURCES[made.family].items()}
    short: list[str] = []
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        limit = _Limit(process)
        for line in process.stdout:
            log.write(line)
            for pattern, shown in PHASES:
                if pattern.match(line):
                    phase(shown)
                    limit.reached(shown)
            if (found := UTILISATION.match(line)) and int(found[2]) > int(found[3]):
                short.append(f"{columns.get(found[1], found[1])} {int(found[2]):,} of {int(found[3]):,}")
            elif short:
                process.kill()
                raise FpgaError(f"{what} does not fit: needs {', '.join(short)}")
    log.flush()
    said = Path(log.name).read_text()
    if limit.passed():
        raise FpgaError(f"{what} is not routed after {ROUTING_MINUTES} minutes{_overused(said)}; log: {log.name}")
    if process.returncode != 0:
        raise FpgaError(f"{name} failed on {what}: {_last_error(said)}; log: {log.name}")


class _Limit:
    """Ends a process ROUTING_MINUTES after it has begun to route."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._late = threading.Event()
        self._timer = threading.Timer(ROUTING_MINUTES * 60, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self._late.set()
        self._process.kill()

    def reached(self, phase: str) -> None:
        if phase == ROUTING and self._timer.ident is None:
            self._timer.start()

    def passed(self) -> bool:
        """Whether the time had run out; the process has ended."""
        self._timer.cancel()
        return self._late.is_set()


def _overused(said: str) -> str:
    """How far router2 was, if it has said so."""
    found = OVERUSED.findall(said)
    return f": {int(found[-1][1]):,} of {int(found[-1][0]):,} wires are still wanted twice" if found else ""


def pack(folder: Path, made: Flow, seed: int, progress: Progress) -> Path:
    """The bitstream of one placement, beside it."""
    placed = folder / f"seed-{seed}"
    name = next(word for word in made.pack if word.endswith((".bit", ".bin")))
    result = folder / name
    if not (placed / "packed").exists() or not result.exists():
        progress("pack", made.pack[0])
        _run(made.pack[0], made.pack[1:], placed, placed / "pack.log")
        os.replace(placed / name, result)
        write_atomically(placed / "packed", "")
    progress("pack", "done")
    return result


def _run(name: str, arguments: Sequence[str], work: Path, log: Path) -> None:
    """Run a tool in ``work``. Raises FpgaError; all that it said is then in ``log``."""
    done = subprocess.run([tool(name).path, *arguments], cwd=work, capture_output=True, text=True)
    if done.returncode != 0:
        own = work / "top.rpt"
        said = (own.read_text() if own.exists() else "") + done.stdout + done.stderr
        write_atomically(log, said)
        raise FpgaError(f"{name} failed: {_last_error(said)}; log: {log}")


def _last_error(said: str) -> str:
    lines = said.strip().splitlines() or ["no message"]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1])
