"""The legacy (version 0) checkpoint of llama2.c, written from a trained ``Net``."""

from __future__ import annotations

import struct

from torch import Tensor

from models.stories.net import Block, Net


def legacy_checkpoint(net: Net) -> bytes:
    """Seven int32 (a positive vocabulary size says: classifier tied), then float32, each matrix layer by layer."""
    shape = net.shape
    header = (shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads, shape.vocabulary, shape.context)
    arrays = (tensor.detach().numpy().astype("<f4") for tensor in tensors(net))
    return struct.pack("<7i", *header) + b"".join(array.tobytes() for array in arrays)


def tensors(net: Net) -> list[Tensor]:
    """In the order of the file."""
    blocks = [block for block in net.blocks if isinstance(block, Block)]
    matrices = ("wq", "wk", "wv", "wo")
    return [
        net.embedding.weight,
        *(block.attention_norm.weight for block in blocks),
        *(getattr(block, name).weight for name in matrices for block in blocks),
        *(block.ffn_norm.weight for block in blocks),
        *(getattr(block, name).weight for name in ("w1", "w2", "w3") for block in blocks),
        net.norm.weight,
        *net.rotations,
    ]
