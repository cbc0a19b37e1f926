"""Content-addressed bytes: kept under their SHA-256, checked whenever they are given back.

``protocol`` says what a store does; ``filesystem`` is a folder and ``s3`` a bucket. The latter is imported by
its module's name only, so that a folder's user does not pay for boto3.
"""

from registry.artifacts.filesystem import FolderArtifactStore
from registry.artifacts.protocol import ArtifactStore, StoredArtifact

__all__ = ["ArtifactStore", "FolderArtifactStore", "StoredArtifact"]
