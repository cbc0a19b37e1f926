"""Rows that refer to what is not there. A database refuses them, unless somebody told it not to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, func, select

from registry.audit.chains import ENTRIES, VERSIONS, missing
from registry.tables import Row
from registry.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, ForeignKeyConstraint, Table

MOST_NAMED = 20
"""So many things that a kind of row misses are named; of the others it is said how many they are."""

_NAMES = {
    "announcement": "{model}@{alias}'s announcement of {metric} {sequence}",
    "model_artifact": "artifact {digest}",
    "dataset": "dataset {fingerprint}",
    "evaluation": "the evaluation of {model}@{number} on dataset {dataset}",
    "ledger_entry": "entry {sequence} of {model}@{alias}",
    "model_version": "{model}@{number}",
    "observation": "observation {sequence} of {metric} of {model}@{alias}",
    "registered_model": "model {name}",
}


class Missing(NamedTuple):
    """Something that is not there, such as ``dataset 3fa9…``, and what refers to it."""

    name: str
    problem: str


def dangling(connection: Connection, table: Table) -> Iterator[Missing]:
    """What the rows of *table* refer to in vain, each once.

    What the links of a chain say of each other is not looked at here, see ``registry.audit.chains``.
    """
    for relation in sorted(table.foreign_key_constraints, key=lambda relation: str(relation.name)):
        if not (relation.referred_table is table and table in {VERSIONS.table, ENTRIES.table}):
            yield from _dangling(connection, relation)


def miscounted(connection: Connection) -> Iterator[Missing]:
    """Models whose last version is not the one that was registered last."""
    model, version = Row.metadata.tables["registered_model"], VERSIONS.table
    newest = func.coalesce(func.max(version.c.number), 0)
    models = (
        select(model.c.name, model.c.last_version, newest)
        .outerjoin(version, version.c.model == model.c.name)
        .group_by(model.c.name, model.c.last_version)
        .having(model.c.last_version != newest)
    )
    for name, counted, found in connection.execute(models.order_by(model.c.name)):
        if counted > found:
            gone = missing("version", found + 1, counted)
            yield Missing(name, f"{gone}: restore the database from a backup")
        else:
            yield Missing(name, f"it has {count(found, 'version')}, and {counted:,} are counted")


def _dangling(connection: Connection, relation: ForeignKeyConstraint) -> Iterator[Missing]:
    child, parent = relation.table, relation.referred_table.alias("parent")
    pairs = [(key.parent, parent.c[key.column.name]) for key in relation.elements]
    own = [column for column, _ in pairs]
    vain = (
        select(*own, func.count())
        .outerjoin(parent, and_(*(column == theirs for column, theirs in pairs)))
        .where(*(column.is_not(None) for column in own), pairs[0][1].is_(None))
        .group_by(*own)
        .order_by(*own)
    )
    with connection.execute(vain, execution_options={"yield_per": MOST_NAMED}) as rows:
        for row in rows.fetchmany(MOST_NAMED):
            yield _missing(relation, row)
        others = sum(1 for _ in rows)
    if others:
        yield Missing(f"the rows of {child.name}", f"refer to {others:,} more that are missing")


def _missing(relation: ForeignKeyConstraint, row: Sequence[Any]) -> Missing:
    *values, referring = row
    names = (key.column.name for key in relation.elements)
    facts = dict(zip(names, values, strict=True))
    return Missing(
        _NAMES[relation.referred_table.name].format_map(facts),
        f"{count(referring, 'row')} of {relation.table.name} refer to it, and it is missing:"
        " restore the database from a backup",
    )
