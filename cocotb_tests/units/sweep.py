"""The SFU pipe on every fraction there is: `make sweep`, minutes of simulation that the tests only sample."""

from __future__ import annotations

import numpy as np
from rich.progress import track

from cocotb_tests.units.vectors import assert_same, held, run_pipe
from golden.numerics import sfu_pipe
from hdl.isa import SfuOp
from hdl.vector.sfu_pipe import SfuPipe

BINADES = ((SfuOp.EXP2, 127), (SfuOp.RECIP, 127), (SfuOp.RSQRT, 127), (SfuOp.RSQRT, 128), (SfuOp.NLOG2, 127))
"""Operation and biased exponent: each table with all its arguments."""


def sweep(op: SfuOp, exponent: int) -> int:
    """Compare all 2^23 fractions of a binade with the golden model; the number of elements. Raises AssertionError."""
    x = (np.arange(1 << 23) | exponent << 23).astype(np.int32)
    ops, valid = np.full(len(x), op), np.ones(len(x), bool)
    words = run_pipe(SfuPipe(), ops, x, valid=valid, extra=4)
    assert_same(words, held(sfu_pipe(op, x), valid, latency=4), latency=4, x=x)
    return len(x)


if __name__ == "__main__":
    elements = sum(sweep(op, exponent) for op, exponent in track(BINADES, "sweeping the special functions"))
    print(f"{elements:,} elements of {len(BINADES)} tables equal the golden model")
