"""The ``registry`` command. Exit status: 0 done, 1 refused (with the reason), 2 misuse."""

from __future__ import annotations

import csv
import json as json_format
import os
import sys
import tomllib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import uuid4

import typer
from pydantic import BaseModel, ValidationError

from registry import console
from registry.exceptions import (
    EventsUnavailable,
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
    ReasonMissing,
    RegistryError,
)
from registry.facade import Registry
from registry.monitoring import moment_of
from registry.monitoring_policy import MonitoringPolicy
from registry.policy import Better, Check, Floor, NotWorse, PromotionPolicy
from registry.references import CHAMPION, LATEST, Reference, check_model_name
from registry.settings import RegistrySettings
from registry.suspicion import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.datasets import Dataset
    from registry.deployments import Change

app = typer.Typer(
    help="Versions of models: what there is, what is in force and why, and what to do about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

P = TypeVar("P", bound=BaseModel)

_CENTURY = 876_000  # hours

_MISUSE = (
    InvalidDeployments,
    InvalidName,
    InvalidObservation,
    InvalidPolicy,
    InvalidReference,
    ReasonMissing,
)


def _reason(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("say why in a sentence")
    return text.encode(errors="replace").decode()  # bytes that are no text could not be written down


Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=check_model_name, help="Name of a model, such as churn.")
]
Ref = Annotated[str, typer.Argument(metavar="REF", help="Such as churn@7, churn@champion or churn@latest.")]
Alias = Annotated[str, typer.Option(help="What is, or is to be, in force.")]
Reason = Annotated[str, typer.Option(parser=_reason, metavar="TEXT", help="Why; it goes into the ledger.")]
Data = Annotated[str, typer.Option(help="Parquet or CSV file, on disk or s3://.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main() -> None:
    """Run the command line; a refusal is one line on the error output."""
    try:
        app(prog_name="registry")
    except RegistryError as error:
        console.complain(str(error))
        sys.exit(2 if isinstance(error, _MISUSE) else 1)


@app.callback()
def _choose(
    database: Annotated[str, typer.Option(help="Instead of MODEL_REGISTRY_DATABASE.")] = "",
    artifacts: Annotated[str, typer.Option(help="Instead of MODEL_REGISTRY_ARTIFACTS.")] = "",
) -> None:
    # the environment, so that flows started from here find the same registry
    if database:
        os.environ["MODEL_REGISTRY_DATABASE"] = database
    if artifacts:
        os.environ["MODEL_REGISTRY_ARTIFACTS"] = artifacts


@app.command()
def models(*, json: Json = False) -> None:
    """List the models, and what is in force of each."""
    registry = Registry()
    console.show_models([(model, registry.aliases(model.name)) for model in registry.models()], json=json)


@app.command()
def versions(name: Name, *, json: Json = False) -> None:
    """List the versions of a model."""
    registry = Registry()
    console.show_versions(registry.versions(name), registry.aliases(name), json=json)


@app.command()
def show(ref: Ref, *, json: Json = False) -> None:
    """Show a version: where it comes from, how it was measured, what was decided about it."""
    console.show_version(Registry().dossier(ref), json=json)


@app.command()
def card(
    ref: Ref,
    output: Annotated[Path | None, typer.Option(help="The file, instead of the standard output.")] = None,
) -> None:
    """Write all that is known of a version into one HTML file: registry card REF > card.html."""
    if output is None and sys.stdout.isatty():
        remedy = f"registry card {ref} > card.html, or --output card.html"
        raise typer.BadParameter(f"a card is no text for a terminal; write it into a file: {remedy}")
    with console.working(f"drawing {ref}"):
        page = Registry().card(ref).encode()
    if output is None:
        typer.echo(page, nl=False)
    else:
        with _writing(output):
            output.write_bytes(page)


@app.command()
def history(
    name: Name, alias: Annotated[str, typer.Option(help="Of this alias only.")] = "", *, json: Json = False
) -> None:
    """Print the ledger of a model: what was decided, by whom, and why."""
    console.show_history(Registry().history(name, alias=alias or None), json=json)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):  # the year 1 has no local time
        raise typer.BadParameter("write a time such as 2026-03-01 or 2026-03-01T12:00+00:00") from None


@app.command()
def resolve(
    ref: Ref,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="What an alias named at this time, which is local unless it has a zone.",
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Print the version that a reference names, now or at a time."""
    if at is not None and not _is_alias(Reference.parse(ref).selector):
        raise typer.BadParameter("only what an alias names changes; ask such as churn@champion --at TIME")
    registry = Registry()
    version = registry.resolve(ref, at=at)
    console.show_reference(version, registry.aliases(version.model), json=json)


def _is_alias(selector: int | str) -> bool:
    return isinstance(selector, str) and selector != LATEST


@app.command()
def evaluate(
    ref: Ref,
    data: Data,
    metric: Annotated[list[str], typer.Option(help="scikit-learn scorer name; may be repeated.")],
    slices: Annotated[list[str], typer.Option("--slice", help="Column to slice by; may be repeated.")] = [],  # noqa: B006, read only
    *,
    json: Json = False,
) -> None:
    """Measure a version on a dataset."""
    registry = Registry()
    rows = _read(registry, ref, data)
    with console.working(f"evaluating {ref}"):
        evaluation = registry.evaluate(ref, rows, metrics=metric, slices=slices)
    console.show_evaluation(evaluation, registry.dataset(evaluation.dataset), json=json)


@app.command()
def compare(
    challenger: Ref,
    champion: Ref,
    data: Data,
    metric: Annotated[
        list[str], typer.Option(help="scikit-learn scorer name; those measured of both before if not given.")
    ] = [],  # noqa: B006, read only
    *,
    json: Json = False,
) -> None:
    """Compare two versions on the same rows; nothing is decided."""
    registry = Registry()
    metric = metric or _measured_of(registry, challenger, champion)
    rows = _read(registry, challenger, data)
    with console.working(f"comparing {challenger} with {champion}"):
        comparison = registry.compare(challenger, champion, rows, metrics=metric)
    console.show_comparison(comparison, json=json)


@app.command()
def backtest(
    name: Name,
    data: Data,
    metric: Annotated[
        list[str], typer.Option(help="scikit-learn scorer name; may be repeated, the first one ranks.")
    ],
    last: Annotated[int | None, typer.Option(help="Only so many of the newest versions.", min=1)] = None,
    slices: Annotated[list[str], typer.Option("--slice", help="Column to slice by; may be repeated.")] = [],  # noqa: B006, read only
    chart: Annotated[Path | None, typer.Option(help="Draw the heat map into this PNG file.")] = None,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Measure all versions of a model on new rows: what would each have brought? Nothing is decided."""
    registry = Registry()
    rows = _read(registry, f"{name}@{LATEST}", data)
    with console.working(f"measuring the versions of {name}"):
        found = registry.backtest(name, rows, metrics=metric, slices=slices, last=last, alias=alias)
    if chart is not None:
        with _writing(chart):
            console.draw_heat_map(found, chart)
    console.show_backtest(found, json=json)


def _measured_of(registry: Registry, *references: str) -> list[str]:
    """The metrics that each of the versions was measured by, on whatever rows."""
    measured = [
        {metric for evaluation in registry.evaluations(reference) for metric in evaluation.metrics}
        for reference in references
    ]
    common = sorted(set.intersection(*measured))
    if not common:
        raise typer.BadParameter("no metric was measured of both; name one, such as --metric accuracy")
    return common


@app.command()
def promote(
    ref: Ref,
    data: Data,
    policy: Annotated[Path | None, typer.Option(help="Policy as a JSON or TOML file.")] = None,
    better: Annotated[list[str], typer.Option(metavar="METRIC", help="Must be better.")] = [],  # noqa: B006, read only
    not_worse: Annotated[
        list[str], typer.Option(metavar="METRIC=MARGIN", help="Must not be worse by the margin.")
    ] = [],  # noqa: B006, read only
    floor: Annotated[list[str], typer.Option(metavar="METRIC=VALUE", help="Must be above the value.")] = [],  # noqa: B006, read only
    min_rows: Annotated[int | None, typer.Option(help="Fewer rows decide nothing; 100 by default.")] = None,
    alias: Alias = CHAMPION,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why it is to be promoted.")] = "",
    approved_by: Annotated[
        str, typer.Option(metavar="NAME", help="Who agrees, if the policy asks for a person.")
    ] = "",
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why they agree.")] = "",
    *,
    json: Json = False,
) -> None:
    """Judge a version on a holdout, and put it in force if it is provably better. 1 if it is not."""
    registry = Registry()
    demands = _choose_policy(policy, _checks(better, not_worse, floor), min_rows)
    rows = _read(registry, ref, data)
    with console.working(f"judging {ref}"):
        decision = registry.decide(ref, rows, demands, alias=alias)
        if approved_by and decision.approved:
            registry.approve(decision, by=approved_by, comment=comment)
        entry = registry.promote(decision, because=because)
    console.show_decision(decision, json=json)
    if decision.approved and entry.kind != "promoted":
        console.note(f"held all the same: {entry.reason}")
    raise typer.Exit(0 if entry.kind == "promoted" else 1)


@app.command()
def assign(
    ref: Ref, alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")], reason: Reason
) -> None:
    """Put a version in force without a gate; the ledger says so."""
    console.show_history([Registry().assign(ref, alias=alias, reason=reason)], json=False)


@app.command()
def clear(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")],
    reason: Reason,
) -> None:
    """Leave nothing in force under an alias."""
    console.show_history([Registry().clear(name, alias=alias, reason=reason)], json=False)


@app.command()
def rollback(
    name: Name,
    reason: Reason,
    version: Annotated[int | None, typer.Option(help="Only if this version is in force.")] = None,
    alias: Alias = CHAMPION,
) -> None:
    """Put the trusted predecessor in force; the version that falls is quarantined."""
    with console.working(f"rolling {name} back"):
        entry = Registry().roll_back(name, reason=reason, alias=alias, bad=version)
    console.show_history([entry], json=False)


@app.command()
def observe(
    ref: Ref,
    metric: Annotated[str, typer.Option(help="scikit-learn scorer name by which the version was evaluated.")],
    value: Annotated[float | None, typer.Option(help="What it is on the batch; higher is better.")] = None,
    rows: Annotated[int | None, typer.Option(help="How many rows the batch has.")] = None,
    batch: Annotated[str, typer.Option(help="What names the batch; it counts once.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="TIME", help="The batch's time; that in its name, else now."),
    ] = None,
    batches: Annotated[
        Path | None, typer.Option(help="CSV file with columns batch, value, rows and perhaps at, instead.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Monitoring policy as a JSON or TOML file.")] = None,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Record what a metric was on live rows; what is held of the version since is printed."""
    registry = Registry()
    rules = None if policy is None else _read_policy(policy, MonitoringPolicy)
    single = [] if value is None and rows is None else [(batch, value, rows, at)]
    readings = _readings(_batches(batches) if batches else single)
    observations = registry.observe_many(ref, metric=metric, readings=readings, alias=alias, policy=rules)
    console.show_observations(observations, json=json)
    for reading, row in zip(readings, observations, strict=True):
        if (reading.value, reading.rows) != (row.value, row.rows):
            known = f"{row.batch} was recorded before, of {row.reference} with {row.value} on {row.rows} rows"
            console.note(f"warning: {known}; what is given now was not taken")
    for name in dict.fromkeys(row.alias for row in observations):
        _announce_alarms(registry, Reference.parse(ref).model, name)


def _announce_alarms(registry: Registry, model: str, alias: str) -> None:
    """Tell Prefect what the observations led to; if it can't hear it now, the next run does."""
    if not registry.alarms(model, alias=alias):
        return
    from registry.tasks.announcements import announce_alarms  # noqa: PLC0415, most commands need no Prefect
    from registry.tasks.events import require_server  # noqa: PLC0415

    try:
        require_server()
        for decision in announce_alarms(registry, model, alias):
            console.note(f"Prefect was told: {decision.reference} is {decision.status}")
    except EventsUnavailable as error:
        console.note(f"warning: recorded, but {error}; the next observation or monitor run tells it")


@app.command()
def health(
    name: Name,
    metric: Annotated[
        str, typer.Option(help="The batches of this metric; the newest of each if not given.")
    ] = "",
    chart: Annotated[
        Path | None, typer.Option(help="Draw a metric's control chart into this PNG file.")
    ] = None,
    last: Annotated[int, typer.Option(help="So many batches.", min=1)] = 20,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Show what was observed of the versions in force, and what is held of them."""
    registry = Registry()
    entries = registry.history(name, alias=alias)
    if chart is not None and not metric:
        raise typer.BadParameter("a chart shows one metric; name it, such as --metric accuracy")
    rows = registry.health(name, alias=alias)
    if metric:
        rows = registry.observations(name, metric=metric, alias=alias, most=last)
        if not rows:
            console.complain(f"nothing was observed of {name}@{alias} by {metric!r}")
            raise typer.Exit(1)
    if chart is not None:
        with _writing(chart):
            observations = registry.observations(name, metric=metric, alias=alias)
            console.draw_control_chart(observations, entries, chart)
    console.show_health(
        console.Health(
            alias=f"{name}@{alias}",
            in_force=registry.aliases(name).get(alias),
            pause=registry.pause(name, alias=alias),
            observations=rows,
        ),
        json=json,
    )


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Refuse in a line if *file* can't be written."""
    try:
        yield
    except OSError as error:
        console.complain(f"{file} can't be written: {error.strerror}")
        raise typer.Exit(1) from None


@app.command()
def alert(
    name: Name,
    reason: Reason,
    version: Annotated[int | None, typer.Option(help="Which version is bad; the one in force now.")] = None,
    alias: Alias = CHAMPION,
) -> None:
    """Tell Prefect that a version in force is bad; its rollback deployment answers."""
    from registry.tasks import events  # noqa: PLC0415, other commands need no Prefect

    accused = Registry().resolve(f"{name}@{alias if version is None else version}").number
    events.require_server()
    event = events.event(
        events.ALERTED,
        name,
        accused,
        identity=[uuid4().hex],
        payload={"alias": alias, "reason": reason},
    )
    events.send(event)
    console.say(f"{name}@{accused} is reported to {events.server()}: event {event.id}")


@app.command()
def serve(
    *,
    alerts: Annotated[bool, typer.Option("--alerts", help="Take Alertmanager's webhooks.")] = False,
    host: Annotated[str, typer.Option(help="Address at which --alerts listens.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 4200, or 4300 of --alerts.", min=1, max=65_535)
    ] = None,
) -> None:
    """Run all deployments from this folder, with a Prefect server of their own if none is configured.

    With --alerts: receive alerts from outside at POST /alerts, under the secret in
    MODEL_REGISTRY_ALERT_SECRET, and nothing else.
    """
    if alerts:
        from registry.alerts import serve as receive  # noqa: PLC0415, other commands need no server

        receive(RegistrySettings().alert_secret.get_secret_value(), host, port or 4300)
    else:
        _serve_deployments(port or 4200)


def _serve_deployments(port: int) -> None:
    from registry import deployments  # noqa: PLC0415, reading commands need no Prefect

    plan = deployments.read_plan()
    with deployments.serving(port) as server:
        with deployments.connected() as client:
            _warn_of_version(deployments.differing_version(client))
            changes = [_told(change) for change in deployments.put_for_serving(client, plan)]
        console.say(f"Prefect's UI is at {deployments.page_of(server)}")
        for change in changes:
            if change.name == "promote/promote":
                console.say(f"promote a version at {deployments.page_of(server, run=change.id)}")
        console.say(f"other commands find this server by PREFECT_API_URL={server}; Ctrl-C stops it")
        deployments.run_forever(change for change in changes if change.deployed)


@app.command()
def deploy(
    file: Annotated[
        Path | None, typer.Option(help="Deployments in the format of prefect.yaml, instead of the library's.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Work pool of all of them, instead of each one's own.")] = "",
    name: Annotated[list[str], typer.Option(help="Only the deployment so named; may be repeated.")] = [],  # noqa: B006, read only
) -> None:
    """Put the deployments and automations onto the Prefect server; what is there already is kept up to date.

    Their runs will work in this folder. Nothing is deleted, and nothing is switched on or off.
    """
    from registry import deployments  # noqa: PLC0415, reading commands need no Prefect

    plan = deployments.read_plan(file).only(name)
    with deployments.connected() as client:
        _warn_of_version(deployments.differing_version(client))
        for change in deployments.put(client, plan, pool or None):
            _told(change)
        for idle in deployments.idle_pools(client, plan, pool or None):
            console.note(f"no worker starts the runs yet: `prefect worker start --pool {idle}`")


def _told(change: Change) -> Change:
    console.say(str(change))
    return change


def _warn_of_version(found: str | None) -> None:
    if found is not None:
        console.note(f"warning: the Prefect server has version {found}, which is not this one's")


@app.command()
def verify(*, json: Json = False) -> None:
    """Check the ledger's chains and every artifact's digest. 1 if something is wrong."""
    with console.working("checking"):
        findings = list(Registry().verify())
    console.show_findings(findings, json=json)
    raise typer.Exit(1 if any(finding.problem for finding in findings) else 0)


@app.command()
def gc(
    hours: Annotated[int, typer.Option(help="Leave alone what is younger.", min=0, max=_CENTURY)] = 24,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    json: Json = False,
) -> None:
    """Remove artifacts that no version and no evaluation needs."""
    registry, grace = Registry(), timedelta(hours=hours)
    if dry_run:
        console.show_garbage(registry.find_garbage(grace=grace), "would be removed", json=json)
    else:
        console.show_garbage(registry.collect_garbage(grace=grace), "removed", json=json)


@app.command()
def trust(type_name: Annotated[str, typer.Argument(metavar="TYPE")], reason: Reason) -> None:
    """Let artifacts contain a type, by its exact name. Read its code first: a file may call it."""
    added = Registry().trust(type_name, reason=reason)
    console.say(f"{added.name} is trusted: {added.reason}")


@app.command()
def distrust(type_name: Annotated[str, typer.Argument(metavar="TYPE")]) -> None:
    """Take a type from the allow-list; versions that contain it no longer load."""
    Registry().distrust(type_name)
    console.say(f"{type_name} is not trusted")


@app.command()
def trusted(*, json: Json = False) -> None:
    """List the types that artifacts may contain beyond what skops trusts by itself."""
    console.show_trusted(Registry().trusted(), json=json)


@app.command()
def demo() -> None:
    """Replay a year of 336,776 real flights here: retraining, monitoring, an incident and its rollback."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from registry.deployments import flows_package  # noqa: PLC0415, reading commands need no Prefect

    year, registry = import_module(f"{flows_package()}.demo"), Registry()
    if year.MODEL in {model.name for model in registry.models()}:
        console.complain(
            f"this registry has a model {year.MODEL!r} already: run the demo in another folder, or see "
            f"`registry history {year.MODEL}`"
        )
        raise typer.Exit(1)
    console.narrate(year.play(Path("flight-delay")))
    console.show_next_steps(year.MODEL, _draw(registry, year.MODEL, year.METRIC))


def _draw(registry: Registry, model: str, metric: str) -> list[Path]:
    """Draw the ledger and the observations of a model in this folder."""
    from registry.reports import control_chart, timeline  # noqa: PLC0415, no other command needs matplotlib

    entries, observations = registry.history(model), registry.observations(model, metric=metric)
    pictures = {
        Path(f"{model}-timeline.png"): timeline(entries, observations),
        Path(f"{model}-health.png"): control_chart(observations, entries),
    }
    for path, picture in pictures.items():
        path.write_bytes(picture)
    return list(pictures)


def _read(registry: Registry, ref: str, data: str) -> Dataset:
    from registry.datasets import Dataset  # noqa: PLC0415, most commands need no pandas

    return Dataset.read(data, registry.target_of(ref))


def _batches(file: Path) -> list[tuple[str, float | None, int | None, datetime | None]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = list(csv.DictReader(lines))
        return [
            (
                row["batch"],
                float(row["value"]),
                int(row["rows"]),
                _moment(row["at"]) if row.get("at") else None,
            )
            for row in table
        ]
    except KeyError as column:
        raise InvalidObservation(
            str(file), f"it has no column {column}; batch, value and rows are needed"
        ) from None
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InvalidObservation(str(file), str(error)) from error


def _readings(batches: list[tuple[str, float | None, int | None, datetime | None]]) -> list[Reading]:
    if not batches:
        raise typer.BadParameter("give --value, --rows and --batch, or a file of --batches")
    now = datetime.now(UTC)
    readings = []
    for batch, value, rows, at in batches:
        if not batch or value is None or rows is None:
            raise typer.BadParameter("a batch needs all of --value, --rows and --batch")
        readings.append(Reading(batch=batch, value=value, rows=rows, at=at or moment_of(batch, now)))
    return readings


def _choose_policy(file: Path | None, checks: tuple[Check, ...], min_rows: int | None) -> PromotionPolicy:
    if file is not None and (checks or min_rows is not None):
        raise InvalidPolicy(f"{file} says all that must hold; give the file or the options, not both")
    if file is not None:
        return _read_policy(file, PromotionPolicy)
    if not checks:
        raise InvalidPolicy("nothing must hold; say what must by --better, --not-worse, --floor or --policy")
    if min_rows is None:
        return PromotionPolicy(checks=checks)
    return PromotionPolicy(checks=checks, min_rows=min_rows)


def _read_policy(file: Path, kind: type[P]) -> P:
    try:
        text = file.read_text()
        content = tomllib.loads(text) if file.suffix == ".toml" else json_format.loads(text)
        return kind.model_validate(content)
    except (OSError, ValueError, InvalidPolicy) as error:
        raise InvalidPolicy(f"{file}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    if isinstance(error, InvalidPolicy):
        return error.reason
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return f"it is no JSON or TOML ({error})"


def _checks(better: list[str], not_worse: list[str], floor: list[str]) -> tuple[Check, ...]:
    return (
        *map(Better, better),
        *(NotWorse(metric, margin) for metric, margin in map(_pair, not_worse)),
        *(Floor(metric, value) for metric, value in map(_pair, floor)),
    )


def _pair(text: str) -> tuple[str, float]:
    metric, _, number = text.partition("=")
    try:
        return metric, float(number)
    except ValueError:
        raise InvalidPolicy(f"{text!r} is no METRIC=NUMBER, such as roc_auc=0.8") from None
