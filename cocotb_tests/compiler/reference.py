"""The reference of the compiler tests: graphs by the golden operators, images on the golden machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.build import CompiledProgram, compile_graph
from compiler.evaluate import Arrays, evaluate
from compiler.image import ProgramImage, pack_tensor, tensor_addresses, unpack_tensor
from compiler.ir import DType, Graph, Tensor
from golden.machine import Machine
from hdl.config import LpuConfig


def random_inputs(graph: Graph, seed: int, most: int = 16) -> Arrays:
    """int8 of the full range; int32 small enough that sums of a few stay in 20 bits, an index below ``most``; fp32
    of one order of magnitude.
    """
    rng = np.random.default_rng(seed)
    return {t.name: _random(rng, t, most) for t in graph.inputs}


def _random(rng: np.random.Generator, tensor: Tensor, most: int) -> np.ndarray:
    if tensor.dtype is DType.FP32:
        return (4 * rng.standard_normal(tensor.shape)).astype(np.float32)
    if tensor.dtype is DType.INT8:
        return rng.integers(-128, 128, tensor.shape, dtype=np.int8)
    low, high = (0, most) if tensor.shape == (1, 1) else (-(1 << 17), 1 << 17)
    return rng.integers(low, high, tensor.shape, dtype=np.int32)


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


def check_graph(config: LpuConfig, graph: Graph, seed: int = 0, most: int = 16) -> CompiledProgram:
    """Compile, run twice on one machine with different inputs, and compare outputs and cycles; returns the program."""
    compiled = compile_graph(config, graph)
    items = [random_inputs(graph, seed, most), random_inputs(graph, seed + 1, most)]
    states: Arrays = {}
    for item, run in zip(items, run_image(compiled.image, *items), strict=True):
        for name, expected in evaluate(graph, item, states).items():
            found = run.outputs[name]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(_bits(found), _bits(expected), err_msg=name)
        assert run.cycles == compiled.image.cycles == compiled.report.cycles
    return compiled


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.int32) if array.dtype == np.float32 else array
