"""The outcome of one check of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from strata.errors import StrataError

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, whether it is fine, what was found, and the remedy."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @classmethod
    def failed(cls, name: str, error: Exception, remedy: str) -> Check:
        """A check that ended in an error; the hint of Strata's own errors replaces the remedy."""
        if isinstance(error, StrataError):
            return cls(name, ok=False, detail=error.reason, remedy=error.hint or remedy)
        return cls(name, ok=False, detail=f"{type(error).__name__}: {error}", remedy=remedy)
