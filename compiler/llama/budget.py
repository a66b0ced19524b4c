"""What a Llama needs of a core's SRAM, from its dimensions alone: known before any weight is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.ir import CompileError
from compiler.llama.layout import HeadLayout
from compiler.llama.token_graph import STEP
from hdl.config import LpuConfig, UnitKind
from models.llama.model import LlamaShape

_WORD_BYTES = 4
_GROUPS = {UnitKind.WEIGHT_MEMORY: "weight groups", UnitKind.DATA_MEMORY: "data groups"}


class DoesNotFitError(CompileError):
    """A model that is larger than a core; ``table`` says what needs how many bytes."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message)
        self.table = table


@dataclass(frozen=True)
class Need:
    """``size`` bytes of SRAM, lanes without a channel included."""

    what: str
    kind: UnitKind
    size: int


def check_budget(config: LpuConfig, shape: LlamaShape, is_tied: bool, context: int) -> None:
    """Raise DoesNotFitError where weights, caches and constants are more than the core holds.

    Temporaries are not counted: a model that passes may still be refused by the compiler.
    """
    needs = list(needs_of(config, shape, is_tied, context))
    for kind, name in _GROUPS.items():
        needed, held = sum(n.size for n in needs if n.kind is kind), _held(config, kind)
        if needed > held:
            message = f"does not fit: {needed:,} bytes in the {name} of '{config.name}': must be at most {held:,}"
            raise DoesNotFitError(message, _table(config, needs))


def needs_of(config: LpuConfig, shape: LlamaShape, is_tied: bool, context: int) -> Iterator[Need]:
    """Everything that stays in SRAM from token to token. Raises CompileError for heads wider than the lanes."""
    lanes, layout = config.lanes, HeadLayout(config, shape)
    keys, values = layout.tiles * lanes, layout.tiles * config.superlanes * lanes
    queries = layout.tiles * layout.group * lanes

    def tiles(m: int, n: int) -> int:
        return -(-m // lanes) * -(-n // lanes) * lanes * lanes

    def words(*channels: int) -> int:
        return sum(-(-n // lanes) * lanes * _WORD_BYTES for n in channels)

    dim, hidden, vocabulary = shape.dim, shape.hidden, shape.vocabulary
    weights, data = UnitKind.WEIGHT_MEMORY, UnitKind.DATA_MEMORY
    in_rows = config.superlanes > 1  # the embedding is looked up in the data groups
    yield Need("embedding and classifier", weights, tiles(vocabulary, dim) * (1 if is_tied or in_rows else 2))
    attention = tiles(queries + keys + values, dim) + tiles(dim, queries)
    yield Need(f"attention weights, {shape.layers} layers", weights, shape.layers * attention)
    ffn = 2 * tiles(hidden, dim) + tiles(dim, hidden)
    yield Need(f"feed-forward weights, {shape.layers} layers", weights, shape.layers * ffn)
    yield Need(f"keys and values, {context} positions", weights, shape.layers * tiles(context, keys + values))
    heads = layout.heads * queries
    layer = words(dim, dim, dim, dim, hidden, hidden, keys, values, heads, heads, heads)
    yield Need(f"scales and gains, {shape.layers} layers", data, shape.layers * layer)
    yield Need("scales and gains, embedding and classifier", data, words(vocabulary, vocabulary, dim, dim))
    if in_rows:
        yield Need("embedding, by rows", data, vocabulary * -(-dim // lanes) * lanes)
    yield Need("angles of positions", data, 2 * (-(-context // STEP) + STEP) * words(lanes))
    yield Need("sequence, residual, logits", data, words(context + lanes, dim, vocabulary))


def _held(config: LpuConfig, kind: UnitKind) -> int:
    groups = config.weight_groups if kind is UnitKind.WEIGHT_MEMORY else config.data_groups
    return config.hemispheres * config.lanes * sum(group.slices * group.depth_rows for group in groups)


def _table(config: LpuConfig, needs: list[Need]) -> str:
    lines = []
    for kind, name in _GROUPS.items():
        mine = [(n.what, n.size) for n in needs if n.kind is kind]
        total = sum(size for _, size in mine)
        rows = [*mine, ("total", total), (f"the {name} of '{config.name}' hold", _held(config, kind))]
        lines += [f"{name}", *(f"  {what:<46} {size:>15,} bytes" for what, size in rows)]
    return "\n".join(lines)
