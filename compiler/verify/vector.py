"""Rules for the vector unit: result registers and the flag are read only after an element has written them.

At power-up they are 0, later they hold what the program before left: no result may depend on either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from compiler.operands import performed, reads_flag, register_reads, sets_flag
from compiler.verify.issue import Problem, Site, earliest
from hdl.config import LpuConfig, PipeKind
from hdl.isa import PIPES, Source, pipe_cycles, pipe_latency, whole_latency

Use = Callable[[Site, bool], bool]
"""Whether the elements of a site, the first ones or the others, do something."""


def _first_cycle(site: Site, use: Use) -> int | None:
    """Cycle of the earliest element that does it."""
    cycles = site.cycles[np.where(site.numbers == 0, use(site, True), use(site, False))]
    return int(cycles[0]) if cycles.size else None


def _uses(sites: Sequence[Site], use: Use) -> Iterator[tuple[int, Site]]:
    for site in sites:
        cycle = _first_cycle(site, use)
        if cycle is not None:
            yield cycle, site


def _unwritten(sites: Sequence[Site], what: str, reads: Use, writes: Use, latency: int) -> Problem | None:
    """The earliest read of ``what`` that comes less than ``latency`` cycles after the first write."""
    read = min(_uses(sites, reads), key=_cycle, default=None)
    written = min(_uses(sites, writes), key=_cycle, default=None)
    if read is None or (written and read[0] >= written[0] + latency):
        return None
    cycle, site = read
    if written is None:
        return Problem(cycle, f"{site} reads {what}, which nothing writes")
    when = f"stands there from cycle {written[0] + latency} on, issued in {written[0]} by {written[1]}"
    return Problem(cycle, f"{site} reads {what}, whose first value {when}")


def _cycle(use: tuple[int, Site]) -> int:
    return use[0]


def check_registers(config: LpuConfig, sites: Sequence[Site]) -> Problem | None:
    """No element reads the result register of a pipe before its first result stands there, and none comes too soon."""
    vector = [site for site in sites if site.queue.kind in PIPES]
    return earliest(
        problem
        for pipe in config.pipes
        for problem in (
            _check_register(config, vector, pipe, swaps=False),
            _check_register(config, vector, pipe, swaps=True),
            _check_distance(config, vector, pipe),
        )
    )


def _check_distance(config: LpuConfig, sites: Sequence[Site], pipe: PipeKind) -> Problem | None:
    """An element of a pipe has the cycles that it takes."""
    cycles = pipe_cycles(config, pipe)
    mine = ((cycle, site) for site in sites if PIPES[site.queue.kind] is pipe for cycle in site.cycles.tolist())
    issued = sorted(mine, key=_cycle)
    for (before, first), (cycle, site) in pairwise(issued):
        if cycle < before + cycles:
            return Problem(cycle, f"{site} begins while {first}, issued in cycle {before}, takes {cycles} cycles")
    return None


def _check_register(config: LpuConfig, sites: Sequence[Site], pipe: PipeKind, swaps: bool) -> Problem | None:
    """Reads of a pipe's register, those by SWAP or the others."""

    def reads(site: Site, first: bool) -> bool:
        named = register_reads(site.instruction, PIPES[site.queue.kind], first)
        return any(
            register is pipe and (site.instruction[f"{field}_from"] == Source.SWAP) == swaps
            for field, register in named
        )

    def writes(site: Site, first: bool) -> bool:
        return PIPES[site.queue.kind] is pipe

    latency = (whole_latency if swaps else pipe_latency)(config, pipe)
    return _unwritten(sites, f"the result register of {pipe.name}", reads, writes, latency)


def check_flags(config: LpuConfig, sites: Sequence[Site]) -> Problem | None:
    """No SELECT or PICK before the first comparison."""
    vector = [site for site in sites if site.queue.kind in PIPES]

    def reads(site: Site, first: bool) -> bool:
        pipe = PIPES[site.queue.kind]
        return reads_flag(pipe, performed(site.instruction, pipe, first))

    def writes(site: Site, first: bool) -> bool:
        pipe = PIPES[site.queue.kind]
        return sets_flag(pipe, performed(site.instruction, pipe, first))

    return _unwritten(vector, "the flag", reads, writes, pipe_latency(config, PipeKind.INT))
