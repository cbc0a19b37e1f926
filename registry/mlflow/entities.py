"""Our rows as MLflow's objects, a page at a time; what belongs to its rows is read by one statement each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric
from mlflow.entities.logged_model_parameter import LoggedModelParameter
from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.entities.model_registry.model_version_stages import (
    STAGE_ARCHIVED,
    STAGE_NONE,
    STAGE_PRODUCTION,
    STAGE_STAGING,
)
from sqlmodel import col, select, tuple_

from registry import tables
from registry.database import reading
from registry.mlflow.locations import Place
from registry.transactions import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlmodel import Session

    from registry.store import Store

IN_FORCE = {"production": STAGE_PRODUCTION, "staging": STAGE_STAGING}
"""The stages that are aliases; the first of two that a version holds is its stage."""

_AT_ONCE = 400  # keys of versions in a statement

Key = tuple[str, int]


@dataclass
class _Known:
    """What is known of some versions beside their rows, by model and number."""

    profiles: dict[Key, tables.VersionProfile] = field(default_factory=dict)
    sources: dict[Key, tables.VersionSource] = field(default_factory=dict)
    tags: dict[Key, list[tables.VersionTag]] = field(default_factory=dict)
    aliases: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def held(self, row: tables.ModelVersion) -> list[str]:
        """The aliases under which the version of *row* is in force."""
        return [alias for alias, number in self.aliases[row.model].items() if number == row.number]

    def stage(self, row: tables.ModelVersion) -> str:
        """The stage of the version of *row*."""
        held = self.held(row)
        if active := [stage for alias, stage in IN_FORCE.items() if alias in held]:
            return active[0]
        profile = self.profiles.get((row.model, row.number))
        return STAGE_NONE if profile is None else profile.stage

    def updated(self, row: tables.ModelVersion) -> datetime:
        """When the version of *row*, or what is said of it, changed last."""
        profile = self.profiles.get((row.model, row.number))
        return row.registered_at if profile is None else max(row.registered_at, profile.changed_at)


def versions_of(store: Store, rows: Sequence[tables.ModelVersion]) -> list[ModelVersion]:
    """The versions of these *rows*, in their order."""
    known = _known(store, rows)
    return [_version(row, known) for row in rows]


def models_of(store: Store, rows: Sequence[tables.RegisteredModel]) -> list[RegisteredModel]:
    """The models of these *rows*, in their order, each with the newest version of each stage."""
    names = [row.name for row in rows]
    profiles, tags = dict[str, tables.ModelProfile](), dict[str, list[tables.ModelTag]]()
    with reading(store.engine) as session:
        for some in _portions(names):
            for profile in session.exec(_of_models(tables.ModelProfile, some)):
                profiles[profile.model] = profile
            for tag in session.exec(_of_models(tables.ModelTag, some)):
                tags.setdefault(tag.model, []).append(tag)
    newest: dict[str, list[ModelVersion]] = {}
    for version in versions_of(store, [row for name in names for row in newest_of_each_stage(store, name)]):
        newest.setdefault(version.name, []).append(version)
    return [
        RegisteredModel(
            name=row.name,
            creation_timestamp=millis(row.created_at),
            last_updated_timestamp=_updated(row, profiles.get(row.name), newest.get(row.name, [])),
            description=profiles[row.name].description or None if row.name in profiles else None,
            latest_versions=newest.get(row.name, []),
            tags=[RegisteredModelTag(tag.key, tag.value) for tag in tags.get(row.name, [])],
            aliases=[RegisteredModelAlias(*pair) for pair in store.aliases(row.name).items()],
        )
        for row in rows
    ]


def newest_of_each_stage(store: Store, model: str) -> list[tables.ModelVersion]:
    """The newest version of *model* in each stage, those that are aliases first."""
    aliases = store.aliases(model)
    active = dict.fromkeys(aliases[alias] for alias in IN_FORCE if alias in aliases)
    idle = [_newest(stage, [*active], model) for stage in (STAGE_NONE, STAGE_ARCHIVED)]
    with reading(store.engine) as session:
        found = [session.exec(statement).first() for statement in idle]
        rows = [session.get(tables.ModelVersion, (model, number)) for number in active]
    return [row for row in (*found, *rows) if row is not None]


def _newest(stage: str, active: Sequence[int], model: str) -> Any:
    version, profile = tables.ModelVersion, tables.VersionProfile
    archived = (
        select(profile.number)
        .where(
            col(profile.model) == col(version.model),
            col(profile.number) == col(version.number),
            col(profile.stage) == STAGE_ARCHIVED,
        )
        .exists()
    )
    wanted = archived if stage == STAGE_ARCHIVED else ~archived
    rows = select(version).where(col(version.model) == model, wanted, listed())
    return rows.where(col(version.number).not_in(active)).order_by(col(version.number).desc()).limit(1)


def _updated(
    row: tables.RegisteredModel, profile: tables.ModelProfile | None, newest: Iterable[ModelVersion]
) -> int:
    times = [millis(row.created_at), *(version.creation_timestamp for version in newest)]
    return max(times if profile is None else [*times, millis(profile.changed_at)])


def _version(row: tables.ModelVersion, known: _Known) -> ModelVersion:
    key = row.model, row.number
    source, profile = known.sources.get(key), known.profiles.get(key)
    at = millis(row.registered_at)
    return ModelVersion(
        name=row.model,
        version=row.number,  # type: ignore[arg-type]  # as MLflow's own store of rows gives it
        creation_timestamp=at,
        last_updated_timestamp=millis(known.updated(row)),
        description=profile.description or None if profile else None,
        user_id=row.registered_by,
        current_stage=known.stage(row),
        source=source.uri if source else str(Place.of(row)),
        run_id=source.run_id if source else None,
        run_link=source.run_link if source else None,
        model_id=source.model_id if source else None,
        tags=[ModelVersionTag(tag.key, tag.value) for tag in known.tags.get(key, [])],
        aliases=known.held(row),
        params=[LoggedModelParameter(name, str(value)) for name, value in row.params.items()],
        metrics=[Metric(name, value, at, 0) for name, value in (source.metrics if source else {}).items()],
    )


def _known(store: Store, rows: Sequence[tables.ModelVersion]) -> _Known:
    known = _Known(aliases={model: store.aliases(model) for model in {row.model for row in rows}})
    with reading(store.engine) as session:
        for some in _portions([(row.model, row.number) for row in rows]):
            _look_up(session, some, known)
    return known


def _look_up(session: Session, some: Sequence[Key], known: _Known) -> None:
    for profile in session.exec(_of_versions(tables.VersionProfile, some)):
        known.profiles[profile.model, profile.number] = profile
    for source in session.exec(_of_versions(tables.VersionSource, some)):
        known.sources[source.model, source.number] = source
    for tag in session.exec(_of_versions(tables.VersionTag, some)):
        known.tags.setdefault((tag.model, tag.number), []).append(tag)


def _of_versions(table: Any, some: Sequence[Key]) -> Any:
    return select(table).where(tuple_(table.model, table.number).in_(some))


def _of_models(table: Any, some: Sequence[str]) -> Any:
    return select(table).where(col(table.model).in_(some))


def _portions(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE))


def millis(at: datetime) -> int:
    """Milliseconds since 1970, as MLflow tells the time."""
    return round(at.timestamp() * 1_000)
