"""Local files and folders that have to be on the disk: fsync, for entries of folders too."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

__all__ = ["make_folder", "sync_file", "sync_folder"]

# What filesystems answer that cannot sync a folder, or nothing at all.
_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.ENOSYS})
# Folders whose own entries, up to the root of their filesystem, this process has synced.
_rooted: set[str] = set()


def make_folder(folder: str) -> None:
    """Make a folder and those above it; :func:`sync_folder` then syncs the entries of the new ones.

    Raises:
        OSError: it cannot be made.
    """
    missing = folder
    while not os.path.isdir(missing):
        _rooted.discard(missing)
        missing = os.path.dirname(missing)
    os.makedirs(folder, exist_ok=True)


def sync_file(handle: int) -> None:
    """Wait until a file is on the disk, given its descriptor.

    Raises:
        OSError: the disk could not take it.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def sync_folder(folder: str) -> None:
    """Wait until the entries of a folder are on the disk, and those that lead to it.

    Another process may have made the folder a moment ago, so each process syncs the way to it once.

    Raises:
        OSError: the disk could not take them.
    """
    _sync_entries(folder)
    way = []
    while folder not in _rooted and not os.path.ismount(folder):
        way.append(folder)
        folder = os.path.dirname(folder)
        _sync_entries(folder)
    _rooted.update(way)


def _sync_entries(folder: str) -> None:
    # A folder that may not be listed is none that this user has made.
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_file(handle)
        finally:
            os.close(handle)
