"""From a board and a core to a bitstream: yosys, nextpnr for each seed, pack; all in ``build/fpga``, keyed by content.

    build/fpga/BOARD-PRESET-KEY/            netlist: sources, top.json, perhaps room.json, cells.json, yosys' log
    build/fpga/BOARD-PRESET-KEY/seed-N/     one placement: report.json, nextpnr's log, the configuration

A folder is there when its step has succeeded, and never made twice; a failed step leaves its log beside it.
Scripts, constraints and tool arguments are those that Amaranth's platform prepares.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections import Counter
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
from fpga.nextpnr import last_error, run_nextpnr
from fpga.pll import MHZ, PllSetting, solve
from fpga.report import RESOURCES, BuildReport, Placement
from fpga.room import PLACER, RULE, has_room, has_scarce_wires, taken, with_fillers
from fpga.tools import tool
from fpga.top import BoardTop, board_frequency, family_of
from hdl.config import LpuConfig
from hdl.emit import Technology
from sim.build import CACHE
from sim.files import locked, work_directory, write_atomically

FOLDER = CACHE / "fpga"
SYNTH_OPTIONS: Mapping[str, str] = {"ecp5": "-nowidelut", "ice40": ""}
"""See docs/fpga.md for what the others cost. No -dsp: the SB_MAC16 are instantiated."""
OWN_REGISTERS = """hierarchy -top top
proc
select -set lanes lpu_lane/t:$*dff* lpu_pipe_*/t:$*dff* lpu_sfu_*/t:$*dff*
setattr -set keep 1 @lanes r:WIDTH<=8 %i
"""
"""Commands for yosys: narrow registers of lanes stay what they are. They say the same in all lanes, and yosys would
make one of them, with hundreds of sinks all over the part."""
AFTER_READ: Mapping[str, str] = {"ecp5": OWN_REGISTERS, "ice40": ""}
ASSERTION = "ERROR: Assert"
"""How yosys ends where its ABC9 step breaks one of its own rules, as yosys 0.70 does on preset `small`, flattened."""
ROUTER: Mapping[str, tuple[str, ...]] = {"ecp5": ("--router", "router2"), "ice40": ()}
"""The default one was still at it after 100 minutes on a full ECP5-85F."""
NETLIST_FILES = (".il", ".ys", ".lpf", ".pcf", ".v")
ROOM = "room.json"
"""The netlist with fillers, where wires are scarce: nextpnr then takes it."""
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
        parts = [
            *tools,
            *self.place,
            *RULE,
            *self.pack,
            *(f"{name}\0{text}" for name, text in sorted(self.files.items())),
        ]
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
    options = {
        "synth_opts": SYNTH_OPTIONS[family],
        "read_verilog_opts": "-sv",
        "script_after_read": AFTER_READ[family],
        "emit_src": False,
    }
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
    spare = Counter({"LUT": len(taken()) if (folder / ROOM).exists() else 0})
    return BuildReport(
        board=board.name,
        preset=name,
        part=board.part,
        family=made.family,
        clock_mhz=clock_hz / MHZ,
        placements=tuple(placements),
        used={column: best.utilisation[bel][0] - spare[column] for column, bel in columns.items()},
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
                made_of = json.loads((work / "top.json").read_text())
                units = unit_cells(made_of["modules"]["top"]["cells"])
                write_atomically(work / "cells.json", json.dumps(units, indent=2) + "\n")
                if has_room(made.place, units):
                    write_atomically(work / ROOM, json.dumps(with_fillers(made_of)))
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
    """Place and route with one seed, 0 being nextpnr's own. Raises FpgaError naming resources that do not suffice."""
    job, target = f"nextpnr seed {seed}", folder / f"seed-{seed}"
    log = folder / f"seed-{seed}.log"
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            progress(job, "starting")
            with work_directory(target) as work:
                seeded = ["--seed", str(seed)] if seed else []
                extra = [*seeded, "--report", "report.json", "--timing-allow-fail"]
                arguments = [*_placing(folder, made), *extra]
                run_nextpnr(made.family, arguments, log, what, lambda phase: progress(job, phase), work)
    progress(job, "done")
    return Placement.read(seed, target / "report.json")


def _placing(folder: Path, made: Flow) -> list[str]:
    """Arguments of nextpnr for a netlist: where wires are scarce, another placer, and LUTs that stay free."""
    arguments = list(made.place[1:])
    if has_scarce_wires(made.place, json.loads((folder / "cells.json").read_text())):
        arguments += PLACER
    if (folder / ROOM).exists():
        arguments[arguments.index("../top.json")] = f"../{ROOM}"
    return arguments


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
        raise FpgaError(f"{name} failed: {last_error(said)}; log: {log}")
