"""Where a registry keeps what it keeps: its rows and its bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registry.observations import Observations
from registry.trust import NOBODY, Consent

if TYPE_CHECKING:
    from registry.artifacts import ArtifactStore
    from registry.cache import Cache
    from registry.signing import Trust
    from registry.signing.keys import SigningKey
    from registry.store import Store


@dataclass(frozen=True)
class Backend:
    """The database and the artifact store of one registry; every step of a version's life takes it.

    Attributes:
        rows: The SQL statements.
        artifacts: The bytes, by their SHA-256.
        signing_key: What signs the versions that are registered; None if nothing does.
        trust: Whose signatures are believed, and whether they are needed; None if they are not looked at.
        consent: Who allows that versions are loaded whose bytes hold code.
        cache: Keeps near what was fetched to be loaded; None if nothing does.
    """

    rows: Store
    artifacts: ArtifactStore
    signing_key: SigningKey | None = None
    trust: Trust | None = None
    consent: Consent = NOBODY
    cache: Cache | None = None

    @property
    def observations(self) -> Observations:
        """The SQL statements about observations."""
        return Observations(self.rows)

    def disconnect(self) -> None:
        """Give up all connections that lie idle; whatever is asked next makes others."""
        self.rows.close()
        self.artifacts.disconnect()

    def allowing_pickle(self) -> Backend:
        """This backend with the caller's consent to formats that run code; the operator's is a setting."""
        return replace(self, consent=self.consent.given())

    def from_afar(self) -> Backend:
        """This backend without what is kept near: what it opens, others can open, too."""
        return replace(self, cache=None)
