"""A folder as a list of its files: what it is known by, and what a hostile list is refused for.

The list is the *manifest*: canonical JSON of every file's path, size and SHA-256. Its own SHA-256 is what
the folder is known by, so two folders with the same files are the same folder. A manifest from a store was
written by anybody: nothing in it becomes a path before all of it was checked.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from registry.artifacts.content import is_digest
from registry.exceptions import InvalidFolder
from registry.tables import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = "folder"
"""What a version whose artifact is a manifest has as its serialization."""

MOST_FILES = 10_000
LONGEST_PATH = 500  # in an index, of which a PostgreSQL's row has room for 2,704 bytes
LARGEST_MANIFEST = 16 * 2**20  # bytes, before anything is parsed

_KIND = "prefect-model-registry/folder/1"
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, order=True)
class File:
    """A file of a folder: its path within, with slashes; its size in bytes; the SHA-256 of its bytes."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, by path.

    Raises:
        InvalidFolder: There are none or too many, or a path could lead elsewhere or to another's file.
    """

    files: tuple[File, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.files) <= MOST_FILES:
            raise InvalidFolder(
                "the folder", f"it has {len(self.files)} files; 1 to {MOST_FILES} can be kept"
            )
        for file in self.files:
            check_path(file.path)
        _check_disjoint(file.path for file in self.files)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """The manifest as it is stored."""
        files = [{"path": each.path, "sha256": each.digest, "size": each.size} for each in sorted(self.files)]
        return canonical_json({"files": files, "kind": _KIND}).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            InvalidFolder: It is none, or not one that this library would have written.
        """
        if len(content) > LARGEST_MANIFEST:
            raise InvalidFolder(
                "the manifest", f"it has {len(content)} bytes, {LARGEST_MANIFEST} are allowed"
            )
        try:
            found = json.loads(content)
            manifest = cls(tuple(_file(each) for each in found["files"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidFolder("the manifest", f"it can't be read: {error!r}") from None
        if manifest.to_bytes() != content:
            raise InvalidFolder("the manifest", "it is not in the one form in which manifests are written")
        return manifest


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file below *folder*: its path within, with slashes, and where it is.

    Raises:
        InvalidFolder: It is no folder, or holds a link or what is no file; a link could lead anywhere.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise InvalidFolder(str(folder), "it is no folder")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise InvalidFolder(str(folder), f"{name} is a link; put the file itself there")
        if path.is_file():
            yield check_path(name), path
        elif not path.is_dir():
            raise InvalidFolder(str(folder), f"{name} is neither a file nor a folder")


def check_path(path: str) -> str:
    """Return *path* if it stays within its folder on every system, else raise InvalidFolder."""
    parts = PurePosixPath(path).parts
    reason = None
    if not path or len(path) > LONGEST_PATH:
        reason = f"use 1 to {LONGEST_PATH} characters"
    elif "/".join(parts) != path or path.startswith("/") or {".", ".."} & set(parts):
        reason = "write it as from within the folder, without '.', '..' and a slash at either end"
    elif "\\" in path or ":" in path:
        reason = "leave out backslashes and colons, which lead elsewhere on some systems"
    elif any(unicodedata.category(each) in _UNPRINTABLE for each in path):
        reason = "leave out characters that show nothing"
    if reason is not None:
        raise InvalidFolder(f"path {path[:80]!r}", reason)
    return path


def _check_disjoint(paths: Iterable[str]) -> None:
    """No two are the same where letters' case and accents' forms do not count, and none is below a file."""
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded in seen:
            raise InvalidFolder(f"path {path!r}", f"{seen[folded]!r} is the same file on some systems")
        seen[folded] = path
    for folded, path in seen.items():
        for above in PurePosixPath(folded).parents:
            if str(above) in seen:
                raise InvalidFolder(f"path {path!r}", f"{seen[str(above)]!r} is a file")


def _file(entry: Any) -> File:
    path, size, digest = entry["path"], entry["size"], entry["sha256"]
    if not (isinstance(path, str) and isinstance(digest, str) and is_digest(digest)):
        raise TypeError("a file has a path and a SHA-256")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise TypeError("a file has a size")
    return File(path, size, digest)
