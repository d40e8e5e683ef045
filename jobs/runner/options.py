"""How a run was asked for.

How a command's result is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OutputForm", "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run was asked for."""

    command: str
    run_id: str
    master: str | None = None
    verbosity: int = 0

    @property
    def log_level(self) -> str:
        """What Spark's log says."""
        return ("error", "warn", "info")[min(2, max(0, self.verbosity))]


class OutputForm(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"
