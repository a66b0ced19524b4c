"""docs/verification.md: every file and folder that it names exists, and every test folder is named."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "verification.md").read_text()
FOLDERS = ("hdl", "golden", "compiler", "sim", "lpu", "models", "bench", "docs", "cocotb_tests")


def test_what_the_page_names_exists() -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w/.]*)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_test_folder_is_named() -> None:
    folders = {path.parent.name for path in (ROOT / "cocotb_tests").glob("*/test_*.py")}
    assert folders == set(re.findall(r"`cocotb_tests/(\w+)/", PAGE))
