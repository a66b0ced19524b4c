"""The queues of a core: one per slice port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hdl.config import LpuConfig, Unit, UnitKind
from hdl.isa.opcodes import PIPE_QUEUES, IsaError, QueueKind


@dataclass(frozen=True)
class Queue:
    """One instruction queue: ``name`` (``d0.r``, ``mxm0.a``, ``vxm0.m``), its format and the unit it feeds."""

    name: str
    kind: QueueKind
    unit: Unit


_UNIT_QUEUES: Mapping[UnitKind, tuple[tuple[str, QueueKind], ...]] = {
    UnitKind.MATRIX: ((".w", QueueKind.MXM_WEIGHTS), (".a", QueueKind.MXM_ACTIVATIONS)),
    UnitKind.SWITCH: (("", QueueKind.SWITCH),),
    UnitKind.WEIGHT_MEMORY: ((".r", QueueKind.MEM_READ), (".w", QueueKind.MEM_WRITE)),
    UnitKind.DATA_MEMORY: ((".r", QueueKind.MEM_READ), (".w", QueueKind.MEM_WRITE)),
}


def _ports(config: LpuConfig, unit: Unit) -> tuple[tuple[str, QueueKind], ...]:
    if unit.kind is UnitKind.WEIGHT_MEMORY and config.weights_from_host:
        return _UNIT_QUEUES[unit.kind][:1]
    if unit.kind is not UnitKind.VECTOR:
        return _UNIT_QUEUES[unit.kind]
    kinds = (PIPE_QUEUES[pipe] for pipe in config.pipes)
    return tuple((kind.value.removeprefix("vxm"), kind) for kind in kinds)


@cache
def queues(config: LpuConfig) -> tuple[Queue, ...]:
    """All queues, in the order of the host port's program windows."""
    return tuple(
        Queue(unit.name + suffix, kind, unit) for unit in config.units for suffix, kind in _ports(config, unit)
    )


@cache
def memory_ports(config: LpuConfig) -> tuple[Queue, ...]:
    """Read and write port of every memory group, each as its queue, or as the queue that it would have."""
    return tuple(
        Queue(unit.name + suffix, kind, unit)
        for unit in config.units
        if unit.memory is not None
        for suffix, kind in _UNIT_QUEUES[unit.kind]
    )


def queue(config: LpuConfig, name: str) -> Queue:
    for candidate in queues(config):
        if candidate.name == name:
            return candidate
    raise IsaError(f"unknown queue '{name}'; queues: {', '.join(q.name for q in queues(config))}")
