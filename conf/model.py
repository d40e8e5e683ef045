"""What all settings models have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["NAME", "Model"]

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"


class Model(BaseModel):
    """Frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
