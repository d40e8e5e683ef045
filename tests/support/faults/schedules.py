"""Several actors in one process, of which one runs at a time: a seed decides who goes on.

An actor gives way at every call of a store and before every commit of the catalog, so each seed is
one interleaving of these, and the same one every time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.handles import LocalOutput

CALLS = (
    *((FsspecStore, n) for n in ("open_input", "create", "info", "find", "delete", "read_ranges")),
    (LocalOutput, "_publish"),
    (SqlCatalog, "commit_table"),
)
LONGEST_WAIT = 60


class Schedule:
    """Who runs, by a seeded choice at every step."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._turn = threading.Condition()
        self._weights: dict[str, int] = {}
        self._running = ""
        self._errors: list[BaseException] = []
        self._names: dict[int, str] = {}

    def run(self, actors: Mapping[str, Callable[[], object]]) -> None:
        """Run the actors to their ends; the first error of one of them is raised."""
        # Some are slow and some fast, or every schedule would be much like the others.
        self._weights = {name: self._random.choice((1, 3, 20)) for name in actors}
        threads = [
            threading.Thread(target=self._act, args=(name, work)) for name, work in actors.items()
        ]
        for thread in threads:
            thread.start()
        with self._turn:
            self._choose()
        for thread in threads:
            thread.join(LONGEST_WAIT)
            assert not thread.is_alive()
        if self._errors:
            raise self._errors[0]

    def step(self) -> None:
        """Give way, if an actor calls; threads of its pools go on."""
        name = self._names.get(threading.get_ident())
        if name is not None:
            with self._turn:
                self._choose()
                self._await(name)

    def _act(self, name: str, work: Callable[[], object]) -> None:
        self._names[threading.get_ident()] = name
        with self._turn:
            self._await(name)
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
        finally:
            with self._turn:
                del self._weights[name], self._names[threading.get_ident()]
                self._choose()

    def _choose(self) -> None:
        names = sorted(self._weights)
        weights = [self._weights[name] for name in names]
        self._running = self._random.choices(names, weights)[0] if names else ""
        self._turn.notify_all()

    def _await(self, name: str) -> None:
        assert self._turn.wait_for(lambda: self._running == name, LONGEST_WAIT)


@contextmanager
def steps_at_every_call(step: Callable[[str], None]) -> Iterator[None]:
    """Call ``step`` with its name before every call of a store, publishing and commit."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, name in CALLS:
            patch.setattr(kind, name, _stepping(getattr(kind, name), name, step))
        yield


def _stepping(
    real: Callable[..., Any], name: str, step: Callable[[str], None]
) -> Callable[..., Any]:
    def stepping(*arguments: Any, **named: Any) -> Any:
        step(name)
        return real(*arguments, **named)

    return stepping
