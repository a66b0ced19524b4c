"""Rules for the vector unit: result registers and the flag are read only after an element has written them.

At power-up they are 0, later they hold what the program before left: no result may depend on either.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from compiler.operands import performed, reads_flag, register_reads, sets_flag
from compiler.verify.issue import Problem, Site, earliest
from hdl.config import LpuConfig, PipeKind
from hdl.isa import PIPE_LATENCY, PIPES, QueueKind

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


def check_registers(sites: Sequence[Site]) -> Problem | None:
    """No element reads the result register of a pipe before its first result stands there."""
    vector = [site for site in sites if site.queue.kind in PIPES]
    return earliest(_check_register(vector, pipe) for pipe in PipeKind)


def _check_register(sites: Sequence[Site], pipe: PipeKind) -> Problem | None:
    def reads(site: Site, first: bool) -> bool:
        return pipe in dict(register_reads(site.instruction, PIPES[site.queue.kind], first)).values()

    def writes(site: Site, first: bool) -> bool:
        return PIPES[site.queue.kind] is pipe

    return _unwritten(sites, f"the result register of {pipe.name}", reads, writes, PIPE_LATENCY[pipe])


def check_flags(sites: Sequence[Site]) -> Problem | None:
    """No SELECT or PICK before the first comparison."""
    vector = [site for site in sites if site.queue.kind in PIPES]

    def reads(site: Site, first: bool) -> bool:
        pipe = PIPES[site.queue.kind]
        return reads_flag(pipe, performed(site.instruction, pipe, first))

    def writes(site: Site, first: bool) -> bool:
        pipe = PIPES[site.queue.kind]
        return sets_flag(pipe, performed(site.instruction, pipe, first))

    return _unwritten(vector, "the flag", reads, writes, PIPE_LATENCY[PipeKind.INT])


def check_sfu(config: LpuConfig, sites: Sequence[Site]) -> Problem | None:
    """While an element takes the SFU pipe, no other one begins."""
    mine = [site for site in sites if site.queue.kind is QueueKind.VXM_SFU]
    issued = sorted(((int(cycle), site) for site in mine for cycle in site.cycles), key=_cycle)
    for (before, earlier), (cycle, site) in itertools.pairwise(issued):
        if cycle < before + config.sfu_cycles:
            text = f"{site} begins while {earlier}, issued in cycle {before}, takes {config.sfu_cycles} cycles"
            return Problem(cycle, text)
    return None
