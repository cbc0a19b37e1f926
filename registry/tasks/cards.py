"""Cards as Prefect artifacts."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact


def publish(model: str, kind: str, markdown: str) -> None:
    """Prefect's artifact keys know letters, digits and dashes only."""
    readable = f"model-{model}-{kind}".replace(".", "-").replace("_", "-")
    create_markdown_artifact(key=readable, markdown=markdown, description=f"{kind} of {model}")
