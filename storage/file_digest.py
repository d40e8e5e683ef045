"""A digest of all bytes of a Parquet file, kept in the file's own footer.

The checksums of Parquet's pages cover neither page headers nor the footer. The digest covers every
byte: it is that of the file with zeros in its own place, which is the way of tar and of ELF notes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from strata.storage.contract import Output

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["DIGEST_KEY", "NO_DIGEST", "DigestedOutput", "FileDigest"]

DIGEST_KEY = "strata.file-digest"
"""Key of the footer's metadata."""

_KIND = "xxh3-128:"
_DIGITS = 32
NO_DIGEST = _KIND + "0" * _DIGITS
"""Value of the key before the digest is known."""

# Between key and value Thrift has the type of a field and the length of the value.
_PLACE = re.compile(
    re.escape(DIGEST_KEY).encode() + rb"[\x00-\xff]{1,4}" + _KIND.encode() + rb"([0-9a-f]{32})"
)


class DigestedOutput(Output):
    """An output that writes the digest of all its bytes into them.

    From :meth:`hold` on it keeps what comes, which has to be no more than a footer with
    ``NO_DIGEST`` in it; :meth:`seal` puts the digest there and passes it on.
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
        """Keep what comes next: the footer."""
        self._held = bytearray()

    def seal(self) -> None:
        """Write the footer that was held, with the digest in it."""
        footer, self._held = self._held or bytearray(), None
        self._digest.update(footer)
        place = _last_place(footer)
        if place is not None:
            footer[place.start : place.stop] = self._digest.hexdigest().encode()
        self._inner.write(footer)

    def close(self) -> None:
        """Publish the file."""
        self._inner.close()
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if not self.closed:
            self._inner.discard()
            super().close()


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The digest of a file, and the one that its footer holds.

    Attributes:
        stored: hexadecimal digits; None where the footer holds none.
        actual: of the bytes that are there.
    """

    stored: str | None
    actual: str

    @classmethod
    def of(cls, body: Digester, footer: bytes) -> FileDigest:
        """The digest of a file.

        Args:
            body: has seen all bytes before ``footer``.
            footer: the end of the file, at least the whole footer.
        """
        blank = bytearray(footer)
        place = _last_place(blank)
        stored = None
        if place is not None:
            stored = blank[place.start : place.stop].decode()
            blank[place.start : place.stop] = b"0" * _DIGITS
        body.update(blank)
        return cls(stored, body.hexdigest())


Digester = xxhash.xxh3_128


def _last_place(footer: bytearray) -> slice | None:
    # The last one: statistics of columns come before, and could hold any text.
    found = list(_PLACE.finditer(footer))
    return slice(*found[-1].span(1)) if found else None
