from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text

from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailedError, free_ports, run, running, workspace

if TYPE_CHECKING:
    from collections.abc import Callable


def test_each_postgres_database_is_another_and_empty(make_postgres_database: Callable[[], str]) -> None:
    first, second = (create_engine(make_postgres_database()) for _ in range(2))
    with first.begin() as connection:
        connection.execute(text("CREATE TABLE mark (id integer)"))
    assert inspect(first).get_table_names() == ["mark"]
    assert inspect(second).get_table_names() == []
    for engine in (first, second):
        engine.dispose()


def test_a_dropped_postgres_database_is_gone_though_someone_is_connected(
    postgres_server: PostgresServer,
) -> None:
    postgres_server.create("short_lived")
    address = postgres_server.url("short_lived").replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        postgres_server.drop("short_lived")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(address)


def test_boto3_finds_each_bucket_by_the_environment(make_bucket: Callable[[], str]) -> None:
    first, second = make_bucket(), make_bucket()
    boto3.client("s3").put_object(Bucket=first, Key="mark", Body=b"")
    assert boto3.client("s3").list_objects_v2(Bucket=first)["KeyCount"] == 1
    assert boto3.client("s3").list_objects_v2(Bucket=second)["KeyCount"] == 0


def test_a_server_that_ends_at_once_fails_with_what_it_said() -> None:
    [port] = free_ports(1)
    command = ["/bin/sh", "-c", "echo no room; exit 3"]
    with workspace() as folder:
        server = running(command, folder=folder, ready=PostgresServer(port).answers)
        with pytest.raises(ServerFailedError, match=r"status 3\):\nno room"):
            server.__enter__()


def test_a_program_that_fails_fails_with_what_it_said() -> None:
    with workspace() as folder, pytest.raises(ServerFailedError, match=r"status 3:\nno room"):
        run(["/bin/sh", "-c", "echo no room; exit 3"], folder=folder)


def test_a_server_is_gone_after_its_block_even_if_the_block_fails() -> None:
    with workspace() as folder:
        note = folder / "pid"
        command = ["/bin/sh", "-c", f"echo $$ > {note}.new; mv {note}.new {note}; exec sleep 60"]
        with pytest.raises(ZeroDivisionError), running(command, folder=folder, ready=note.exists):
            raise ZeroDivisionError
        with pytest.raises(ProcessLookupError):
            os.kill(int(note.read_text()), 0)
    assert not folder.exists()
