"""Who may do what in a PostgreSQL that a team shares: readers, writers, and the owner of the tables.

The owner is whoever made the tables: nobody else upgrades them, trusts types, or could switch the guards of
the evidence off. Readers see everything. Writers append evidence; they change and remove only what is about
bytes, which come and go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.exceptions import InvalidName
from registry.migrations import VERSION_TABLE
from registry.tables import Row

READER = "model_registry_reader"
WRITER = "model_registry_writer"

_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")

_WRITES = {
    "trusted_type": "",  # a type that is trusted is code that runs wherever a model is loaded
    "registered_model": "INSERT, UPDATE (last_version)",
    "model_artifact": "INSERT, UPDATE (leased_until, purged_at, purged_by, purged_because), DELETE",
    "model_artifact_file": "INSERT, DELETE",
    "pin": "INSERT, UPDATE (reason, pinned_by, pinned_at), DELETE",
    "model_tag": "INSERT, UPDATE (value, set_by, set_at), DELETE",
    "version_tag": "INSERT, UPDATE (value, digest, set_by, set_at), DELETE",
    "model_profile": "INSERT, UPDATE (description, deleted_after, changed_by, changed_at)",
    "version_profile": "INSERT, UPDATE (description, stage, changed_by, changed_at)",
}
"""What a writer does with each table, where that is not to INSERT alone."""


@dataclass(frozen=True)
class Roles:
    """The names of the two group roles; people and services log in as roles that are members of one.

    Raises:
        InvalidName: A name is not one that PostgreSQL takes without quotes.
    """

    reader: str = READER
    writer: str = WRITER

    def __post_init__(self) -> None:
        for name in (self.reader, self.writer):
            if not _NAME.fullmatch(name):
                rule = "write lower-case letters, digits and underscores, and begin it not with pg_"
                raise InvalidName("role", name, rule)

    def statements(self) -> list[str]:
        """The SQL by which the owner of the tables makes the roles, if need be, and grants what they need.

        What more they could do with the registry's tables is taken from them.
        """
        both, tables = f"{self.reader}, {self.writer}", ", ".join([*_tables(), VERSION_TABLE])
        rights = {table: _WRITES.get(table, "INSERT") for table in _tables()}
        return [
            *(_make(name) for name in (self.reader, self.writer)),
            _let_in(both),
            f"REVOKE ALL ON {tables} FROM {both}",
            f"GRANT SELECT ON {tables} TO {both}",
            *(f"GRANT {right} ON {table} TO {self.writer}" for table, right in rights.items() if right),
        ]


def _tables() -> list[str]:
    return sorted(Row.metadata.tables)


def _make(role: str) -> str:
    # another database of the same server may have it, and another process may be making it
    known = "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL"
    return f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; {known}; END $$"


def _let_in(roles: str) -> str:
    connect = f"EXECUTE format('GRANT CONNECT ON DATABASE %I TO {roles}', current_database());"
    use = f"EXECUTE format('GRANT USAGE ON SCHEMA %I TO {roles}', current_schema());"
    return f"DO $$ BEGIN {connect} {use} END $$"
