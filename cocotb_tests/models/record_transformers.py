"""Logits of transformers' LlamaForCausalLM in float32, recorded for test_llama_reference.py.

``python -m cocotb_tests.models.record_transformers`` rewrites cocotb_tests/models/data. Needs the extra ``reference``.
Each model goes to transformers as a Hugging Face folder, so that what is recorded owes nothing to the front ends.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cocotb_tests.models.llama_files import random_llama, write_huggingface
from models.llama.llama2c import read_llama2c
from models.llama.model import Floats, Llama, LlamaShape

DATA = Path(__file__).with_name("data")
STORIES = Path(__file__).parents[2] / "models" / "stories" / "stories260k.bin"

CASES: dict[str, tuple[LlamaShape, bool]] = {
    "heads8_of_8": (LlamaShape(64, 172, 3, 8, 4, 96, 256), True),
    "heads2_of_48": (LlamaShape(96, 128, 2, 2, 1, 80, 256, rope_theta=500000.0, epsilon=1e-6), False),
    "heads4_of_16_ungrouped": (LlamaShape(64, 96, 2, 4, 4, 96, 256), False),
}
"""Shape, and whether embedding and classifier are one."""
SHOWN = [0, 1, 2, 7, 31, 100, 199]
"""Positions whose logits are kept; the last one is the longest context."""


def case_model(name: str) -> Llama:
    shape, is_tied = CASES[name]
    return random_llama(shape, seed=list(CASES).index(name), is_tied=is_tied)


def case_tokens(vocabulary: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, vocabulary, SHOWN[-1] + 1)


def digest(path: Path) -> str:
    """Which weights a record was made with."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def transformers_logits(model: Llama, tokens: NDArray[np.int64]) -> Floats:
    """[T, vocabulary]."""
    import torch
    from transformers import LlamaForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        path = write_huggingface(model, Path(folder))
        network = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        result: Floats = network(torch.from_numpy(tokens)[None]).logits[0].numpy()
    return result


def record() -> None:
    """One file of data for each case, and one for the story model."""
    DATA.mkdir(exist_ok=True)
    for name in CASES:
        model = case_model(name)
        logits = transformers_logits(model, case_tokens(model.shape.vocabulary))
        np.savez_compressed(DATA / f"{name}.npz", logits=logits[SHOWN])
    model = read_llama2c(STORIES)
    logits = transformers_logits(model, case_tokens(model.shape.vocabulary))
    np.savez_compressed(DATA / "stories.npz", logits=logits[SHOWN], weights=digest(STORIES))


if __name__ == "__main__":
    record()
