"""Builders of the operators that a Llama's token needs besides the general ones."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.ir.base import GraphBase
from compiler.ir.types import DType, Op, OpKind, Tensor
from golden.operators.noise import MOST_CHANNELS


class LlamaOperators(GraphBase):
    """Norm, rotation, attention, gate; embedding and the choice of the next token."""

    def inverse_norm(self, x: Tensor, epsilon: float = 1e-5, name: str = "") -> Tensor:
        """s = 1 / sqrt(sum x^2 + N epsilon), so that x sqrt(N) s is x's RMSNorm: fp32 [1, N] -> fp32 [1, 1]."""
        name = name or self._auto_name(OpKind.INVERSE_NORM)
        self._require_several(name, x)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        return self._op(OpKind.INVERSE_NORM, name, (x,), (1, 1), DType.FP32, epsilon=epsilon)

    def gate_norm(self, x: Tensor, factor: Tensor, epsilon: float = 1e-5, name: str = "") -> tuple[Tensor, Tensor]:
        """(s, d): s of :meth:`inverse_norm`, d = factor / s^2: fp32 [1, N], [1, 1] -> fp32 [1, 1] twice."""
        name = name or self._auto_name(OpKind.INVERSE_NORM)
        self._require_several(name, x)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        self._require_float(name, factor, (1, 1))
        divisor = self._tensor(f"{name}.divisor", (1, 1), DType.FP32)
        more = {"extra": (divisor,), "epsilon": epsilon}
        return self._op(OpKind.INVERSE_NORM, name, (x, factor), (1, 1), DType.FP32, **more), divisor

    def rope_project(
        self,
        x: Tensor,
        w: Tensor,
        cos: Tensor,
        sin: Tensor,
        scale: Tensor,
        factor: Tensor,
        as_rows: bool = False,
        name: str = "",
    ) -> Tensor:
        """A rotated projection: int8 [1, K], weights [T L, K], fp32 [1, L] twice, [1, 1], [R, L] -> int8 [R, L].

        a = w x in T tiles of L channels; channels 2i and 2i + 1 turn: y[c] = a[c] * cos[c] + a[c ^ 1] * sin[c ^ 1],
        so that sin carries the sign; row r = round(y[tile r T / R] * factor[r] * scale). Without ``as_rows`` R = T and
        the result is one row [1, T L].
        """
        name = name or self._auto_name(OpKind.ROPE_PROJECT)
        self._require_rotated(name, x, w, cos, sin, scale, factor)
        tiles = w.shape[0] // factor.shape[1]
        self._require(as_rows or factor.shape[0] == tiles, name, factor, f"must have {tiles} rows to give one")
        shape = factor.shape if as_rows else (1, w.shape[0])
        return self._op(OpKind.ROPE_PROJECT, name, (x, w, cos, sin, scale, factor), shape, DType.INT8)

    def rope_cache(self, cache: Tensor, index: Tensor, projected: Sequence[Tensor], name: str = "") -> Tensor:
        """cache[position] = :meth:`rope_project` of ``projected``, x to factor, as one row, in place.

        ``index`` = kv_index(position); the cache is a state int8 [P, T L] in a weight group. Returns it.
        """
        name = name or self._auto_name(OpKind.ROPE_CACHE)
        x, w, cos, sin, scale, factor = projected
        self._require_rotated(name, x, w, cos, sin, scale, factor)
        tiles = w.shape[0] // factor.shape[1]
        self._require(factor.shape[0] == tiles, name, factor, f"must have {tiles} rows to give one")
        self._require_cache(name, cache)
        self._require(cache.shape[1] == w.shape[0], name, cache, f"must have {w.shape[0]} channels")
        inputs = (*projected, cache, index)
        self._require_own(name, inputs)
        self._reserve(name, cache)
        self.ops.append(Op(OpKind.ROPE_CACHE, name, inputs, cache, block=self.current_block))
        return cache

    def _require_rotated(
        self, name: str, x: Tensor, w: Tensor, cos: Tensor, sin: Tensor, scale: Tensor, factor: Tensor
    ) -> None:
        lanes = factor.shape[1]
        tiles = w.shape[0] // lanes
        self._require_weights(name, x, w)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        fits = tiles * lanes == w.shape[0] and factor.shape[0] % tiles == 0
        self._require(fits, name, factor, f"must be [R, L], {w.shape[0]} = T L outputs in T tiles, R a multiple of T")
        for row in (cos, sin):
            self._require_row(name, row, lanes)
        self._require(factor.dtype is DType.FP32, name, factor, "must be fp32")
        self._require_float(name, scale, (1, 1))

    def causal_mask(self, position: Tensor, n: int, width: int, copies: int, first: int = 0, name: str = "") -> Tensor:
        """0 for positions up to ``position``, -inf beyond: int32 [1, 1] -> fp32 [1, (n - first) copies].

        ``position`` is one of first .. n - 1, and so are the positions of the mask. They stand in groups of ``width``,
        each group ``copies`` times: superlanes hold the same positions.
        """
        name = name or self._auto_name(OpKind.CAUSAL_MASK)
        self._require_index(name, position)
        self._require(n > 0 and n % width == 0, name, position, f"{n} positions: must be a multiple of {width}")
        fits = 0 <= first < n and first % width == 0
        self._require(fits, name, position, f"from {first} on: must be a multiple of {width} below {n}")
        shape, more = (1, (n - first) * copies), {"number": width, "copies": copies, "first": first}
        return self._op(OpKind.CAUSAL_MASK, name, (position,), shape, DType.FP32, **more)

    def attention(
        self,
        q: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        scale: Tensor,
        divisor: Tensor,
        heads_per_tile: int,
        first: int = 0,
        name: str = "",
    ) -> Tensor:
        """Grouped-query attention of one token in int8 over the positions before ``first`` and those of ``mask``.

        ``mask`` is of :meth:`causal_mask` from ``first`` on; P is the number of all positions.

        q int8 [R, L]: a head a row, 0 outside the head's lanes; ``heads_per_tile`` rows after one another, each in
        lanes of its own, share a tile of the result: T = R / heads_per_tile. keys: state int8 [>= P, J L] of J tiles,
        each for T / J tiles of the result; values: state int8 [>= P, J C L], C tiles for one of keys, tile c 0 outside
        superlane c. scale: fp32 [R, 1]; divisor: fp32 [R, L], infinite outside the head's lanes.
        e = exp2((keys[:P] q + mask) * scale[r]), p = round(e / (max e / 127)),
        o[tile] = sum over its heads of (p values) / (sum p * divisor), rounded: int8 [1, T L]. The exponent of
        the largest e must be within -118 .. 127: nothing is subtracted from it, beyond that e is 0 or infinite.
        """
        name = name or self._auto_name(OpKind.ATTENTION)
        rows, lanes = q.shape
        for cache in (keys, values):
            self._require_cache(name, cache)
            self._require(cache.shape[1] % lanes == 0, name, cache, f"must have a multiple of {lanes} channels")
        fits = values.shape[0] == keys.shape[0] and values.shape[1] % keys.shape[1] == 0
        self._require(fits, name, values, f"must have the rows and a multiple of the channels of {keys}")
        self._require_float(name, mask, (1, mask.shape[1]))
        self._require(mask.shape[1] % lanes == 0, name, mask, f"must have a multiple of {lanes} channels")
        self._require_float(name, scale, (rows, 1))
        self._require_float(name, divisor, (rows, lanes))
        tiles, rest = divmod(rows, heads_per_tile)
        fits = q.dtype is DType.INT8 and rest == 0 and tiles % (keys.shape[1] // lanes) == 0
        self._require(fits, name, q, f"must be int8 rows of {heads_per_tile} a tile, shared evenly by those of {keys}")
        inputs = (q, keys, values, mask, scale, divisor)
        shape = (1, tiles * lanes)
        return self._op(OpKind.ATTENTION, name, inputs, shape, DType.INT8, number=heads_per_tile, first=first)

    def to_float(self, x: Tensor, name: str = "") -> Tensor:
        """y = x: int8 or int32 -> fp32."""
        name = name or self._auto_name(OpKind.TO_FLOAT)
        self._require(x.dtype is not DType.FP32, name, x, "must be int8 or int32")
        return self._op(OpKind.TO_FLOAT, name, (x,), x.shape, DType.FP32)

    def exp2_gate(self, x: Tensor, w: Tensor, a: Tensor, scale: Tensor, divisor: Tensor, name: str = "") -> Tensor:
        """y = round(fp32(w x) * a / ((1 + 2^(a * scale)) * divisor)): int8 [1, K], weights [N, K], fp32 [1, N], fp32
        [1, 1] twice -> int8 [1, N].

        silu(s g) s u c for a = -log2(e) g, w x = u, scale = s, divisor = -log2(e) / (s^2 c).
        """
        name = name or self._auto_name(OpKind.EXP2_GATE)
        self._require_weights(name, x, w)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        self._require_row(name, a, w.shape[0])
        for one in (scale, divisor):
            self._require_float(name, one, (1, 1))
        return self._op(OpKind.EXP2_GATE, name, (x, w, a, scale, divisor), a.shape, DType.INT8)

    def argmax_rounded(self, x: Tensor, name: str = "") -> Tensor:
        """The column of the largest of finite values without their last bits: fp32 [1, N] -> int32 [1, 1].

        As many bits as a column number has; of 24 bits of a number, 15 stay for 512 columns. The result is there a few
        cycles after the last value, that of ``argmax`` after all of them have been looked at twice.
        """
        name = name or self._auto_name(OpKind.ARGMAX_ROUNDED)
        self._require_several(name, x)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        return self._op(OpKind.ARGMAX_ROUNDED, name, (x,), (1, 1), DType.INT32)

    def classify(self, x: Tensor, w: Tensor, scale: Tensor, given: Tensor, name: str = "") -> tuple[Tensor, Tensor]:
        """(token, y): y = fp32(w x) * scale, token = given if given >= 0, else :meth:`argmax_rounded` of y.

        int8 [1, K], weights [N, K], fp32 [1, N], int32 [1, 1] -> int32 [1, 1], fp32 [1, N].
        """
        name = name or self._auto_name(OpKind.CLASSIFY)
        self._require_weights(name, x, w)
        self._require(x.shape[0] == 1, name, x, "must have one row")
        self._require_row(name, scale, w.shape[0])
        self._require_index(name, given)
        products = self._tensor(f"{name}.products", scale.shape, DType.FP32)
        inputs = (x, w, scale, given)
        return self._op(OpKind.CLASSIFY, name, inputs, (1, 1), DType.INT32, extra=(products,)), products

    def embed(self, table: Tensor, index: Tensor, name: str = "") -> Tensor:
        """y[0] = table[index] as int32, by the matrix unit: constant int8 [V, N], int32 [1, 1] -> int32 [1, N].

        The table may be the weights of a :meth:`matmul` as well.
        """
        name = name or self._auto_name(OpKind.EMBED)
        self._require(table.is_const and table.dtype is DType.INT8, name, table, "must be an int8 constant")
        self._require_index(name, index)
        return self._op(OpKind.EMBED, name, (table, index), (1, table.shape[1]), DType.INT32)

    def quotient(self, x: Tensor, divisor: int, name: str = "") -> Tensor:
        """y = x // divisor: int32 [1, 1], 0 <= x < 2^23, a power of two -> int32 [1, 1]."""
        name = name or self._auto_name(OpKind.QUOTIENT)
        self._require_index(name, x)
        self._require(divisor > 0 and divisor & (divisor - 1) == 0, name, x, f"{divisor} must be a power of two")
        return self._op(OpKind.QUOTIENT, name, (x,), (1, 1), DType.INT32, number=divisor)

    def bitwise_and(self, x: Tensor, word: int, name: str = "") -> Tensor:
        """y = x & word: int32."""
        name = name or self._auto_name(OpKind.AND)
        self._require(x.dtype is DType.INT32, name, x, "must be int32")
        return self._op(OpKind.AND, name, (x,), x.shape, DType.INT32, number=word)

    def pick(self, row: Tensor, lane: Tensor, name: str = "") -> Tensor:
        """y = row[0, lane]: int32 or fp32 [1, L], int32 [1, 1] -> [1, 1]; fp32 must not be -inf or NaN."""
        name = name or self._auto_name(OpKind.PICK)
        self._require(row.shape[0] == 1 and row.dtype is not DType.INT8, name, row, "must be one int32 or fp32 row")
        self._require_index(name, lane)
        return self._op(OpKind.PICK, name, (row, lane), (1, 1), row.dtype)

    def put(self, cache: Tensor, index: Tensor, row: Tensor, lane: Tensor, value: Tensor, name: str = "") -> Tensor:
        """cache[index] = ``row`` with row[0, lane] = value, in place: a state int32 [P, L], int32 [1, L], the others
        [1, 1]; returns ``cache``.
        """
        name = name or self._auto_name(OpKind.PUT)
        for one in (index, lane, value):
            self._require_index(name, one)
        self._require(row.dtype is DType.INT32, name, row, "must be int32")
        return self._in_place(OpKind.PUT, name, cache, row, lane, value, index)

    def given_or(self, given: Tensor, other: Tensor, name: str = "") -> Tensor:
        """y = given if given >= 0, else other: int32 [1, 1]."""
        name = name or self._auto_name(OpKind.GIVEN_OR)
        self._require_index(name, given)
        self._require_index(name, other)
        return self._op(OpKind.GIVEN_OR, name, (given, other), (1, 1), DType.INT32)

    def noise(self, counter: Tensor, temperature: Tensor, n: int, name: str = "") -> Tensor:
        """y = T G, standard Gumbel noise G of n <= 2048 channels from a counter: int32, fp32 [1, 1] -> fp32 [1, n].

        arg-max of logits + y is a sample of softmax(logits / T). Counters: see ``golden.operators.WEYL``.
        """
        name = name or self._auto_name(OpKind.NOISE)
        self._require_index(name, counter)
        self._require_float(name, temperature, (1, 1))
        self._require(1 <= n <= MOST_CHANNELS, name, counter, f"{n} channels: must be 1..{MOST_CHANNELS}")
        return self._op(OpKind.NOISE, name, (counter, temperature), (1, n), DType.FP32)

    def assign(self, state: Tensor, value: Tensor, name: str = "") -> Tensor:
        """state = value, of its shape and dtype; returns ``state``."""
        name = name or self._auto_name(OpKind.ASSIGN)
        self._require(state.mutable, name, state, "must be a state")
        same = (state.shape, state.dtype) == (value.shape, value.dtype)
        self._require(same, name, value, f"must have shape and dtype of {state}")
        self._require_own(name, (state, value))
        self._reserve(name, state)
        self.ops.append(Op(OpKind.ASSIGN, name, (value,), state, block=self.current_block))
        return state
