"""Both tokenizers: against the rule applied literally, against each other, and over damaged files."""

from __future__ import annotations

import json
import random
import re
import struct
import time
from pathlib import Path

import pytest
import tokenizers

from cocotb_tests.models.llama_files import PIECES, VOCABULARY, tokenizer_bytes, tokenizer_json
from models.llama.model import ModelError
from models.llama.tokenizer import BinTokenizer, JsonTokenizer, Tokenizer, read_pieces
from models.stories import corpus
from models.stories import tokenizer as stories

IDS = {piece: 259 + rank for rank, piece in enumerate(PIECES)}
TEXTS = [
    "",
    "a",
    " a",
    "ab cd",
    "abcdefgh abcdefgh",
    "eeeee",
    "héé é",
    "x\ny",
    "日本 €",
    "a" * 50,
    "  ",
    "<s>",
    "<0x41>",
]


@pytest.fixture
def bin_tokenizer(tmp_path: Path) -> BinTokenizer:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(tokenizer_bytes())
    return BinTokenizer(path)


@pytest.fixture
def json_tokenizer(tmp_path: Path) -> JsonTokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json())
    return JsonTokenizer(path)


@pytest.fixture(params=["bin_tokenizer", "json_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    result: Tokenizer = request.getfixturevalue(request.param)
    return result


def by_the_rule(text: str) -> list[int]:
    """One joining at a time: the best score, the leftmost of equals. Scores fall with the id."""
    parts: list[str | int] = [c for c in (f" {text}" if text else "")]
    while True:
        pairs = [
            (IDS[left + right], at)
            for at, (left, right) in enumerate(zip(parts, parts[1:], strict=False))
            if isinstance(left, str) and isinstance(right, str) and left + right in IDS
        ]
        if not pairs:
            break
        at = min(pairs)[1]
        parts[at : at + 2] = [f"{parts[at]}{parts[at + 1]}"]
    return [id for part in parts for id in ([IDS[str(part)]] if part in IDS else [3 + b for b in str(part).encode()])]


def test_pieces_by_hand(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("abcd") == [1, IDS[" ab"], IDS["cd"]]
    assert tokenizer.encode("x", bos=False) == [IDS[" "], 3 + ord("x")]
    assert tokenizer.encode("€") == [1, IDS[" "], 3 + 0xE2, 3 + 0x82, 3 + 0xAC]
    assert tokenizer.encode("") == [1]
    assert (tokenizer.vocabulary, tokenizer.begin, tokenizer.ends) == (VOCABULARY, 1, {1, 2})


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_encoding_is_the_rule(bin_tokenizer: Tokenizer, text: str) -> None:
    assert bin_tokenizer.encode(text, bos=False) == by_the_rule(text)


def test_random_texts_by_the_rule_and_by_the_library(bin_tokenizer: Tokenizer, json_tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("abcdefgh éex€", k=rng.randrange(1, 30)))
        expected = by_the_rule(text)
        assert bin_tokenizer.encode(text, bos=False) == expected, text
        assert json_tokenizer.encode(text, bos=False) == expected, text


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    """But for a special token's name, which the library takes for the token."""
    expected = "" if text == "<s>" and isinstance(tokenizer, JsonTokenizer) else text
    for bos in (False, True):
        assert tokenizer.decode(tokenizer.encode(text, bos)) == expected


@pytest.mark.parametrize("text", ["ab cd", "日本 €", "héé é", "x\ny "], ids=ascii)
def test_streamed_pieces_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    push = tokenizer.stream()
    pieces = [push(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_comes_with_its_last_byte(tokenizer: Tokenizer) -> None:
    push = tokenizer.stream()
    assert [push(token) for token in tokenizer.encode("€")] == ["", "", "", "", "€"]


def test_bytes_that_are_no_character_do_not_stop_a_stream(tokenizer: Tokenizer) -> None:
    push = tokenizer.stream()
    pieces = [push(token) for token in [*range(VOCABULARY), IDS["cd"]]]
    assert pieces[-1] == "cd"


def test_byte_level_tokenizers_stream_whole_characters(tmp_path: Path) -> None:
    """As of Llama 3: a piece is a string of bytes, each written as a character of its own."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    built = tokenizers.Tokenizer(tokenizers.models.BPE({byte: id for id, byte in enumerate(alphabet)}, []))
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    built.save(str(tmp_path / "tokenizer.json"))
    tokenizer = JsonTokenizer(tmp_path / "tokenizer.json", begin=None, ends=())
    push = tokenizer.stream()
    assert [push(token) for token in tokenizer.encode(" 日a")] == [" ", "", "", "日", "a"]
    assert tokenizer.decode(tokenizer.encode(" 日a")) == " 日a"


def test_begin_and_end_say_nothing(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([1, IDS[" a"], IDS["a"], 2]) == "aa"


def test_the_story_model_is_fed_as_it_was_trained() -> None:
    tokenizer = BinTokenizer(stories.TOKENIZER_PATH)
    trained = stories.Encoder(
        [piece.decode() for piece in read_pieces(stories.TOKENIZER_PATH)[0][stories.FIRST_PIECE :]]
    )
    for story in corpus.held_out():
        ids = tokenizer.encode(story)
        assert ids == trained.story(story)
        assert tokenizer.decode(ids) == story


def test_a_long_text_is_quick(tokenizer: Tokenizer) -> None:
    start = time.perf_counter()
    ids = tokenizer.encode("abcdefgh abc " * 8000)
    assert time.perf_counter() - start < 5
    assert tokenizer.decode(ids) == "abcdefgh abc " * 8000


def test_text_that_is_not_unicode_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ModelError, match=r"^text: character 1 is '\\udcff': must be Unicode$"):
        tokenizer.encode("a\udcff")


def test_older_files_write_bytes_as_characters(tmp_path: Path) -> None:
    """llama2.c once wrote chr(n) for ``<0xNN>``; such a byte must not be taken for the piece of that character."""
    tokens = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(chr(n).encode() for n in range(256)), *(p.encode() for p in PIECES)]
    body = b"".join(struct.pack("<fI", -float(n), len(token)) + token for n, token in enumerate(tokens))
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(struct.pack("<I", 8) + body)
    tokenizer = BinTokenizer(path)
    for text in ("ab x", "é€"):
        assert tokenizer.encode(text, bos=False) == by_the_rule(text)
        assert tokenizer.decode(by_the_rule(text)) == text


WHOLE = tokenizer_bytes()
FIRST = struct.unpack_from("<fI", WHOLE, 4)

DAMAGED_BIN = {
    "empty": (b"", "0 bytes: a tokenizer.bin begins with the length of its longest token"),
    "no tokens": (WHOLE[:4], r"0 tokens: must be 259 or more, .*"),
    "cut in a head": (WHOLE[:-14], "token 287: truncated"),
    "cut in a piece": (WHOLE[:-1], "token 287: 10 bytes long, 9 are left: truncated"),
    "trailing bytes": (WHOLE + b"abc", "token 288: truncated"),
    "absurd length": (
        WHOLE[:8] + b"\xff" * 4 + WHOLE[12:],
        r"token 0: length = 4294967295: must be in 1\.\.10, the longest token",
    ),
    "no length": (WHOLE[:8] + bytes(4) + WHOLE[12:], r"token 0: length = 0: must be in 1\.\.10, the longest token"),
    "NaN score": (WHOLE[:4] + struct.pack("<f", float("nan")) + WHOLE[8:], "token 0: score = nan: must be finite"),
    "no such byte": (WHOLE.replace(b"<0x41>", b"<0x14>"), "token 68 is b'<0x14>': must be <0x41>"),
}


@pytest.mark.parametrize("name", DAMAGED_BIN)
def test_damaged_tokenizer_bin(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_BIN[name]
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: {message}$"):
        BinTokenizer(path)


DAMAGED_JSON = {
    "empty": (b"", "not a tokenizer.json: .+"),
    "not JSON": (b"{", "not a tokenizer.json: .+"),
    "another object": (b"{}", "not a tokenizer.json: .+"),
    "binary": (WHOLE, "not a tokenizer.json: .+"),
    "deep": (b"[" * 100_000, "not a tokenizer.json: .+"),
    "gap in the ids": (tokenizer_json().replace(": 287", ": 300").encode(), r"288 tokens, ids up to 300: .+"),
}


@pytest.mark.parametrize("name", DAMAGED_JSON)
def test_damaged_tokenizer_json(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_JSON[name]
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: {message}$"):
        JsonTokenizer(path)


def test_a_panic_of_the_library_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is not an Exception, and prints a backtrace of its own."""
    content = json.loads(tokenizer_json())
    content["decoder"]["decoders"][3]["stop"] = 1 << 63
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"^tokenizer.json: decoding: index out of bounds.*$"):
        JsonTokenizer(path).decode([1])
    assert capfd.readouterr() == ("", "")


def test_settings_of_a_tokenizer_json_do_not_cut_a_prompt(tmp_path: Path) -> None:
    content = json.loads(tokenizer_json())
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<unk>",
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    assert JsonTokenizer(path).encode("eeeee", bos=False) == by_the_rule("eeeee")


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Bits flipped, cut short, a stretch overwritten or repeated."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 4] = rng.randbytes(4)
            case 2:
                del data[at : at + rng.randrange(1, 40)]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
    return bytes(data)


@pytest.mark.parametrize(("kind", "content"), [(BinTokenizer, WHOLE), (JsonTokenizer, tokenizer_json().encode())])
def test_mutated_tokenizers_load_or_are_refused(
    kind: type[BinTokenizer] | type[JsonTokenizer], content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokenizer"
    refused = 0
    for seed in range(60):
        path.write_bytes(mutated(random.Random(seed), content))
        start = time.perf_counter()
        try:
            tokenizer = kind(path)
            assert tokenizer.vocabulary >= 1
            assert all(0 <= token < tokenizer.vocabulary for token in tokenizer.encode("abcd é€", bos=False))
        except ModelError as error:
            refused += 1
            assert re.fullmatch(r"[^\n]+", str(error)), str(error)
        assert time.perf_counter() - start < 1
    assert refused > 20
    assert capfd.readouterr() == ("", "")
