"""The options of a run, and the forms in which a command prints its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from strata.errors import SettingsError
from strata.storage.layout.attempts import new_attempt, run_id_problem

__all__ = ["OutputForm", "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; ``attempt`` tells this execution from all others of its run id.

    Raises:
        SettingsError: the run id cannot be part of the name of a file.
    """

    command: str
    run_id: str
    master: str | None = None
    verbosity: int = 0
    attempt: str = field(default_factory=new_attempt)

    def __post_init__(self) -> None:
        if problem := run_id_problem(self.run_id):
            raise SettingsError(
                f"the run id {self.run_id!r} cannot name files: {problem}",
                hint="letters, digits and - _ . : + are fine",
            )

    @property
    def log_level(self) -> str:
        """The level of Spark's log."""
        return ("error", "warn", "info")[min(2, max(0, self.verbosity))]


class OutputForm(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"
