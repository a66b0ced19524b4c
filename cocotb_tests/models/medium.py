"""A Llama that `small` cannot hold, on the RTL of `medium`: dim 288, 6 layers, hidden 768, random weights, 4 tokens.

Run by `make medium`, not by the tests: the simulator takes two minutes to build, the 10 MB of weights and caches ten
to be written through its host port.
"""

from __future__ import annotations

import time

import numpy as np

from cocotb_tests.models.llama_files import random_llama, small_shape
from compiler.build import compile_graph
from compiler.llama.budget import check_budget
from compiler.llama.program import Buckets
from compiler.llama.quantised import quantise_llama
from hdl.config import preset
from models.llama.generate import Request, generate
from models.llama.prepare import measured

SHAPE = small_shape(dim=288, hidden=768, layers=6, heads=12, kv_heads=6, vocabulary=512, context=64)
PROMPT = (1, 5, 7)
TOKENS = 4
EFFORT = 200
"""Orders that the scheduler tries: what is shown here is the match, not the last percent of the cycles."""


def main() -> None:
    config, model = preset("medium"), random_llama(SHAPE, seed=1)
    check_budget(config, SHAPE, model.is_tied, SHAPE.context)
    texts = [[1, *np.random.default_rng(seed).integers(3, SHAPE.vocabulary, 60).tolist()] for seed in range(2)]
    quantised = quantise_llama(model, measured(model, texts))
    buckets = Buckets(
        config,
        quantised,
        sizes=(),
        compiler=lambda config, graph, steps, _: compile_graph(config, graph, steps, EFFORT),
    )
    start = time.perf_counter()
    for run in generate(buckets, Request(PROMPT, TOKENS), steps=len(PROMPT) + TOKENS - 1):
        figures = f"{run.launch.steps} positions, {run.cycles:,} cycles, {run.predicted:,} predicted"
        print(f"{figures}; differs from golden: {', '.join(run.differs or ()) or 'nothing'}; tokens {run.tokens}")
        if not run.is_exact:
            raise SystemExit(1)
    report = buckets.program(SHAPE.context, len(PROMPT) + TOKENS - 1).report
    print(f"{report.cycles:,} cycles a token, ratio {report.ratio:.2f}; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
