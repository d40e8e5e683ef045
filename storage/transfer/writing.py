"""Outputs that send parts while they are written, and that retry a part when it fails."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from strata.errors import StrataError
from strata.storage.contracts.store import Output, PartUpload, Store
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.transfer.metering import counting, current_meter
from strata.storage.transfer.pool import Role, moves_bytes, submit
from strata.storage.transfer.retry import retried

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["PartedOutput", "SpooledOutput"]

# S3 accepts 10 000 parts; growing part sizes let a file of any size fit.
_PARTS_OF_A_SIZE = 2_000
# Over all outputs of this process: more parts than the threads can send would only take memory.
_flying: set[Future[str]] = set()
os.register_at_fork(after_in_child=_flying.clear)


class _Buffered(Output):
    """An output that fills a buffer and finishes once."""

    def __init__(self, policy: TransferPolicy) -> None:
        self._policy = policy
        self._meter = current_meter()
        self._buffer = bytearray()
        self._written = 0
        self._open = True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written


class PartedOutput(_Buffered):
    """An object written in parts, with several in flight; a small one takes a single request.

    Holds the part that is being filled; all outputs of a process together have ``policy.window``
    parts in flight.
    """

    def __init__(self, upload: PartUpload, policy: TransferPolicy) -> None:
        super().__init__(policy)
        self._upload = upload
        self._parts: list[Future[str]] = []
        self._landed = 0

    @property
    def sends_behind(self) -> bool:
        """Whether bytes are sent while the caller continues: yes, by threads."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Append bytes.

        Raises:
            StrataError: an earlier part has finally failed.
        """
        view = memoryview(data).cast("B")
        size = len(view)
        while len(view):
            taken = view[: self._part_bytes() - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]
            if len(self._buffer) == self._part_bytes():
                self._send()
        self._written += size
        return size

    def close(self) -> None:
        """Publish the object."""
        if self._open:
            self._open = False
            try:
                with counting(self._meter):
                    self._publish()
            except BaseException:
                self._drop()
                raise
        super().close()

    def discard(self) -> None:
        """Drop what was sent."""
        if getattr(self, "_open", False):
            self._open = False
            self._drop()
            super().close()

    def _part_bytes(self) -> int:
        return self._policy.part_bytes << (len(self._parts) // _PARTS_OF_A_SIZE)

    def _send(self) -> None:
        while len(_flying) >= self._policy.window:
            wait(_flying, return_when=FIRST_COMPLETED)
        self._land()
        with counting(self._meter):
            if not self._parts:
                retried(self._policy, self._upload.begin)
            data, self._buffer = self._buffer, bytearray()
            part = partial(self._upload.send, len(self._parts) + 1, data)
            flying = submit(Role.REQUEST, self._policy.window, retried, self._policy, part)
        self._parts.append(flying)
        _flying.add(flying)
        flying.add_done_callback(_flying.discard)

    def _land(self) -> None:
        """Raise the error of a part that has failed, before more are sent."""
        while self._landed < len(self._parts) and self._parts[self._landed].done():
            self._parts[self._landed].result()
            self._landed += 1

    def _publish(self) -> None:
        if not self._parts:
            data, self._buffer = self._buffer, bytearray()
            retried(self._policy, partial(self._upload.put, data))
            return
        if self._buffer:
            self._send()
        tags = [part.result() for part in self._parts]
        retried(self._policy, partial(self._upload.complete, tags))

    def _drop(self) -> None:
        self._buffer = bytearray()
        if not self._parts:
            return
        for part in self._parts:
            part.cancel()
        # What cannot be dropped now is left to `strata storage gc`; the first error matters more.
        if moves_bytes():
            return
        wait(self._parts)
        with suppress(StrataError), counting(self._meter):
            retried(self._policy, self._upload.abort)


class SpooledOutput(_Buffered):
    """A file on a store without parts: up to one part is kept in memory, so it can be sent again.

    A larger file is passed on to the store's own output as it is written.
    """

    def __init__(self, store: Store, url: Url, policy: TransferPolicy) -> None:
        super().__init__(policy)
        self._store = store
        self._url = url
        self._direct: Output | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Append bytes."""
        size = memoryview(data).nbytes
        if self._direct is None and len(self._buffer) + size > self._policy.part_bytes:
            with counting(self._meter):
                self._direct = retried(self._policy, partial(self._store.create, self._url))
                self._direct.write(self._buffer)
            self._buffer = bytearray()
        if self._direct is None:
            self._buffer += data
        else:
            with counting(self._meter):
                self._direct.write(data)
        self._written += size
        return size

    def close(self) -> None:
        """Publish the file under its name."""
        if self._open:
            self._open = False
            with counting(self._meter):
                if self._direct is not None:
                    self._direct.close()
                else:
                    retried(self._policy, self._write_whole)
        super().close()

    def discard(self) -> None:
        """Drop what was written."""
        if getattr(self, "_open", False):
            self._open = False
            if self._direct is not None:
                with counting(self._meter):
                    self._direct.discard()
            super().close()

    def _write_whole(self) -> None:
        self._store.write_bytes(self._url, bytes(self._buffer))
