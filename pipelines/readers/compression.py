"""How a file is compressed as a whole: by its name, and by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ["MAGIC_BYTES", "Compression"]

# Bytes that are enough to recognise each of them.
MAGIC_BYTES = 10


class Compression(StrEnum):
    """How a file is compressed as a whole; the values are the usual suffixes."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"
    BZIP2 = ".bz2"
    XZ = ".xz"

    @property
    def expansion(self) -> float:
        """Bytes of text that a byte of such a file usually expands to."""
        return {"": 1.0, ".gz": 3.5, ".zst": 4.0, ".bz2": 5.0, ".xz": 5.0}[self.value]

    @classmethod
    def of_suffix(cls, suffix: str) -> Compression:
        """What a suffix in lower case stands for."""
        return SUFFIXES.get(suffix, cls.NONE)

    @classmethod
    def of_bytes(cls, head: bytes) -> Compression:
        """What a file is compressed with, by its first bytes."""
        return next((each for each, magic in MAGIC.items() if magic.match(head)), cls.NONE)


SUFFIXES: Mapping[str, Compression] = MappingProxyType(
    {each.value: each for each in Compression if each}
    | {".gzip": Compression.GZIP, ".zstd": Compression.ZSTD, ".bzip2": Compression.BZIP2}
)
MAGIC: Mapping[Compression, re.Pattern[bytes]] = MappingProxyType(
    {
        Compression.GZIP: re.compile(rb"\x1f\x8b\x08"),
        # A frame, or one that is to be skipped, as pzstd puts before its frames.
        Compression.ZSTD: re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        # With the first block, or the end of an empty stream.
        Compression.BZIP2: re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
        Compression.XZ: re.compile(rb"\xfd7zXZ\x00"),
    }
)
