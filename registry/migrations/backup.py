"""The copy that is made of a SQLite database before its schema is upgraded."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def back_up(database: Path, version: str) -> Path:
    """Copy *database* to a file beside it that is named after its schema *version*, and return that file.

    Call it while nobody else writes. A file that is there is never replaced: the next free name is taken.

    Raises:
        OSError: The copy can't be written.
    """
    copy = _free_name(database, version)
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)  # whoever may not read the database does not read its copy either
    try:
        _copy(database, part)
        shutil.copymode(database, part)
        _flush(part)
        part.rename(copy)
        _flush(copy.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return copy


def _free_name(database: Path, version: str) -> Path:
    names = (f"{version}" if number == 1 else f"{version}-{number}" for number in count(1))
    copies = (database.with_name(f"{database.stem}.schema-{name}{database.suffix}") for name in names)
    return next(copy for copy in copies if not copy.exists())


def _copy(database: Path, part: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        raise OSError(f"{part} can't be written: {error}") from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
