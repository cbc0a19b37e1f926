"""Without timing a benchmark shows only that it still runs, for which its smallest size is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LARGE = 10_000


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the large sizes to a run that measures."""
    if config.getoption("benchmark_enable"):
        return
    large = [item for item in items if _is_large(item)]
    config.hook.pytest_deselected(items=large)
    items[:] = [item for item in items if item not in large]


def _is_large(item: pytest.Item) -> bool:
    if "benchmarks" not in item.path.parts or not hasattr(item, "callspec"):
        return False
    sizes = [value for value in item.callspec.params.values() if isinstance(value, int)]
    return any(size >= LARGE for size in sizes)
