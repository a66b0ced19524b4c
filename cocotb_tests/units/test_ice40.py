"""Modules with a text of their own: the Amaranth, the text, and the cells that yosys makes of it for an iCE40 (which do
do what yosys says of them) compute the same formula.
"""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from cocotb_tests.units.harness import Bench, Cycle, Stimulus
from hdl.choice import Choice
from hdl.emit import Shared, Technology, shared
from hdl.matrix.pair import ProductPair
from hdl.matrix.sum_register import SumRegister
from hdl.memory.program import ProgramMemory
from hdl.vector.product import Product

pytestmark = pytest.mark.rtl
CYCLES = 600
Inputs = list[dict[str, int]]
AMARANTH = "amaranth"
"""Beside the technologies: what simulators of Amaranth and proofs see."""


class Around(wiring.Component):
    """``component`` as a core has it, beside a register that keeps the clock."""

    def __init__(self, component: Shared, variant: str) -> None:
        self._component, self._has_text = component, variant != AMARANTH
        super().__init__({**component.signature.members, "tick": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inside = shared(self._component, platform) if self._has_text else self._component
        m.d.sync += self.tick.eq(~self.tick)
        for name, member in self._component.signature.members.items():
            mine, its = getattr(self, name), getattr(self._component, name)
            m.d.comb += mine.eq(its) if member.flow is Out else its.eq(mine)
        return m


def run(component: Shared, variant: str, widths: dict[str, int]) -> tuple[Inputs, list[Cycle]]:
    """Random inputs of these widths in every cycle, edges of signed words among them, and the outputs."""
    technology = Technology.ICE40 if variant == Technology.ICE40 else Technology.GENERIC
    rng, stimulus, inputs = np.random.default_rng(7), Stimulus(), []
    for t in range(CYCLES):
        words = {name: int(rng.integers(0, 1 << bits, dtype=np.uint64)) for name, bits in widths.items()}
        for name, bits in widths.items():
            if bits > 1 and rng.random() < 0.3:
                words[name] = int(rng.choice([0, 1, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1]))
        inputs.append(words)
        stimulus.at(t, **words)
    return inputs, Bench(Around(component, variant), technology).run(stimulus, extra=2)


def signed(word: int, bits: int) -> int:
    return (word & (1 << bits) - 1) - ((word & 1 << bits - 1) << 1)


every = pytest.mark.parametrize("variant", [AMARANTH, "generic", "ice40"])


@pytest.mark.parametrize(
    ("bits", "variant"),
    [(bits, variant) for bits in (9, 16, 17) for variant in (AMARANTH, "generic")] + [(16, "ice40")],
)
def test_product(bits: int, variant: str) -> None:
    inputs, outputs = run(Product(bits), variant, {"x": 32, "factor": bits})
    for t, words in enumerate(inputs):
        assert outputs[t + 1]["product"] == signed(words["x"], 32) * signed(words["factor"], bits), t


@every
@pytest.mark.parametrize("early", [False, True])
def test_sum_register(variant: str, early: bool) -> None:
    inputs, outputs = run(SumRegister(early), variant, {"enable": 1, "start": 1, "old": 32, "term": 32})
    total = None
    for t, words in enumerate(inputs[1:], 1):
        term = inputs[t - 1 if early else t]["term"]
        if words["enable"]:
            total = ((0 if words["start"] else words["old"]) + term) % (1 << 32)
        assert total is None or outputs[t + 1]["sum"] == total, t


@every
@pytest.mark.parametrize("keep", [False, True])
def test_product_pair(variant: str, keep: bool) -> None:
    widths = {"install": 1, "hold": 1, "weights": 16, "x": 16}
    inputs, outputs = run(ProductPair(keep), variant, widths)
    array = x = None
    for t, words in enumerate(inputs[:-1]):
        x = x if words["hold"] else words["x"]
        array = (words["weights"] if words["install"] else array) if keep else inputs[t + 1]["weights"]
        if x is None or array is None:
            continue
        halves = [signed(array >> s, 8) * signed(x >> s, 8) % (1 << 16) for s in (0, 8)]
        assert outputs[t + 2]["products"] == halves[0] | halves[1] << 16, t


@every
def test_choice(variant: str) -> None:
    inputs, outputs = run(Choice(5), variant, {**{f"x{i}": 5 for i in range(4)}, "index": 2})
    for t, words in enumerate(inputs):
        assert outputs[t]["chosen"] == words[f"x{words['index']}"], t


@every
def test_program_memory(variant: str) -> None:
    """One port is enough: a row is read in the cycles in which none is written. 40 bits: three SPRAMs."""
    widths = {"write_en": 1, "write_row": 4, "read_row": 4, "write_data": 40, "read_en": 1}
    memory = ProgramMemory(16, 40, short=False, in_spram=True)
    inputs, outputs = run(memory, variant, widths)
    rows: dict[int, int] = {}
    read = 0
    for t, words in enumerate(inputs):
        if words["write_en"]:
            rows[words["write_row"]] = words["write_data"]
        elif words["read_en"] and words["read_row"] in rows:
            assert outputs[t + 1]["read_data"] == rows[words["read_row"]], t
            read += 1
    assert read > 100


@pytest.mark.parametrize(("depth", "width", "fits"), [(1 << 14, 64, True), (16, 65, False), (1 << 15, 16, False)])
def test_what_does_not_fit_spram_stays_in_block_ram(depth: int, width: int, fits: bool) -> None:
    memory = ProgramMemory(depth, width, short=False, in_spram=True)
    memory._MustUse__used = True
    text = memory.verilog(Technology.ICE40)
    assert text is not None and ("SB_SPRAM256KA" in text) == fits
    assert "SB_SPRAM256KA" not in (memory.verilog(Technology.GENERIC) or "")
