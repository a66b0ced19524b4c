"""Tensor-level golden operators: what a compiled model must compute, bit for bit, whatever the machine does.

Tensors are numpy int8, int32 or float32. int32 results wrap modulo 2^32, int8 results saturate; float32 arithmetic
is that of :mod:`golden.numerics`, one rounding per operation, in the order each docstring states. f32(v) is the
float32 nearest v. Every operator raises OperatorError for shapes and types it does not take.
"""

from golden.numerics import requantise
from golden.operators.attention import attention, exp2_gate, gate_norm, inverse_norm, rope_project
from golden.operators.elementwise import add, maximum, minimum, multiply, relu, subtract
from golden.operators.integer import add_bias, matmul
from golden.operators.noise import WEYL, gumbel
from golden.operators.operands import Float32, OperatorError, Tensor
from golden.operators.quantisation import dequantise, quantise, quantise_static, rescale, to_float
from golden.operators.reductions import SUM_WIDTH, argmax, argmax_rounded, row_absmax, row_max, row_sum, tag_mask
from golden.operators.token import causal_mask, embed, given_or, pick, put
from golden.operators.transformer import (
    causal_limit,
    gather,
    rms_norm,
    rope,
    scatter,
    silu_mul,
    softmax,
)

__all__ = [
    "SUM_WIDTH",
    "WEYL",
    "Float32",
    "OperatorError",
    "Tensor",
    "add",
    "add_bias",
    "argmax",
    "argmax_rounded",
    "attention",
    "causal_limit",
    "causal_mask",
    "dequantise",
    "embed",
    "exp2_gate",
    "gate_norm",
    "gather",
    "given_or",
    "gumbel",
    "inverse_norm",
    "matmul",
    "maximum",
    "minimum",
    "multiply",
    "pick",
    "put",
    "quantise",
    "quantise_static",
    "relu",
    "requantise",
    "rescale",
    "rms_norm",
    "rope",
    "rope_project",
    "row_absmax",
    "row_max",
    "row_sum",
    "scatter",
    "silu_mul",
    "softmax",
    "subtract",
    "tag_mask",
    "to_float",
]
