"""The story model's files: what the grammar says, what the tokenizer must do, and what the shipped weights reach."""

from __future__ import annotations

import csv
import re
import struct
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.llama.tokenizer import BinTokenizer
from models.stories import corpus
from models.stories.plots import BOYS, GIRLS
from models.stories.tokenizer import BEGIN, FIRST_BYTE, FIRST_PIECE, TOKENIZER_PATH, VOCABULARY, Encoder

FOLDER = TOKENIZER_PATH.parent
CHECKPOINT = FOLDER / "stories260k.bin"
HEADER = (64, 172, 5, 8, 4, 512, 256)
HELD_OUT = corpus.HELD_OUT_PATH.read_text(encoding="ascii").strip().split("\n\n")


def tokenizer_bin() -> tuple[list[str], list[float]]:
    """Texts and scores in the order of ids; every byte of the file accounted for."""
    content = TOKENIZER_PATH.read_bytes()
    texts, scores, at = [], [], 4
    while at < len(content):
        score, length = struct.unpack_from("<fi", content, at)
        texts.append(content[at + 8 : at + 8 + length].decode())
        scores.append(score)
        at += 8 + length
    assert at == len(content)
    assert struct.unpack_from("<i", content)[0] == max(len(text.encode()) for text in texts)
    return texts, scores


TEXTS, SCORES = tokenizer_bin()
ENCODER = Encoder(TEXTS[FIRST_PIECE:])
READER = BinTokenizer(TOKENIZER_PATH)


def greedy(text: str) -> list[int]:
    """llama2.c's encoder over the whole text: bytes where no piece fits; then best-scored pairs, until none is left."""
    ids = {piece: token for token, piece in enumerate(TEXTS)}
    tokens = [BEGIN]
    for character in f" {text}":
        tokens += [ids[character]] if character in ids else [byte + FIRST_BYTE for byte in character.encode()]
    while True:
        joined = [ids.get(TEXTS[left] + TEXTS[right]) for left, right in zip(tokens, tokens[1:], strict=False)]
        known = [(-SCORES[token], at, token) for at, token in enumerate(joined) if token is not None]
        if not known:
            return tokens
        _, at, token = min(known)
        tokens[at : at + 2] = [token]


def test_the_same_seed_tells_the_same_stories() -> None:
    first, again, other = (list(islice(corpus.stories(seed), 50)) for seed in (7, 7, 8))
    assert first == again
    assert not set(first) & set(other)


def test_stories_are_finished_ascii_text() -> None:
    for story in corpus.training(2000):
        assert story.isascii()
        assert not re.search(r"[<>{}|/]|  |\b[Aa] [aeiou]", story), story
        assert 40 <= len(story.split()) <= 140, story


def test_every_plot_tells_of_its_hero_in_one_gender() -> None:
    for story in islice(corpus.stories(3), 500):
        hero = next(name for name in re.findall(r"\w+", story) if name in GIRLS + BOYS)
        strangers = r"\b(he|his|him)\b" if hero in GIRLS else r"\b(she|her)\b"
        assert not re.search(strangers, re.sub(r'"[^"]*"', "", story), re.IGNORECASE), story


def test_held_out_stories_are_the_grammars_and_not_trained_on() -> None:
    assert corpus.HELD_OUT_PATH.read_text(encoding="ascii") == corpus.held_out_text()
    assert len(set(HELD_OUT)) == corpus.HELD_OUT_STORIES
    assert not set(HELD_OUT) & set(corpus.training(5000))


def test_a_story_of_both_seeds_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "TRAINING_SEED", corpus.HELD_OUT_SEED)
    assert not set(HELD_OUT) & set(corpus.training(100))


def test_tokenizer_has_bytes_and_pieces_at_their_ids() -> None:
    assert len(TEXTS) == VOCABULARY
    assert TEXTS[:3] == ["<unk>", "\n<s>\n", "\n</s>\n"]
    assert TEXTS[FIRST_BYTE:FIRST_PIECE] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert len(set(TEXTS)) == VOCABULARY
    assert SCORES[FIRST_PIECE:] == [-float(rank) for rank in range(VOCABULARY - FIRST_PIECE)]


@pytest.mark.parametrize("story", HELD_OUT[:12], ids=range(12))
def test_held_out_stories_survive_the_tokenizer(story: str) -> None:
    tokens = greedy(story)
    assert "".join(TEXTS[token] for token in tokens[1:]) == f" {story}"
    assert min(tokens[1:]) >= FIRST_PIECE
    assert ENCODER.story(story) == tokens
    assert READER.encode(story) == tokens
    assert READER.decode(tokens) == story


def test_characters_without_a_piece_are_bytes() -> None:
    assert ENCODER.story("at 7") == greedy("at 7")
    assert greedy("7")[-1] == FIRST_BYTE + ord("7")
    assert ENCODER.text(ENCODER.story("Tom is 7.")[1:]) == " Tom is 7."


class Weights:
    """The checkpoint's arrays, taken in the order of the file."""

    def __init__(self) -> None:
        content = CHECKPOINT.read_bytes()
        assert struct.unpack_from("<7i", content) == HEADER
        self.rest: NDArray[np.float64] = np.frombuffer(content, "<f4", offset=28).astype(np.float64)
        self.embedding = self.take(512, 64)
        self.attention_norm = self.take(5, 64)
        self.wq, self.wk, self.wv = self.take(5, 64, 64), self.take(5, 32, 64), self.take(5, 32, 64)
        self.wo = self.take(5, 64, 64)
        self.ffn_norm = self.take(5, 64)
        self.w1, self.w2, self.w3 = self.take(5, 172, 64), self.take(5, 64, 172), self.take(5, 172, 64)
        self.final_norm = self.take(64)
        self.cos, self.sin = self.take(256, 4), self.take(256, 4)
        assert not self.rest.size

    def take(self, *shape: int) -> NDArray[np.float64]:
        taken, self.rest = np.split(self.rest, [int(np.prod(shape))])
        return taken.reshape(shape)

    def logits(self, tokens: list[int]) -> NDArray[np.float64]:
        """The network in float64, [positions, 512]: rotation as complex product, everything else as in the paper."""
        x, t = self.embedding[tokens], len(tokens)
        turn = (self.cos + 1j * self.sin)[:t, None]
        for layer in range(5):
            y = normed(x, self.attention_norm[layer])
            q, k, v = ((y @ w[layer].T).reshape(t, -1, 8) for w in (self.wq, self.wk, self.wv))
            q, k = (((z[..., ::2] + 1j * z[..., 1::2]) * turn) for z in (q, k))
            k, v = np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)
            scores = (q.transpose(1, 0, 2) @ k.conj().transpose(1, 2, 0)).real / np.sqrt(8)
            attention = softmax(np.where(np.tri(t, dtype=bool), scores, -np.inf))
            x = x + (attention @ v.transpose(1, 0, 2)).transpose(1, 0, 2).reshape(t, 64) @ self.wo[layer].T
            y = normed(x, self.ffn_norm[layer])
            gate = y @ self.w1[layer].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ self.w3[layer].T)) @ self.w2[layer].T
        return normed(x, self.final_norm) @ self.embedding.T


def normed(x: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * gain


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_checkpoint_holds_the_rotations_of_theta_10000() -> None:
    weights = Weights()
    angles = np.outer(np.arange(256), 10000.0 ** -(np.arange(0, 8, 2) / 8))
    assert np.allclose(weights.cos, np.cos(angles), atol=2e-5)
    assert np.allclose(weights.sin, np.sin(angles), atol=2e-5)


def test_shipped_weights_reach_the_logged_held_out_loss() -> None:
    weights, losses = Weights(), []
    for story in HELD_OUT:
        tokens = [*ENCODER.story(story), BEGIN][:257]
        chances = softmax(weights.logits(tokens[:-1]))
        losses += [-np.log(chances[at, token]) for at, token in enumerate(tokens[1:])]
    with (FOLDER / "loss.csv").open(encoding="ascii") as file:
        logged = float([*csv.DictReader(file)][-1]["held_out_nats"])
    assert np.mean(losses) == pytest.approx(logged, abs=1e-4)
    assert logged < 0.5


def test_training_without_torch_says_so_in_one_line() -> None:
    script = (
        "import runpy, sys; sys.modules['torch'] = None; runpy.run_module('models.stories.train', run_name='__main__')"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert run.returncode == 1
    assert re.fullmatch(
        r"models\.stories\.train: .*torch.*; training needs torch 2\.13\.0 and tokenizers 0\.23\.3\n", run.stderr
    )
