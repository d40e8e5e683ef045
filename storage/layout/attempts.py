"""Names of attempts: what belongs to one execution of a run, and to no other.

A run id is given by the user, so two corpora of a warehouse may have the same one, and so may a run
that is repeated, or started twice. What a run stages or reports is therefore named by the attempt
too.
"""

from __future__ import annotations

import re
import secrets
import time

__all__ = ["attempt_folder", "corpus_of_folder", "new_attempt", "run_id_problem"]

_DIGITS = 17
# Names of corpora have no dot, and neither have attempts.
_FOLDER = re.compile(rf"(?P<corpus>[A-Za-z][A-Za-z0-9_-]*)\..+\.[0-9a-f]{{{_DIGITS}}}", re.DOTALL)
_MOST_BYTES = 120
_REFUSED = re.compile(r"[/\\*?\[\]{}\x00-\x1f\x7f]")


def new_attempt() -> str:
    """A name that no other attempt has; later ones sort behind (milliseconds, then random)."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}"


def attempt_folder(corpus: str, run_id: str, attempt: str) -> str:
    """Name of the folder for what an attempt stages: ``CORPUS.RUN_ID.ATTEMPT``."""
    return f"{corpus}.{run_id}.{attempt}"


def corpus_of_folder(name: str) -> str | None:
    """The corpus whose attempt a folder belongs to; None where an older version named it."""
    found = _FOLDER.fullmatch(name)
    return found["corpus"] if found else None


def run_id_problem(run_id: str) -> str:
    """What keeps a run id from being part of a file's name; empty where nothing does."""
    if not run_id or run_id.startswith("."):
        return "it is empty, or begins with a dot"
    if found := _REFUSED.search(run_id):
        return f"it has the character {found.group()!r}"
    size = len(run_id.encode(errors="surrogatepass"))
    return f"it has {size} bytes, more than {_MOST_BYTES}" if size > _MOST_BYTES else ""
