"""Signals under spark-submit, where the JVM is the parent of the driver and receives them alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from strata.jobs.session.signals import handled_signals

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["forward_signals", "keep_handlers"]


class _JavaSignal(Protocol):
    def getNumber(self) -> int: ...  # noqa: N802


class _ToDriver:
    """A handler of the JVM that passes a signal on to the main thread of this process."""

    def handle(self, received: _JavaSignal) -> None:
        """Called by the JVM."""
        signal.pthread_kill(threading.main_thread().ident or 0, received.getNumber())

    class Java:
        """What Py4J makes of it."""

        implements = ("sun.misc.SignalHandler",)


def forward_signals(session: SparkSession) -> None:
    """Have the JVM pass signals on instead of ending; it ends with the exit code of the driver."""
    from pyspark.java_gateway import ensure_callback_server_started

    gateway = session.sparkContext._gateway
    numbers = handled_signals()
    if gateway is None or not numbers:
        return
    ensure_callback_server_started(gateway)  # type: ignore[no-untyped-call]
    misc = gateway.jvm.sun.misc
    handler = _ToDriver()
    for number in numbers:
        # Java refuses one that it was started to ignore, or that it was told to leave alone.
        with suppress(Exception):
            misc.Signal.handle(misc.Signal(signal.Signals(number).name[3:]), handler)


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Keep the handler of Ctrl-C, for which PySpark sets its own when a context is made."""
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, former)
