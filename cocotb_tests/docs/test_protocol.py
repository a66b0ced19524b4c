"""docs/protocol.md: its examples, codes and figures."""

from __future__ import annotations

import binascii
import re
from pathlib import Path

from hdl.config import preset
from hdl.link.hostmap import DEVICE_ID
from hdl.link.protocol import IDLE_SECONDS, READ_WORDS, Code, Operation, write_words

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def framed(body: str) -> str:
    data = bytes.fromhex(body)
    return (data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")).hex(" ")


def test_examples() -> None:
    for body in ("57 01 10 00 00 80 04 03 02 01", "00", "52 02 00 00 00 00"):
        assert re.search(rf" {framed(body)}$", PAGE, re.MULTILINE), framed(body)


def test_codes_and_operations() -> None:
    for code in Code:
        assert f"| {code:#04x} | {code.name} |" in PAGE
    assert f"| 0 | {Operation.WRITE:#x} | {Operation.READ:#x} |".lower() in PAGE.lower()
    assert f"1 to {READ_WORDS}" in PAGE and f"{DEVICE_ID:#X}".replace("X", "x") in PAGE
    assert f"no byte for {1000 * IDLE_SECONDS:.0f} ms" in PAGE


def test_figures() -> None:
    config = preset("small")
    frame = 6 + config.lanes + 2
    assert f"{frame} for {config.lanes} | {10 * frame} us" in PAGE
    (group,) = config.weight_groups
    loaded = frame * group.slices * group.depth_rows
    assert f"the {group.depth_rows:,} x {group.slices} weight rows of `small` | {loaded // 1000} KB" in PAGE
    assert f"{10 * loaded / 1e6:.1f} s" in PAGE
    assert write_words(config) == config.lanes // 4
