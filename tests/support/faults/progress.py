"""A progress that lets a test act, or fail, between the steps of a stage."""

from __future__ import annotations

from collections.abc import Callable

from strata.jobs.runner.progress import QuietProgress

__all__ = ["HookedProgress"]


def _nothing(_: int) -> None:
    """Let the stage go on."""


class HookedProgress(QuietProgress):
    """Tells a test of each step that begins or ends, with how many did so before it."""

    def __init__(
        self,
        before: Callable[[int], object] = _nothing,
        after: Callable[[int], object] = _nothing,
    ) -> None:
        self._before = before
        self._after = after
        self._begun = 0
        self._ended = 0

    def start(self, stage: str, step: str, tasks: int) -> None:  # noqa: ARG002
        """A step begins."""
        self._begun += 1
        self._before(self._begun - 1)

    def finish(self) -> None:
        """A step has ended; what it has made is not published yet."""
        self._ended += 1
        self._after(self._ended - 1)
