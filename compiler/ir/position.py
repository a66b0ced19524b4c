"""Builders of operators by position: what a token selects is data."""

from __future__ import annotations

from compiler.ir.base import GraphBase
from compiler.ir.types import DType, OpKind, Tensor
from hdl.config import SUPERLANE_LANES


class PositionOperators(GraphBase):
    """Tables and caches."""

    def gather(self, table: Tensor, index: Tensor, name: str = "") -> Tensor:
        """y[0] = table[index]: constant or state [V, N], int32 index [1, 1] in 0..V-1 -> [1, N]."""
        name = name or self._auto_name(OpKind.GATHER)
        self._require(table.value is not None, name, table, "must be a constant or a state")
        self._require_index(name, index)
        return self._op(OpKind.GATHER, name, (table, index), (1, table.shape[1]), table.dtype)

    def scatter(self, cache: Tensor, index: Tensor, row: Tensor, name: str = "") -> Tensor:
        """cache[index] = row [1, N], in place; returns ``cache``, a state [P, N] in a data group."""
        name = name or self._auto_name(OpKind.SCATTER)
        self._require_index(name, index)
        return self._in_place(OpKind.SCATTER, name, cache, row, index)

    def kv_index(self, position: Tensor, cache: Tensor, name: str = "") -> Tensor:
        """Where :meth:`kv_scatter` finds row ``position`` of a cache of that shape, slice by slice: int32 [1, 16]."""
        name = name or self._auto_name(OpKind.KV_INDEX)
        self._require_index(name, position)
        self._require_cache(name, cache)
        return self._op(OpKind.KV_INDEX, name, (position, cache), (1, SUPERLANE_LANES), DType.INT32)

    def kv_scatter(self, cache: Tensor, index: Tensor, row: Tensor, name: str = "") -> Tensor:
        """cache[position] = row int8 [1, N], in place, for ``index`` = kv_index(position); returns ``cache``.

        The cache is a state int8 [P, N] in a weight group: the weights of a :meth:`matmul`.
        """
        name = name or self._auto_name(OpKind.KV_SCATTER)
        self._require_cache(name, cache)
        return self._in_place(OpKind.KV_SCATTER, name, cache, row, index)
