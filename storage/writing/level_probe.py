"""Measuring the files of a writer to choose their compression level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, thread_time
from typing import TYPE_CHECKING

import pyarrow as pa

from strata.storage.contracts.store import Output
from strata.storage.writing.level_chooser import FileCost, LevelChooser, Trial

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LevelProbe", "TimedOutput"]

# Bytes of the rows that each level is tried on.
_SAMPLE_BYTES = 500_000


class TimedOutput(Output):
    """An output that counts the seconds that its writer waits for it."""

    def __init__(self, inner: Output) -> None:
        self._inner = inner
        self.waited = 0.0

    @property
    def sends_behind(self) -> bool:
        """Whether the inner output sends bytes while the caller continues."""
        return self._inner.sends_behind

    def write(self, data: ReadableBuffer) -> int:
        """Append bytes."""
        start = perf_counter()
        try:
            return self._inner.write(data)
        finally:
            self.waited += perf_counter() - start

    def tell(self) -> int:
        """Bytes written so far."""
        return self._inner.tell()

    def close(self) -> None:
        """Publish the file."""
        start = perf_counter()
        self._inner.close()
        self.waited += perf_counter() - start
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if not self.closed:
            self._inner.discard()
            super().close()


class LevelProbe:
    """Measures the files of one writer; without a chooser it does nothing.

    Args:
        chooser: learns from the files.
        attempt: writes some rows at a level, and returns the size in bytes.
    """

    def __init__(
        self, chooser: LevelChooser | None, attempt: Callable[[pa.Table, int], int]
    ) -> None:
        self._chooser = chooser
        self._attempt = attempt
        self._output: TimedOutput | None = None
        self._sample: pa.Table | None = None
        self._raw_bytes = 0
        self._seconds = 0.0

    @property
    def of_next_file(self) -> int | None:
        """The level of the next file; None where the layout decides it."""
        return None if self._chooser is None else self._chooser.level

    def begin(self, output: Output) -> Output:
        """Begin a file, and return its output, timed where that is needed."""
        if self._chooser is None:
            return output
        self._sample, self._raw_bytes, self._seconds = None, 0, 0.0
        self._output = TimedOutput(output)
        return self._output

    @contextmanager
    def timed(self, rows: pa.Table | None = None) -> Iterator[None]:
        """Measure the time of a block that writes ``rows``."""
        start = perf_counter()
        yield
        self._seconds += perf_counter() - start
        if rows is not None and self._chooser is not None:
            self._raw_bytes += rows.nbytes
            if self._sample is None:
                self._sample = _copied(rows, _SAMPLE_BYTES)

    def end(self, n_bytes: int) -> None:
        """End a file that was written with ``n_bytes`` bytes."""
        if self._chooser is None or self._output is None:
            return
        waited = self._output.waited
        cost = FileCost(
            self._raw_bytes,
            n_bytes,
            self._seconds - waited,
            waited,
            is_behind=self._output.sends_behind,
        )
        self._chooser.observe(cost, self._trial)

    def _trial(self, level: int) -> Trial:
        assert self._sample is not None
        # In processor time, because other processes may use the cores meanwhile.
        start = thread_time()
        n_bytes = self._attempt(self._sample, level)
        raw_bytes = max(1, self._sample.nbytes)
        return Trial(max(1e-6, thread_time() - start) / raw_bytes, n_bytes / raw_bytes)


def _copied(rows: pa.Table, n_bytes: int) -> pa.Table:
    # A copy, because a slice would keep all of the rows in memory.
    count = max(1, rows.num_rows * n_bytes // max(1, rows.nbytes))
    return rows.take(pa.array(range(min(count, rows.num_rows)), pa.int64()))
