"""How a run was asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunOptions"]


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
