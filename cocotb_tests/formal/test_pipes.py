"""Proofs about the pipes of the vector unit: rules that hold for all operands, and faults that break them."""

from __future__ import annotations

import pytest

from formal.add import SEE_ORDER, AddOrder, AddRules
from formal.faulty import Fault, Faulty, beyond_int8, late, negative_zero, unflushed
from formal.int import SEE_FLAG, IntRules
from formal.mul import FREE_PRODUCTS, MulByHalves, MulRules
from formal.pipe import PipeRules
from formal.run import Verdict, check, reveal
from hdl.config import PipeKind
from hdl.isa import PIPE_LATENCY, IntOp
from hdl.vector.add_pipe import AddPipe
from hdl.vector.int_pipe import IntPipe
from hdl.vector.mul_pipe import MulPipe

ADD, MUL, INT = (PIPE_LATENCY[pipe] for pipe in (PipeKind.ADD, PipeKind.MUL, PipeKind.INT))


def verdict(rules: PipeRules, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Verdict:
    """From any state of the pipe; the element that enters in the first cycle completes in the last."""
    return check(rules, "pipe", rules.latency + 1, before, after)


def test_add() -> None:
    assert verdict(AddRules(AddPipe(), ADD)).holds


def test_add_commutes_and_subtracts_by_adding() -> None:
    assert check(AddOrder(AddPipe(), AddPipe()), "pipe", 2, after=SEE_ORDER).holds


def test_mul() -> None:
    assert verdict(MulRules(MulPipe(), MUL), FREE_PRODUCTS).holds


def test_mul_by_halves() -> None:
    assert verdict(MulByHalves(MulPipe(), MUL)).holds


@pytest.mark.parametrize(("floats", "last"), [(False, IntOp.PICK), (True, IntOp.F2I8)])
def test_int(floats: bool, last: IntOp) -> None:
    assert verdict(IntRules(IntPipe(floats), INT, last), after=SEE_FLAG).holds


# ------------------------------------------------------------------ faults found


def faulty_add(fault: Fault) -> Verdict:
    return verdict(AddRules(Faulty(AddPipe(), fault), ADD))


def test_a_zero_of_the_wrong_sign() -> None:
    found = faulty_add(negative_zero)
    assert found.broken
    assert "$enddefinitions" in found.counterexample


def test_a_wrong_latency() -> None:
    assert not faulty_add(late).holds


def test_a_product_that_is_not_flushed() -> None:
    found = verdict(MulRules(Faulty(MulPipe(), unflushed), MUL), FREE_PRODUCTS)
    assert found.broken & {"zero_factor", "never_subnormal"}


def test_a_result_beyond_int8() -> None:
    see_flag = reveal({"seen_flag": "pipe.pipe.flags"})
    assert not verdict(IntRules(Faulty(IntPipe(floats=True), beyond_int8), INT), after=see_flag).holds
