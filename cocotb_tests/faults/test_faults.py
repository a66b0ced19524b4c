"""The table of faults fits the sources, so that it cannot rot; ``python -m cocotb_tests.faults.run`` runs it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cocotb_tests.faults.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_fits_the_sources(fault: Fault) -> None:
    """Its text is there once, and it changes something."""
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert fault.old != fault.new


def test_the_catchers_exist() -> None:
    nodes = sorted({fault.caught_by for fault in FAULTS})
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *nodes]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_names_differ_and_every_unit_has_three() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    per_unit = Counter(fault.unit for fault in FAULTS)
    assert {unit for unit, count in per_unit.items() if count < 3} <= {"superlane"}
    assert {"issue queue", "controller", "memory", "vector", "matrix", "switch", "host port", "stream fabric"} <= {
        *per_unit
    }


def documented(fault: Fault) -> str:
    test = fault.caught_by.removeprefix("cocotb_tests/")
    return f"| {fault.unit} | {fault.what} | `{test}` |"


def test_documented() -> None:
    """docs/verification.md has a row for every fault."""
    page = (ROOT / "docs" / "verification.md").read_text()
    assert [fault.name for fault in FAULTS if documented(fault) not in page] == []
