"""How often a pass reads each of its tensors from data memories, in rows: an estimate for the placement."""

from __future__ import annotations

from collections import Counter

from compiler.fuse import Pass, Source
from compiler.ir import OpKind, Tensor
from hdl.config import LpuConfig


def rows_read(config: LpuConfig, p: Pass) -> Counter[Tensor]:
    """By tensor; what an operator reads for each of its steps counts as often as there are steps."""

    def tiles(tensor: Tensor) -> int:
        return tensor.shape[0] * -(-tensor.shape[1] // config.lanes)

    found = Counter({tensor: tiles(tensor) for tensor in (*p.reads, *p.scratch)})
    if p.op is None:
        steps = tiles(p.output)
        found |= Counter(dict.fromkeys(p.operands, steps))
        found[p.x] = steps * -(-p.x.shape[1] // config.lanes) if p.source is Source.MATMUL else steps
    elif p.op.kind in (OpKind.ROPE_PROJECT, OpKind.ROPE_CACHE):
        x, w, cos, sin, scale, factor = p.op.inputs[:6]
        steps = w.shape[0] // config.lanes
        found |= Counter(dict.fromkeys((cos, sin, *p.consts), steps)) | Counter(
            {x: steps * tiles(x), scale: tiles(factor)}
        )
    elif p.op.kind is OpKind.CLASSIFY:
        x, _, scale, _ = p.op.inputs
        found |= Counter({x: tiles(scale) * tiles(x), p.scratch[0]: tiles(scale)})
    elif p.op.kind is OpKind.EXP2_GATE:
        x, _, a, *scales = p.op.inputs
        found |= Counter(dict.fromkeys(scales, tiles(a))) | Counter({x: tiles(a) * tiles(x), a: 2 * tiles(a)})
    elif p.op.kind is OpKind.ATTENTION:
        q, _, _, mask, scale, _ = p.op.inputs
        powers, inverse, *_ = p.scratch
        found |= Counter(dict.fromkeys((q, scale, inverse), tiles(powers))) | Counter({mask: q.shape[0] * tiles(mask)})
    return found
