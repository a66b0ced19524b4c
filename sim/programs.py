"""Compiled programs, kept in ``build/programs`` for as long as nothing changes that they depend on."""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from compiler.build import CompiledProgram, compile_graph
from compiler.ir import Graph, Op, Tensor
from hdl.config import LpuConfig
from sim.build import CACHE, ROOT
from sim.files import write_atomically

FOLDER = CACHE / "programs"
SOURCES = ("compiler", "hdl/isa", "hdl/config.py", "golden")
"""What the compiler is made of, its verifier included."""


def kept_program(config: LpuConfig, graph: Graph, steps: int | None = None, effort: int = 0) -> CompiledProgram:
    """What ``compile_graph`` gives, compiled when it is not there. Raises CompileError, which is not kept."""
    path = FOLDER / f"{graph.name}-{_key(config, graph, steps, effort)}.pickle"
    if (kept := _read(path)) is not None:
        return kept
    program = compile_graph(config, graph, steps, effort)
    write_atomically(path, pickle.dumps(program, pickle.HIGHEST_PROTOCOL))
    return program


def _read(path: Path) -> CompiledProgram | None:
    """The program of a file; None where it is missing or damaged."""
    try:
        program = pickle.loads(path.read_bytes())
    except Exception:  # whatever a damaged pickle raises
        return None
    return program if isinstance(program, CompiledProgram) else None


def _key(config: LpuConfig, graph: Graph, steps: int | None, effort: int) -> str:
    found = hashlib.sha256(_sources())
    found.update(repr((config, steps, effort, np.__version__)).encode())
    for part in _content(graph):
        found.update(part)
    return found.hexdigest()[:24]


@functools.cache
def _sources() -> bytes:
    found = hashlib.sha256()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")) or [ROOT / source]:
            found.update(path.read_bytes())
    return found.digest()


def _content(graph: Graph) -> Iterator[bytes]:
    """All operators of a graph, all that is said of their tensors, and every value."""
    seen: dict[str, Tensor] = {}
    yield repr([graph.name, [t.name for t in graph.inputs], [t.name for t in graph.outputs]]).encode()
    for op in graph.ops:
        values = [getattr(op, field.name) for field in fields(Op)]
        yield repr([_named(value, seen) for value in values]).encode()
    for tensor in (*graph.inputs, *graph.outputs, *seen.values()):
        yield repr((tensor.name, tensor.shape, tensor.dtype, tensor.mutable, tensor.value is None)).encode()
        if tensor.value is not None:
            yield np.ascontiguousarray(tensor.value).tobytes()


def _named(value: object, seen: dict[str, Tensor]) -> object:
    """``value`` with names instead of tensors, which are remembered."""
    if isinstance(value, Tensor):
        seen[value.name] = value
        return value.name
    return [_named(one, seen) for one in value] if isinstance(value, tuple) else value
