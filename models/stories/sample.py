"""Stories told by a trained ``Net``: the page ``samples.md``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import torch

from models.stories.net import Net
from models.stories.tokenizer import BEGIN, Encoder

PROMPTS: Final = ("", "Once upon a time, there was a brave duck named Sue.", "Tom was a kind boy. One day, Tom found a")
TEMPERATURES: Final = (0.0, 0.8)
HEADER: Final = """\
# What the model says

Written by `models/stories/train.py` from the float32 network: a prompt, continued until the model ends its story with
`<s>` or the context of 256 tokens is full. Temperature 0 takes the likeliest token; above, tokens are drawn from the
softmax of logits / temperature, all of them, from torch's generator with the seed given.
"""


def samples_page(net: Net, encoder: Encoder) -> str:
    """Markdown: every prompt at every temperature, and what came of it."""
    parts = [HEADER]
    for seed, (prompt, temperature) in enumerate(product(PROMPTS, TEMPERATURES)):
        told = encoder.text([*continuation(net, encoder.story(prompt), temperature, seed)])
        prompted = f"after `{prompt}`" if prompt else "without a prompt"
        drawn = f", seed {seed}" if temperature else ""
        parts.append(f"## Temperature {temperature:g}{drawn}, {prompted}\n\n{(prompt + told).strip()}\n")
    return "\n".join(parts)


@torch.no_grad()
def continuation(net: Net, tokens: list[int], temperature: float, seed: int) -> Iterator[int]:
    """What follows ``tokens``, without the ``<s>`` at its end."""
    generator = torch.Generator().manual_seed(seed)
    tokens = list(tokens)
    while len(tokens) < net.shape.context:
        logits = net(torch.tensor([tokens]))[0, -1]
        if temperature:
            chosen = torch.multinomial(torch.softmax(logits / temperature, 0), 1, generator=generator)
        else:
            chosen = logits.argmax()
        tokens.append(int(chosen))
        if tokens[-1] == BEGIN:
            return
        yield tokens[-1]
