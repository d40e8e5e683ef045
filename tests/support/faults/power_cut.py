"""What a power cut would leave of a folder: what the process had synced, and nothing else.

Files whose content was never synced are empty afterwards, those whose folders were not are gone.
SQLite syncs its own files where nobody sees it; the pragma that it is given says what it does.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

# Of SQLite, and of outputs that are still open.
_APART = ("catalog.db", ".")


class PowerCut:
    """Records the calls of ``os.fsync`` of this process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        # By the number of a file: its state, or the entries of the folder that it is.
        self._files: dict[int, tuple[int, int]] = {}
        self._folders: dict[int, dict[str, int]] = {}
        patch.setattr(os, "fsync", self._sync)

    @property
    def calls(self) -> int:
        """How many files and folders were synced."""
        return len(self._files) + len(self._folders)

    def lost(self, root: Path) -> list[Path]:
        """The files and folders below a folder that would be gone or not whole."""
        return [path for path in _below(root) if not self._is_safe(path)]

    def happen(self, root: Path) -> None:
        """Leave only what is safe."""
        for path in self.lost(root):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.write_bytes(b"") if self._is_entered(path) else path.unlink()

    def _sync(self, handle: int) -> None:
        facts = os.fstat(handle)
        if stat.S_ISDIR(facts.st_mode):
            with os.scandir(handle) as entries:
                self._folders[facts.st_ino] = {each.name: each.inode() for each in entries}
        else:
            self._files[facts.st_ino] = (facts.st_size, facts.st_mtime_ns)

    def _is_safe(self, path: Path) -> bool:
        facts = path.stat()
        whole = path.is_dir() or self._files.get(facts.st_ino) == (facts.st_size, facts.st_mtime_ns)
        return whole and self._is_entered(path)

    def _is_entered(self, path: Path) -> bool:
        entries = self._folders.get(path.parent.stat().st_ino, {})
        return entries.get(path.name) == path.stat().st_ino


def _below(root: Path) -> Iterator[Path]:
    yield root
    for path in sorted(root.rglob("*")):
        if not path.name.startswith(_APART) and "_staging" not in path.parts:
            yield path
