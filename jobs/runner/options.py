"""The options of a run, and the forms in which a command prints its result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OutputForm", "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run."""

    command: str
    run_id: str
    master: str | None = None
    verbosity: int = 0

    @property
    def log_level(self) -> str:
        """The level of Spark's log."""
        return ("error", "warn", "info")[min(2, max(0, self.verbosity))]


class OutputForm(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"
