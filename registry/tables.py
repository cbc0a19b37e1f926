"""The rows of the registry. Rows are appended, never rewritten; the database refuses what must not be.

Keys are natural, so a row reads without a join and a mistake across models can't be represented. The
constraints below hold on SQLite and PostgreSQL alike; triggers (in ``registry.migrations``) refuse to
update or delete what is evidence.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic_core import from_json
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, Relationship, SQLModel
from typing_extensions import override

CHOICES = ("promoted", "assigned")
"""Kinds of entry by which a version was deliberately put in force."""

GENESIS = "0" * 64
"""The hash that the first version of a model, and the first entry of an alias, name as the one before."""

MOVES = (*CHOICES, "rolled-back")
"""Kinds of entry that put a version in force; with "cleared" they begin a reign."""

NOTES = ("held", "rejected", "approved", "alerted")
"""Kinds of entry that record a judgement, or an alert that was heard, and move nothing."""

STAGES = ("None", "Archived")
"""What MLflow's stages keep beside the aliases: whether a version was set aside."""

STATUSES = ("healthy", "suspect", "degraded", "world-changed")
"""What is held of the version in force after each batch that was observed."""

WHOLE = "all"
"""The slice that is the whole dataset."""


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, no NaN; what hashes are taken over.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: A value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class CanonicalJSON(TypeDecorator[Any]):
    """JSON kept as canonical text, because a JSONB column reorders keys and can't be hashed again."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return canonical_json(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else _parsed(value)


def _parsed(text: str) -> Any:
    try:
        return from_json(text)  # which takes a fifth of the time
    except ValueError:  # nested more than 200 deep, or no JSON, which the other says better
        return json.loads(text)


class NumberOrNone(TypeDecorator[int]):
    """A number of which None is stored as 0, because a foreign key skips rows in which a column is NULL."""

    impl = Integer
    cache_ok = True

    @override
    def process_bind_param(self, value: int | None, dialect: Dialect) -> int:
        return value or 0

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return value or None


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _only(column: str, characters: str) -> str:
    """SQL: *column* is not empty and has no other characters. ``ltrim`` reads the same on both databases."""
    return f"length({column}) > 0 AND ltrim({column}, '{characters}') = ''"


_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORDS = f"{_LETTERS}{_DIGITS}_"


def _digest(column: str) -> CheckConstraint:
    return CheckConstraint(
        f"length({column}) = 64 AND ltrim({column}, '0123456789abcdef') = ''", name=f"{column}_is_sha256"
    )


def _finite(column: str) -> CheckConstraint:
    # NaN compares greater than every number in PostgreSQL and is NULL in SQLite
    most = "1.7976931348623157e308"
    return CheckConstraint(f"{column} BETWEEN -{most} AND {most}", name=f"{column}_is_finite")


def _tag_key() -> CheckConstraint:
    return CheckConstraint("length(key) BETWEEN 1 AND 250", name="key_has_a_length")


def _tag_value() -> CheckConstraint:
    return CheckConstraint("length(value) <= 100000", name="value_has_a_length")


class Row(SQLModel):
    """Base of the registry's tables, which share no metadata with the tables of the program around them."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _sealed(row: Row) -> str:
    facts = row.model_dump(exclude={"hash"})
    for name, value in facts.items():
        if isinstance(value, datetime):
            facts[name] = value.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()


class RegisteredModel(Row, table=True):
    """A name that versions are registered under, and the number of the last one."""

    __tablename__ = "registered_model"
    __table_args__ = (
        CheckConstraint(
            f"{_only('name', _WORDS + '.- ')} AND length(name) <= 256"
            f" AND {_only('substr(name, 1, 1)', _WORDS)}"
            f" AND {_only('substr(name, length(name), 1)', _WORDS)}"
            " AND name NOT LIKE '%..%'",
            name="name_is_valid",
        ),
        CheckConstraint("last_version >= 0", name="last_version_counts"),
    )

    name: str = Field(primary_key=True)
    last_version: int = 0
    created_at: datetime = Field(default_factory=now)


class DatasetRecord(Row, table=True):
    """Rows that a version was trained or judged on, known by fingerprint; the rows stay where they are."""

    __tablename__ = "dataset"
    __table_args__ = (
        _digest("fingerprint"),
        CheckConstraint("rows > 0", name="has_rows"),
    )

    fingerprint: str = Field(primary_key=True)
    name: str
    target: str
    rows: int = Field(sa_type=BigInteger)
    columns: list[dict[str, Any]] = Field(sa_type=CanonicalJSON)
    source: str | None = None
    recorded_at: datetime = Field(default_factory=now)


class Artifact(Row, table=True):
    """Bytes that a row refers to, or soon will.

    Whoever is about to put bytes leases them first, so that no collection takes them before a row refers to
    them. Bytes that a retention policy gave up are purged: their row stays, and says when and why.
    """

    __tablename__ = "model_artifact"
    __table_args__ = (
        _digest("digest"),
        CheckConstraint("bytes >= 0", name="bytes_count"),
        CheckConstraint(
            "(purged_at IS NULL) = (purged_by IS NULL) AND (purged_at IS NULL) = (purged_because IS NULL)",
            name="purge_is_told",
        ),
    )

    digest: str = Field(primary_key=True)
    bytes: int = Field(sa_type=BigInteger)
    leased_until: datetime
    purged_at: datetime | None = None
    purged_by: str | None = None
    purged_because: str | None = None


class ArtifactFile(Row, table=True):
    """A file of a folder: the folder's manifest is an artifact, and so is each file that it names."""

    __tablename__ = "model_artifact_file"
    __table_args__ = (
        ForeignKeyConstraint(["manifest"], ["model_artifact.digest"]),
        ForeignKeyConstraint(["digest"], ["model_artifact.digest"]),
        Index(None, "digest"),
    )

    manifest: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    digest: str


class ModelVersion(Row, table=True):
    """A fitted estimator was registered: which bytes, trained on what, by which code, in which run."""

    __tablename__ = "model_version"
    __table_args__ = (
        ForeignKeyConstraint(["model"], ["registered_model.name"]),
        ForeignKeyConstraint(["trained_on"], ["dataset.fingerprint"]),
        ForeignKeyConstraint(["artifact"], ["model_artifact.digest"]),
        ForeignKeyConstraint(
            ["model", "previous", "previous_hash"],
            ["model_version.model", "model_version.number", "model_version.hash"],
            name="fk_model_version_follows_the_version_before",
        ),
        UniqueConstraint("model", "number", "hash"),
        UniqueConstraint("model", "training", "renewal"),
        CheckConstraint(
            "(number > 1 AND previous IS NOT NULL AND previous = number - 1)"
            f" OR (number = 1 AND previous IS NULL AND previous_hash = '{GENESIS}')",
            name="number_has_no_gap",
        ),
        CheckConstraint("renewal >= 0", name="renewal_counts"),
        CheckConstraint("artifact_bytes >= 0", name="artifact_bytes_count"),
        _digest("artifact"),
        _digest("training"),
        _digest("fitted"),
        _digest("hash"),
        _digest("previous_hash"),
        Index(None, "artifact"),
        Index(None, "model", "fitted"),
        Index(None, "registered_at", "model", "number"),
        Index(None, "model", "registered_at", "number", unique=True),  # tags refer to it
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    previous: int | None = None
    training: str  # digest of the fitted estimator and its training data: an identical retrain has the same
    renewal: int = 0  # how many versions with this training came before, each without its bytes by then
    fitted: str  # digest of the fitted estimator alone
    artifact: str
    artifact_bytes: int = Field(sa_type=BigInteger)
    serialization: str
    estimator: str
    trained_on: str | None = None  # a folder may come without its data
    params: dict[str, Any] = Field(sa_type=CanonicalJSON)
    input_schema: list[dict[str, Any]] = Field(sa_type=CanonicalJSON)
    input_example: dict[str, Any] = Field(sa_type=CanonicalJSON)
    environment: dict[str, str] = Field(sa_type=CanonicalJSON)
    git_commit: str | None = None
    git_dirty: bool | None = None
    flow_run_id: str | None = None
    task_run_id: str | None = None
    registered_by: str
    registered_at: datetime = Field(default_factory=now)
    previous_hash: str
    hash: str

    @property
    def reference(self) -> str:
        """The version's name, such as ``churn@7``."""
        return f"{self.model}@{self.number}"

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(None, self.reference), ("estimator", self.estimator.rpartition(".")[2])]

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of every other field; equal to ``hash`` unless someone tampered."""
        return _sealed(self)


class VersionSource(Row, table=True):
    """Where a version came from, if it came through MLflow: what MLflow says of it beside our own row."""

    __tablename__ = "version_source"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        Index(None, "run_id"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    uri: str
    run_id: str | None = None
    run_link: str | None = None
    model_id: str | None = None  # of MLflow's logged model
    metrics: dict[str, float] = Field(default_factory=dict, sa_type=CanonicalJSON)  # of the run


class VersionDeletion(Row, table=True):
    """A version was deleted: nothing finds or resolves it any more, and its number is not given again."""

    __tablename__ = "version_deletion"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint("length(trim(reason)) > 0", name="has_a_reason"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    reason: str
    deleted_by: str
    deleted_at: datetime = Field(default_factory=now)


class ModelProfile(Row, table=True):
    """What is said of a model that may change: its description, and whether it was deleted."""

    __tablename__ = "model_profile"
    __table_args__ = (
        ForeignKeyConstraint(["model"], ["registered_model.name"]),
        CheckConstraint("deleted_after >= 0", name="deleted_after_counts"),
    )

    model: str = Field(primary_key=True)
    description: str = ""
    deleted_after: int | None = None  # its last version then: a later one brings the model back
    changed_by: str
    changed_at: datetime = Field(default_factory=now)


class VersionProfile(Row, table=True):
    """What is said of a version that may change. Nothing is decided by it."""

    __tablename__ = "version_profile"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint(f"stage IN ({_listed(STAGES)})", name="stage_is_known"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    description: str = ""
    stage: str = "None"
    changed_by: str
    changed_at: datetime = Field(default_factory=now)


class Pin(Row, table=True):
    """Somebody wants the bytes of a version kept, whatever the retention policy says."""

    __tablename__ = "pin"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint("length(trim(reason)) > 0", name="has_a_reason"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    reason: str
    pinned_by: str
    pinned_at: datetime = Field(default_factory=now)


class ModelTag(Row, table=True):
    """A note on a model. It may change, and nothing is decided by it."""

    __tablename__ = "model_tag"
    __table_args__ = (
        ForeignKeyConstraint(["model"], ["registered_model.name"]),
        _tag_key(),
        _tag_value(),
    )

    model: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value: str
    set_by: str
    set_at: datetime = Field(default_factory=now)


class VersionTag(Row, table=True):
    """A note on a version. It may change, and nothing is decided by it.

    The digest, of the key and the value, is what is searched for, because a value may be longer than an index
    of PostgreSQL has room for. The version's time is repeated for the order in which versions are found.
    """

    __tablename__ = "version_tag"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "registered_at", "number"],
            ["model_version.model", "model_version.registered_at", "model_version.number"],
        ),
        _tag_key(),
        _tag_value(),
        _digest("digest"),
        Index(None, "digest", "registered_at", "model", "number"),
        Index(None, "model", "digest", "registered_at", "number"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key: str = Field(primary_key=True)
    value: str
    digest: str
    registered_at: datetime
    set_by: str
    set_at: datetime = Field(default_factory=now)

    @staticmethod
    def digest_of(key: str, value: str) -> str:
        """SHA-256 of a tag."""
        return hashlib.sha256(canonical_json([key, value]).encode()).hexdigest()


class Signature(Row, table=True):
    """A key vouches for a version: for its bytes, under this name and number, and for the rest of its row."""

    __tablename__ = "signature"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint("length(key_id) BETWEEN 1 AND 128", name="key_id_has_a_length"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key_id: str = Field(primary_key=True)
    envelope: str = Field(sa_type=Text)  # DSSE, as JSON
    signed_at: datetime = Field(default_factory=now)


class Registration(Row, table=True):
    """A keyed request to register was answered; a retry with the same key gets the same answer."""

    __tablename__ = "registration"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint("length(key) BETWEEN 1 AND 256", name="key_has_a_length"),
        _digest("request"),
    )

    model: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    number: int
    request: str  # digest of the training data and the parameters, by which a reused key is noticed
    flow_run_id: str | None = None
    registered_by: str
    registered_at: datetime = Field(default_factory=now)


class Evaluation(Row, table=True):
    """A version answered every row of a dataset; its answers are kept, so metrics can be added later."""

    __tablename__ = "evaluation"
    __table_args__ = (
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        ForeignKeyConstraint(["dataset"], ["dataset.fingerprint"]),
        ForeignKeyConstraint(["predictions"], ["model_artifact.digest"]),
        _digest("predictions"),
        CheckConstraint("rows > 0", name="has_rows"),
        Index(None, "predictions"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    dataset: str = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)
    predictions: str
    flow_run_id: str | None = None
    evaluated_by: str
    evaluated_at: datetime = Field(default_factory=now)

    measurements: list["Metric"] = Relationship(
        sa_relationship_kwargs={"lazy": "selectin", "viewonly": True, "order_by": "Metric.name"}
    )

    @property
    def reference(self) -> str:
        """The version that was evaluated, such as ``churn@7``."""
        return f"{self.model}@{self.number}"

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(None, self.reference), ("dataset", self.dataset[:12]), ("metrics", self.metrics)]

    @property
    def identity(self) -> dict[str, Any]:
        """The values of its key, which its metrics share."""
        return {"model": self.model, "number": self.number, "dataset": self.dataset}

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics over the whole dataset, by scorer name."""
        return self.on_slice(WHOLE)

    @property
    def slices(self) -> list[str]:
        """The slices that were measured, such as ``origin=JFK``."""
        return sorted({metric.slice for metric in self.measurements} - {WHOLE})

    def on_slice(self, name: str) -> dict[str, float]:
        """The metrics over one slice, by scorer name; empty if it was not measured."""
        return {metric.name: metric.value for metric in self.measurements if metric.slice == name}


class Metric(Row, table=True):
    """One number of an evaluation: a scorer over the whole dataset or one slice, higher is better."""

    __tablename__ = "metric"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "number", "dataset"], ["evaluation.model", "evaluation.number", "evaluation.dataset"]
        ),
        CheckConstraint("rows > 0", name="has_rows"),
        _finite("value"),
        Index(None, "dataset", "name", "slice", "value", "model", "number"),
    )

    model: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    dataset: str = Field(primary_key=True)
    slice: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: float = Field(sa_type=Float(53))
    rows: int = Field(sa_type=BigInteger)


class LedgerEntry(Row, table=True):
    """Something was decided about an alias. The newest entry says which version is in force.

    Each entry names the one before it and what was in force then, and the database checks it: no gap, no
    fork, no entry that misstates what it replaces. Order comes from the sequence, never from a clock.
    """

    __tablename__ = "ledger_entry"
    __table_args__ = (
        ForeignKeyConstraint(["model"], ["registered_model.name"]),
        ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.number"]),
        ForeignKeyConstraint(["dataset"], ["dataset.fingerprint"]),
        ForeignKeyConstraint(
            ["model", "alias", "previous", "replaced", "replaced_since", "previous_hash"],
            [
                "ledger_entry.model",
                "ledger_entry.alias",
                "ledger_entry.sequence",
                "ledger_entry.in_force",
                "ledger_entry.in_force_since",
                "ledger_entry.hash",
            ],
            name="fk_ledger_entry_follows_the_entry_before",
        ),
        UniqueConstraint("model", "alias", "sequence", "in_force", "in_force_since", "hash"),
        UniqueConstraint("model", "alias", "key"),
        CheckConstraint(
            f"{_only('alias', _WORDS + '-')} AND {_only('substr(alias, 1, 1)', _WORDS)}"
            f" AND ltrim(alias, '{_DIGITS}') <> '' AND length(alias) <= 256 AND lower(alias) <> 'latest'",
            name="alias_is_valid",
        ),
        CheckConstraint(
            "(sequence > 1 AND previous IS NOT NULL AND previous = sequence - 1)"
            " OR (sequence = 1 AND previous IS NULL AND replaced = 0 AND replaced_since = 0"
            f" AND previous_hash = '{GENESIS}')",
            name="sequence_has_no_gap",
        ),
        CheckConstraint(
            f"(kind IN ({_listed(MOVES)}) AND in_force = version AND in_force <> replaced"
            " AND in_force_since = sequence AND (kind <> 'rolled-back' OR replaced <> 0))"
            f" OR (kind = 'cleared' AND in_force = 0 AND replaced <> 0 AND version = replaced"
            " AND in_force_since = sequence)"
            f" OR (kind IN ({_listed(NOTES)}) AND in_force = replaced AND in_force_since = replaced_since)",
            name="moves_what_its_kind_says",
        ),
        CheckConstraint("length(trim(reason)) > 0", name="has_a_reason"),
        _digest("hash"),
        _digest("previous_hash"),
        Index(None, "model", "alias", "recorded_at"),
        Index(
            "ix_ledger_entry_rises",
            "model",
            "alias",
            "in_force",
            "sequence",
            "kind",
            sqlite_where=text("in_force_since = sequence"),
            postgresql_where=text("in_force_since = sequence"),
        ),
        Index(None, "model", "dataset"),
        Index(
            "ix_ledger_entry_firsts",
            "alias",
            "model",
            "sequence",
            sqlite_where=text("sequence = 1"),
            postgresql_where=text("sequence = 1"),
        ),
    )

    model: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    previous: int | None = None
    kind: str
    version: int
    replaced: int | None = Field(sa_type=NumberOrNone, nullable=False)
    replaced_since: int | None = Field(sa_type=NumberOrNone, nullable=False)
    in_force: int | None = Field(sa_type=NumberOrNone, nullable=False)
    in_force_since: int | None = Field(sa_type=NumberOrNone, nullable=False)
    actor: str
    reason: str
    evidence: dict[str, Any] = Field(sa_type=CanonicalJSON)
    dataset: str | None = None
    key: str | None = None
    flow_run_id: str | None = None
    recorded_at: datetime
    previous_hash: str
    hash: str

    @property
    def reference(self) -> str:
        """The version that the entry speaks of, such as ``churn@7``."""
        return f"{self.model}@{self.version}"

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        about = f"{self.model}@{self.alias} #{self.sequence}"
        return [(None, about), ("kind", self.kind), ("version", self.version), ("in_force", self.in_force)]

    @property
    def moved(self) -> bool:
        """Whether the entry changed what is in force."""
        return self.in_force_since == self.sequence

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of every other field; equal to ``hash`` unless someone tampered."""
        return _sealed(self)


class Observation(Row, table=True):
    """A version in force was measured on a batch of live rows; the row says what is held of it since.

    The observations of a model, an alias and a metric are one stream, in which each row carries the state
    that the next one continues from, so nothing is computed again and a crash loses nothing.
    """

    __tablename__ = "observation"
    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.number"]),
        ForeignKeyConstraint(
            ["model", "alias", "since"],
            ["ledger_entry.model", "ledger_entry.alias", "ledger_entry.sequence"],
        ),
        ForeignKeyConstraint(
            ["model", "alias", "metric", "previous"],
            ["observation.model", "observation.alias", "observation.metric", "observation.sequence"],
            name="fk_observation_follows_the_one_before",
        ),
        UniqueConstraint("model", "alias", "metric", "batch"),
        CheckConstraint(
            "(sequence > 1 AND previous IS NOT NULL AND previous = sequence - 1)"
            " OR (sequence = 1 AND previous IS NULL)",
            name="sequence_has_no_gap",
        ),
        CheckConstraint("length(metric) BETWEEN 1 AND 128", name="metric_has_a_length"),
        CheckConstraint("length(batch) BETWEEN 1 AND 256", name="batch_has_a_length"),
        CheckConstraint("rows > 0", name="has_rows"),
        *(_finite(column) for column in ("value", "floor", "evidence")),
        CheckConstraint("evidence >= 0", name="evidence_is_a_share"),
        CheckConstraint(f"status IN ({_listed(STATUSES)})", name="status_is_known"),
        CheckConstraint(
            "healthy >= 0 AND served >= 0 AND champion_only >= 0 AND target_only >= 0", name="counts_count"
        ),
        CheckConstraint(
            "(alarm IS NULL OR alarm BETWEEN 1 AND sequence)"
            " AND (decided IS NULL OR decided BETWEEN 1 AND sequence)",
            name="looks_back",
        ),
        Index(None, "model", "alias", "version", "metric", "sequence"),
        Index(
            "ix_observation_answers",
            "model",
            "alias",
            "recorded_at",
            sqlite_where=text("target IS NOT NULL"),
            postgresql_where=text("target IS NOT NULL"),
        ),
    )

    model: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    previous: int | None = None
    version: int
    since: int  # the ledger's entry that put the version in force
    batch: str
    at: datetime
    value: float = Field(sa_type=Float(53))
    rows: int = Field(sa_type=BigInteger)
    late: bool = False  # older than a batch before it, or of a version that is no longer in force
    floor: float = Field(sa_type=Float(53))
    evidence: float = Field(sa_type=Float(53))  # of degradation, as a share of what raises the alarm
    status: str
    alarm: int | None = None  # the observation that raised the alarm that is being looked into
    decided: int | None = None  # the observation that ended the suspicion
    healthy: int = 0  # batches in a row in this reign
    served: int = 0  # healthy batches of this version under this alias, over all its reigns
    target: int | None = None  # the version that answered the same rows
    champion_only: int = Field(default=0, sa_type=BigInteger)  # rows that only the one in force got right
    target_only: int = Field(default=0, sa_type=BigInteger)
    state: dict[str, Any] = Field(sa_type=CanonicalJSON)
    policy: dict[str, Any] = Field(sa_type=CanonicalJSON)
    actor: str
    flow_run_id: str | None = None
    recorded_at: datetime = Field(default_factory=now)

    @property
    def reference(self) -> str:
        """The version that made the predictions, such as ``churn@7``."""
        return f"{self.model}@{self.version}"

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        about = f"{self.reference} {self.metric} #{self.sequence}"
        return [(None, about), ("batch", self.batch), ("value", self.value), ("status", self.status)]


class Announcement(Row, table=True):
    """The Prefect server accepted the event of what an observation decided."""

    __tablename__ = "announcement"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model", "alias", "metric", "sequence"],
            ["observation.model", "observation.alias", "observation.metric", "observation.sequence"],
        ),
        CheckConstraint("attempt > 0", name="attempt_counts"),
    )

    model: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    event: str
    flow_run_id: str | None = None
    announced_by: str
    announced_at: datetime = Field(default_factory=now)


class TrustedType(Row, table=True):
    """A type that artifacts of this registry may contain, by its exact name."""

    __tablename__ = "trusted_type"

    name: str = Field(primary_key=True)
    reason: str
    trusted_by: str
    trusted_at: datetime = Field(default_factory=now)
