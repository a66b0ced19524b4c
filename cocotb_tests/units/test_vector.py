"""ALUs against ``golden.numerics`` and the vector tile against ``golden.units.vector``, in exact cycles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cocotb_tests.units.content import StreamContent, codes, driven, on_streams
from cocotb_tests.units.harness import Bench, Stimulus
from golden.numerics import Int32, int32_to_planes, int_alu, planes_to_int32, requant_alu, saturate_int8
from golden.trace import digest, lane_words
from golden.units.vector import VectorTwin, reads_stream
from hdl.config import STREAMS_PER_GROUP, AluKind, LpuConfig, preset
from hdl.isa import (
    ALU_OPS,
    SHIFT_BITS,
    Element,
    Instruction,
    IntOp,
    Opcode,
    QueueKind,
    RequantOp,
    Source,
    alu_offset,
    timing,
)
from hdl.vector.alu_int import IntAlu
from hdl.vector.alu_requant import RequantAlu
from hdl.vector.tile import VectorTile, drives_of, reads_of

pytestmark = pytest.mark.rtl
NANO = preset("nano").replace(trace=True)
WIDE = NANO.replace(
    name="wide",
    hemispheres=2,
    imm_bits=32,
    mult_bits=16,
    alus=(AluKind.REQUANT, AluKind.INT, AluKind.INT, AluKind.REQUANT),
)
"""Both directions, another chain: ALU 0 is the slow one, and two int ALUs stand in a row."""
EDGES = np.array([0, 1, -1, 2, 127, -128, 2**31 - 1, -(2**31), 2**31 - 2, -(2**31) + 1, 0x55555555], np.int32)


def random_int32(rng: np.random.Generator, count: int) -> Int32:
    """Half of them from the whole range, half of them small or edges."""
    values = rng.integers(-(2**31), 2**31, count).astype(np.int32)
    small = rng.choice(np.concatenate([EDGES, np.arange(-6, 7, dtype=np.int32)]), count)
    return np.where(rng.integers(2, size=count, dtype=bool), values, small)


# ----------------------------------------------------------------------------- ALUs


def test_int_alu() -> None:
    """Every operation on every pair of edges under both predicates, then random ones; one a cycle, latency 1."""
    rng = np.random.default_rng(3)
    cases = [(*case, 0x12345) for case in itertools.product(IntOp, EDGES, EDGES, (False, True))]
    xs, ys, imms = (random_int32(rng, 1000) for _ in range(3))
    ops, predicates = rng.choice(list(IntOp), 1000), rng.integers(2, size=1000, dtype=bool)
    cases += zip(ops, xs, ys, predicates, imms, strict=True)
    stimulus = Stimulus()
    for t, (op, x, y, predicate, imm) in enumerate(cases):
        command = {"valid": 1, "op": int(op), "imm": int(imm)}
        stimulus.at(t, command=command, before={"value": int(x), "predicate": int(predicate)}, y=int(y))
    response = Bench(IntAlu()).run(stimulus, extra=1)
    for t, (op, x, y, predicate, imm) in enumerate(cases):
        value, flag = int_alu(IntOp(op), np.array([x]), np.array([y]), np.array([predicate]), int(imm))
        after = response[t + 1]["after"]
        assert (after["value"], after["predicate"]) == (value[0], flag[0]), f"{IntOp(op).name} {x} {y} {predicate}"


def test_int_alu_keeps_its_own_result() -> None:
    """``own`` adds to the last valid result, however long ago that was; an invalid cycle changes nothing."""
    rng, stimulus, total = np.random.default_rng(4), Stimulus(), [0]
    xs, valids = random_int32(rng, 200), rng.integers(2, size=200)
    for t, (x, valid) in enumerate(zip(xs, valids, strict=True)):
        command = {"valid": int(valid), "op": IntOp.ADD, "own": 1}
        stimulus.at(t, command=command, before={"value": int(x)}, y=int(rng.integers(1 << 31)))
        total.append((total[-1] + int(x) * int(valid) + 2**31) % 2**32 - 2**31)
    response = Bench(IntAlu()).run(stimulus, extra=1)
    assert [outputs["after"]["value"] for outputs in response] == total


def requant_cases(bits: int) -> list[tuple[RequantOp, int, int]]:
    """(op, x, word): ties of both signs at every shift, edges at every shift, random words with garbage above them."""
    rng = np.random.default_rng(bits)
    cases = []
    for shift in range(1 << SHIFT_BITS):
        for x, m in itertools.product((-(2**31), 2**31 - 1, -1, 1, 3, -3), (0, 1, (1 << bits) - 1)):
            cases += [(op, x, shift << bits | m) for op in (RequantOp.REQUANT, RequantOp.SHR)]
        for odd, a in itertools.product((1, 3, 5, -1, -3, -5), (0, 3, 28)):
            cases.append((RequantOp.REQUANT, odd << a, (a + 1) << bits | 7))
            cases.append((RequantOp.REQUANT, odd << max(shift - 1, 0) if shift < 29 else odd, shift << bits | 1))
    words = rng.integers(-(2**31), 2**31, 1500)
    cases += zip(rng.choice(list(RequantOp), 1500), random_int32(rng, 1500), words, strict=True)
    return [(RequantOp(op), int(x), int(word)) for op, x, word in cases]


@pytest.mark.parametrize("bits", [8, 16])
def test_requant_alu(bits: int) -> None:
    """One a cycle, latency 3; the predicate travels along."""
    config, stimulus, cases = NANO.replace(mult_bits=bits), Stimulus(), requant_cases(bits)
    predicates = np.random.default_rng(0).integers(2, size=len(cases))
    for t, (op, x, word) in enumerate(cases):
        before = {"value": x, "predicate": int(predicates[t])}
        stimulus.at(t, command={"valid": 1, "op": int(op)}, before=before, y=word)
    response = Bench(RequantAlu(bits)).run(stimulus, extra=3)
    for t, (op, x, word) in enumerate(cases):
        expected = requant_alu(config, op, np.array([x], np.int32), np.array([word]).astype(np.int32))
        after = response[t + 3]["after"]
        place = f"{op.name} {x} * {word & ((1 << bits) - 1)} / 2^{word >> bits & 63}"
        assert (after["value"], after["predicate"]) == (expected[0], predicates[t]), place


# ----------------------------------------------------------------------------- tile


def random_chain(config: LpuConfig, rng: np.random.Generator) -> Instruction:
    reads, drives = reads_of(config), drives_of(config)
    half_imm = 1 << (config.imm_bits - 1)
    x_wide, out_wide = int(rng.integers(2)), int(rng.integers(2))
    values = {
        "count": int(rng.integers(1, 6)),
        "gap": int(rng.choice([0, 0, 1, 3])),
        "last_only": int(rng.integers(2)),
        "imm": int(rng.choice([int(rng.integers(-half_imm, half_imm)), int(rng.integers(-300, 300)), half_imm - 1])),
        "x_wide": x_wide,
        "x": int(rng.choice(codes(reads, bool(x_wide)))),
        "out_wide": out_wide,
        "out": int(rng.choice(codes(drives, bool(out_wide)))),
    }
    for k, kind in enumerate(config.alus):
        sources = [int(source) for source in Source if kind is AluKind.INT or source is not Source.SELF]
        ops, wide = [int(op) for op in ALU_OPS[kind]], int(rng.integers(2))
        values |= {
            f"op{k}": int(rng.choice(ops)),
            f"src{k}": int(rng.choice(sources)),
            f"y{k}_wide": wide,
            f"y{k}": int(rng.choice(codes(reads, bool(wide)))),
        }
    return Instruction.of(Opcode.CHAIN, **values)


def elements_of(instruction: Instruction, start: int) -> list[Element]:
    step = instruction["gap"] + 1
    return [Element(start + i * step, 0, instruction, i, 0) for i in range(instruction["count"])]


def operand(content: StreamContent, cycle: int, instruction: Instruction, name: str) -> Int32:
    wide = instruction[f"{name}_wide"]
    planes = content.read(cycle, instruction[name], STREAMS_PER_GROUP if wide else 1)
    return planes_to_int32(planes) if wide else planes[0].view(np.int8).astype(np.int32)


def expected_value(content: StreamContent, config: LpuConfig, twin: VectorTwin, element: Element) -> Int32:
    """x in T, y_k in T + alu_offset(k)."""
    instruction, ys = element.instruction, []
    for k in range(len(config.alus)):
        at = element.cycle + alu_offset(config, k)
        ys.append(operand(content, at, instruction, f"y{k}") if reads_stream(instruction, k) else None)
    return twin.chain(element, operand(content, element.cycle, instruction, "x"), ys)


def test_saturation() -> None:
    """int8 results around both limits, and far beyond them."""
    values = [0, 1, -1, 126, 127, 128, 129, 255, 256, 32767, -127, -128, -129, -130, -256, -32768]
    stimulus, out, func = Stimulus(), codes(drives_of(NANO), wide=False)[1], 6
    assert timing(NANO, QueueKind.VECTOR, Opcode.CHAIN).func == func
    fields = {"valid": 1, "first": 1, "last": 1, "op": int(Opcode.CHAIN), "out": out}
    fields |= {"src0": int(Source.IMM), "op0": int(IntOp.ADD)}
    for t, value in enumerate(values):
        stimulus.at(t, issue={**fields, "imm": value})
    response = Bench(VectorTile(NANO)).run(stimulus, extra=func)
    for t, value in enumerate(values):
        expected = np.full((1, NANO.lanes), min(max(value, -128), 127), np.int8).view(np.uint8)
        assert driven(drives_of(NANO), response[t + func]) == on_streams(out, expected), value


@pytest.mark.parametrize("config", [NANO, WIDE], ids=lambda config: config.name)
def test_vector_tile(config: LpuConfig) -> None:
    """Random CHAINs on random streams: result, cycle, stream and digest of every element; nothing else is driven."""
    rng, twin, stimulus = np.random.default_rng(11), VectorTwin(config), Stimulus()
    elements: list[Element] = []
    for _ in range(400):
        start = elements[-1].cycle + 1 + int(rng.choice([0, 0, 2])) if elements else 0
        elements += elements_of(random_chain(config, rng), start)
    func = timing(config, QueueKind.VECTOR, Opcode.CHAIN).func
    assert func is not None
    cycles = elements[-1].cycle + func + 2
    content = StreamContent(config, rng, cycles)
    for t in range(cycles):
        stimulus.at(t, **content.ports(t, reads_of(config)))
    drives, digests = {}, {}
    for e in elements:
        fields = {name: value for name, value in e.instruction.args if name not in ("count", "gap")}
        place = {"valid": 1, "first": int(e.first), "last": int(e.last), "op": int(Opcode.CHAIN)}
        stimulus.at(e.cycle, issue={**fields, **place})
        value = expected_value(content, config, twin, e)
        if e.instruction["last_only"] and not e.last:
            continue
        wide, bytes_ = e.instruction["out_wide"], saturate_int8(value).view(np.uint8)[np.newaxis]
        drives[e.cycle + func] = on_streams(e.instruction["out"], int32_to_planes(value) if wide else bytes_)
        digests[e.cycle + func] = int(digest(lane_words(config, value if wide else bytes_[0].astype(np.int32)))[0])
    for t, outputs in enumerate(Bench(VectorTile(config)).run(stimulus)):
        assert driven(drives_of(config), outputs) == drives.get(t, {}), f"cycle {t}"
        assert outputs["valid"] == (t in drives), f"cycle {t}"
        assert t not in digests or outputs["digest"] == digests[t], f"cycle {t}"
