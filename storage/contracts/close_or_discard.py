"""Contexts whose work is kept when their block succeeds, and undone when it fails."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CloseOrDiscard"]


class _Discardable(Protocol):
    def close(self) -> object:
        """Keep the work."""

    def discard(self) -> None:
        """Undo it."""


class CloseOrDiscard:
    """A context that calls ``close()`` at the end of its block, and ``discard()`` if it fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self: _Discardable,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
