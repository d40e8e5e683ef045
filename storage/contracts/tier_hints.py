"""How the files of a tier are stored and reached, passed through to its store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strata.storage_settings import TierSettings

__all__ = ["TierHints"]


@dataclass(frozen=True, slots=True)
class TierHints:
    """What a tier requests of its store.

    Attributes:
        storage_class: S3 StorageClass of new objects.
        replication: HDFS replication of new files.
        storage_policy: HDFS storage policy of the tier's folder.
        endpoints: addresses of the store, used in turn.
    """

    storage_class: str | None = None
    replication: int | None = None
    storage_policy: str | None = None
    endpoints: tuple[str, ...] = ()

    @classmethod
    def of(cls, tier: TierSettings) -> TierHints:
        """The hints of a tier."""
        return cls(tier.storage_class, tier.replication, tier.storage_policy, tier.endpoints)
