"""The Llama architecture in PyTorch, for training only. Shapes: b batch, t position, h head, c channel of a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention, silu

from models.llama.model import LlamaShape


def rotations(shape: LlamaShape) -> tuple[Tensor, Tensor]:
    """cos and sin, [context, head_dim / 2], of position * theta^(-2 i / head_dim)."""
    exponents = torch.arange(0, shape.head_dim, 2) / shape.head_dim
    angles = torch.outer(torch.arange(shape.context), shape.rope_theta**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE: channels 2i, 2i + 1 of ``x`` [b, t, h, c] turned by the angle of their position; cos, sin [t, 1, c / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """x + wo attention(norm x), then x + w2 (silu(w1 norm x) * w3 norm x)."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.wq = nn.Linear(shape.dim, shape.dim, bias=False)
        self.wk = nn.Linear(shape.dim, shape.kv_dim, bias=False)
        self.wv = nn.Linear(shape.dim, shape.kv_dim, bias=False)
        self.wo = nn.Linear(shape.dim, shape.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.w1 = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.w2 = nn.Linear(shape.hidden, shape.dim, bias=False)
        self.w3 = nn.Linear(shape.dim, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[b, t, dim] to [b, t, dim]."""
        x = x + self.wo(self.attend(self.attention_norm(x), cos, sin))
        y = self.ffn_norm(x)
        return x + self.w2(silu(self.w1(y)) * self.w3(y))

    def attend(self, y: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Causal attention; each KV head serves heads / kv_heads neighbouring heads."""
        b, t, _ = y.shape
        q = rotate(self.wq(y).view(b, t, self.shape.heads, -1), cos, sin).transpose(1, 2)
        k = rotate(self.wk(y).view(b, t, self.shape.kv_heads, -1), cos, sin).transpose(1, 2)
        v = self.wv(y).view(b, t, self.shape.kv_heads, -1).transpose(1, 2)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        # Zeros up to 16 channels change no score and no sum; on a CPU the kernel is 1.5 times as fast with them.
        q, k, v = (pad(x, (0, -self.shape.head_dim % 16)) for x in (q, k, v))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.shape.head_dim**-0.5)
        return mixed[..., : self.shape.head_dim].transpose(1, 2).reshape(b, t, -1)


class Net(nn.Module):
    """Tokens [b, t] to logits [b, t, vocabulary]; the classifier is the embedding."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.rotations = rotations(shape)
        self._initialise()

    def _initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                residual = name.endswith(("wo.weight", "w2.weight"))
                nn.init.normal_(weight, std=0.05 / (2 * self.shape.layers) ** (0.5 * residual))

    def forward(self, tokens: Tensor) -> Tensor:
        """``t`` is at most ``context``."""
        cos, sin = (table[: tokens.shape[1], None] for table in self.rotations)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return linear(self.norm(x), self.embedding.weight)
