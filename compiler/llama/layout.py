"""Which channel of a Llama stands in which lane.

A head lies within one tile of L lanes; H heads that do not share keys share a tile, each in head_dim lanes of its own.
Tile (j, r) of queries, and of attention's result, has query head r of each of the kv heads j H .. j H + H - 1; tile j
of keys has these kv heads in the same lanes. Values are in C tiles for each of keys, tile c with the lanes of
superlane c alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.ir import CompileError
from hdl.config import LpuConfig
from models.llama.model import LlamaShape

Indices = NDArray[np.int64]
EMPTY = -1
"""A lane without a channel."""


@dataclass(frozen=True)
class HeadLayout:
    """``heads`` H of a tile, ``tiles`` J of keys; arrays name the channel of each lane, or EMPTY."""

    config: LpuConfig
    shape: LlamaShape

    def __post_init__(self) -> None:
        width, lanes = self.shape.head_dim, self.config.lanes
        if width > lanes:
            raise CompileError(f"heads of {width} channels: must be at most {lanes}, the lanes of '{self.config.name}'")

    @property
    def heads(self) -> int:
        most = self.config.lanes // self.shape.head_dim
        return max(n for n in range(1, most + 1) if self.shape.kv_heads % n == 0)

    @property
    def tiles(self) -> int:
        return self.shape.kv_heads // self.heads

    @property
    def group(self) -> int:
        """Query heads that share a kv head."""
        return self.shape.heads // self.shape.kv_heads

    def keys(self) -> Indices:
        """[J, L]: the channel of keys (of kv_dim) in each lane."""
        lanes = np.full((self.tiles, self.config.lanes), EMPTY)
        used = self.heads * self.shape.head_dim
        lanes[:, :used] = np.arange(self.shape.kv_dim).reshape(self.tiles, used)
        return lanes

    def values(self) -> Indices:
        """[J, C, L]: the channel of values in each lane, in tile c those of superlane c."""
        own = np.arange(self.config.lanes) // self.config.superlane_lanes == np.arange(self.config.superlanes)[:, None]
        return np.where(own, self.keys()[:, None, :], EMPTY)

    def rows(self) -> Indices:
        """[T * H, L]: the channel of queries (of dim) in each lane for the heads of each tile, one row a head."""
        width, rows = self.shape.head_dim, []
        for tile in range(self.tiles):
            for r in range(self.group):
                for i in range(self.heads):
                    lanes = np.full(self.config.lanes, EMPTY)
                    head = (tile * self.heads + i) * self.group + r
                    lanes[i * width : (i + 1) * width] = head * width + np.arange(width)
                    rows.append(lanes)
        return np.array(rows)

    def queries(self) -> Indices:
        """[T, L]: the channel of queries in each lane of each tile."""
        tiles: Indices = self.rows().reshape(-1, self.heads, self.config.lanes).max(axis=1)
        return tiles

    def frequencies(self) -> Indices:
        """[L]: the number of the pair, within its head, that a lane belongs to."""
        return np.arange(self.config.lanes) % self.shape.head_dim // 2


def take(array: NDArray[np.generic], channels: Indices) -> NDArray[np.generic]:
    """array[channels] along the first axis, 0 for EMPTY."""
    picked = array[channels]
    picked[channels == EMPTY] = 0
    return picked
