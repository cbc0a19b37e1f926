from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.exceptions import InvalidFolder
from registry.folders import LARGEST_MANIFEST, LONGEST_PATH, MOST_FILES, File, Manifest, files_in
from registry.tables import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = sha256(b"").hexdigest()


def a_file(path: str, *, size: int = 0, digest: str = DIGEST) -> File:
    return File(path, size, digest)


def written(*entries: dict[str, Any], **others: Any) -> bytes:
    """A manifest as an attacker may write it."""
    whole = {"files": list(entries), "kind": "prefect-model-registry/folder/1"} | others
    return canonical_json(whole).encode()


def an_entry(path: Any = "model.bin", *, size: Any = 0, digest: Any = DIGEST) -> dict[str, Any]:
    return {"path": path, "sha256": digest, "size": size}


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = Manifest((a_file("b/c.bin", size=3), a_file("a.txt")))
    read = Manifest.from_bytes(manifest.to_bytes())
    assert set(read.files) == set(manifest.files)
    assert read.size == 3


def test_the_order_in_which_files_are_found_does_not_count() -> None:
    files = a_file("a"), a_file("b")
    assert Manifest(files).to_bytes() == Manifest(files[::-1]).to_bytes()


HOSTILE_PATHS = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/..",
    ".",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "..\\outside",
    "C:\\windows",
    "C:file",
    "a\0b",
    "a\nb",
    "a\u202eb",
    "a\ud800b",
    "a" * (LONGEST_PATH + 1),
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidFolder):
        Manifest((a_file(path),))


@pytest.mark.parametrize("path", [path for path in HOSTILE_PATHS if "\ud800" not in path])
def test_a_manifest_that_names_such_a_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidFolder):
        Manifest.from_bytes(written(an_entry(path)))


@pytest.mark.parametrize(
    "paths",
    [
        ("a", "a"),
        ("Model.bin", "model.bin"),
        ("caf\u00e9", "cafe\u0301"),
        ("a", "a/b"),
        ("a/b", "A"),
        ("a/b/c/d", "a/b"),
    ],
)
def test_paths_that_are_one_file_on_some_system_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(InvalidFolder):
        Manifest(tuple(a_file(path) for path in paths))


@pytest.mark.parametrize("count", [0, MOST_FILES + 1])
def test_absurd_counts_are_refused(count: int) -> None:
    with pytest.raises(InvalidFolder, match=f"it has {count} files"):
        Manifest(tuple(a_file(f"{number}") for number in range(count)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"files": null}',
        b'{"files": {"path": "a"}}',
        b"[" * 100_000,
        written(an_entry(size=-1)),
        written(an_entry(size=True)),
        written(an_entry(size=1.5)),
        written(an_entry(size="1")),
        written(an_entry(path=7)),
        written(an_entry(digest="0" * 63)),
        written(an_entry(digest="../" + "0" * 61)),
        written(an_entry(digest=None)),
        written({"path": "a"}),
        written(an_entry() | {"link": "/etc/passwd"}),
        written(an_entry(), kind="another"),
        written(an_entry(), trusted=["os.system"]),
        written(an_entry("b"), an_entry("a")),
        b" " + written(an_entry()),
        json.dumps({"files": [an_entry()], "kind": "prefect-model-registry/folder/1"}).encode(),
    ],
)
def test_what_this_library_would_not_have_written_is_no_manifest(content: bytes) -> None:
    with pytest.raises(InvalidFolder):
        Manifest.from_bytes(content)


def test_a_manifest_beyond_all_measure_is_not_even_parsed() -> None:
    with pytest.raises(InvalidFolder, match="are allowed"):
        Manifest.from_bytes(b" " * (LARGEST_MANIFEST + 1))


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(content: bytes) -> None:
    with pytest.raises(InvalidFolder):
        Manifest.from_bytes(content)


def test_the_files_of_a_folder_are_found_at_every_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("a/b/deep", "top", "a/.hidden"):
        (tmp_path / path).touch()
    assert dict(files_in(tmp_path)) == {name: tmp_path / name for name in ("a/.hidden", "a/b/deep", "top")}


def test_links_are_refused_wherever_they_lead(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(InvalidFolder, match="link is a link"):
        list(files_in(tmp_path))


def test_a_link_to_a_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for wrong in ("link", "missing"):
        with pytest.raises(InvalidFolder, match="it is no folder"):
            list(files_in(tmp_path / wrong))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidFolder, match="pipe is neither"):
        list(files_in(tmp_path))
