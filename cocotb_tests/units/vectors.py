"""A pipe of the vector unit under Verilator, over millions of elements.

The simulated top reads one element a cycle from a binary file and writes the pipe's ``result`` of every cycle to
another, so no Python runs per cycle. Simulators are cached in ``build/units`` by content.

    valid = rng.random(count) < 0.9                            # the rest are bubbles: no element enters
    words = run_pipe(AddPipe(), op, x, y, valid=valid, extra=4)
    expected = held(values, valid, latency=4)                  # values: the golden word of each element
    assert_same(words, expected, latency=4, op=op, x=x, y=y)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cocotb_tests.units import vector_player
from cocotb_tests.units.harness import UNITS, launch
from hdl.emit import TOP as PIPE
from hdl.emit import Shared, VerilogWriter
from hdl.vector.command import PIPE_COMMAND
from sim.build import compiled

TOP = "vector_bench"
VECTORS, RESULTS = "vectors", "results"
"""Files in the working directory: records of RECORD, one per cycle, and the 32-bit word of each cycle."""
RECORD = np.dtype([("valid", "u1"), ("op", "u1"), ("imm", ">u4"), ("x", ">u4"), ("y", ">u4")])
Words = NDArray[np.int32]

_BENCH = """\
// Feeds {pipe} one record of the file "{vectors}" a cycle and logs its result of every cycle.
module {top} (input logic clk, input logic rst, output logic done);
    logic [{bits}:0] vector, read;
    logic [31:0] result;
    logic playing;
    integer vectors, results;

    {pipe} pipe (.clk(clk), .rst(rst), .command({{vector[95:64], vector[100:96], vector[104]}}),
        .x(vector[63:32]), {y}.result(result));

    initial begin
        vectors = $fopen("{vectors}", "rb");
        results = $fopen("{results}", "wb");
    end

    always_ff @(posedge clk) begin
        if (playing) $fwrite(results, "%u", result);
        if (rst) begin
            vector <= 0;
            playing <= 0;
            done <= 0;
        end else if (!done) begin
            if ($fread(read, vectors) == {bytes}) begin
                vector <= read;
                playing <= 1;
            end else begin
                playing <= 0;
                done <= 1;
                $fclose(results);
            end
        end
    end
endmodule
"""


def run_pipe(
    component: Shared,
    op: ArrayLike,
    x: ArrayLike,
    y: ArrayLike = 0,
    imm: ArrayLike = 0,
    valid: ArrayLike = 1,
    extra: int = 0,
) -> Words:
    """``result`` of ``component`` in every cycle from the first element on, one element or bubble a cycle.

    The arguments are 1-D arrays, or scalars that hold for all cycles: element t enters in cycle t; words are taken
    modulo 2^32; ``valid`` 0 makes t a bubble, in which the other inputs still have their values. ``extra`` bubbles of
    zeros follow, so that a pipe of latency ``extra`` shows its last element. Returns int32[count + extra]. The run
    starts in reset with all state at its initial values. Raises SimError when the build or the run fails.
    """
    fields = [np.atleast_1d(np.asarray(value)) for value in (valid, op, imm, x, y)]
    records = np.zeros(max(map(len, fields)) + extra, RECORD)
    for name, values in zip(("valid", "op", "imm", "x", "y"), fields, strict=True):
        records[name][: len(records) - extra] = values.astype(np.int64).astype(records[name].dtype)
    return np.frombuffer(_play(_simulator(component), records.tobytes()), "<i4").astype(np.int32, copy=False)


def held(values: ArrayLike, valid: ArrayLike, latency: int, reset: int = 0) -> Words:
    """``result`` expected in every cycle: the latest valid element that is at least ``latency`` cycles old.

    ``values``: one word per cycle, of which those of bubbles do not matter. Before the first element completes, the
    register has the value ``reset``. Returns int32[count + latency], as ``run_pipe(..., extra=latency)`` does.
    """
    words = np.asarray(values).astype(np.int32)
    newest = np.maximum.accumulate(np.where(np.broadcast_to(valid, words.shape), np.arange(len(words)), -1))
    shown = np.where(newest >= 0, words[newest], np.int32(reset))
    return np.concatenate([np.full(latency, reset, np.int32), shown])


def assert_same(words: Words, expected: Words, latency: int, **inputs: NDArray[np.generic]) -> None:
    """Fail with the first differing cycle and the inputs (by name, one per cycle) of the element it should show."""
    assert words.shape == expected.shape
    wrong = np.flatnonzero(words != expected)
    if len(wrong):
        cycle = int(wrong[0])
        element = {name: _hex(values[cycle - latency]) for name, values in inputs.items()}
        found = f"{_hex(words[cycle])} instead of {_hex(expected[cycle])}"
        raise AssertionError(f"{len(wrong)} cycles differ; cycle {cycle}: {found} for {element}")


def _hex(word: np.generic) -> str:
    return f"{int(word) & 0xFFFFFFFF:08x}"


def _simulator(component: Shared) -> Path:
    ports = dict(component.signature.members)
    assert ports["command"].shape == PIPE_COMMAND
    y = ".y(vector[31:0]), " if "y" in ports else ""
    bits = RECORD.itemsize * 8
    bench = _BENCH.format(
        top=TOP, pipe=PIPE, vectors=VECTORS, results=RESULTS, bits=bits - 1, bytes=RECORD.itemsize, y=y
    )
    sources = {"pipe.v": VerilogWriter().write(component), f"{TOP}.sv": bench}
    return compiled(UNITS, type(component).__name__, sources, TOP)


def _play(directory: Path, vectors: bytes) -> bytes:
    return launch(directory, TOP, vector_player.__name__, {VECTORS: vectors}, RESULTS)
