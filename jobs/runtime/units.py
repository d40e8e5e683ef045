"""Bytes as people read them."""

from __future__ import annotations

__all__ = ["MB", "size"]

MB = 1_000_000


def size(n_bytes: int) -> str:
    """Bytes as MB with two digits."""
    return f"{n_bytes / MB:,.2f}"
