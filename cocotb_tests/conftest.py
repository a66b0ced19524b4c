"""Order of the suite: unit tests first, then RTL simulations, slow tests last."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by marker; the order within a marker stays that of the folders."""
    items.sort(
        key=lambda item: (item.get_closest_marker("slow") is not None, item.get_closest_marker("rtl") is not None)
    )
