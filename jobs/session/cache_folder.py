"""The folder for what a machine makes once and keeps: ``$XDG_CACHE_HOME/strata``."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from strata.errors import MachineError

__all__ = ["cache_folder", "cached_file"]


def cache_folder() -> Path:
    """The folder; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "strata"


def cached_file(name: str, content: str) -> Path:
    """A file of the cache with this content, written in one step where it differs.

    Raises:
        MachineError: the cache folder cannot be written.
    """
    file = cache_folder() / name
    try:
        if not file.is_file() or file.read_text(encoding="utf-8") != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
            partial.write_text(content, encoding="utf-8")
            partial.replace(file)
    except OSError as error:
        raise MachineError(
            f"cannot write {file}: {error}",
            hint="set XDG_CACHE_HOME to a folder that you may write to",
        ) from error
    return file
