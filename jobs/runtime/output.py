"""How a command's result is printed."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["OutputForm"]


class OutputForm(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"
