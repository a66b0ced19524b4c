"""The table of faults fits the sources, so that it cannot rot; ``python -m cocotb_tests.faults.run`` runs it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from cocotb_tests.faults.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_fits_the_sources(fault: Fault) -> None:
    """Its text is there once, it changes something, and its catcher exists."""
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert fault.old != fault.new
    path, test = fault.caught_by.split("::")
    assert re.search(rf"^def {test.split('[')[0]}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_names_differ_and_every_unit_has_three() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    per_unit = Counter(fault.unit for fault in FAULTS)
    assert {unit for unit, count in per_unit.items() if count < 3} <= {"superlane"}
    assert {"issue queue", "controller", "memory", "vector", "matrix", "switch", "host port", "stream fabric"} <= {
        *per_unit
    }


def test_documented() -> None:
    """docs/verification.md has a row for every fault."""
    page = (ROOT / "docs" / "verification.md").read_text()
    missing = [fault.name for fault in FAULTS if fault.what not in page or fault.caught_by not in page]
    assert missing == []
