"""Threads that move bytes: few, bounded, and shared by all files of a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import TypeVar

from fsspec.asyn import iothread

from strata.storage.transfer.metering import IoMeter, counting, current_meter

__all__ = ["Role", "moves_bytes", "submit"]

Result = TypeVar("Result")


class Role(StrEnum):
    """The kind of work of a thread.

    AHEAD may wait for REQUEST, never the other way round, and neither waits for its own kind, so
    there is no deadlock.
    """

    REQUEST = "request"
    AHEAD = "ahead"


_pools: dict[tuple[Role, int], ThreadPoolExecutor] = {}
# Threads do not survive a fork, such as that of a Python worker of Spark.
os.register_at_fork(after_in_child=_pools.clear)
_NAME = "strata-"


def moves_bytes() -> bool:
    """Whether this thread is of a pool, or fsspec's event loop: it must not wait for their work.

    The garbage collector may run finalizers in any thread.
    """
    thread = threading.current_thread()
    return thread is iothread[0] or thread.name.startswith(_NAME)


def submit(
    role: Role, threads: int, function: Callable[..., Result], *args: object
) -> Future[Result]:
    """Run a function in a thread, which counts into the caller's meter."""
    pool = _pools.get((role, threads))
    if pool is None:
        made = ThreadPoolExecutor(threads, thread_name_prefix=f"{_NAME}{role}")
        pool = _pools.setdefault((role, threads), made)
    return pool.submit(_counted, current_meter(), function, args)


def _counted(
    meter: IoMeter | None, function: Callable[..., Result], args: tuple[object, ...]
) -> Result:
    with counting(meter):
        return function(*args)
