"""What was measured of one version: dataset by dataset between bounds, where they are known, and by slice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from registry.reports.panels import OUTCOMES, Panel, Point, sheet_of
from registry.reports.sheet import QUIET, Mark
from registry.tables import WHOLE
from registry.words import NOTHING, count, lower_bound, number, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.dossier import Dossier
    from registry.tables import Evaluation

MOST_SLICES = 20
"""More slices than these no table lists."""

MOST_METRICS = 8
"""More metrics than these no table lists."""

_MOST_DATASETS, _MOST_DRAWN, _MOST_PANELS = 8, 10, 4
_COLUMNS = ("value", "lower bound", "upper bound")
_LONGEST_LABEL, _LONGEST_METRIC, _LONGEST_SLICE = 20, 60, 16
_TRAINED_ON = Mark("o", QUIET, "white")


@dataclass(frozen=True)
class Slice:
    """A part of a dataset: what it is called, its rows, and the metrics over it."""

    name: str
    rows: int
    metrics: dict[str, float]


def metrics_of(dossier: Dossier) -> list[str]:
    """The metrics by which a version was measured, those of most datasets first, at most eight."""
    counted = Counter(metric for evaluation in dossier.evaluations for metric in evaluation.metrics)
    return [metric for metric, _ in counted.most_common(MOST_METRICS)]


def sliced(dossier: Dossier) -> Evaluation | None:
    """The newest evaluation that was measured by slice; None if none was."""
    return next((each for each in reversed(dossier.evaluations) if each.slices), None)


def slices_of(evaluation: Evaluation, metric: str) -> list[Slice]:
    """Its slices on which the *metric* has a value, the worst first."""
    found: dict[str, Slice] = {}
    for each in evaluation.measurements:
        found.setdefault(each.slice, Slice(each.slice, each.rows, {})).metrics[each.name] = each.value
    parts = [part for part in found.values() if part.name != WHOLE and metric in part.metrics]
    return sorted(parts, key=lambda part: part.metrics[metric])


def measures_plot(dossier: Dossier) -> bytes | None:
    """A PNG of the metrics of a version, a panel for each; None if there is nothing to see beside another."""
    panels = [_panel(dossier, metric) for metric in metrics_of(dossier)[:_MOST_PANELS]]
    if all(len(panel.points) < 2 for panel in panels):  # noqa: PLR2004, one dot is no picture
        return None
    facts = f"One-sided {100 * dossier.confidence:.4g} % bounds; slices have none."
    if len(dossier.evaluations) > _MOST_DATASETS:
        facts += f" The newest {_MOST_DATASETS} of {count(len(dossier.evaluations), 'dataset')} are shown."
    return sheet_of(f"{dossier.version.reference}, as it was measured", facts, panels).png()


def _panel(dossier: Dossier, metric: str) -> Panel:
    panel = Panel(plain(metric, _LONGEST_METRIC), _COLUMNS)
    newest = dossier.evaluations[-_MOST_DATASETS:]
    panel.rows.extend(_whole(dossier, each, metric) for each in newest if metric in each.metrics)
    parts = slices_of(evaluation, metric) if (evaluation := sliced(dossier)) else []
    if evaluation and parts:
        name = dossier.datasets[evaluation.dataset].name
        panel.rows.append(f"slices of {plain(name, _LONGEST_LABEL)}, {_listed(parts)}")
        panel.rows.extend(_part(part, metric) for part in parts[:_MOST_DRAWN])
    return panel


def _listed(parts: Sequence[Slice]) -> str:
    return "the worst first" if len(parts) <= _MOST_DRAWN else f"the {_MOST_DRAWN} worst of {len(parts):,}"


def _whole(dossier: Dossier, evaluation: Evaluation, metric: str) -> Point:
    value = evaluation.metrics[metric]
    bounds = dossier.bounds.get((evaluation.dataset, metric))
    lower, upper = (bounds.lower, bounds.upper) if bounds else (value, value)
    trained_on = evaluation.dataset == dossier.version.trained_on
    shown = (lower_bound(lower), number(inf if upper is None else upper)) if bounds else (NOTHING, NOTHING)
    return Point(
        label=plain(dossier.datasets[evaluation.dataset].name, _LONGEST_LABEL),
        estimate=value,
        lower=-inf if lower is None else lower,
        upper=inf if upper is None else upper,
        rows=count(evaluation.rows, "row"),
        numbers=(number(value), *shown),
        mark=_TRAINED_ON if trained_on else OUTCOMES[None],
    )


def _part(part: Slice, metric: str) -> Point:
    value = part.metrics[metric]
    return Point(
        label=plain(part.name, _LONGEST_SLICE),
        estimate=value,
        lower=value,
        upper=value,
        rows=count(part.rows, "row"),
        numbers=(number(value), NOTHING, NOTHING),
        part=True,
    )
