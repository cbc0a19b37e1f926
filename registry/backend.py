"""Where a registry keeps what it keeps: its rows and its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.observations import Observations

if TYPE_CHECKING:
    from registry.artifacts import ArtifactStore
    from registry.store import Store


@dataclass(frozen=True)
class Backend:
    """The database and the artifact store of one registry; every step of a version's life takes it.

    Attributes:
        rows: The SQL statements.
        artifacts: The bytes, by their SHA-256.
    """

    rows: Store
    artifacts: ArtifactStore

    @property
    def observations(self) -> Observations:
        """The SQL statements about observations."""
        return Observations(self.rows)
