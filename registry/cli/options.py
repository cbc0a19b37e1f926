"""What several commands take, and what they do with it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from registry import console
from registry.facade import Registry
from registry.references import check_model_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.datasets import Dataset


def _reason(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("say why in a sentence")
    return text.encode(errors="replace").decode()  # bytes that are no text could not be written down


Name = Annotated[
    str, typer.Argument(metavar="NAME", parser=check_model_name, help="Name of a model, such as churn.")
]
Ref = Annotated[str, typer.Argument(metavar="REF", help="Such as churn@7, churn@champion or churn@latest.")]
Subject = Annotated[str, typer.Argument(metavar="REF|NAME", help="A version, churn@7, or a model, churn.")]
Alias = Annotated[str, typer.Option(help="What is, or is to be, in force.")]
Reason = Annotated[str, typer.Option(parser=_reason, metavar="TEXT", help="Why; it goes into the ledger.")]
Data = Annotated[str, typer.Option(help="Parquet or CSV file, on disk or s3://.")]
Last = Annotated[int | None, typer.Option(help="Only so many of the newest versions.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


opened = ExitStack()
"""What is to be closed when the command ends."""


allowed: set[str] = set()
"""What the caller allows to this command: "pickle", or nothing."""


def open_registry() -> Registry:
    """The registry that the settings name, with the caller's consent to what is allowed."""
    registry = opened.enter_context(Registry())
    return registry.allowing_pickle() if "pickle" in allowed else registry


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Refuse in a line if *file* can't be written."""
    try:
        yield
    except OSError as error:
        console.complain(f"{file} can't be written: {error.strerror}")
        raise typer.Exit(1) from None


def read_rows(registry: Registry, ref: str, data: str) -> Dataset:
    """The rows in the file *data*, with the target of the version *ref*."""
    from registry.datasets import Dataset  # noqa: PLC0415, most commands need no pandas

    return Dataset.read(data, registry.target_of(ref))
