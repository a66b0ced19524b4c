"""Repeated blocks: which passes of a later iteration are which of the first one, and so which tensors.

Tensors that only the first iteration writes and reads are the same rows in all of them; constants and states of the
iterations follow one another at one distance in each memory group, the stride of a LOOP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.fuse import Pass
from compiler.ir import CompileError, Tensor


@dataclass(frozen=True)
class Block:
    """``passes[i]`` are those of iteration i; ``copies[t]``: of a tensor with values of its own, the ones of all."""

    name: str
    passes: tuple[tuple[Pass, ...], ...]
    copies: Mapping[Tensor, tuple[Tensor, ...]]
    shared: Mapping[Tensor, Tensor]
    """For a temporary of a later iteration, the one of the first whose rows it has."""


def blocks_of(passes: Sequence[Pass]) -> list[Block]:
    """The blocks of a program. Raises CompileError when iterations differ, or do not follow one another."""
    found: dict[str, dict[int, list[Pass]]] = defaultdict(lambda: defaultdict(list))
    for p in passes:
        if p.block is not None:
            found[p.block.name][p.block.number].append(p)
    return [_block(name, iterations) for name, iterations in found.items()]


def _block(name: str, iterations: Mapping[int, Sequence[Pass]]) -> Block:
    if list(iterations) != list(range(len(iterations))):
        raise CompileError(f"block '{name}': iterations {list(iterations)}: must be 0, 1, 2, ... in that order")
    rows: dict[Tensor, list[Tensor]] = {}
    for number, passes in iterations.items():
        for tensor, first in _pairs(name, number, passes, iterations[0]):
            copies = rows.setdefault(first, [first])
            if number and len(copies) == number:
                copies.append(tensor)
            if len(copies) != number + 1 or copies[number] is not tensor:
                raise CompileError(f"block '{name}': {tensor}: must stand for {first} in iteration {number}")
    return _sorted(name, tuple(tuple(p) for p in iterations.values()), rows)


def _pairs(name: str, number: int, passes: Sequence[Pass], first: Sequence[Pass]) -> list[tuple[Tensor, Tensor]]:
    """Each tensor of an iteration, and the one of the first iteration in its place."""
    if len(passes) != len(first):
        raise CompileError(f"block '{name}': iteration {number} has {len(passes)} passes: must have {len(first)}")
    pairs: dict[Tensor, Tensor] = {}
    for p, q in zip(passes, first, strict=True):
        alike = (p.source, len(p.tensors), p.op and p.op.kind) == (q.source, len(q.tensors), q.op and q.op.kind)
        if not alike:
            raise CompileError(f"block '{name}': {p.name}: must be the same operator as {q.name}")
        pairs |= dict(zip(p.tensors, q.tensors, strict=True))
    return list(pairs.items())


def _sorted(name: str, passes: tuple[tuple[Pass, ...], ...], rows: Mapping[Tensor, list[Tensor]]) -> Block:
    copies: dict[Tensor, tuple[Tensor, ...]] = {}
    shared: dict[Tensor, Tensor] = {}
    for first, tensors in rows.items():
        if len(set(tensors)) == 1:
            continue
        if any(t.shape != first.shape or t.dtype is not first.dtype for t in tensors):
            raise CompileError(f"block '{name}': {first}: must have one shape and dtype in all iterations")
        if first.value is not None:
            copies[first] = tuple(tensors)
        else:
            shared |= dict.fromkeys(tensors[1:], first)
    return Block(name, passes, copies, shared)
