"""The journal of moves: what was about to be copied, what was copied, and how fast it was.

It is kept in ``<warehouse>/<corpus>/moves`` as small JSON files, which only a relocation changes::

    <batch>.intent.json   before the first copy is made
    <batch>.copied.json   when all copies are verified, before the tables refer to them
    <batch>.rate.json     when the tables refer to them

Only the catalog decides whether a file is in a table. The journal records which files may be
deleted once nothing refers to them, and what earlier moves cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import uuid4

import msgspec
from msgspec import structs

from strata.errors import InputError, InputMissingError
from strata.storage.contracts.clock import Clock, now_ms
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.lifecycle.rules import MOVED

__all__ = [
    "MoveCopied",
    "MoveIntent",
    "MoveJournal",
    "MoveRate",
    "MovedFile",
    "Throughput",
    "moves_folder",
    "throughputs",
]

VERSION = 1
_RATES_KEPT = 200
_RATES_USED = 20
Entry = TypeVar("Entry", bound="_Entry")


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    batch: str
    run_id: str
    at_ms: int
    version: int = VERSION


class MoveIntent(_Entry, frozen=True, kw_only=True):
    """Files are about to be copied into a folder, under names that begin with ``stem``."""

    table: str
    target: str
    folder: str
    stem: str
    files: tuple[str, ...]


class MovedFile(msgspec.Struct, frozen=True):
    """The URLs of a file and of its verified copy."""

    old: str
    new: str


class MoveCopied(_Entry, frozen=True, kw_only=True):
    """Files were copied, and the tables are about to refer to the copies."""

    table: str
    target: str
    files: tuple[MovedFile, ...]


class MoveRate(_Entry, frozen=True, kw_only=True):
    """What one batch from one tier to another cost: bytes on disk, and wall-clock seconds."""

    source: str
    target: str
    files: int
    bytes_read: int
    bytes_written: int
    seconds: float


class Throughput(msgspec.Struct, frozen=True):
    """The measured cost of moves from one tier to another.

    Attributes:
        bytes_per_second: bytes on disk of the moved files per second of wall-clock time.
        shrinkage: bytes written for each byte read.
    """

    bytes_per_second: float
    shrinkage: float


def moves_folder(warehouse: Url, corpus: str) -> Url:
    """Folder of the journal of a corpus."""
    return warehouse / corpus / "moves"


class MoveJournal:
    """The journal of one corpus."""

    def __init__(self, store: Store, folder: Url, clock: Clock = now_ms) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock

    def begin(
        self, run_id: str, table: str, target: str, folder: Url, files: Iterable[str]
    ) -> MoveIntent:
        """Record that files will be copied."""
        batch = f"{self._clock():013d}-{uuid4().hex[:12]}"
        intent = MoveIntent(
            batch=batch,
            run_id=run_id,
            at_ms=self._clock(),
            table=table,
            target=target,
            folder=str(folder),
            stem=f"{MOVED}-{batch}",
            files=tuple(files),
        )
        self._put("intent", intent)
        return intent

    def copied(self, intent: MoveIntent, files: Iterable[MovedFile]) -> MoveCopied:
        """Record that the copies exist."""
        entry = MoveCopied(
            batch=intent.batch,
            run_id=intent.run_id,
            at_ms=self._clock(),
            table=intent.table,
            target=intent.target,
            files=tuple(files),
        )
        self._put("copied", entry)
        return entry

    def rate(
        self,
        intent: MoveIntent,
        source: str,
        files: int,
        bytes_read: int,
        bytes_written: int,
        seconds: float,
    ) -> None:
        """Record what the files of a batch that came from one tier cost."""
        entry = MoveRate(
            batch=f"{intent.batch}-{source}",
            run_id=intent.run_id,
            at_ms=self._clock(),
            source=source,
            target=intent.target,
            files=files,
            bytes_read=bytes_read,
            bytes_written=bytes_written,
            seconds=seconds,
        )
        self._put("rate", entry)

    def intents(self) -> list[MoveIntent]:
        """All intents that are not settled, oldest first."""
        return self._all("intent", MoveIntent)

    def all_copied(self) -> list[MoveCopied]:
        """All copied batches that are not settled, oldest first."""
        return self._all("copied", MoveCopied)

    def rates(self) -> list[MoveRate]:
        """The recorded costs of moves, oldest first."""
        return self._all("rate", MoveRate)

    def give_up(self, batch: str) -> None:
        """Signal to the run of a batch, if it is still alive, that its copies will be deleted."""
        self._store.delete(self._url("intent", batch))

    def is_given_up(self, batch: str) -> bool:
        """Whether the copies of a batch may have been deleted, because its run took too long."""
        try:
            self._store.info(self._url("intent", batch))
        except InputMissingError:
            return True
        return False

    def forget(self, batch: str) -> None:
        """Remove a batch for which nothing is left to do."""
        # The intent goes last: as long as it exists, the batch is looked at again.
        for kind in ("copied", "intent"):
            self._store.delete(self._url(kind, batch))

    def relocate(self, move: Callable[[str], str]) -> None:
        """Replace the locations in all entries that are not settled; repeating it does no harm."""
        for intent in self.intents():
            moved = structs.replace(
                intent, folder=move(intent.folder), files=tuple(map(move, intent.files))
            )
            self._put_changed("intent", intent, moved)
        for entry in self.all_copied():
            files = tuple(MovedFile(move(each.old), move(each.new)) for each in entry.files)
            self._put_changed("copied", entry, structs.replace(entry, files=files))

    def _put_changed(self, kind: str, entry: _Entry, moved: _Entry) -> None:
        if moved != entry:
            self._put(kind, moved)

    def forget_old_rates(self) -> None:
        """Delete all but the newest rates, from which throughputs are computed."""
        urls = self._listed("rate")
        for url in urls[: max(0, len(urls) - _RATES_KEPT)]:
            self._store.delete(url)

    def _put(self, kind: str, entry: _Entry) -> None:
        self._store.write_bytes(self._url(kind, entry.batch), msgspec.json.encode(entry))

    def _url(self, kind: str, batch: str) -> Url:
        return self._folder / f"{batch}.{kind}.json"

    def _listed(self, kind: str) -> list[Url]:
        ending = f".{kind}.json"
        return [f.url for f in self._store.find(self._folder) if f.url.name.endswith(ending)]

    def _all(self, kind: str, form: type[Entry]) -> list[Entry]:
        found = [self._read(url, form) for url in self._listed(kind)]
        return [entry for entry in found if entry is not None]

    def _read(self, url: Url, form: type[Entry]) -> Entry | None:
        try:
            return msgspec.json.decode(self._store.read_bytes(url), type=form)
        except InputMissingError:
            # Another process has settled it since it was listed.
            return None
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{url} is not readable as a part of the journal of moves: {error}",
                hint="delete it: `strata storage gc` finds the files that it told of",
            ) from error


def throughputs(rates: Iterable[MoveRate]) -> dict[tuple[str, str], Throughput]:
    """The throughput of the newest moves between each pair of tiers."""
    by_pair: dict[tuple[str, str], list[MoveRate]] = {}
    for rate in rates:
        by_pair.setdefault((rate.source, rate.target), []).append(rate)
    return {
        pair: _throughput(sorted(some, key=lambda each: each.at_ms)[-_RATES_USED:])
        for pair, some in by_pair.items()
    }


def _throughput(rates: list[MoveRate]) -> Throughput:
    read = sum(rate.bytes_read for rate in rates)
    seconds = sum(rate.seconds for rate in rates)
    written = sum(rate.bytes_written for rate in rates)
    return Throughput(read / max(seconds, 1e-9), written / max(read, 1))
