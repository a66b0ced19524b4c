"""Text to token ids and back: tokenizer.bin of llama2.c, and tokenizer.json through the ``tokenizers`` library."""

from __future__ import annotations

import codecs
import math
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Final

import tokenizers

from models.llama.checks import one_line, read_file
from models.llama.config import BEGIN, END
from models.llama.model import ModelError

MOST_BYTES: Final = 1 << 26
MOST_PIECE_BYTES: Final = 1 << 12
FIRST_BYTE: Final = 3
FIRST_PIECE: Final = FIRST_BYTE + 256
SPACE: Final = b" "
UNDECODED: Final = "\ufffd"


class Tokenizer(ABC):
    """Ids are 0 .. ``vocabulary`` - 1. ``begin`` opens a text, where the model has such a token; ``ends`` close one."""

    def __init__(self, vocabulary: int, begin: int | None, ends: Iterable[int]) -> None:
        self.vocabulary = vocabulary
        self.begin = begin
        self.ends = frozenset(ends)

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """Ids of ``text``, after ``begin`` where ``bos``. ModelError: text that is not Unicode."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ModelError(f"text: character {error.start} is {text[error.start]!a}: must be Unicode") from error
        opening = [self.begin] if bos and self.begin is not None else []
        return opening + self._encode(text)

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence; ``begin`` and ``ends`` have none."""

    @abstractmethod
    def stream(self) -> Callable[[int], str]:
        """A function that is given a sequence token by token and returns the text that each one completes.

        The pieces joined are ``decode`` of the sequence, but for bytes that are no character. A character of several
        tokens comes with its last one.
        """

    @abstractmethod
    def _encode(self, text: str) -> list[int]: ...


class BinTokenizer(Tokenizer):
    """tokenizer.bin: int32 longest piece; then of each token float32 score, int32 length, bytes.

    Ids 0..2 are unknown, begin, end; 3..258 the bytes 0..255; pieces follow. A text gets a space in front and becomes
    the pieces of its characters, or their bytes where there is no such piece; then, while any two neighbours make a
    piece, those that make the one with the best score, the leftmost of equals, are joined.
    """

    def __init__(self, path: Path) -> None:
        self._pieces, self._scores = read_pieces(path)
        super().__init__(len(self._pieces), BEGIN, (BEGIN, END))
        self._ids: dict[bytes, int] = {}
        for token in range(FIRST_PIECE, self.vocabulary):
            self._ids.setdefault(self._pieces[token], token)

    def decode(self, ids: Iterable[int]) -> str:
        spelled = Spelling(self._pieces)
        return b"".join(map(spelled, ids)).decode(errors="replace")

    def stream(self) -> Callable[[int], str]:
        spelled = Spelling(self._pieces)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token: decoder.decode(spelled(token))

    def _encode(self, text: str) -> list[int]:
        characters = [character.encode() for character in (f" {text}" if text else "")]
        return self._join([token for character in characters for token in self._character(character)])

    def _character(self, character: bytes) -> list[int]:
        token = self._ids.get(character)
        return [FIRST_BYTE + byte for byte in character] if token is None else [token]

    def _join(self, tokens: list[int]) -> list[int]:
        """Neighbours joined, best score first; a token that was joined to its left is -1, ``after`` leads past it."""
        after = [*range(1, len(tokens)), -1]
        before = list(range(-1, len(tokens) - 1))

        def candidates(left: int) -> list[tuple[float, int, int, int, int]]:
            right = after[left] if left >= 0 else -1
            joined = None if right < 0 else self._ids.get(self._pieces[tokens[left]] + self._pieces[tokens[right]])
            return [] if joined is None else [(-self._scores[joined], left, joined, tokens[left], tokens[right])]

        heap = [candidate for left in range(len(tokens)) for candidate in candidates(left)]
        heapify(heap)
        while heap:
            _, left, joined, *pair = heappop(heap)
            right = after[left]
            if right < 0 or [tokens[left], tokens[right]] != pair:
                continue
            tokens[left], tokens[right] = joined, -1
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            for candidate in (*candidates(left), *candidates(before[left])):
                heappush(heap, candidate)
        return [token for token in tokens if token >= 0]


class Spelling:
    """Bytes of each token of a sequence; the space that :class:`BinTokenizer` puts in front of a text is left out."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._opens = True

    def __call__(self, token: int) -> bytes:
        opens, self._opens = self._opens, token in (BEGIN, END)
        if token in (BEGIN, END):
            return b""
        if FIRST_BYTE <= token < FIRST_PIECE:
            return bytes([token - FIRST_BYTE])
        piece = self._pieces[token]
        return piece.removeprefix(SPACE) if opens else piece


class JsonTokenizer(Tokenizer):
    """tokenizer.json; ``begin`` and ``ends`` are not in it but in the model's config."""

    def __init__(self, path: Path, begin: int | None = BEGIN, ends: Iterable[int] = (BEGIN, END)) -> None:
        content = read_file(path, MOST_BYTES)
        with library_errors(f"{path}: not a tokenizer.json"):
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids = set(self._tokenizer.get_vocab(with_added_tokens=True).values())
        if ids != set(range(len(ids))):
            raise ModelError(f"{path}: {len(ids)} tokens, ids up to {max(ids)}: ids must be 0..{len(ids) - 1}")
        super().__init__(len(ids), begin, ends)

    def decode(self, ids: Iterable[int]) -> str:
        with library_errors("tokenizer.json: decoding"):
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self) -> Callable[[int], str]:
        ids: list[int] = []
        shown = 0

        def push(token: int) -> str:
            nonlocal shown
            ids.append(token)
            text = self.decode(ids)
            if text.endswith(UNDECODED):
                return ""
            piece, shown = text[shown:], len(text)
            return piece

        return push

    def _encode(self, text: str) -> list[int]:
        with library_errors("tokenizer.json: encoding"):
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


@contextmanager
def library_errors(where: str) -> Iterator[None]:
    """Whatever the ``tokenizers`` library raises, as ModelError; what its panics print on stderr is dropped."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"{where}: {one_line(error)}") from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def read_pieces(path: Path) -> tuple[list[bytes], list[float]]:
    """Piece and score of every token of a tokenizer.bin. ModelError: truncated, a score that is no number, no bytes."""
    content = read_file(path, MOST_BYTES)
    if len(content) < 4:
        raise ModelError(f"{path}: {len(content)} bytes: a tokenizer.bin begins with the length of its longest token")
    longest = int.from_bytes(content[:4], "little")
    if longest > MOST_PIECE_BYTES:
        raise ModelError(f"{path}: longest token = {longest} bytes: must be at most {MOST_PIECE_BYTES}")
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(content):
        where = f"{path}: token {len(pieces)}"
        if len(content) - at < 8:
            raise ModelError(f"{where}: truncated")
        score, length = struct.unpack_from("<fI", content, at)
        at += 8
        if not 1 <= length <= longest:
            raise ModelError(f"{where}: length = {length}: must be in 1..{longest}, the longest token")
        if length > len(content) - at:
            raise ModelError(f"{where}: {length} bytes long, {len(content) - at} are left: truncated")
        if not math.isfinite(score):
            raise ModelError(f"{where}: score = {score}: must be finite")
        pieces.append(content[at : at + length])
        scores.append(score)
        at += length
    _check_bytes(path, pieces)
    return pieces, scores


def _check_bytes(path: Path, pieces: list[bytes]) -> None:
    """Tokens 3..258 are the bytes, written ``<0x0A>`` or, in older files, as the character of that number."""
    if len(pieces) < FIRST_PIECE:
        raise ModelError(
            f"{path}: {len(pieces)} tokens: must be {FIRST_PIECE} or more, the last 256 of these being bytes"
        )
    for byte in range(256):
        piece = pieces[FIRST_BYTE + byte]
        if piece not in (b"<0x%02X>" % byte, chr(byte).encode()):
            raise ModelError(f"{path}: token {FIRST_BYTE + byte} is {piece!r}: must be <0x{byte:02X}>")
