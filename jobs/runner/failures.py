"""From the end of a command to its exit code: a sentence for people, one JSON line for machines."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from strata.errors import MachineError, StrataError, TransientError
from strata.jobs.runner.output import plain_streams
from strata.jobs.session.current_directory import deleted_directory
from strata.jobs.session.selection import shadowing
from strata.jobs.session.signals import HINT, Interrupted, stop_signals

__all__ = ["guarded", "report_failure", "translated"]

BUG = 1
# The shell's exit code of programs that ended by SIGPIPE.
UNREAD = 141
# How a worker's transient error appears in the text of a Spark exception.
TRANSIENT = re.compile(r"strata\.errors\.TransientError: (?P<reason>[^\n]+)")
WORKER_DIED = "Python worker exited unexpectedly"
# How another copy of a package shows, which PYTHONPATH has in place of the installed one.
MISFITS = (ImportError, AttributeError, TypeError)
# By name, so that no command imports Py4J to report its end.
JVM_GONE = frozenset({"Py4JNetworkError", "ConnectionRefusedError"})


def guarded(function: Callable[[], int], run_id: str = "", stream: TextIO | None = None) -> int:
    """Run a command and report how it ends on stderr, whose last line is one JSON object.

    Where a command that is no run succeeds, its output is all that there is to tell.

    Signals that ask for the end are failures too (:mod:`strata.jobs.session.signals`).

    Returns:
        The exit code; 141, without any report, where stdout was closed before all was written.
    """
    out = stream or sys.stderr

    def tell(error: Interrupted) -> int:
        report_failure(out, error.exit_code, error.reason, HINT, True, run_id)
        return error.exit_code

    with stop_signals(tell) as stop, _silent_libraries(), plain_streams():
        try:
            code = function()
            sys.stdout.flush()
            if run_id:
                _write_line(out, code, "done", "", False, run_id)
            return code
        except KeyboardInterrupt as error:
            return tell(error if isinstance(error, Interrupted) else Interrupted())
        except Exception as error:
            # What is closed after a signal fails for want of what was already ended.
            return tell(stop.received) if stop.received else _failed(error, out, run_id)


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keep what libraries log from stderr; what matters of it is an exception as well."""
    root, silence = logging.getLogger(), logging.NullHandler()
    root.addHandler(silence)
    try:
        yield
    finally:
        root.removeHandler(silence)


def _failed(error: Exception, out: TextIO, run_id: str) -> int:
    if isinstance(error, BrokenPipeError) and _is_unread():
        return UNREAD
    known = translated(error)
    if known is None:
        traceback.print_exc(file=out)
        reason = f"{type(error).__name__}: {error}"
        report_failure(out, BUG, reason, "this is a defect, please report it", False, run_id)
        return BUG
    report_failure(out, known.exit_code, known.reason, known.hint, known.retryable, run_id)
    return known.exit_code


def _is_unread() -> bool:
    """Whether nobody reads stdout any more, as after ``strata … | head``; then it is silenced."""
    try:
        stdout = sys.stdout.fileno()
    except OSError:
        # Tests put buffers in its place.
        return False
    pipe = select.poll()
    pipe.register(stdout, select.POLLERR)
    if not pipe.poll(0):
        return False
    # The interpreter flushes once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return True


def translated(error: BaseException) -> StrataError | None:
    """The error of Strata's tree that an exception stands for, if there is one."""
    if isinstance(error, StrataError):
        return error
    if isinstance(error, FileNotFoundError) and (deleted := deleted_directory()):
        return deleted
    if isinstance(error, MISFITS) and (shadow := shadowing()):
        return shadow
    text = str(error)
    if match := TRANSIENT.search(text):
        return TransientError(match["reason"], hint="the store failed again and again; try later")
    if WORKER_DIED in text:
        return TransientError(
            "a Python worker died again and again",
            hint="usually memory: fewer cores, a smaller shard.split_mb, or more memory",
        )
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & JVM_GONE:
        return TransientError(
            "Spark's JVM ended in the middle of the job",
            hint="usually memory or a kill: raise spark.driver.memory, then run it again",
        )
    if "java.lang.OutOfMemoryError" in text:
        return MachineError(
            "Spark's JVM has too little memory", hint="raise spark.driver.memory in [spark]"
        )
    if "No space left on device" in text:
        return MachineError(
            "a disk is full", hint="free room in the tiers and in Spark's local folder"
        )
    return None


def report_failure(
    out: TextIO, code: int, reason: str, hint: str, retryable: bool, run_id: str
) -> None:
    """Report what went wrong: a sentence, a hint, and finally the same as one JSON object."""
    print(f"strata: error: {reason}", file=out)
    if hint:
        print(f"strata: hint: {hint}", file=out)
    _write_line(out, code, reason, hint, retryable, run_id)


def _write_line(
    out: TextIO, code: int, reason: str, hint: str, retryable: bool, run_id: str
) -> None:
    line = {"code": code, "reason": reason, "hint": hint, "retryable": retryable, "run_id": run_id}
    print(json.dumps(line), file=out, flush=True)
