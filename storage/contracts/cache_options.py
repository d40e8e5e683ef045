"""Where the block cache is, and how large, as a value that travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from strata.storage.contracts.url import Url

if TYPE_CHECKING:
    from strata.storage_settings import CacheSettings

__all__ = ["CacheOptions"]


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """The block cache of a host.

    Attributes:
        folder: local folder of the blocks.
        capacity_bytes: largest total size of the blocks, over all processes.
        block_bytes: bytes of a block.
        prefetch: blocks that are fetched ahead of a sequential reader.
    """

    folder: str
    capacity_bytes: int
    block_bytes: int = 1 << 20
    prefetch: int = 16

    @classmethod
    def of(cls, settings: CacheSettings) -> CacheOptions | None:
        """The cache that ``[cache]`` gives, whose folder is a local one; None without a folder."""
        if settings.folder is None:
            return None
        folder = Url.parse(settings.folder)
        block = round(settings.block_mb * (1 << 20))
        capacity = round(settings.capacity_gb * 1e9)
        return cls(folder.path, max(capacity, block), block, settings.prefetch)
