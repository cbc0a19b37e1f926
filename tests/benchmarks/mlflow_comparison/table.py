"""The table of a comparison, in Markdown."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.mlflow_comparison.lab import Sizes
    from tests.benchmarks.mlflow_comparison.lines import Measured, Way

HEAD = ("what", "where", "ours", "MLflow", "floor", "MLflow ÷ ours", "ours ÷ floor", "many ÷ few")
COSTS: tuple[Way, ...] = ("ours", "MLflow", "floor")
RATIOS: tuple[Way, ...] = ("MLflow", "floor", "few")


def markdown(measured: Sequence[Measured], sizes: Sizes) -> str:
    """The whole table, with what was compared, where and when."""
    rows = [HEAD, ("---", "---", *("--:" for _ in HEAD[2:])), *map(cells, measured)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", caption(sizes), ""])


def told(measured: Measured) -> str:
    """The line, for those who watch."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells(measured), _WIDTHS, strict=True)).rstrip()


_WIDTHS = (52, 14, 9, 9, 9, 20, 18, 14)


def cells(measured: Measured) -> tuple[str, ...]:
    """What there is to say of a line, column by column."""
    line = measured.line
    costs = (_cost(measured.costs.get(way), line.unit) for way in COSTS)
    return (line.name, line.place, *costs, *(_ratio(measured, way) for way in RATIOS))


def caption(sizes: Sizes) -> str:
    """What was compared, where and when."""
    cores, gigabytes = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    large = sizes.models(sizes.many)["m"]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, {gigabytes:.0f} GB, Python"
        f" {platform.python_version()}, MLflow {_version('mlflow')}: medians of runs in turn. We have"
        f" {sizes.many:,} versions, MLflow {sizes.theirs:,}, each {large:,} of the model in question;"
        f" few are {sizes.few:,}. The floor is what must be done at least: the same rows by the driver alone,"
        " joblib, the slower of a copy that is on the disk and a pass of SHA-256, boto3, the import of"
        " sqlmodel, or that of scikit-learn and skops. MLflow can't search by alias or metric: its page of"
        " all versions stands there. A file in a folder it neither checks nor waits for the disk to have."
        " ✓ and ✗ tell whether a target is met."
    )


def _version(project: str) -> str:
    try:
        return version(project)
    except PackageNotFoundError:
        return "(not there)"


def _cost(cost: float | None, unit: str) -> str:
    if cost is None:
        return "–"
    if unit == "MB":
        return f"{cost:.0f} MB"
    return f"{_short(cost)} s" if cost >= 1 else f"{_short(cost * 1_000)} ms"


def _ratio(measured: Measured, way: Way) -> str:
    ratio = measured.ratio(way)
    if ratio is None:
        return "–"
    target, meets = measured.line.targets.get(way), measured.meets(way)
    if target is None or meets is None:
        return _short(ratio)
    return f"{_short(ratio)} ({'≥' if way == 'MLflow' else '≤'} {target:.3g} {'✓' if meets else '✗'})"


def _short(number: float) -> str:
    """Two digits that matter, or all before the point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
