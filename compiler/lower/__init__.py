"""Passes -> bundles: which instructions, how far apart, for each step of each operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.bundle import Bundle
from compiler.fuse import Pass, Source
from compiler.ir import OpKind
from compiler.lower.argmax import Argmax
from compiler.lower.argmax_rounded import ArgmaxRounded
from compiler.lower.attention import Attention
from compiler.lower.base import Lowering
from compiler.lower.classify import Classify
from compiler.lower.element_wise import ElementWise
from compiler.lower.matmul import Matmul
from compiler.lower.noise import Noise
from compiler.lower.norm import InverseNorm, Quantise, RmsNorm
from compiler.lower.position import CausalLimit, CausalMask, Gather, KvIndex, KvScatter, Put, Scatter
from compiler.lower.rope import Rope
from compiler.lower.rope_project import RopeCache, RopeProject
from compiler.lower.silu import Exp2Gate, SiluMul
from compiler.lower.softmax import Softmax
from compiler.lower.token import Embed, GivenOr, Pick, Quotient
from compiler.place import Placement, overlap
from hdl.config import LpuConfig

_ROWS: dict[OpKind, type[Lowering]] = {
    OpKind.ARGMAX: Argmax,
    OpKind.QUANTISE: Quantise,
    OpKind.RMS_NORM: RmsNorm,
    OpKind.CAUSAL_LIMIT: CausalLimit,
    OpKind.SOFTMAX: Softmax,
    OpKind.ROPE: Rope,
    OpKind.SILU_MUL: SiluMul,
    OpKind.GATHER: Gather,
    OpKind.SCATTER: Scatter,
    OpKind.KV_INDEX: KvIndex,
    OpKind.KV_SCATTER: KvScatter,
    OpKind.INVERSE_NORM: InverseNorm,
    OpKind.ROPE_PROJECT: RopeProject,
    OpKind.ROPE_CACHE: RopeCache,
    OpKind.CAUSAL_MASK: CausalMask,
    OpKind.ATTENTION: Attention,
    OpKind.EXP2_GATE: Exp2Gate,
    OpKind.ARGMAX_ROUNDED: ArgmaxRounded,
    OpKind.CLASSIFY: Classify,
    OpKind.EMBED: Embed,
    OpKind.QUOTIENT: Quotient,
    OpKind.PICK: Pick,
    OpKind.PUT: Put,
    OpKind.GIVEN_OR: GivenOr,
    OpKind.NOISE: Noise,
}


def lower(config: LpuConfig, passes: Sequence[Pass], placement: Placement) -> Iterator[Bundle]:
    """The bundles of all passes, in an order that respects their data dependencies. Raises CompileError."""
    for number, p in enumerate(passes):
        overwrites = _overwrites(config, p, passes[:number], placement)
        yield from _lowering(p)(config, p, placement, overwrites).bundles()


def _lowering(p: Pass) -> type[Lowering]:
    if p.op is not None:
        return _ROWS[p.op.kind]
    return Matmul if p.source is Source.MATMUL else ElementWise


def _overwrites(config: LpuConfig, p: Pass, before: Sequence[Pass], placement: Placement) -> tuple[str, ...]:
    """Names of the earlier passes with a tensor in rows that ``p`` writes."""
    mine = [placement[tensor] for tensor in p.writes if not tensor.mutable]
    return tuple(
        q.name for q in before if any(overlap(config, at, placement[t]) for at in mine for t in (*q.writes, *q.reads))
    )
