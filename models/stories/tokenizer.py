"""The 512 tokens of the story model: pieces learnt from the corpus, in the file format and by the rule of llama2.c.

Ids: 0 ``<unk>``, 1 ``<s>``, 2 ``</s>``, 3..258 the bytes 0..255, then 253 pieces, merges first, in the order they were
learnt. A piece's score is minus that order. No piece has a space anywhere but in front, and none mixes letters with
punctuation, so that a text can be encoded word by word.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from pathlib import Path
from typing import Final

VOCABULARY: Final = 512
BEGIN: Final = 1
FIRST_BYTE: Final = 3
FIRST_PIECE: Final = FIRST_BYTE + 256
TOKENIZER_PATH: Final = Path(__file__).with_name("tokenizer.bin")

WORDS: Final = r" ?[A-Za-z]+| ?[^A-Za-z ]+"
WORD: Final = re.compile(f"{WORDS}| ")


def tokenizer_file(pieces: list[str]) -> bytes:
    """``tokenizer.bin`` of llama2.c: int32 longest token in bytes; of each token float32 score, int32 length, bytes."""
    special = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256))]
    scored = [(text, 0.0) for text in special] + [(piece, -float(rank)) for rank, piece in enumerate(pieces)]
    body = b"".join(struct.pack("<fi", score, len(text.encode())) + text.encode() for text, score in scored)
    return struct.pack("<i", max(len(text.encode()) for text, _ in scored)) + body


class Encoder:
    """Text to ids: every character its piece, or else its byte; then, while any pair joins, the best score first."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.ids = {piece: FIRST_PIECE + rank for rank, piece in enumerate(pieces)}
        self.word = cache(self._word)

    def story(self, text: str) -> list[int]:
        """``<s>``, then the ids of one ASCII text with a space in front; nothing else where the text is empty."""
        words = WORD.findall(f" {text}") if text else []
        return [BEGIN, *(token for word in words for token in self.word(word))]

    def text(self, tokens: list[int]) -> str:
        """The characters of pieces and byte tokens."""
        return "".join(self.pieces[t - FIRST_PIECE] if t >= FIRST_PIECE else chr(t - FIRST_BYTE) for t in tokens)

    def _word(self, word: str) -> tuple[int, ...]:
        parts = list(word)
        while True:
            joined = [left + right for left, right in zip(parts, parts[1:], strict=False)]
            ranked = [(self.ids[pair], at) for at, pair in enumerate(joined) if pair in self.ids]
            if not ranked:
                break
            at = min(ranked)[1]
            parts[at : at + 2] = [joined[at]]
        return tuple(self.ids.get(part, FIRST_BYTE + ord(part[0])) for part in parts)
