"""Builders of fp32 operators."""

from __future__ import annotations

from compiler.ir.base import GraphBase
from compiler.ir.types import DType, OpKind, Tensor


class FloatOperators(GraphBase):
    """Scales, norms, softmax, rotation and gate."""

    def rescale(self, x: Tensor, factor: Tensor, name: str = "") -> Tensor:
        """y[m, n] = saturate_int8(round_half_even(fp32(x[m, n]) * factor[0, n])): int32 -> int8."""
        name = name or self._auto_name(OpKind.RESCALE)
        self._require(x.dtype is DType.INT32, name, x, "must be int32")
        self._require_row(name, factor, x.shape[1])
        return self._op(OpKind.RESCALE, name, (x, factor), x.shape, DType.INT8)

    def dequantise(self, x: Tensor, weight_scale: Tensor, row_scale: Tensor | None = None, name: str = "") -> Tensor:
        """y[m, n] = fp32(x[m, n]) * weight_scale[0, n] (* row_scale[m, 0]): int8 or int32 -> fp32."""
        name = name or self._auto_name(OpKind.DEQUANTISE)
        self._require(x.dtype is not DType.FP32, name, x, "must be int8 or int32")
        self._require_row(name, weight_scale, x.shape[1])
        scales: tuple[Tensor, ...] = (weight_scale,)
        if row_scale is not None:
            self._require_float(name, row_scale, (x.shape[0], 1))
            scales += (row_scale,)
        return self._op(OpKind.DEQUANTISE, name, (x, *scales), x.shape, DType.FP32)

    def quantise(self, x: Tensor, name: str = "") -> tuple[Tensor, Tensor]:
        """(q, s): s[m, 0] = max_n |x[m, n]| / 127, q = round(x / s): fp32 -> int8 [M, N] and fp32 [M, 1]."""
        name = name or self._auto_name(OpKind.QUANTISE)
        self._require_float(name, x)
        scale = self._tensor(f"{name}.scale", (x.shape[0], 1), DType.FP32)
        return self._op(OpKind.QUANTISE, name, (x,), x.shape, DType.INT8, extra=(scale,)), scale

    def quantise_static(self, x: Tensor, factor: Tensor, name: str = "") -> Tensor:
        """q[m, n] = saturate_int8(round_half_even(x[m, n] * factor[0, n])): fp32 -> int8."""
        name = name or self._auto_name(OpKind.QUANTISE_STATIC)
        self._require_float(name, x)
        self._require_row(name, factor, x.shape[1])
        return self._op(OpKind.QUANTISE_STATIC, name, (x, factor), x.shape, DType.INT8)

    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float = 1e-5, name: str = "") -> Tensor:
        """y[m, n] = x[m, n] / sqrt(mean_n x[m, n]^2 + epsilon) * gain[0, n]."""
        name = name or self._auto_name(OpKind.RMS_NORM)
        self._require_several(name, x)
        self._require_row(name, gain, x.shape[1])
        return self._op(OpKind.RMS_NORM, name, (x, gain), x.shape, DType.FP32, epsilon=epsilon)

    def causal_limit(self, position: Tensor, n: int, name: str = "") -> Tensor:
        """y[0, i] = +inf for i <= position, -inf beyond: int32 [1, 1] -> fp32 [1, n]."""
        name = name or self._auto_name(OpKind.CAUSAL_LIMIT)
        self._require_index(name, position)
        return self._op(OpKind.CAUSAL_LIMIT, name, (position,), (1, n), DType.FP32)

    def softmax(self, t: Tensor, limit: Tensor, name: str = "") -> Tensor:
        """y[m, n] = exp(u[m, n]) / sum_n exp(u[m, n]), u = min(t, limit); limit fp32 [1, N], at least one not -inf."""
        name = name or self._auto_name(OpKind.SOFTMAX)
        self._require_several(name, t)
        self._require_row(name, limit, t.shape[1])
        return self._op(OpKind.SOFTMAX, name, (t, limit), t.shape, DType.FP32)

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor, name: str = "") -> Tensor:
        """Rotary embedding of x = [e | o], halves of N channels: [e*cos - o*sin | o*cos + e*sin]; tables [1, N/2]."""
        name = name or self._auto_name(OpKind.ROPE)
        self._require_float(name, x)
        self._require(x.shape[1] % 2 == 0, name, x, "must have an even number of channels")
        for table in (cos, sin):
            self._require_row(name, table, x.shape[1] // 2)
        return self._op(OpKind.ROPE, name, (x, cos, sin), x.shape, DType.FP32)

    def silu_mul(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        """y = a * sigmoid(a) * b."""
        name = name or self._auto_name(OpKind.SILU_MUL)
        self._require_float(name, a)
        self._require_float(name, b, a.shape)
        return self._op(OpKind.SILU_MUL, name, (a, b), a.shape, DType.FP32)
