"""The card of one version: how good it is, what it is, whence it comes, what was decided, how to load it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reports.ledger import answered, ledger_table
from registry.reports.measures import MOST_SLICES, measures_plot, metrics_of, sliced, slices_of
from registry.reports.parts import link, minute, picture, small_print, table
from registry.reports.stream import LOOKS
from registry.words import NOTHING, count, interval, markdown, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.dossier import Dossier
    from registry.tables import DatasetRecord, Evaluation, LedgerEntry

_MOST_LISTED, _MOST_DATASETS, _MOST_COLUMNS, _MOST_APPROVALS, _MOST_ALIASES = 30, 12, 4, 5, 4
_LONGEST_VALUE, _FINGERPRINT = 60, 12
_FACTS = ("What :--", "Value :--")
_MEASURES = ("Dataset :--", "Rows --:", "Metric :--", "Value --:", "Interval --:")
_HEALTH = ("As :--", "Metric :--", "Batch :--", "Value --:", "Floor --:", "Status :--")
_NO_RUNS: Mapping[str, str] = {}

_LOADING = """\
```python
from registry import Registry

with Registry() as registry:
    model = registry.load("{reference}")
predictions = model.predict(rows)  # the columns are checked first
```

Where the registry is known to Prefect by a block:

```python
from registry.blocks import ModelRegistry

with ModelRegistry.load("BLOCK_NAME").open() as registry:
    model = registry.load("{reference}")
```"""


def model_card(dossier: Dossier, runs: Mapping[str, str] = _NO_RUNS) -> str:
    """All that is known of a version, as Markdown with a picture of its metrics in it.

    Args:
        dossier: What is known; without bounds the intervals are left open.
        runs: URLs of flow runs, by id.
    """
    parts = [
        f"## {_headline(dossier)}",
        *_section("How good it is", _measured(dossier)),
        *_section("What is held of it", _health(dossier)),
        *_section("What it is", [table(_FACTS, _what(dossier))]),
        *_section("Where it comes from", [table(_FACTS, _origin(dossier, runs))]),
        *_section("What was decided", _decided(dossier, runs)),
        *_section("How to load it", [_LOADING.format(reference=dossier.version.reference)]),
        "---",
        _small_print(dossier),
    ]
    return "\n\n".join(parts) + "\n"


def _section(heading: str, parts: Sequence[str]) -> list[str]:
    return [f"### {heading}", *parts] if parts else []


# What holds now


def _headline(dossier: Dossier) -> str:
    aliases = dict.fromkeys([*dossier.in_force_as, *(entry.alias for entry in reversed(dossier.entries))])
    standings = [_standing(dossier, alias) for alias in list(aliases)[:_MOST_ALIASES]]
    return (
        f"{markdown(dossier.version.reference)}: {'; '.join(standings) or 'nothing was decided about it yet'}"
    )


def _standing(dossier: Dossier, alias: str) -> str:
    """What the version is under an alias, such as ``in force as champion since 2026-03-01 12:00 UTC``."""
    number, newest = dossier.version.number, _newest(dossier, alias)
    moved = [entry for entry in newest if entry.moved]
    since = minute((moved or newest)[0].recorded_at)
    if dossier.aliases.get(alias) == number:
        return f"in force as {markdown(alias)} since {since}"
    if alias in dossier.quarantined:
        return f"quarantined as {markdown(alias)} since {since}"
    if moved and moved[0] is newest[0]:
        return f"no longer {markdown(alias)} since {since}"
    kind, name, when = newest[0].kind, markdown(alias), minute(newest[0].recorded_at)
    if kind == "approved":
        return f"approved as {name} on {when}, and not promoted yet"
    return f"accused as {name} on {when}" if kind == "alerted" else f"{kind} as {name} on {when}"


def _newest(dossier: Dossier, alias: str) -> list[LedgerEntry]:
    return [entry for entry in reversed(dossier.entries) if entry.alias == alias]


def _health(dossier: Dossier) -> list[str]:
    rows = [
        [
            markdown(row.alias),
            markdown(row.metric),
            markdown(row.batch),
            number(row.value),
            number(row.floor),
            f"{LOOKS[row.status].sign} {LOOKS[row.status].word}",
        ]
        for row in dossier.health
    ]
    return [table(_HEALTH, rows)] if rows else []


# How good it is


def _measured(dossier: Dossier) -> list[str]:
    if not dossier.evaluations:
        return [f"It was not evaluated yet: `registry evaluate {dossier.version.reference} --data HOLDOUT`."]
    shown = dossier.evaluations[: -_MOST_DATASETS - 1 : -1]
    rows = [row for evaluation in shown for row in _measures(dossier, evaluation)]
    more = len(dossier.evaluations) - len(shown)
    note = [f"These are the newest {len(shown)} of {count(len(dossier.evaluations), 'evaluation')}."]
    png = measures_plot(dossier)
    return [
        *([picture(f"Metrics of {dossier.version.reference}", png)] if png else []),
        table(_MEASURES, rows),
        *(note if more else []),
        *_slices(dossier),
    ]


def _measures(dossier: Dossier, evaluation: Evaluation) -> Iterable[list[str]]:
    dataset = dossier.datasets[evaluation.dataset]
    trained_on = ", which it was trained on" if evaluation.dataset == dossier.version.trained_on else ""
    for metric in metrics_of(dossier):
        if metric not in evaluation.metrics:
            continue
        bounds = dossier.bounds.get((evaluation.dataset, metric))
        yield [
            f"{markdown(dataset.name)}{trained_on}",
            f"{evaluation.rows:,}",
            markdown(metric),
            number(evaluation.metrics[metric]),
            interval(bounds.lower, bounds.upper) if bounds else NOTHING,
        ]


def _slices(dossier: Dossier) -> list[str]:
    evaluation, metrics = sliced(dossier), metrics_of(dossier)[:_MOST_COLUMNS]
    if evaluation is None:
        return []
    parts = slices_of(evaluation, metrics[0])
    rows = [
        [markdown(part.name), f"{part.rows:,}", *(_value(part.metrics.get(metric)) for metric in metrics)]
        for part in parts[:MOST_SLICES]
    ]
    many = f"the {MOST_SLICES} worst of {len(parts):,}" if len(parts) > MOST_SLICES else "the worst first"
    title = (
        f"Slices of {markdown(dossier.datasets[evaluation.dataset].name)}, {many} by {markdown(metrics[0])}:"
    )
    columns = ["Slice :--", "Rows --:", *(f"{markdown(metric)} --:" for metric in metrics)]
    return [title, table(columns, rows)] if rows else []


def _value(value: float | None) -> str:
    return NOTHING if value is None else number(value)


# What it is, and where it comes from


def _what(dossier: Dossier) -> list[list[str]]:
    version, data = dossier.version, dossier.training_data
    params = [
        f"{markdown(key)} = {markdown(repr(value), _LONGEST_VALUE)}" for key, value in version.params.items()
    ]
    columns = [f"{markdown(each['name'])}: {markdown(each['dtype'])}" for each in version.input_schema]
    return [
        ["Estimator", markdown(version.estimator)],
        ["Parameters", _listed(params)],
        ["Predicts", NOTHING if data is None else markdown(data.target)],
        [f"From {count(len(columns), 'column')}", _listed(columns)],
        ["Artifact", f"{count(version.artifact_bytes, 'byte')}, {markdown(version.serialization)}"],
        ["SHA-256", version.artifact],
        *([["Description", markdown(dossier.description)]] if dossier.description else []),
        *([["Tags", _listed([_tag(tag.key, tag.value) for tag in dossier.tags])]] if dossier.tags else []),
    ]


def _tag(key: str, value: str) -> str:
    return f"{markdown(key, _LONGEST_VALUE)} = {markdown(value, _LONGEST_VALUE)}"


def _origin(dossier: Dossier, runs: Mapping[str, str]) -> list[list[str]]:
    version, data = dossier.version, dossier.training_data
    dirty = {True: ", with local changes", False: "", None: ""}[version.git_dirty]
    made_with = [f"{markdown(name)} {markdown(release)}" for name, release in version.environment.items()]
    run = version.flow_run_id
    return [
        ["Trained on", NOTHING if data is None else _data(data)],
        *([] if data is None else [["Its fingerprint", data.fingerprint]]),
        ["Commit", f"{markdown(version.git_commit)}{dirty}" if version.git_commit else NOTHING],
        ["Made with", _listed(made_with)],
        ["Registered", f"{minute(version.registered_at)} by {markdown(version.registered_by)}"],
        ["Flow run", link(run, runs.get(run)) if run else NOTHING],
    ]


def _data(data: DatasetRecord) -> str:
    source = f", from {markdown(data.source)}" if data.source else ""
    return f"{markdown(data.name)}, {count(data.rows, 'row')}{source}"


def _listed(things: Sequence[str]) -> str:
    more = len(things) - _MOST_LISTED
    listed = ", ".join(things[:_MOST_LISTED]) or NOTHING
    return f"{listed}, and {more:,} more" if more > 0 else listed


# What was decided


def _decided(dossier: Dossier, runs: Mapping[str, str]) -> list[str]:
    if not dossier.entries:
        return []
    signed = [entry for entry in reversed(dossier.entries) if "approval" in entry.evidence]
    approvals = [answered(entry) for entry in signed if not entry.moved]
    return [
        *ledger_table(dossier.entries, runs),
        *([small_print(*approvals[:_MOST_APPROVALS])] if approvals else []),
    ]


def _small_print(dossier: Dossier) -> str:
    version, confidence = dossier.version, 100 * dossier.confidence
    return small_print(
        f"Each one-sided bound has a confidence of {confidence:.4g} %" if dossier.bounds else "",
        "A version that was trained on a dataset proves nothing on it"
        if any(each.dataset == version.trained_on for each in dossier.evaluations)
        else "",
        f"Fitted estimator {version.fitted[:_FINGERPRINT]}, together with its training data"
        f" {version.training[:_FINGERPRINT]}",
    )
