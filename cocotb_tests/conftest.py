"""Order of the suite: unit tests first, then RTL simulations, slow tests last."""

from importlib.util import find_spec

import pytest

REFERENCE = ("torch", "transformers")
"""The extra ``reference``: without it, what it says of a model is in the repository."""
collect_ignore = [] if all(map(find_spec, REFERENCE)) else ["models/test_llama_transformers.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by marker; the order within a marker stays that of the folders."""
    items.sort(
        key=lambda item: (item.get_closest_marker("slow") is not None, item.get_closest_marker("rtl") is not None)
    )
