"""The ratios of a comparison, each line's on one logarithmic scale, with the targets they are to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.mlflow_comparison.lines import Measured, Way

ROW = 0.3  # inches
MARKS: dict[Way, dict[str, Any]] = {
    "MLflow": {"color": "#d1603d", "marker": "o", "label": "MLflow"},
    "floor": {"color": "#3d6fa5", "marker": "D", "label": "floor: the drivers alone, a copy, boto3"},
}


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Draw what MLflow and the floor cost, ours being 1."""
    figure = Figure(figsize=(10, 1.4 + ROW * len(measured)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color="#222222", linewidth=1.2)
    for height, each in enumerate(reversed(measured)):
        for way in MARKS:
            _mark(axes, height, each, way)
    names = [f"{each.line.name} · {each.line.place}" for each in reversed(measured)]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xlabel("its cost, ours being 1: to the right it is slower, or larger, than ours", fontsize=9)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _legend(axes)
    figure.savefig(path, dpi=150)


def _mark(axes: Any, height: int, measured: Measured, way: Way) -> None:
    if way not in measured.costs or "ours" not in measured.costs:
        return
    cost, style = measured.costs[way] / measured.costs["ours"], MARKS[way]
    axes.plot([1, cost], [height, height], color=style["color"], linewidth=1, alpha=0.5)
    face = style["color"] if measured.meets(way) is not False else "white"
    axes.plot(cost, height, style["marker"], color=style["color"], markerfacecolor=face, markersize=6)
    if (target := measured.line.targets.get(way)) is not None:
        at = target if way == "MLflow" else 1 / target
        axes.plot(at, height, "|", color=style["color"], markersize=11, markeredgewidth=1.6)


def _legend(axes: Any) -> None:
    for style in MARKS.values():
        axes.plot([], [], style["marker"], color=style["color"], markersize=6, label=style["label"])
    axes.plot([], [], "|", color="#666666", markersize=11, markeredgewidth=1.6, label="target")
    axes.plot([], [], "o", color="#666666", markerfacecolor="white", markersize=6, label="target missed")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False, fontsize=8)
