"""Standard streams that can always be used, whatever they were when the command began.

With ``>&-`` or ``2>&-`` the next files that a process opens, such as the catalog, would get the
numbers of stdout and stderr, and what Spark's JVM prints would end up in them.
"""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from strata.errors import MachineError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["open_standard_files", "steady_streams"]

STDIN, STDOUT, STDERR = range(3)


def open_standard_files() -> None:
    """Open the null device in place of each standard file that is closed; children get it too."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: all below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def steady_streams() -> None:
    """Make stdout tell why it cannot be written, and stderr never fail.

    Streams that somebody else has put in their place, as tests do, stay.
    """
    open_standard_files()
    if _is_own(sys.stdout, sys.__stdout__):
        sys.stdout = _text(_Stdout(STDOUT, "w", closefd=False), sys.stdout)
    if _is_own(sys.stderr, sys.__stderr__):
        sys.stderr = _text(_Stderr(STDERR, "w", closefd=False), sys.stderr)


def _is_own(stream: TextIO | None, first: TextIO | None) -> bool:
    """Whether a stream is the interpreter's; that of a closed file is None."""
    return stream is first


def _text(raw: FileIO, former: TextIO | None) -> TextIOWrapper:
    """A text stream with the encoding and the buffering of the former one."""
    is_error = raw.fileno() == STDERR
    return TextIOWrapper(
        BufferedWriter(raw),
        encoding=former.encoding if former else "utf-8",
        errors=former.errors if former else "backslashreplace",
        line_buffering=is_error or raw.isatty(),
        write_through=is_error,
    )


class _Stdout(FileIO):
    """Stdout, whose first failure is the machine's; what comes after it is dropped."""

    _is_lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or tell why not."""
        if self._is_lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            # The interpreter flushes once more at exit.
            self._is_lost = True
            raise MachineError(
                f"stdout cannot be written: {error.strerror}",
                hint="the work itself is done; have the result written to a place with room",
            ) from error


class _Stderr(FileIO):
    """Stderr, whose failures nobody could be told of."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
