"""Formatting for a terminal: sizes in bytes, and users' texts with control characters escaped.

Nothing in a user's text may control the terminal or remain invisible.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["MB", "escape_control_chars", "size"]

MB = 1_000_000
# Nearly all text has none of these; other text is checked character by character.
ORDINARY = re.compile(r"[ -~]*")
# Controls, formats such as a change of direction, surrogates, separators other than the space.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp", "Zs"})


def size(n_bytes: int) -> str:
    """Bytes as MB with two digits."""
    return f"{n_bytes / MB:,.2f}"


def escape_control_chars(text: str) -> str:
    r"""The text with each control, format and rare space character as its escape.

    A line break becomes ``\n``, a no-break space ``\xa0``, a mark of direction ``\u202e``.
    """
    return text if ORDINARY.fullmatch(text) else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == " " or unicodedata.category(character) not in HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
