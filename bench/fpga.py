"""What the core does on boards: resources, Fmax of several placements, and the rate at the clock chosen.

    rate = clock / cycles of a token or image

A row is a build; its figures are kept in ``bench/fpga.json``, because a large one takes up to an hour and a half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.llama.program import Buckets
from fpga import FpgaError
from fpga.boards import board
from fpga.build import Progress, build, build_design, clock_setting
from fpga.matrix import matrix_verilog
from fpga.report import BuildReport
from hdl.config import LpuConfig, MemoryGroup, preset
from models.digits.evaluate import compile_digits
from models.digits.model import FloatModel, quantise
from models.llama.prepare import prepare
from models.stories.corpus import HELD_OUT_PATH
from sim.files import write_atomically

BASELINE = Path(__file__).with_name("fpga.json")
STORY_MODEL = HELD_OUT_PATH.with_name("stories260k.bin")
SEEDS = range(1, 4)
MATRIX_LANES = 8
"""Side of the matrix array alone: 64 MULT18 of the ECP5-85F's 156."""
MATRIX_CLOCK_MHZ = 100

Figures = dict[str, int | float | str]


def digit_cycles(config: LpuConfig) -> int:
    """Cycles of one image of the digits classifier."""
    return compile_digits(config, quantise(FloatModel.load())).report.cycles


def token_cycles(context: int) -> Callable[[LpuConfig], int]:
    """Cycles of one token of the shipped Llama with so long a context, in the bucket of the last position."""
    return lambda config: Buckets(config, prepare(STORY_MODEL).quantised, context).program(context, 1).report.cycles


@dataclass(frozen=True)
class Case:
    """A row: which board with which core, and what it computes (``unit`` of which it makes so many a second).

    ``clock_mhz``: None: the board's. ``nightly``: not one of the builds of some minutes.
    """

    board: str
    preset: str
    unit: str
    cycles: Callable[[LpuConfig], int]
    clock_mhz: float | None = None
    nightly: bool = False
    seeds: Sequence[int] = SEEDS

    @property
    def name(self) -> str:
        return f"{self.board}/{self.preset}"


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("icebreaker", "nano", "image", digit_cycles),
        Case("ulx3s_25f", "nano", "image", digit_cycles),
        Case("ulx3s_85f", "small", "token", token_cycles(128), 50, nightly=True),
        Case("ulx3s_85f", "ulx3s", "token", token_cycles(128), 50, nightly=True, seeds=SEEDS[:1]),
        Case("ulx3s_85f", "ulx3s_narrow", "token", token_cycles(64), nightly=True, seeds=(board("ulx3s_85f").seed,)),
    )
}
MATRIX = "ulx3s_85f/matrix"
"""Name of the row for the matrix array alone."""


def measure(case: Case, progress: Progress) -> Figures:
    """Build a row and count. A build that is refused is a row that says why, in ``refused``, without its log's path."""
    place, config = board(case.board), preset(case.preset)
    clock_mhz = case.clock_mhz or place.clock_mhz
    cycles = case.cycles(config)
    counted: Figures = {"unit": case.unit, "cycles": cycles}
    try:
        report = build(place, config, clock_mhz, case.seeds, progress)
    except FpgaError as error:
        why, _, _ = str(error).partition("; log: ")
        return {"part": place.part, "clock_mhz": clock_mhz, **counted, "refused": why}
    rate = round(report.clock_mhz * 1e6 / cycles) if report.met else 0
    return {**figures(report), **counted, "rate": rate}


def figures(report: BuildReport) -> Figures:
    """Resources of the best placement, and Fmax of them all."""
    counted: Figures = {name.lower(): count for name, count in report.used.items()}
    counted["ff"] = report.flip_flops
    return {
        "part": report.part,
        "clock_mhz": report.clock_mhz,
        **counted,
        "fmax_mhz_median": round(report.median_fmax_mhz, 2),
        "fmax_mhz_best": round(report.best.fmax_mhz, 2),
        "critical_path": f"{report.best.path_from} ... {report.best.path_to}",
        "met": int(report.met),
    }


def matrix_config(lanes: int = MATRIX_LANES) -> LpuConfig:
    """A core whose supercell has ``lanes`` lanes; nothing else of it is built."""
    group = MemoryGroup(lanes, 512)
    return preset("small").replace(name="matrix", lanes=lanes, weight_streams=lanes, weight_groups=(group,))


def measure_matrix(progress: Progress) -> Figures:
    """One supercell between shift registers: LUT places, FF and MULT18 of the array itself, Fmax of all."""
    config, place = matrix_config(), board("ulx3s_85f")
    pll, clock_hz = clock_setting(place, MATRIX_CLOCK_MHZ)
    report = build_design(place, "matrix", matrix_verilog(config), pll, clock_hz, SEEDS, progress)
    array, macs = report.units["supercell"], config.superlane_lanes**2
    own: Figures = {name: array[name] for name in ("lut", "ff", "dsp", "bram")}
    return {**figures(report), **own, "macs": macs, "lut_per_mac": round(array["lut"] / macs, 2)}


def load_baseline(path: Path = BASELINE) -> dict[str, Figures]:
    """The kept rows. Raises FpgaError naming the file."""
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise FpgaError(f"{path}: not JSON: {error}") from None
    if not isinstance(stored, dict) or not all(isinstance(row, dict) for row in stored.values()):
        raise FpgaError(f"{path}: must map the name of each row to its figures")
    return stored


def save_baseline(rows: Mapping[str, Figures], path: Path = BASELINE) -> None:
    write_atomically(path, json.dumps(dict(sorted(rows.items())), indent=2) + "\n")
