"""A flow that does nothing, which an automation starts: what every answer to an event takes at least."""

from prefect import flow


@flow
def empty(alert: str) -> str:
    return alert
