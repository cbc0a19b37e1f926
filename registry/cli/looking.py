"""Commands that only look: what there is, what is in force and why, and how versions compare."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry import arguments, console
from registry.cli.options import Alias, Data, Json, Last, Name, Ref, open_registry, read_rows, writing
from registry.references import CHAMPION, LATEST, Reference, check_model_name
from registry.search import Ranking, fingerprint_of
from registry.tables import WHOLE

if TYPE_CHECKING:
    from registry.facade import Registry

app = typer.Typer()


@app.command()
def models(*, json: Json = False) -> None:
    """List the models, and what is in force of each."""
    registry = open_registry()
    console.show_models([(model, registry.aliases(model.name)) for model in registry.models()], json=json)


@app.command()
def versions(name: Name, *, last: Last = None, json: Json = False) -> None:
    """List the versions of a model."""
    registry = open_registry()
    listed = registry.versions(name) if last is None else registry.last_versions(name, last)
    told = listed, registry.aliases(name)
    marks = dict.fromkeys(registry.pins(name), "pinned") | dict.fromkeys(registry.purged(name), "purged")
    console.show_versions(*told, marks, json=json)


@app.command()
def search(
    model: Annotated[
        str | None, typer.Option(parser=check_model_name, metavar="NAME", help="Of this model.")
    ] = None,
    tag: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="Tagged so; may be repeated.")] = [],  # noqa: B006, read only
    since: Annotated[
        datetime | None,
        typer.Option(parser=arguments.moment, metavar="TIME", help="Registered then or later."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=arguments.moment, metavar="TIME", help="Registered before then.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="In force under this alias, by model.")] = None,
    metric: Annotated[str | None, typer.Option(help="The best first, by this metric on a --dataset.")] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="FINGERPRINT", help="Of the dataset; its first digits will do.")
    ] = None,
    slice_: Annotated[str, typer.Option("--slice", help="Of the dataset.")] = WHOLE,
    above: Annotated[float | None, typer.Option(help="Only where the metric is greater.")] = None,
    limit: Annotated[int, typer.Option(help="So many on a page.", min=1)] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="The page after the one that ended with it.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Find the versions to which all of this applies, a page at a time, the newest first."""
    registry = open_registry()
    ranking = _ranking(registry, metric, dataset, slice_, above)
    page = registry.search(
        model=model,
        tags=arguments.tags(tag),
        since=since,
        until=until,
        alias=alias,
        ranking=ranking,
        most=limit,
        after=after,
    )
    console.show_page(page, ranking, json=json)


def _ranking(
    registry: Registry, metric: str | None, dataset: str | None, part: str, above: float | None
) -> Ranking | None:
    if metric is not None and dataset is not None:
        return Ranking(metric, fingerprint_of(registry.backend.rows, dataset), part, above)
    if (metric, dataset, part, above) != (None, None, WHOLE, None):
        raise typer.BadParameter("to rank versions, give both --metric and --dataset")
    return None


@app.command()
def show(ref: Ref, *, json: Json = False) -> None:
    """Show a version: where it comes from, how it was measured, what was decided about it."""
    console.show_version(open_registry().dossier(ref), json=json)


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
        page = open_registry().card(ref).encode()
    if output is None:
        typer.echo(page, nl=False)
    else:
        with writing(output):
            output.write_bytes(page)


@app.command()
def fetch(
    ref: Ref,
    destination: Annotated[Path, typer.Argument(help="Where it is to stand; nothing may be there yet.")],
) -> None:
    """Copy what was registered as a version, checked byte by byte and never opened: a file, or a folder."""
    registry = open_registry()
    version = registry.resolve(ref)
    with writing(destination):
        registry.fetch(version.reference, destination)
    console.say(f"{version.reference} is at {destination}")


@app.command()
def history(
    name: Name, alias: Annotated[str, typer.Option(help="Of this alias only.")] = "", *, json: Json = False
) -> None:
    """Print the ledger of a model: what was decided, by whom, and why."""
    console.show_history(open_registry().history(name, alias=alias or None), json=json)


@app.command()
def resolve(
    ref: Ref,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=arguments.moment,
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
    registry = open_registry()
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
    registry = open_registry()
    rows = read_rows(registry, ref, data)
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
    registry = open_registry()
    metric = metric or _measured_of(registry, challenger, champion)
    rows = read_rows(registry, challenger, data)
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
    last: Last = None,
    slices: Annotated[list[str], typer.Option("--slice", help="Column to slice by; may be repeated.")] = [],  # noqa: B006, read only
    chart: Annotated[Path | None, typer.Option(help="Draw the heat map into this PNG file.")] = None,
    alias: Alias = CHAMPION,
    *,
    json: Json = False,
) -> None:
    """Measure all versions of a model on new rows: what would each have brought? Nothing is decided."""
    registry = open_registry()
    rows = read_rows(registry, f"{name}@{LATEST}", data)
    with console.working(f"measuring the versions of {name}"):
        found = registry.backtest(name, rows, metrics=metric, slices=slices, last=last, alias=alias)
    if chart is not None:
        with writing(chart):
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
