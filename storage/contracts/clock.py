"""The clock, as a value that is passed to what names or judges files by time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Clock", "now_ms"]

Clock: TypeAlias = Callable[[], int]
"""Returns the time, in milliseconds since 1970."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
