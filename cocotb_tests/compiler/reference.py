"""The reference of the compiler tests: graphs by the golden operators, images on the golden machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.build import CompiledProgram, compile_graph
from compiler.evaluate import Arrays, bits, evaluate
from compiler.image import ProgramImage, pack_tensor, tensor_addresses, unpack_tensor
from compiler.ir import Graph
from compiler.workloads import random_inputs
from golden.machine import Machine
from hdl.config import LpuConfig


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
    rng = np.random.default_rng(seed)
    items = [random_inputs(graph, rng, most) for _ in range(2)]
    states: Arrays = {}
    for item, run in zip(items, run_image(compiled.image, *items), strict=True):
        for name, expected in evaluate(graph, item, states).items():
            found = run.outputs[name]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(bits(found), bits(expected), err_msg=name)
        assert run.cycles == compiled.image.cycles == compiled.report.cycles
    return compiled
