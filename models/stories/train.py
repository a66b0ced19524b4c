"""Trains the story model: ``python -m models.stories.train`` writes every file of this folder that is not source.

Needs torch 2.13.0, which nothing else in this repository needs: install it, numpy, matplotlib and tokenizers 0.23.3
into an environment of its own. One thread; about half an hour of one core.
"""

from __future__ import annotations

import io
import math
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.llama.model import LlamaShape
from models.stories.corpus import HELD_OUT_PATH, held_out, held_out_text, training
from models.stories.tokenizer import BEGIN, FIRST_PIECE, TOKENIZER_PATH, VOCABULARY, WORDS, Encoder, tokenizer_file

try:
    import torch
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Split
    from tokenizers.trainers import BpeTrainer
    from torch import Tensor
    from torch.nn.functional import cross_entropy

    from models.stories.checkpoint import legacy_checkpoint
    from models.stories.net import Net
    from models.stories.sample import samples_page
except ImportError as error:
    sys.exit(f"models.stories.train: {error}; training needs torch 2.13.0 and tokenizers 0.23.3")

SHAPE: Final = LlamaShape(dim=64, hidden=172, layers=5, heads=8, kv_heads=4, vocabulary=512, context=256)
BATCH: Final = 16
STEPS: Final = 5000
WARM_UP: Final = 200
PEAK_RATE: Final = 4e-3
FINAL_RATE: Final = 1e-5
WEIGHT_DECAY: Final = 0.1
SPARE_STORIES: Final = 2  # the last row needs the stories behind its own to be full
TOKENIZER_STORIES: Final = 20_000
EVALUATE_EVERY: Final = 250
SEED: Final = 0
HERE: Final = Path(__file__).parent
CHECKPOINT_PATH: Final = HERE / "stories260k.bin"

Tokens = NDArray[np.int16]


class Point(NamedTuple):
    """Of the loss curve: step, mean training loss since the point before, held-out loss; nats per token."""

    step: int
    trained: float
    held_out: float


def learn_pieces(stories: list[str]) -> list[str]:
    """The 253 pieces of the tokenizer: merges by rank, then single characters."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Split(Regex(WORDS), "isolated")
    trainer = BpeTrainer(vocab_size=VOCABULARY - FIRST_PIECE, show_progress=False)
    tokenizer.train_from_iterator((f" {story}" for story in stories), trainer)
    ranks: dict[str, int] = tokenizer.get_vocab()
    return sorted(ranks, key=lambda piece: (len(piece) == 1, ranks[piece]))


def rows(encoder: Encoder, stories: list[str]) -> Tokens:
    """Training rows [stories, context + 1]: row k is story k from its ``<s>``, and as much of the next ones as fits.

    Every story is thus seen at position 0, where generation starts, and positions up to 255 are trained, too.
    """
    documents = [encoder.story(story) for story in stories]
    starts = np.cumsum([0, *(len(document) for document in documents)])
    stream = np.array([token for document in documents for token in document], dtype=np.int16)
    width = SHAPE.context + 1
    return np.stack([stream[start : start + width] for start in starts[:-1] if start + width <= len(stream)])


def learning_rate(step: int) -> float:
    """Linear warm-up, then half a cosine from PEAK_RATE down to FINAL_RATE; ``step`` counts from 1 to STEPS."""
    if step <= WARM_UP:
        return PEAK_RATE * step / WARM_UP
    progress = (step - WARM_UP - 1) / (STEPS - WARM_UP)
    return FINAL_RATE + (PEAK_RATE - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def nats(net: Net, tokens: Tensor) -> Tensor:
    """Mean cross-entropy, nats per token, of each next token in ``tokens`` [b, t]."""
    return cross_entropy(net(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def held_out_nats(net: Net, encoder: Encoder) -> float:
    """Mean cross-entropy over the tokens of the held-out stories, each on its own, and the ``<s>`` that ends it."""
    total, count = 0.0, 0
    for story in held_out():
        tokens = torch.tensor([[*encoder.story(story), BEGIN][: SHAPE.context + 1]])
        total += nats(net, tokens).item() * (tokens.shape[1] - 1)
        count += tokens.shape[1] - 1
    return total / count


def optimiser(net: Net) -> torch.optim.AdamW:
    """AdamW; decay on matrices, none on the norms' gains."""
    matrices = [weight for weight in net.parameters() if weight.ndim == 2]
    gains = [weight for weight in net.parameters() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))


def train(net: Net, data: Tokens, encoder: Encoder) -> list[Point]:
    """One pass over ``data`` [STEPS * BATCH, context + 1]."""
    adam = optimiser(net)
    curve: list[Point] = []
    recent: list[float] = []
    began = time.monotonic()
    for step, batch in enumerate(np.split(data.astype(np.int64), STEPS), start=1):
        for group in adam.param_groups:
            group["lr"] = learning_rate(step)
        recent.append(update(net, adam, torch.from_numpy(batch)))
        if step % EVALUATE_EVERY == 0:
            curve.append(Point(step, float(np.mean(recent)), held_out_nats(net, encoder)))
            recent.clear()
            print(*curve[-1], f"{(time.monotonic() - began) / 60:.1f} min", flush=True)
    return curve


def update(net: Net, adam: torch.optim.AdamW, batch: Tensor) -> float:
    """One step of gradient descent; the loss before it."""
    loss = nats(net, batch)
    adam.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    adam.step()
    return loss.item()


def picture(curve: list[Point]) -> bytes:
    """The curve as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    steps, trained, held = zip(*curve, strict=True)
    axes.semilogy(steps, trained, label="training, mean since the point before")
    axes.semilogy(steps, held, label="held out")
    axes.set(xlabel=f"step of {BATCH} x {SHAPE.context} tokens", ylabel="nats per token")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    png = io.BytesIO()
    figure.savefig(png, dpi=100)
    return png.getvalue()


def main() -> None:
    """Corpus, tokenizer, training; then the files."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    stories = training(STEPS * BATCH + SPARE_STORIES)
    pieces = learn_pieces(stories[:TOKENIZER_STORIES])
    encoder = Encoder(pieces)
    net = Net(SHAPE)
    curve = train(net, rows(encoder, stories)[: STEPS * BATCH], encoder)
    lines = (
        "step,train_nats,held_out_nats\n",
        *(f"{step},{trained:.4f},{held:.4f}\n" for step, trained, held in curve),
    )
    write_whole(HELD_OUT_PATH, held_out_text().encode())
    write_whole(TOKENIZER_PATH, tokenizer_file(pieces))
    write_whole(CHECKPOINT_PATH, legacy_checkpoint(net))
    write_whole(HERE / "loss.csv", "".join(lines).encode())
    write_whole(HERE / "loss.png", picture(curve))
    write_whole(HERE / "samples.md", samples_page(net, encoder).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Under a temporary name first, so that an interrupted run leaves the old file."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


if __name__ == "__main__":
    main()
