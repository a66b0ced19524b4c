"""Rules for the matrix unit: complete tiles are installed, ABC follows an IW, and nothing disturbs it, accumulation
follows a start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.verify.issue import Problem, Site, earliest
from hdl.config import LpuConfig, Unit, UnitKind
from hdl.isa import IW_TO_ABC, LW_TO_IW, Opcode


def check_matrix(config: LpuConfig, sites: Sequence[Site]) -> Problem | None:
    """All rules of this file, for every matrix plane."""
    problems: list[Problem | None] = []
    for unit in config.units_of(UnitKind.MATRIX):
        weights = [site for site in sites if site.queue.name == f"{unit.name}.w"]
        activations = [site for site in sites if site.queue.name == f"{unit.name}.a"]
        problems.append(check_installs(config, weights))
        problems.append(check_first_install(unit, weights, activations, config.tile_load_cycles))
        problems.append(check_array(config, weights, activations))
        problems.append(check_accumulators(activations))
    return earliest(problems)


def _in_order(sites: Sequence[Site]) -> list[tuple[int, int, Site]]:
    """(cycle, element number, site) of every element of one queue, in issue order."""
    pairs = ((site, zip(site.cycles.tolist(), site.numbers.tolist(), strict=True)) for site in sites)
    elements = [(cycle, number, site) for site, issued in pairs for cycle, number in issued]
    return sorted(elements, key=lambda element: element[0])


def check_installs(config: LpuConfig, weights: Sequence[Site]) -> Problem | None:
    """Each IW finds every step of a tile captured since the last one, and none meets the automatic IW of an LW."""
    steps = config.tile_load_cycles
    captured: set[int] = set()
    automatic: tuple[int, Site] | None = None
    for cycle, number, site in _in_order(weights):
        if site.instruction.op is Opcode.IW:
            if automatic and automatic[0] == cycle:
                return Problem(cycle, f"{site} meets the automatic IW of {automatic[1]}")
            if len(captured) < steps:
                return Problem(cycle, f"{site} installs {len(captured)} of {steps} steps loaded since the last IW")
            captured.clear()
            continue
        captured.add(number % steps)
        if site.instruction["install"] and number % steps == steps - 1:
            captured.clear()
            automatic = (cycle + LW_TO_IW, site)
    return None


def _install_cycles(weights: Sequence[Site], steps: int) -> Iterator[tuple[int, Site]]:
    for cycle, number, site in _in_order(weights):
        if site.instruction.op is Opcode.IW:
            yield cycle, site
        elif site.instruction["install"] and number % steps == steps - 1:
            yield cycle + LW_TO_IW, site


def check_first_install(unit: Unit, weights: Sequence[Site], activations: Sequence[Site], steps: int) -> Problem | None:
    """No ABC before the plane's first IW."""
    if not activations:
        return None
    site = min(activations, key=lambda site: int(site.cycles[0]))
    cycle = int(site.cycles[0])
    installs = next(_install_cycles(weights, steps), None)
    if installs is None:
        return Problem(cycle, f"{site} multiplies with a tile of {unit.name} that nothing installs")
    if cycle < installs[0] + IW_TO_ABC:
        return Problem(
            cycle, f"{site} multiplies before the first IW of {unit.name}, in cycle {installs[0]} by {installs[1]}"
        )
    return None


def check_array(config: LpuConfig, weights: Sequence[Site], activations: Sequence[Site]) -> Problem | None:
    """While an ABC element works with the array, no other one begins and no tile is installed."""
    cycles = config.abc_cycles
    uses = [(cycle, 1, site) for cycle, site in _install_cycles(weights, config.tile_load_cycles)]
    uses += [(cycle, 2, site) for cycle, _, site in _in_order(activations)]
    multiplies: tuple[int, Site] | None = None
    for cycle, kind, site in sorted(uses, key=lambda use: use[:2]):
        if multiplies and cycle < multiplies[0] + cycles:
            what = "multiplies" if kind == 2 else "installs a tile"
            text = f"{site} {what} while {multiplies[1]}, issued in cycle {multiplies[0]}, takes {cycles} cycles"
            return Problem(cycle, text)
        multiplies = (cycle, site) if kind == 2 else multiplies
    return None


def check_accumulators(activations: Sequence[Site]) -> Problem | None:
    """Every accumulation adds to a row that an earlier ABC, or this one, has started."""
    started: set[int] = set()
    for cycle, number, site in _in_order(activations):
        walk, start = site.instruction["walk"], site.instruction["start"]
        row = site.instruction["row"] + (number if walk else 0)
        if start and (walk or number == 0):
            started.add(row)
        elif row not in started:
            return Problem(cycle, f"{site} accumulates into row {row}, which no ABC has started")
    return None
