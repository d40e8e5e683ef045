"""Digests of a Parquet file, kept in its own footer: of all its bytes, and of the footer alone.

The checksums of Parquet's pages cover neither page headers nor the footer, and Arrow may crash on
a damaged footer, or skip row groups by damaged statistics. So the footer is checked whenever a file
is opened, and the whole file when it is verified. A digest is computed over the bytes with zeros in
its own place, as tar does for its headers; the file's digest also takes zeros for the footer's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import xxhash

from strata.storage.contracts.store import Output

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "DIGEST_KEY",
    "FOOTER_END",
    "NO_DIGEST",
    "DigestedOutput",
    "StoredDigest",
    "footer_bytes",
    "stores_digest",
]

DIGEST_KEY = "strata.file-digest"
"""Key of the footer's metadata."""

FOOTER_END = 8
"""Bytes at the end of a file: the length of the footer, and the magic number."""

_KIND = "xxh3:"
_FILE_DIGITS, _FOOTER_DIGITS = 32, 16
NO_DIGEST = _KIND + "0" * _FILE_DIGITS + ":" + "0" * _FOOTER_DIGITS
"""Value of the key before the digests are known."""

# Between key and value, Thrift puts the type of a field and the length of the value.
_PLACE = re.compile(
    re.escape(DIGEST_KEY).encode()
    + rb"[\x00-\xff]{1,4}"
    + _KIND.encode()
    + rb"(?P<file>[0-9a-f]{%d}):(?P<footer>[0-9a-f]{%d})" % (_FILE_DIGITS, _FOOTER_DIGITS)
)


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """The digests that the end of a file holds.

    Attributes:
        of_file: digest of the whole file, 32 hexadecimal digits.
        of_footer: digest of the footer and the end, 16 digits.
        footer: the footer with zeros for ``of_footer``.
    """

    of_file: str
    of_footer: str
    footer: bytes

    @classmethod
    def find(cls, footer: bytes) -> StoredDigest | None:
        """The digests in a footer, which extends to the end of the file; None where it has none."""
        # The last one: column statistics come before it and could hold any text.
        found = list(_PLACE.finditer(footer)) if DIGEST_KEY.encode() in footer else []
        if not found:
            return None
        start, stop = found[-1].span("footer")
        blank = footer[:start] + b"0" * (stop - start) + footer[stop:]
        return cls(found[-1]["file"].decode(), found[-1]["footer"].decode(), blank)

    @property
    def is_footer_sound(self) -> bool:
        """Whether the footer is as it was written."""
        return xxhash.xxh3_64_hexdigest(self.footer) == self.of_footer

    def is_file_sound(self, body: xxhash.xxh3_128) -> bool:
        """Whether the file is as it was written; ``body`` hashed the bytes before the footer."""
        before, _, after = self.footer.rpartition(f"{_KIND}{self.of_file}:".encode())
        body.update(before + NO_DIGEST[:-_FOOTER_DIGITS].encode() + after)
        return body.hexdigest() == self.of_file


def footer_bytes(end: bytes, size: int) -> int:
    """Length of the footer with its end, from the last bytes of a file; 0 if that is impossible."""
    length = int.from_bytes(end[:4], "little") + FOOTER_END
    return length if end[4:] == b"PAR1" and length <= size else 0


def stores_digest(metadata: pq.FileMetaData) -> bool:
    """Whether a footer has the key of a digest; files of other writers have none."""
    return DIGEST_KEY.encode() in (metadata.metadata or {})


class DigestedOutput(Output):
    """An output that writes the digest of all its bytes into them.

    From :meth:`hold` on it buffers what is written, which must be just the footer with
    ``NO_DIGEST`` in it; :meth:`seal` fills in the digests and passes it on.
    """

    def __init__(self, inner: Output) -> None:
        self._inner = inner
        self._digest = xxhash.xxh3_128()
        self._held: bytearray | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Append bytes."""
        if self._held is not None:
            before = len(self._held)
            self._held += data
            return len(self._held) - before
        self._digest.update(memoryview(data))
        return self._inner.write(data)

    def tell(self) -> int:
        """Bytes written or held."""
        return self._inner.tell() + len(self._held or b"")

    def hold(self) -> None:
        """Buffer what is written next: the footer."""
        self._held = bytearray()

    def seal(self) -> None:
        """Write the buffered footer, with the digests in it."""
        held, self._held = bytes(self._held or b""), None
        # Bytes held before the footer itself belong to the body.
        cut = len(held) - footer_bytes(held[-FOOTER_END:], len(held))
        body, footer = held[:cut], held[cut:]
        self._digest.update(held)
        before, _, after = footer.rpartition(NO_DIGEST.encode())
        before += f"{_KIND}{self._digest.hexdigest()}:".encode()
        of_footer = xxhash.xxh3_64_hexdigest(before + b"0" * _FOOTER_DIGITS + after)
        self._inner.write(body + before + of_footer.encode() + after)

    def close(self) -> None:
        """Publish the file."""
        self._inner.close()
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if not self.closed:
            self._inner.discard()
            super().close()
