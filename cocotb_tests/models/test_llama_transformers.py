"""golden.llama.reference against transformers itself, where the extra ``reference`` is installed (see conftest.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from cocotb_tests.models import record_transformers as recorded
from golden.llama.reference import logits
from models.llama.huggingface import read_huggingface

TOLERANCE = 1e-4


@pytest.mark.parametrize("name", list(recorded.CASES))
def test_transformers_says_what_is_recorded(name: str) -> None:
    model = recorded.case_model(name)
    found = recorded.transformers_logits(model, recorded.case_tokens(model.shape.vocabulary))
    assert np.abs(found[recorded.SHOWN] - np.load(recorded.DATA / f"{name}.npz")["logits"]).max() < TOLERANCE


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_folders_saved_by_transformers_agree(dtype: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=96, max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 2e4},
    )  # fmt: skip
    network = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    network.save_pretrained(tmp_path, max_shard_size="40KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    tokens = np.random.default_rng(2).integers(0, 96, 40)
    with torch.no_grad():
        expected = network.float()(torch.from_numpy(tokens)[None]).logits[0].numpy()
    assert np.abs(logits(read_huggingface(tmp_path), tokens.tolist()) - expected).max() < TOLERANCE
