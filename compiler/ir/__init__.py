"""The graph a program is compiled from: int8, int32 and fp32 matrices and the operators between them.

Every value is a :class:`Tensor` [M, N], M rows of N channels. A :class:`Graph` is built in execution order and is
independent of any core; what a core cannot do is refused when the graph is compiled.

Arithmetic
    int8 results saturate to -128..127, int32 results wrap modulo 2^32. Two int8 operands give int8, two int32
    operands int32; ``mul`` also takes int32 x and int8 y and gives int32. fp32 follows docs/numerics.md. Every operator
    computes what the function of its name in ``golden/operators`` does, bit for bit.
"""

from compiler.ir.base import GraphBase
from compiler.ir.floating import FloatOperators
from compiler.ir.integer import IntegerOperators
from compiler.ir.llama import LlamaOperators
from compiler.ir.position import PositionOperators
from compiler.ir.types import CompileError, DType, Iteration, Op, OpKind, Tensor

__all__ = ["CompileError", "DType", "Graph", "GraphBase", "Iteration", "Op", "OpKind", "Tensor"]


class Graph(IntegerOperators, FloatOperators, PositionOperators, LlamaOperators):
    """Builder of a graph.

    Builder methods return the operator's output tensor; ``name`` names operator and output (default: kind and
    number). Raises CompileError for names used twice and for shapes and dtypes that an operator does not take.
    """
