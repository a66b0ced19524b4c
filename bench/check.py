"""Figures that may not get worse: cycles, program bytes and area, against ``bench/baseline.json``.

A figure is a name ``preset/workload/quantity`` and an integer; less is better. Cycles are the compiler's prediction,
which the RTL tests hold the core to. Cycles, program bytes, DSP and block RAM may not grow at all, LUT and FF by 2 %.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.ops import CASES, compiled
from bench.synth import synth
from compiler.build import CompiledProgram, compile_graph
from compiler.llama.program import Buckets
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig, preset
from models.digits.evaluate import compile_digits
from models.digits.model import FloatModel, quantise
from models.llama.prepare import prepare
from models.stories.corpus import HELD_OUT_PATH
from sim.files import write_atomically
from sim.programs import keep_programs, kept_program

BASELINE = Path(__file__).with_name("baseline.json")
MATMULS = ((1, 64, 64), (1, 128, 128), (1, 256, 256), (64, 64, 64), (64, 128, 256))
"""(M, K, N) of the anchor workloads."""
LLAMA_BUCKETS = (128, 64, 32)
"""Those that take longest to compile first."""
STORY_MODEL = HELD_OUT_PATH.with_name("stories260k.bin")
DIGITS_PRESETS = ("nano", "tiny", "small")
AREA_PRESET = "small"
SLACK: Mapping[str, float] = {"lut4": 0.02, "ff": 0.02}
"""Quantities that may grow by this share before it counts."""
AREA_QUANTITIES = ("lut4", "ff", "dsp", "bram")

Figures = dict[str, int]


class BaselineError(ValueError):
    """A baseline that is missing or is not one."""


@dataclass(frozen=True)
class Change:
    """A figure that differs from its baseline; None: the figure exists on one side only."""

    name: str
    before: int | None
    now: int | None

    @property
    def regression(self) -> bool:
        """Whether the figure grew beyond its slack, or is gone."""
        if self.before is None:
            return False
        if self.now is None:
            return True
        return self.now > self.before * (1 + SLACK.get(self.name.rsplit("/", 1)[-1], 0))


def program_figures() -> Figures:
    """Cycles and program bytes: anchor matmuls and operators on ``small``, digits on three presets."""
    small, figures = preset("small"), {}
    for shape in MATMULS:
        product = compile_graph(small, matmul_graph(small, *shape))
        figures.update(_figures(small, "matmul " + "x".join(map(str, shape)), product))
    for case in CASES:
        figures.update(_figures(small, f"{case.name} {case.shape}", compiled(small, case)))
    for config in map(preset, DIGITS_PRESETS):
        figures.update(_figures(config, "digits", compile_digits(config, quantise(FloatModel.load()))))
    return figures | llama_figures()


def llama_figures() -> Figures:
    """Cycles of a token and program bytes of the shipped Llama on ``small``, by bucket."""
    small, model = preset("small"), prepare(STORY_MODEL).quantised
    buckets = Buckets(small, model, compiler=kept_program)
    keep_programs([buckets.job(size, 1) for size in LLAMA_BUCKETS])
    programs = {size: buckets.program(size, 1) for size in LLAMA_BUCKETS}
    figures: Figures = {}
    for size, program in programs.items():
        figures.update(_figures(small, f"llama {size}", program))
    return figures


def _figures(config: LpuConfig, workload: str, program: CompiledProgram) -> Figures:
    place = f"{config.name}/{workload}"
    return {f"{place}/cycles": program.report.cycles, f"{place}/program_bytes": program.report.program_bytes}


def area_figures() -> Figures:
    """Cells of the whole core, ``small``; takes minutes unless :func:`bench.synth.synth` has them in its cache."""
    total = synth(preset(AREA_PRESET)).total
    return {f"{AREA_PRESET}/area/{quantity}": total[quantity] for quantity in AREA_QUANTITIES}


def load_baseline(path: Path = BASELINE) -> Figures:
    """The stored figures. Raises BaselineError naming the file."""
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        raise BaselineError(f"{path}: no such file: run `lpu bench check --update`") from None
    except json.JSONDecodeError as error:
        raise BaselineError(f"{path}: not JSON: {error}") from None
    if not isinstance(stored, dict) or not all(type(value) is int for value in stored.values()):
        raise BaselineError(f"{path}: must map the name of each figure to an integer")
    return stored


def save_baseline(figures: Figures, path: Path = BASELINE) -> None:
    write_atomically(path, json.dumps(dict(sorted(figures.items())), indent=2) + "\n")


def compare(before: Figures, now: Figures) -> list[Change]:
    """All figures that differ, regressions first."""
    names = sorted(before.keys() | now.keys())
    changes = [Change(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]
    return sorted(changes, key=lambda change: not change.regression)
