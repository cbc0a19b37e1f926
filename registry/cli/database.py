"""Commands about the database itself: what it is, its schema version, and who may do what in it."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import text

from registry import console
from registry.cli.options import Json
from registry.database import connect, parse, status, upgrade, writing
from registry.roles import READER, WRITER, Roles
from registry.settings import RegistrySettings

app = typer.Typer(no_args_is_help=True)


@app.command("status")
def show_status(*, json: Json = False) -> None:
    """Look what the database is, and change nothing. 1 if it would not be opened."""
    found = status(RegistrySettings().database)
    console.show_status(found, json=json)
    raise typer.Exit(1 if found.problem else 0)


@app.command("upgrade")
def bring_up() -> None:
    """Bring the schema to the version of this library. Other programs' tables beside it are left alone.

    A SQLite file is copied first. Of a PostgreSQL make a backup; afterwards `registry db roles` lets readers
    and writers use what is new.
    """
    with console.working("upgrading"):
        done = upgrade(RegistrySettings().database)
    console.tell_upgrade(done)


@app.command()
def roles(
    reader: Annotated[str, typer.Option(help="The role that reads.")] = READER,
    writer: Annotated[str, typer.Option(help="The role that writes.")] = WRITER,
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the statements.")] = False,
) -> None:
    """Make two group roles in a PostgreSQL, one that reads and one that appends, and grant them no more.

    Run it as the owner of the tables, and again after each upgrade. Only the owner upgrades and trusts types.
    """
    url, chosen = RegistrySettings().database, Roles(reader, writer)
    if parse(url).get_backend_name() != "postgresql":
        console.complain("there are no roles in a SQLite: whoever may write its file may write into it")
        raise typer.Exit(1)
    if sql:
        typer.echo("".join(f"{statement};\n" for statement in chosen.statements()), nl=False)
        return
    _execute(url, chosen.statements())
    console.say(f"{chosen.reader} reads, {chosen.writer} also appends: GRANT one of them to who logs in")


def _execute(url: str, statements: list[str]) -> None:
    engine = connect(url)
    try:
        with writing(engine) as session:
            for statement in statements:
                session.connection().execute(text(statement))
    finally:
        engine.dispose()
