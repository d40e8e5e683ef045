"""Signals that ask a command to end: Ctrl-C, SIGTERM, SIGHUP.

While modules are imported nothing has begun, so the process just ends, with its line of JSON. Later
a signal is an exception of the main thread: what is open is closed on its way, Spark is stopped,
and the report is written. A signal that the caller had ignored (``nohup``, background jobs) stays
ignored, and handlers that others have set stay.

This module is imported before all others, so it imports nothing that takes time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = [
    "HINT",
    "Interrupted",
    "StopSignals",
    "call_no_more",
    "call_on_signal",
    "exit_at_once",
    "handled_signals",
    "interruption_of",
    "stop_signals",
]

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 0.05
HINT = "the same command goes on"


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code by which shells tell of the signal: 130, 143 or 129."""
        return 128 + self.number

    @property
    def reason(self) -> str:
        """What is told of it."""
        if self.number == signal.SIGINT:
            return "interrupted"
        return f"ended by {signal.Signals(self.number).name}"


def interruption_of(error: BaseException) -> Interrupted | None:
    """The signal that an error comes of, if any: closing what was cut off may fail in turn."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Interrupted):
        cause = cause.__cause__ or cause.__context__
    return cause


class StopSignals:
    """Which signal came first while a command ran.

    Attributes:
        received: the exception that it was raised as; None while there was no signal.
    """

    def __init__(self, tell: Callable[[Interrupted], object]) -> None:
        self.received: Interrupted | None = None
        self._tell = tell

    def receive(self, number: int, _: FrameType | None) -> None:
        """Raise the first signal as an exception; of later ones, Ctrl-C ends the process at once.

        Raises:
            Interrupted: this is the first signal.
        """
        error = Interrupted(number)
        if self.received is None:
            self.received = error
            for call in tuple(_CALLS):
                # What fails here fails again where it is closed.
                with suppress(Exception):
                    call()
            raise error
        if number == signal.SIGINT:
            self._tell(error)
            os._exit(error.exit_code)

    def raise_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise a signal once more that came in code that cannot raise, such as a finalizer."""
        if isinstance(unraisable.exc_value, Interrupted):
            self.received = None
            # Here it would be lost again, for this is still the code that cannot raise.
            facts = (threading.get_ident(), unraisable.exc_value.number)
            threading.Timer(AGAIN_SECONDS, signal.pthread_kill, facts).start()
        else:
            sys.__unraisablehook__(unraisable)


_CALLS: list[Callable[[], object]] = []


def call_on_signal(call: Callable[[], object]) -> None:
    """Have a function called when a signal arrives, before anything is closed."""
    if call not in _CALLS:
        _CALLS.append(call)


def call_no_more(call: Callable[[], object]) -> None:
    """Undo `call_on_signal`, if that was called."""
    if call in _CALLS:
        _CALLS.remove(call)


def handled_signals() -> list[int]:
    """The signals that are exceptions now."""
    return [n for n in SIGNALS if isinstance(_owner(n), StopSignals)]


def _owner(number: int) -> object:
    return getattr(signal.getsignal(number), "__self__", None)


@contextmanager
def stop_signals(tell: Callable[[Interrupted], object]) -> Iterator[StopSignals]:
    """Run a block in which signals are exceptions of the main thread.

    In another thread, or where the process has handlers of its own, those stay as they are.

    Args:
        tell: reports the end of a command that ends at once.
    """
    stop = StopSignals(tell)
    former = _handle(stop.receive)
    hook = sys.unraisablehook
    if former:
        sys.unraisablehook = stop.raise_again
    try:
        yield stop
    finally:
        sys.unraisablehook = hook
        for number, handler in former.items():
            signal.signal(number, handler)


def exit_at_once() -> None:
    """Let signals end the process at once, until a command handles them."""
    _handle(_exit)


def _exit(number: int, _: FrameType | None) -> None:
    """End with the lines of a failure, written without any module that may be half imported."""
    error = Interrupted(number)
    line = (
        f'{{"code": {error.exit_code}, "reason": "{error.reason}", "hint": "{HINT}", '
        '"retryable": true, "run_id": ""}'
    )
    with suppress(OSError):
        text = f"strata: error: {error.reason}\nstrata: hint: {HINT}\n{line}\n"
        os.write(2, text.encode("ascii"))
    os._exit(error.exit_code)


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[int, _Handler]:
    """Set a handler where there is none but ours or the default; returns the former ones."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    free = (signal.SIG_DFL, signal.default_int_handler, _exit)
    former: dict[int, _Handler] = {n: old for n in SIGNALS if (old := signal.getsignal(n)) in free}
    for number in former:
        signal.signal(number, handler)
    return former
