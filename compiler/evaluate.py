"""What a graph must compute: every operator by the function of its name in ``golden.operators``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from compiler.image import DTYPES
from compiler.ir import Graph, Op, OpKind, Tensor
from golden import operators

Arrays = dict[str, np.ndarray]

_BINARY: Mapping[OpKind, Callable[..., np.ndarray]] = {
    OpKind.ADD: operators.add,
    OpKind.SUB: operators.subtract,
    OpKind.MUL: operators.multiply,
    OpKind.MAXIMUM: operators.maximum,
    OpKind.MINIMUM: operators.minimum,
    OpKind.ROPE: operators.rope,
    OpKind.SILU_MUL: operators.silu_mul,
    OpKind.DEQUANTISE: operators.dequantise,
    OpKind.RESCALE: operators.rescale,
    OpKind.QUANTISE_STATIC: operators.quantise_static,
    OpKind.SOFTMAX: operators.softmax,
    OpKind.ARGMAX_ROUNDED: operators.argmax_rounded,
    OpKind.TO_FLOAT: operators.to_float,
    OpKind.ASSIGN: lambda value: value,
}


def evaluate(graph: Graph, inputs: Arrays, states: Arrays | None = None) -> Arrays:
    """All outputs of a graph. ``states`` by name: from earlier runs, updated in place."""
    states = {} if states is None else states
    values: dict[Tensor, np.ndarray] = {t: inputs[t.name] for t in graph.inputs}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor.value is not None and tensor not in values:
                start = tensor.value.astype(DTYPES[tensor.dtype])
                values[tensor] = states.get(tensor.name, start) if tensor.mutable else start
        results = _apply(op, [values[tensor] for tensor in op.inputs])
        values |= zip((op.output, *op.extra), results, strict=True)
    states |= {t.name: value for t, value in values.items() if t.mutable}
    return {t.name: values[t] for t in graph.outputs}


def _apply(op: Op, operands: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    x = operands[0]
    match op.kind:
        case OpKind.QUANTISE:
            return operators.quantise(x)
        case OpKind.MATMUL:
            return (operators.matmul(*operands),)
        case OpKind.BIAS:
            return (operators.add_bias(x, operands[1][0]),)
        case OpKind.REQUANTISE:
            return (operators.requantise(x, np.array(op.multiplier), np.array(op.shift)),)
        case OpKind.RELU:
            return (operators.relu(x),)
        case OpKind.ARGMAX:
            return (operators.argmax(x)[:, None].astype(np.int32),)
        case OpKind.INVERSE_NORM:
            if op.extra:
                return operators.gate_norm(x, operands[1], op.epsilon)
            return (operators.inverse_norm(x, op.epsilon),)
        case OpKind.CLASSIFY:
            x, w, scale, given = operands
            products = operators.dequantise(operators.matmul(x, w), scale)
            return operators.given_or(int(given[0, 0]), int(operators.argmax_rounded(products)[0, 0])), products
        case OpKind.EXP2_GATE:
            x, w, a, scale, divisor = operands
            product = operators.dequantise(operators.matmul(x, w), a)
            return (operators.exp2_gate(a, product, scale, divisor),)
        case OpKind.ROPE_PROJECT:
            return (operators.rope_project(*operands).reshape(op.output.shape),)
        case OpKind.ROPE_CACHE:
            *projected, cache, index = operands
            return (operators.scatter(cache, int(index[0, 0]), operators.rope_project(*projected).reshape(1, -1)),)
        case OpKind.ATTENTION:
            q, keys, values, mask, scale, divisor = operands
            return (operators.attention(q, keys, values, mask, scale, divisor, op.number, op.first),)
        case OpKind.RMS_NORM:
            return (operators.rms_norm(x, operands[1], op.epsilon),)
        case _:
            return (_by_position(op, operands),)


def _by_position(op: Op, operands: list[np.ndarray]) -> np.ndarray:
    """Operators whose index is data, and binary ones; KV_INDEX stands for the position itself."""
    match op.kind:
        case OpKind.CAUSAL_LIMIT:
            return operators.causal_limit(int(operands[0][0, 0]), op.output.shape[1])
        case OpKind.CAUSAL_MASK:
            end = op.first + op.output.shape[1] // op.copies
            return operators.causal_mask(int(operands[0][0, 0]), end, op.number, op.copies, op.first)
        case OpKind.QUOTIENT:
            return operands[0] // np.int32(op.number)
        case OpKind.AND:
            return operands[0] & np.int32(op.number)
        case OpKind.EMBED:
            return operators.embed(operands[0], int(operands[1][0, 0]))
        case OpKind.PICK:
            return operators.pick(operands[0], int(operands[1][0, 0]))
        case OpKind.PUT:
            lane, value, number = (int(operand[0, 0]) for operand in operands[2:])
            return operators.scatter(operands[0], number, operators.put(operands[1], lane, value))
        case OpKind.GIVEN_OR:
            return operators.given_or(int(operands[0][0, 0]), int(operands[1][0, 0]))
        case OpKind.NOISE:
            return operators.gumbel(operands[0], operands[1], op.output.shape[1])
        case OpKind.GATHER:
            return operators.gather(operands[0], int(operands[1][0, 0]))
        case OpKind.KV_INDEX:
            return np.full(op.output.shape, operands[0][0, 0], np.int32)
        case OpKind.SCATTER | OpKind.KV_SCATTER:
            cache, row, index = operands
            return operators.scatter(cache, int(index[0, 0]), row)
    return _BINARY[op.kind](operands[0], *(_as(operand, op, operands[0]) for operand in operands[1:]))


def _as(operand: np.ndarray, op: Op, x: np.ndarray) -> np.ndarray:
    """The int8 factor of an int32 product as int32."""
    return operand.astype(x.dtype) if op.kind is OpKind.MUL else operand


def bits(array: np.ndarray) -> np.ndarray:
    """What two values must have in common to be the same: fp32 as words, so that NaN and -0 compare."""
    return array.view(np.int32) if array.dtype == np.float32 else array
