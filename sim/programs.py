"""Compiled programs, kept in ``build/programs`` for as long as nothing changes that they depend on."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields
from pathlib import Path

import numpy as np

from compiler.build import CompiledProgram, compile_graph
from compiler.ir import Graph, Op, Tensor
from hdl.config import LpuConfig
from sim.build import CACHE, ROOT
from sim.files import write_atomically

FOLDER = CACHE / "programs"
Job = tuple[LpuConfig, Graph, int | None, int]
"""What a program is compiled from: config, graph, steps, effort."""
SOURCES = ("compiler", "hdl/isa", "hdl/config.py", "golden")
"""What the compiler is made of, its verifier included."""


def kept_program(config: LpuConfig, graph: Graph, steps: int | None = None, effort: int = 0) -> CompiledProgram:
    """What ``compile_graph`` gives, compiled when it is not there. Raises CompileError, which is not kept."""
    path = _path((config, graph, steps, effort))
    if (kept := _read(path)) is not None:
        return kept
    return _keep(path, compile_graph(config, graph, steps, effort))


def keep_programs(jobs: Sequence[Job], tell: Callable[[int], None] = lambda left: None) -> None:
    """Compile those that are not there, as many at a time as there are processors, the first ones first.

    ``tell`` is told how many are left to do. Raises the CompileError of one that does not compile.
    """
    missing = [job for job in jobs if _read(_path(job)) is None]
    workers = min(len(missing), os.cpu_count() or 1)
    if workers < 2:
        for done, job in enumerate(missing):
            tell(len(missing) - done)
            kept_program(*job)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
        tell(len(missing))
        paths = {pool.submit(compile_graph, *job): _path(job) for job in missing}
        for done, future in enumerate(as_completed(paths), 1):
            _keep(paths[future], future.result())
            tell(len(missing) - done)


def _path(job: Job) -> Path:
    return FOLDER / f"{job[1].name}-{_key(*job)}.pickle"


def _keep(path: Path, program: CompiledProgram) -> CompiledProgram:
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
