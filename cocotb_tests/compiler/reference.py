"""The reference of the compiler tests: graphs by the golden operators, images on the golden machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from compiler.build import CompiledProgram, compile_graph
from compiler.image import ProgramImage, pack_tensor, tensor_addresses, unpack_tensor
from compiler.ir import Graph, Op, OpKind, Tensor
from golden import operators
from golden.machine import Machine
from hdl.config import LpuConfig

Arrays = dict[str, np.ndarray]

_NUMPY = {"int8": np.int8, "int32": np.int32}

_BINARY: Mapping[OpKind, Callable[..., np.ndarray]] = {
    OpKind.ADD: operators.add,
    OpKind.SUB: operators.subtract,
    OpKind.MUL: operators.multiply,
    OpKind.MAXIMUM: operators.maximum,
    OpKind.MINIMUM: operators.minimum,
}


def random_inputs(graph: Graph, seed: int) -> Arrays:
    """int8 of the full range; int32 small enough that sums of a few stay in 20 bits."""
    rng = np.random.default_rng(seed)
    ranges = {"int8": (-128, 128), "int32": (-(1 << 17), 1 << 17)}
    return {t.name: rng.integers(*ranges[t.dtype], t.shape, dtype=_NUMPY[t.dtype]) for t in graph.inputs}


def evaluate(graph: Graph, inputs: Arrays) -> Arrays:
    """All outputs of a graph, by golden.operators."""
    values: dict[Tensor, np.ndarray] = {t: inputs[t.name] for t in graph.inputs}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor.value is not None:
                values[tensor] = tensor.value.astype(_NUMPY[tensor.dtype])
        values[op.output] = _apply(op, [values[tensor] for tensor in op.inputs])
    return {t.name: values[t] for t in graph.outputs}


def _apply(op: Op, operands: list[np.ndarray]) -> np.ndarray:
    match op.kind:
        case OpKind.MATMUL:
            return operators.matmul(*operands)
        case OpKind.BIAS:
            return operators.add_bias(operands[0], operands[1][0])
        case OpKind.REQUANTISE:
            return operators.requantise(operands[0], np.array(op.multiplier), np.array(op.shift))
        case OpKind.RELU:
            return operators.relu(operands[0])
        case OpKind.ARGMAX:
            return operators.argmax(operands[0])[:, None].astype(np.int32)
    return _BINARY[op.kind](operands[0], operands[1].astype(operands[0].dtype))


@dataclass(frozen=True)
class MachineRun:
    outputs: Arrays
    cycles: int


def run_image(image: ProgramImage, *items: Arrays) -> list[MachineRun]:
    """Load an image once, then run it on each item of inputs, on one golden machine."""
    machine = Machine(image.config)
    machine.load_programs(image.programs)
    for block in image.memory:
        for i, row in enumerate(block.rows):
            _row(machine, block.unit, block.addr + i)[:] = row
    return [_run_item(machine, image, item) for item in items]


def _run_item(machine: Machine, image: ProgramImage, item: Arrays) -> MachineRun:
    for name, array in item.items():
        for unit, addr, row in pack_tensor(image.config, image.tensor(name), array):
            _row(machine, unit, addr)[:] = row
    result = machine.run()
    assert not result.errors, result.faults
    outputs = {}
    for info in image.tensors:
        if info.kind == "output":
            rows = [_row(machine, info.unit, addr) for addr in tensor_addresses(image.config, info)]
            outputs[info.name] = unpack_tensor(image.config, info, np.stack(rows))
    return MachineRun(outputs, result.cycles)


def _row(machine: Machine, unit: str, addr: int) -> np.ndarray:
    sram = machine.sram[unit]
    row_bits = (sram.shape[1] - 1).bit_length()
    return sram[addr >> row_bits, addr & ((1 << row_bits) - 1)]


def check_graph(config: LpuConfig, graph: Graph, seed: int = 0) -> CompiledProgram:
    """Compile, run twice on one machine with different inputs, and compare outputs and cycles; returns the program."""
    compiled = compile_graph(config, graph)
    items = [random_inputs(graph, seed), random_inputs(graph, seed + 1)]
    for item, run in zip(items, run_image(compiled.image, *items), strict=True):
        for name, expected in evaluate(graph, item).items():
            np.testing.assert_array_equal(run.outputs[name], expected, err_msg=name)
        assert run.cycles == compiled.image.cycles == compiled.report.cycles
    return compiled
