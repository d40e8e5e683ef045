"""The folder for what a machine makes once and keeps: ``$XDG_CACHE_HOME/strata``."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

__all__ = ["cache_folder", "cached_file"]


def cache_folder() -> Path:
    """The folder; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "strata"


def cached_file(name: str, content: str) -> Path:
    """A file of the cache with this content, written in one step where it differs."""
    file = cache_folder() / name
    if not file.is_file() or file.read_text() != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{name}.{uuid.uuid4().hex}")
        partial.write_text(content)
        partial.replace(file)
    return file
