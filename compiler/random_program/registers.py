"""What items of the vector unit read from result registers and the flag, and when those first hold something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.operands import performed, reads_flag, register_reads, sets_flag
from compiler.random_program.pattern import Item
from hdl.config import LpuConfig
from hdl.isa import PIPES, Source, pipe_latency

FLAG = "flag"
"""The flag of the INT pipe, beside the pipes' registers."""


def first_reads(config: LpuConfig, items: Iterable[Item]) -> dict[str, int]:
    """Cycle of the earliest read of each register that the items read; a SWAP counts as one of its latest lane."""
    return _least((register, cycle) for item in items for register, cycle in _reads(config, item))


def first_values(config: LpuConfig, items: Iterable[Item]) -> dict[str, int]:
    """First cycle in which an element can take a value from each register that the items write."""
    return _least((register, cycle) for item in items for register, cycle in _values(config, item))


def _least(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    least: dict[str, int] = {}
    for register, cycle in pairs:
        least[register] = min(least.get(register, cycle), cycle)
    return least


def _reads(config: LpuConfig, item: Item) -> Iterator[tuple[str, int]]:
    pipe = PIPES.get(item.queue.kind)
    for element in item.elements if pipe else ():
        assert pipe
        cycle = item.start + element.cycle
        for name, register in register_reads(element.instruction, pipe, element.first):
            swaps = element.instruction[f"{name}_from"] == Source.SWAP
            yield register, cycle - swaps * (config.vector_cycles - 1)
        if reads_flag(pipe, performed(element.instruction, pipe, element.first)):
            yield FLAG, cycle


def _values(config: LpuConfig, item: Item) -> Iterator[tuple[str, int]]:
    pipe = PIPES.get(item.queue.kind)
    for element in item.elements if pipe else ():
        assert pipe
        cycle = item.start + element.cycle
        yield pipe, cycle + pipe_latency(config, pipe)
        if sets_flag(pipe, performed(element.instruction, pipe, element.first)):
            yield FLAG, cycle + pipe_latency(config, pipe)
