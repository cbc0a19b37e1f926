"""What the command line prints: tables for people, JSON for programs; progress and errors go beside them.

Reasons, names of people and values of columns come from anywhere. They are shown as text: markup in them
means nothing, and a character that would steer the terminal shows as a mark.
"""

from __future__ import annotations

import json as json_format
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from registry.migrations import HEAD, Condition
from registry.tables import WHOLE
from registry.words import NOTHING, count, interval, number, signed, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from flows.demo import Act
    from registry.artifacts import StoredArtifact
    from registry.audit.verification import Finding
    from registry.backtest import Backtest
    from registry.database import Status
    from registry.dossier import Dossier
    from registry.evidence import Comparison, Measured
    from registry.garbage import Garbage
    from registry.migrations import Upgrade
    from registry.mlflow.importing import Report
    from registry.policy import PromotionDecision
    from registry.search import Page, Ranking
    from registry.signing import Voucher
    from registry.tables import (
        Artifact,
        DatasetRecord,
        Evaluation,
        LedgerEntry,
        ModelVersion,
        Observation,
        RegisteredModel,
        TrustedType,
    )

out = Console(highlight=False, markup=False, emoji=False)
notes = Console(stderr=True, highlight=False, markup=False, emoji=False)

_SCHEMA = {
    Condition.READY: "ready",
    Condition.EMPTY: "empty: a registry is made in it when it is opened",
    Condition.OUTDATED: "outdated: `registry db upgrade` upgrades it; a SQLite also when it is opened",
    Condition.NEWER: "made by a newer library",
    Condition.SHARED: "in use by other programs alone",
    Condition.FOREIGN: "no registry, and some of its tables have names that a registry needs",
}
_OF_A_TAG = {"key", "value", "set_by", "set_at"}
_COLOURS = {
    "promoted": "green",
    "promote": "green",
    "passed": "green",
    "assigned": "magenta",
    "rolled-back": "red",
    "rejected": "red",
    "reject": "red",
    "failed": "red",
    "held": "yellow",
    "inconclusive": "yellow",
    "cleared": "cyan",
    "alerted": "cyan",
    "healthy": "green",
    "suspect": "yellow",
    "degraded": "red",
    "world-changed": "magenta",
}


def say(text: str) -> None:
    """Print a line that the terminal may break where it likes, so that it can be copied whole."""
    out.print(visible(text), soft_wrap=True)


def note(text: str) -> None:
    """Print what happened beside the answer on the error output."""
    notes.print(visible(text), soft_wrap=True)


def complain(text: str) -> None:
    """Print a refusal as one line on the error output."""
    notes.print(Text.assemble(("error:", "red"), " ", " ".join(visible(text).split())), soft_wrap=True)


def working(on: str) -> AbstractContextManager[Any]:
    """A spinner on the error output while something takes its time."""
    return notes.status(Text(visible(on)))


@contextmanager
def measuring(totals: Mapping[str, int]) -> Iterator[dict[str, Callable[[int], None]]]:
    """A bar on the error output for each thing of which there is a total, if a person looks at it.

    What the block gets tells a bar how many more of its things are done.
    """
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        yield {
            name: partial(progress.advance, progress.add_task(name, total=total, visible=total > 0))
            for name, total in totals.items()
        }


def show_models(models: Sequence[tuple[RegisteredModel, dict[str, int]]], *, json: bool) -> None:
    """The models and what is in force of each."""
    if json:
        _print_json([model.model_dump(mode="json") | {"aliases": aliases} for model, aliases in models])
        return
    table = _table("model", "last version", "in force", "created")
    for model, aliases in models:
        in_force = ", ".join(f"{alias} → {version}" for alias, version in aliases.items()) or NOTHING
        table.add_row(model.name, f"{model.last_version:,}", in_force, _minute(model.created_at))
    out.print(table if models else "no models yet")


def show_versions(
    versions: Sequence[ModelVersion], aliases: Mapping[str, int], marks: Mapping[int, str], *, json: bool
) -> None:
    """The versions of one model, the newest last, each with a mark if its bytes are pinned or purged."""
    if json:
        _print_json(
            [_version(version, aliases) | {"bytes": marks.get(version.number)} for version in versions]
        )
        return
    columns = ["version", "alias", "estimator", "registered", "by", "commit"]
    table = _table(*columns, *(["bytes"] if marks else []))
    for version in versions:
        commit = (version.git_commit or NOTHING)[:8] + ("*" if version.git_dirty else "")
        table.add_row(
            version.reference,
            ", ".join(_names(version, aliases)),
            version.estimator.rpartition(".")[2],
            _minute(version.registered_at),
            visible(version.registered_by),
            commit,
            *([marks.get(version.number, "")] if marks else []),
        )
    out.print(table)


def show_page(page: Page, ranking: Ranking | None, *, json: bool) -> None:
    """The versions that were found, and the values that rank them; beside them, how to go on."""
    values: Sequence[float | None] = page.values or [None] * len(page.versions)
    rows = list(zip(page.versions, values, strict=True))
    if json:
        found = [
            {"reference": version.reference, "value": value} | version.model_dump(mode="json")
            for version, value in rows
        ]
        _print_json({"versions": found, "next": page.next})
        return
    ranked = [visible(ranking.metric)] if ranking else []
    table = _table("version", *ranked, "estimator", "registered", "by")
    for version, value in rows:
        table.add_row(
            version.reference,
            *([_number(value)] if ranked else []),
            version.estimator.rpartition(".")[2],
            _minute(version.registered_at),
            visible(version.registered_by),
        )
    out.print(table if rows else "there is no such version")
    if page.next:
        note(f"there are more: the same with --after {page.next}")


def show_tags(tags: Mapping[str, str], *, json: bool) -> None:
    """The tags of a version or a model, one a line."""
    if json:
        _print_json(tags)
        return
    for key, value in tags.items():
        say(f"{key}={value}")


def show_version(dossier: Dossier, *, json: bool) -> None:
    """All that is known of one version."""
    if json:
        _print_json(_dossier(dossier))
        return
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(dossier).items():
        facts.add_row(name, visible(value))
    out.print(facts)
    for evaluation in dossier.evaluations:
        out.print()
        show_evaluation(evaluation, dossier.datasets[evaluation.dataset], json=False)
    if dossier.entries:
        out.print()
        show_history(dossier.entries, json=False)


def show_reference(version: ModelVersion, aliases: Mapping[str, int], *, json: bool) -> None:
    """The version's name alone, for a shell to use."""
    if json:
        _print_json(_version(version, aliases))
    else:
        say(version.reference)


def show_history(entries: Sequence[LedgerEntry], *, json: bool) -> None:
    """Entries of the ledger, oldest first, each with its reason on a line of its own."""
    if json:
        _print_json([entry.model_dump(mode="json") for entry in entries])
        return
    if not entries:
        say("nothing was decided yet")
        return
    heads = ("alias", "#", "what", "version", "in force", "when", "by")
    head, *lines = _aligned([heads, *map(_entry, entries)])
    out.print(Text(head, "bold"))
    for entry, line in zip(entries, lines, strict=True):
        text = Text(line, overflow="fold")
        text.highlight_words([f" {entry.kind} "], _COLOURS.get(entry.kind, ""))
        out.print(text)
        out.print(_indented(Text(visible(entry.reason))))


def show_observations(observations: Sequence[Observation], *, json: bool) -> None:
    """What was recorded of batches, and what is held of the version after each."""
    if json:
        _print_json([_observation(row) for row in observations])
        return
    table = _table("batch", "version", "rows", "value", "floor", "evidence", "status")
    for row in observations:
        status = Text.assemble(_coloured(row.status), " (late)" if row.late else "")
        cells = number(row.value), number(row.floor), number(row.evidence, 2)
        table.add_row(visible(row.batch), row.reference, f"{row.rows:,}", *cells, status)
    out.print(table)


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is held of the version in force under an alias.

    Attributes:
        alias: Such as ``churn@champion``.
        in_force: The version's number; None if there is none.
        pause: Why nothing is promoted by itself; None if it is.
        observations: What was observed, oldest first.
    """

    alias: str
    in_force: int | None
    pause: str | None
    observations: Sequence[Observation]


def show_health(health: Health, *, json: bool) -> None:
    """Which version is in force, what was observed, and what is waited for."""
    if json:
        _print_json([_observation(row) for row in health.observations])
        return
    say(f"{health.alias} is {'vacant' if health.in_force is None else f'version {health.in_force}'}")
    if health.pause is not None:
        say(health.pause)
    if not health.observations:
        say("nothing was observed of it yet")
        return
    show_observations(health.observations, json=False)
    newest = health.observations[-1]
    if newest.status != "healthy" and newest.state["contest"]:
        say(_contest(newest))


def _contest(row: Observation) -> str:
    contest, seen = row.state["contest"], row.state["suspicion"]["seen"]["batches"]
    target = f"{row.model}@{contest['target']}"
    return (
        f"since the alarm only {target} was right on {count(contest['target_only'], 'row')}, only"
        f" {row.reference} on {contest['champion_only']:,}, in {contest['batches']:,} of"
        f" {count(seen, 'batch')}"
    )


def draw_control_chart(
    observations: Sequence[Observation], entries: Sequence[LedgerEntry], picture: Path
) -> None:
    """Write the control chart of a metric as a PNG file."""
    from registry.reports import control_chart  # noqa: PLC0415, most commands need no matplotlib

    picture.write_bytes(control_chart(observations, entries))


def show_evaluation(evaluation: Evaluation, dataset: DatasetRecord, *, json: bool) -> None:
    """The metrics of one evaluation, over all rows and by slice."""
    if json:
        _print_json(_evaluation(evaluation))
        return
    names = list(evaluation.metrics)
    table = _table(f"{evaluation.reference} on {visible(dataset.name)}", "rows", *names)
    for part in (WHOLE, *evaluation.slices):
        values = evaluation.on_slice(part)
        rows = next(metric.rows for metric in evaluation.measurements if metric.slice == part)
        table.add_row(visible(part), f"{rows:,}", *(_number(values.get(name)) for name in names))
    out.print(table)


def show_comparison(comparison: Comparison, *, json: bool) -> None:
    """Two versions side by side."""
    if json:
        _print_json(comparison.model_dump(mode="json"))
        return
    table = _table("metric", comparison.challenger, comparison.champion, "difference", "bounds", "method")
    for result in comparison.results:
        scores = number(result.challenger), _number(result.champion)
        table.add_row(result.metric, *scores, _value(result), _bounds(result), result.method)
    out.print(table)
    rows = count(comparison.results[0].rows, "row")
    say(f"{rows} of {comparison.dataset_name}; one-sided bounds at {comparison.confidence:.0%}")


def show_backtest(backtest: Backtest, *, json: bool) -> None:
    """What every version would have brought, the best first."""
    if json:
        _print_json(backtest.model_dump(mode="json") | {"headline": backtest.headline})
        return
    say(backtest.headline)
    compared = backtest.champion is not None
    columns = [[name, "difference", "bounds"] if compared else [name] for name in backtest.question.metrics]
    table = _table("version", *(head for heads in columns for head in heads))
    for version in backtest.measured:
        found = [version.whole(metric) for metric in backtest.question.metrics]
        cells = [_compared(each) if compared else [number(each.challenger)] for each in found]
        style = "bold" if version.reference == backtest.in_force else ""
        table.add_row(version.reference, *(cell for group in cells for cell in group), style=style)
    if backtest.measured:
        out.print(table)
    for left_out in backtest.left_out:
        say(f"{left_out.reference} is left out: {left_out.reason}")
    rows = f"{count(backtest.rows, 'row')} of {backtest.dataset_name}"
    say(f"{rows}; all one-sided bounds together at {backtest.question.confidence:.4g}" if compared else rows)


def _compared(measured: Measured) -> list[str]:
    if measured.difference is None:  # of the version in force
        return [number(measured.challenger), NOTHING, NOTHING]
    return [number(measured.challenger), _value(measured), _bounds(measured)]


def draw_heat_map(backtest: Backtest, picture: Path) -> None:
    """Write what every version would have brought as a PNG file."""
    from registry.reports import heat_map  # noqa: PLC0415, most commands need no matplotlib

    picture.write_bytes(heat_map(backtest))


def show_decision(decision: PromotionDecision, *, json: bool) -> None:
    """The verdict, its reasons and every check."""
    if json:
        _print_json(decision.model_dump(mode="json"))
        return
    champion = decision.champion or "no champion yet"
    out.print(_coloured(decision.verdict), f"{decision.challenger} against {champion}", sep=": ")
    for reason in decision.reasons:
        out.print(_indented(Text(visible(reason))))
    table = _table("outcome", "check", "on", "found", "bounds")
    for check in decision.checks:
        table.add_row(_coloured(check.outcome), check.check, *_cells(check.measured))
    if decision.checks:
        out.print(table)
        rows = f"{count(decision.rows, 'row')} of {decision.dataset_name}, look {decision.look:,} at them"
        say(f"{rows}: each bound errs with probability {number(decision.alpha)}")


def show_findings(findings: Sequence[Finding], *, json: bool) -> None:
    """What is wrong, or that nothing is."""
    problems = [finding for finding in findings if finding.problem]
    if json:
        wrong = [{"subject": finding.subject, "problem": finding.problem} for finding in problems]
        remarks = [{"subject": each.subject, "remark": each.remark} for each in findings if each.remark]
        _print_json({"checked": len(findings), "problems": wrong, "remarks": remarks})
        return
    for finding in findings:
        if finding.remark:
            say(f"{finding.subject}: {finding.remark}")
    for finding in problems:
        out.print(
            Text.assemble((visible(finding.subject), "red"), ": ", visible(finding.problem or "")),
            soft_wrap=True,
        )
    say(f"{len(findings):,} checked, {len(problems):,} wrong")


def show_import(report: Report, *, json: bool) -> None:
    """What was brought from another registry, and what could not be."""
    if json:
        _print_json(asdict(report))
        return
    for problem in report.problems:
        subject = Text.assemble((visible(problem.subject), "red"), ": ", visible(problem.reason))
        out.print(subject, soft_wrap=True)
    brought = f"{count(report.versions, 'version')} of {count(report.models, 'new model')} and"
    say(f"{brought} {count(report.aliases, 'alias')} came, {report.known:,} versions were here before")
    say(
        f"{count(len(report.problems), 'thing')} could not be brought"
        if report.problems
        else "nothing is missing"
    )


def show_trusted(types: Sequence[TrustedType], *, json: bool) -> None:
    """The allow-list, with who added what and why."""
    if json:
        _print_json([trusted.model_dump(mode="json") for trusted in types])
        return
    table = _table("type", "by", "why")
    for trusted in types:
        table.add_row(visible(trusted.name), visible(trusted.trusted_by), visible(trusted.reason))
    out.print(table)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a collection took, or would take.

    Attributes:
        garbage: What nobody needed, and the strays that were found.
        purged: What a policy gave up.
        strays: The strays that went.
        kept: Why versions keep their bytes, by reference, where a policy was asked and took nothing yet.
    """

    garbage: Garbage
    purged: Sequence[Artifact] = ()
    strays: Sequence[StoredArtifact] = ()
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def gone(self) -> list[tuple[str, int, str]]:
        """The digest, the bytes, and what it was, of each artifact that went."""
        rows = {"orphan": self.garbage.orphans, "leftover": self.garbage.leftovers, "purged": self.purged}
        told = [(row.digest, row.bytes, kind) for kind, some in rows.items() for row in some]
        return told + [(stray.digest, stray.size, "stray") for stray in self.strays]

    @property
    def left_alone(self) -> list[StoredArtifact]:
        """The strays that stay."""
        return [stray for stray in self.garbage.strays if stray not in self.strays]


def show_swept(swept: Swept, verb: str, *, json: bool) -> None:
    """Artifacts that were, or would be, removed, and what stays for which reason."""
    if json:
        strays = [{"digest": stray.digest, "bytes": stray.size} for stray in swept.left_alone]
        gone = [{"digest": digest, "bytes": size, "was": was} for digest, size, was in swept.gone]
        _print_json({"removed": gone, "kept": dict(swept.kept), "strays": strays})
        return
    for digest, size, was in swept.gone:
        say(f"{digest}  {was}  {count(size, 'byte')}")
    for reference, reasons in swept.kept.items():
        say(f"{reference} stays: {'; '.join(reasons)}")
    size = sum(size for _, size, _ in swept.gone)
    say(f"{count(len(swept.gone), 'artifact')} {verb}, {count(size, 'byte')}")
    if swept.left_alone:
        unknown = count(sum(stray.size for stray in swept.left_alone), "byte")
        remedy = "if no other registry keeps its artifacts there, --strays removes those older than a day"
        say(f"{count(len(swept.left_alone), 'stray')} left alone, {unknown}, of which no row knows: {remedy}")


def show_status(status: Status, *, json: bool) -> None:
    """What a database is, and how much is in it."""
    if json:
        _print_json(asdict(status) | {"expected": HEAD})
        return
    say(f"{status.database} ({status.server})")
    say(f"{_SCHEMA[status.condition]} (schema {status.version or NOTHING}, this library's is {HEAD})")
    if status.problem is not None:
        say(status.problem)
    table = _table("table", "rows")
    for name, rows in status.rows.items():
        table.add_row(name, f"{rows:,}")
    if status.rows:
        out.print(table)


def tell_upgrade(upgrade: Upgrade) -> None:
    """What became of a database's schema."""
    if upgrade.before is None:
        say(f"{upgrade.database} is a registry now, of schema {upgrade.after}")
    elif upgrade.before == upgrade.after:
        say(f"{upgrade.database} has schema {upgrade.after} already: there was nothing to do")
    else:
        say(f"{upgrade.database} was upgraded from schema {upgrade.before} to {upgrade.after}")
    if upgrade.copy is not None:
        say(f"as it was before, it is in {upgrade.copy}")


def narrate(acts: Iterator[Act]) -> None:
    """Tell the demo's acts as they happen."""
    with notes.status("starting Prefect's embedded server; the first time takes a while") as status:
        for act in acts:
            out.print(Text.assemble((act.when, "bold"), f": {act.what}"))
            if act.watched:
                out.print(_indented(_watched(act.watched)))
            if act.entry:
                in_force = f" {act.entry.reference}, in force: {act.entry.in_force or NOTHING}"
                out.print(Text.assemble("    ", _coloured(act.entry.kind), in_force))
                out.print(_indented(Text(visible(act.entry.reason), "dim")))
            status.update(f"after {act.when} …")


def show_next_steps(model: str, pictures: Sequence[Path]) -> None:
    """Where the reader may go on after the demo."""
    out.print()
    say(f"Drawn in {' and '.join(map(str, pictures))}. The registry is yours to go on with:")
    for command in (f"history {model}", f"show {model}@champion", f"versions {model}", "verify"):
        say(f"  registry {command}")


def _version(version: ModelVersion, aliases: Mapping[str, int]) -> dict[str, Any]:
    names = {"reference": version.reference, "aliases": _names(version, aliases)}
    return names | version.model_dump(mode="json")


def _names(version: ModelVersion, aliases: Mapping[str, int]) -> list[str]:
    return [alias for alias, number in aliases.items() if number == version.number]


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    slices = {name: evaluation.on_slice(name) for name in evaluation.slices}
    return evaluation.model_dump(mode="json") | {"metrics": evaluation.metrics, "slices": slices}


def _dossier(dossier: Dossier) -> dict[str, Any]:
    trained_on = dossier.training_data
    return _version(dossier.version, dossier.aliases) | {
        "quarantined": list(dossier.quarantined),
        "health": [_observation(row) for row in dossier.health],
        "description": dossier.description,
        "training_data": trained_on and trained_on.model_dump(mode="json"),
        "evaluations": [_evaluation(evaluation) for evaluation in dossier.evaluations],
        "ledger": [entry.model_dump(mode="json") for entry in dossier.entries],
        "tags": [tag.model_dump(mode="json", include=_OF_A_TAG) for tag in dossier.tags],
        "pin": dossier.pin and dossier.pin.model_dump(mode="json"),
        "purged": dossier.purged and dossier.purged.model_dump(mode="json"),
        "signatures": [
            asdict(voucher) | {"signed_at": voucher.signed_at.isoformat()} for voucher in dossier.vouchers
        ],
    }


def _facts(dossier: Dossier) -> dict[str, str]:
    version = dossier.version
    commit = version.git_commit or NOTHING
    size = count(version.artifact_bytes, "byte")
    return {
        "version": version.reference,
        "in force as": ", ".join(_names(version, dossier.aliases)) or NOTHING,
        "quarantined": ", ".join(dossier.quarantined) or NOTHING,
        "health": "; ".join(map(_health, dossier.health)) or NOTHING,
        "estimator": version.estimator,
        "parameters": json_format.dumps(version.params),
        **_training(dossier.training_data),
        "columns": ", ".join(f"{column['name']}: {column['dtype']}" for column in version.input_schema),
        "artifact": f"{version.artifact} ({size}, {version.serialization})",
        "description": dossier.description or NOTHING,
        "tags": ", ".join(f"{tag.key} = {tag.value}" for tag in dossier.tags) or NOTHING,
        **_keeping(dossier),
        "signed": "; ".join(map(_voucher, dossier.vouchers)) or NOTHING,
        "registered": f"{_moment(version.registered_at)} by {version.registered_by}",
        "commit": f"{commit}{' with local changes' if version.git_dirty else ''}",
        "flow run": version.flow_run_id or NOTHING,
        "made with": ", ".join(f"{name} {number}" for name, number in version.environment.items()),
    }


def _training(data: DatasetRecord | None) -> dict[str, str]:
    if data is None:
        return {"trained on": NOTHING, "predicts": NOTHING}
    source = f" from {data.source}" if data.source else ""
    trained_on = f"{data.name}, {count(data.rows, 'row')}{source} ({data.fingerprint[:12]})"
    return {"trained on": trained_on, "predicts": data.target}


def _keeping(dossier: Dossier) -> dict[str, str]:
    """Whether somebody wants the bytes kept, or they were given up; most often neither."""
    facts = {}
    if (pin := dossier.pin) is not None:
        facts["pinned"] = f"{_moment(pin.pinned_at)} by {pin.pinned_by}: {pin.reason}"
    if (purged := dossier.purged) is not None and purged.purged_at is not None:
        when = _moment(purged.purged_at)
        facts["purged"] = f"{when} by {purged.purged_by}: {purged.purged_because}"
    return facts


def _voucher(voucher: Voucher) -> str:
    """Such as ``by release pipeline (3fa9c1d2e4b5) on 2026-03-01 12:00:00``, and what is wrong with it."""
    by = f"by {voucher.name or 'somebody'} ({voucher.key_id[:12]}) on {_moment(voucher.signed_at)}"
    return by if voucher.problem is None else f"{by}, which does not count: {voucher.problem}"


def _entry(entry: LedgerEntry) -> tuple[str, ...]:
    in_force = NOTHING if entry.in_force is None else str(entry.in_force)
    if entry.moved and entry.replaced is not None:
        in_force = f"{entry.replaced} → {in_force}"
    when, actor = _moment(entry.recorded_at), visible(entry.actor)
    return entry.alias, str(entry.sequence), entry.kind, str(entry.version), in_force, when, actor


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each of the *rows* as a line in which the cells of a column begin below each other."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _observation(row: Observation) -> dict[str, Any]:
    dumped = row.model_dump(mode="json", exclude={"state", "policy"})
    return {name: dumped[name] for name in type(row).model_fields if name in dumped}


def _health(row: Observation) -> str:
    """Such as ``healthy by accuracy (0.9100 on batch 2026-03-01, floor 0.8800)``."""
    numbers = f"{number(row.value)} on batch {row.batch}, floor {number(row.floor)}"
    return f"{row.alias} is {row.status} by {row.metric} ({numbers})"


def _watched(rows: Sequence[Observation]) -> Text:
    """Such as ``healthy: mean accuracy 0.910, floor 0.880; evidence up to 0.0040``."""
    newest, single = rows[-1], len(rows) == 1
    value = sum(row.value * row.rows for row in rows) / sum(row.rows for row in rows)
    evidence = f"evidence {'' if single else 'up to '}{number(max(row.evidence for row in rows), 2)}"
    if newest.target is not None:
        theirs, ours = sum(row.target_only for row in rows), sum(row.champion_only for row in rows)
        evidence = f"right alone: @{newest.target} on {theirs:,}, @{newest.version} on {ours:,}"
    value_of = f"{'' if single else 'mean '}{newest.metric} {number(value, 3)}"
    numbers = f": {value_of}, floor {number(newest.floor, 3)}; {evidence}"
    return Text.assemble(_coloured(newest.status), numbers)


def _cells(measured: Measured | None) -> list[str]:
    if measured is None:
        return [NOTHING] * 3
    return [visible(measured.slice), _value(measured), _bounds(measured)]


def _value(measured: Measured) -> str:
    """The difference, or the challenger's own value where there is nothing to subtract."""
    return number(measured.challenger) if measured.difference is None else signed(measured.difference)


def _bounds(measured: Measured) -> str:
    return interval(measured.lower, measured.upper)


def _number(value: float | None) -> str:
    return NOTHING if value is None else number(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 4), expand=False)


def _coloured(word: str) -> Text:
    return Text(word, _COLOURS.get(word, ""))


def _minute(moment: datetime) -> str:
    return _moment(moment)[:-3]


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print_json(value: Any) -> None:
    """ASCII, so that any terminal and any program can read it; a reason steers neither."""
    typer.echo(json_format.dumps(value, indent=2))
