"""Cards as Prefect artifacts."""

from __future__ import annotations

from hashlib import sha256

from prefect.artifacts import create_markdown_artifact


def publish(model: str, kind: str, markdown: str) -> None:
    """Publish a card under a key of its own.

    Prefect's keys know letters, digits and dashes only; names that differ in a dot alone differ at the end.
    """
    name = f"model-{model}-{kind}"
    key = name.replace(".", "-").replace("_", "-")
    tail = "" if key == name else f"-{sha256(name.encode()).hexdigest()[:6]}"
    create_markdown_artifact(key=f"{key}{tail}", markdown=markdown, description=f"{kind} of {model}")
