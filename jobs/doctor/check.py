"""The outcome of one check of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from strata.errors import StrataError

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it will do, what was found, and what mends it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @classmethod
    def failed(cls, name: str, error: Exception, remedy: str) -> Check:
        """A check that ended in an error; Strata's own errors know the remedy better."""
        if isinstance(error, StrataError):
            return cls(name, ok=False, detail=error.reason, remedy=error.hint or remedy)
        return cls(name, ok=False, detail=f"{type(error).__name__}: {error}", remedy=remedy)
