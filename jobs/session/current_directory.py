"""Whether the current directory is still there: relative paths start in it, and so does Java."""

from __future__ import annotations

import os

from strata.errors import MachineError

__all__ = ["deleted_directory"]


def deleted_directory() -> MachineError | None:
    """The error of a current directory that was deleted; None where it is there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return MachineError(
            "the current directory was deleted, and nothing can start in it",
            hint="cd to a folder that exists (`cd .` where it was made anew)",
        )
    return None
