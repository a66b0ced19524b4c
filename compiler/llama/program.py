"""The programs of a Llama: one for each bucket of positions, all on the same SRAM content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compiler.build import CompiledProgram, compile_graph
from compiler.image import TensorInfo
from compiler.ir import CompileError, Graph
from compiler.llama.quantised import QuantisedLlama
from compiler.llama.token_graph import token_graph
from hdl.config import LpuConfig

Compiler = Callable[[LpuConfig, Graph, int, int], CompiledProgram]
"""``compile_graph``, or what stands for it: config, graph, steps, effort."""
SIZES = (32, 64, 128, 256)
"""Buckets, where the context is longer."""
EFFORT = 10_000
"""Orders that the scheduler tries: 2 to 4 ms each, a few percent of the cycles."""


@dataclass(frozen=True)
class Launch:
    """``steps`` tokens from ``position`` on, all of them below ``bucket``; one run of the core."""

    position: int
    steps: int
    bucket: int


class Buckets:
    """Programs for the first 32, 64, ... of ``context`` positions, compiled when they are asked for.

    Keys, values and all other states are at the same addresses in all of them, so one takes over from the other
    whatever has been generated; constants may move and are then written again.
    """

    def __init__(
        self,
        config: LpuConfig,
        model: QuantisedLlama,
        context: int | None = None,
        sizes: Sequence[int] = SIZES,
        sampling: bool = False,
        compiler: Compiler = compile_graph,
    ) -> None:
        """``context``: positions in the caches, the model's own where it is None; ``sampling``: with noise.

        ``compiler``: one that looks first for what it has compiled before, say.
        """
        self.config, self.model, self.sampling, self._compiler = config, model, sampling, compiler
        self.context = model.shape.context if context is None else context
        self.sizes = tuple(sorted({size for size in sizes if size < self.context} | {self.context}))
        self._graphs: dict[int, Graph] = {}
        self._programs: dict[tuple[int, int], CompiledProgram] = {}

    def bucket(self, position: int) -> int:
        """The smallest bucket that holds ``position``. Raises CompileError beyond the context."""
        for size in self.sizes:
            if position < size:
                return size
        raise CompileError(f"position {position}: must be below the context, {self.context}")

    def first(self, bucket: int) -> int:
        """The first position of a bucket: those before it are a smaller one's, its program has no mask for them."""
        return max((size for size in self.sizes if size < bucket), default=0)

    def plan(self, count: int, steps: int) -> Iterator[Launch]:
        """Launches for positions 0 .. count - 1, of ``steps`` each, fewer where a bucket or the text ends."""
        position = 0
        while position < count:
            bucket = self.bucket(position)
            launch = Launch(position, min(steps, bucket - position, count - position), bucket)
            yield launch
            position += launch.steps

    def graph(self, bucket: int) -> Graph:
        """One token at a position from ``first(bucket)`` on, below ``bucket``."""
        if bucket not in self._graphs:
            self._graphs[bucket] = token_graph(
                self.config, self.model, self.context, bucket, self.first(bucket), self.sampling
            )
        return self._graphs[bucket]

    def states(self) -> tuple[str, ...]:
        """Names of what stays from token to token."""
        graph = self.graph(self.sizes[0])
        return tuple(dict.fromkeys(t.name for op in graph.ops for t in (*op.inputs, op.output) if t.mutable))

    def job(self, bucket: int, steps: int) -> tuple[LpuConfig, Graph, int, int]:
        """What a program is compiled from: config, graph, steps, effort."""
        return self.config, self.graph(bucket), steps, EFFORT

    def program(self, bucket: int, steps: int) -> CompiledProgram:
        """``steps`` tokens in one run. Raises CompileError where the model does not fit or states would move."""
        key = bucket, steps
        if key not in self._programs:
            program = self._compiler(*self.job(bucket, steps))
            self._check_states(program)
            self._programs[key] = program
        return self._programs[key]

    def _check_states(self, program: CompiledProgram) -> None:
        for other in list(self._programs.values())[:1]:
            for name in self.states():
                here, there = (_place(p.image.tensor(name)) for p in (program, other))
                if here != there:
                    raise CompileError(
                        f"state '{name}': at {here} in one bucket's program, at {there} in another's: must not move"
                    )


def _place(info: TensorInfo) -> str:
    return f"{info.unit} {info.addr}..{info.addr + info.rows - 1}"
