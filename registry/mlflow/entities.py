"""Our rows as MLflow's objects, a page at a time; what belongs to its rows is read by one statement each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric
from mlflow.entities.logged_model_parameter import LoggedModelParameter
from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
)
from mlflow.entities.model_registry.model_version_stages import (
    STAGE_ARCHIVED,
    STAGE_NONE,
    STAGE_PRODUCTION,
    STAGE_STAGING,
)
from sqlalchemy import bindparam
from sqlalchemy import select as sa_select
from sqlmodel import col, func, or_, select, tuple_

from registry import tables
from registry.database import asking, reading
from registry.exceptions import ModelNotFound
from registry.mlflow.locations import Place
from registry.transactions import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
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


def models_of(store: Store, names: Sequence[str]) -> list[RegisteredModel]:
    """The models of these *names*, in their order, each with the newest version of each stage."""
    found = _named(store, names)
    rows = [row for name in names for row in newest_of_each_stage(store, name)]
    newest: dict[str, list[ModelVersion]] = {name: [] for name in names}
    for version in versions_of(store, rows):
        newest[version.name].append(version)
    for name, model in found.items():
        model.fill(newest[name], store.aliases(name))
    return [found[name] for name in names]


def model_of(store: Store, name: str) -> RegisteredModel:
    """The model of this *name*, whose versions and aliases are read when they are asked for.

    MLflow's client asks for the model before nearly everything, to see whether it is a prompt.

    Raises:
        ModelNotFound: There is no such model.
    """
    found = _named(store, [name])
    if name not in found:
        raise ModelNotFound(name)
    return found[name]


class _Model(RegisteredModel):
    """A model that reads its newest versions and its aliases when somebody looks at them."""

    def __init__(self, store: Store, **known: Any) -> None:
        super().__init__(**known)
        self._store = store
        del self._latest_version, self._aliases

    def __getattr__(self, name: str) -> Any:
        if name not in {"_latest_version", "_aliases"}:
            raise AttributeError(name)
        rows = newest_of_each_stage(self._store, self.name)
        self.fill(versions_of(self._store, rows), self._store.aliases(self.name))
        return getattr(self, name)

    def fill(self, newest: list[ModelVersion], aliases: Mapping[str, int]) -> None:
        """Let these be the newest versions and the aliases."""
        self._latest_version, self._aliases = newest, dict(aliases)

    @classmethod
    def _properties(cls) -> list[str]:
        return list(RegisteredModel._properties())  # noqa: SLF001, it lists a class's own alone


def _named(store: Store, names: Sequence[str]) -> dict[str, _Model]:
    """The models of these *names* that nobody deleted, by name."""
    statement, found = _models(store.engine.dialect.name), dict[str, _Model]()
    tags: dict[str, list[RegisteredModelTag]] = {name: [] for name in names}
    with asking(store.engine) as session:
        for some in _portions(names):
            for tag in session.execute(_MODEL_TAGS, {"names": some}).scalars():
                tags[tag.model].append(RegisteredModelTag(tag.key, tag.value))
            for row, description, updated in session.execute(statement, {"names": some}):
                found[row.name] = _Model(
                    store,
                    name=row.name,
                    creation_timestamp=millis(row.created_at),
                    last_updated_timestamp=millis(updated),
                    description=description or None,
                    tags=tags[row.name],
                )
    return found


def updated_at(dialect: str) -> ColumnElement[Any]:
    """SQL: when a model, its newest version, or what is said of it changed last; its profile is joined."""
    version, model, profile = tables.ModelVersion, tables.RegisteredModel, tables.ModelProfile
    newest = (
        select(version.registered_at)
        .where(col(version.model) == col(model.name), col(version.number) == col(model.last_version))
        .scalar_subquery()
    )
    created: Any = col(model.created_at)
    latest: Any = func.greatest if dialect == "postgresql" else func.max
    times = func.coalesce(col(profile.changed_at), created), func.coalesce(newest, created)
    found: ColumnElement[Any] = latest(*times, type_=created.type)
    return found


def undeleted() -> ColumnElement[bool]:
    """SQL: nobody deleted the model since its last version; its profile is joined."""
    after = col(tables.ModelProfile.deleted_after)
    return or_(after.is_(None), after < col(tables.RegisteredModel.last_version))


@cache
def _models(dialect: str) -> Any:
    model, profile = tables.RegisteredModel, tables.ModelProfile
    asked = sa_select(model, col(profile.description), updated_at(dialect))
    joined = asked.outerjoin(profile, col(profile.model) == col(model.name))
    return joined.where(col(model.name).in_(bindparam("names", expanding=True)), undeleted())


_MODEL_TAGS = sa_select(tables.ModelTag).where(
    col(tables.ModelTag.model).in_(bindparam("names", expanding=True))
)


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


def _portions(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE))


def millis(at: datetime) -> int:
    """Milliseconds since 1970, as MLflow tells the time."""
    return round(at.timestamp() * 1_000)
