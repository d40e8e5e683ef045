"""What commands write to stdout and stderr, in whatever encoding these have.

A terminal or pipe that cannot show a character gets another one in its place: rules and bars of
tables become ASCII, everything else an escape. That never fails, as it would by default, after all
of the work was done.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

__all__ = ["plain_streams", "print_json"]

HANDLER = "strata_plain"
ASCII = str.maketrans("─━═│┃╸╺–—·…×█▏→←“”⏎", '--=||----..x#|><""$')


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs (:func:`codecs.register_error`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_plain_character, text)), error.end


def _plain_character(character: str) -> str:
    plain = character.translate(ASCII)
    if plain.isascii():
        return plain
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


codecs.register_error(HANDLER, _plain)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Run a block in which no character is an error for stdout and stderr."""
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, TextIOWrapper)]
    former = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors=HANDLER)
    try:
        yield
    finally:
        for stream, errors in zip(streams, former, strict=True):
            # It flushes; whoever wrote has been told by then that nobody reads.
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


def print_json(data: bytes) -> None:
    """Print JSON to stdout; in an encoding that lacks a character, as JSON's own escape."""
    text = data.decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = "".join(c if c.isascii() else _json_escape(c) for c in text)
    sys.stdout.write(text + "\n")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
