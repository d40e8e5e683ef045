"""The access log: which data files Strata's own reads touched, how often and when.

Every run appends one small file to ``<warehouse>/<corpus>/accesses``; nothing is ever changed in
place. A read counts one task that read from a file. Lines are JSON, compressed with zstd::

    {"run": "20260801-101500-7", "at_ms": 1785579300000}
    {"file": "shard-00000-0-0-0198….zstd-3.parquet", "day": 20666, "reads": 2, "bytes": 81920, …}
    {"file": "move-00000-0-0-0198….zstd-19.parquet", "came_from": ["shard-00000-…"], …}

Files are identified by their names, which are unique. The last kind of line records that a file
replaced others, and it is written before the tables are changed: a crash leaves at most a line
about a file that no table has.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec
import zstandard

from strata.errors import InputError, InputMissingError
from strata.storage.contracts.clock import Clock, now_ms
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.file_lineage import FileLineage
from strata.storage.tables.referenced_files import referenced_names
from strata.storage.transfer.metering import FileReads

__all__ = [
    "DAY_MS",
    "AccessHistory",
    "FileHistory",
    "accesses_folder",
    "fold_accesses",
    "log_file_lineage",
    "log_reads",
    "read_accesses",
    "record_accesses",
    "record_file_lineage",
]

DAY_MS = 86_400_000
VERSION = 1
_SUFFIX = ".jsonl.zst"
_KEPT_DAYS = 366
# A reader may still use a file that has been replaced since.
_SETTLED_MS = 30 * DAY_MS


@dataclass(slots=True)
class FileHistory:
    """The reads of one file and of the earlier files whose rows it holds.

    Attributes:
        reads: number of reads by day, in days since 1970, UTC.
        n_bytes: bytes read in all.
        last_ms: the last read, milliseconds since 1970, UTC; 0 where there was none.
    """

    reads: dict[int, int] = field(default_factory=dict)
    n_bytes: int = 0
    last_ms: int = 0

    def count(self, line: _Line) -> None:
        """Add the reads that a line records."""
        if line.reads:
            self.reads[line.day] = self.reads.get(line.day, 0) + line.reads
        self.n_bytes += line.bytes
        self.last_ms = max(self.last_ms, line.last_ms)

    def inherit(self, older: FileHistory) -> None:
        """Take over the history of a file whose rows this one holds.

        Merged files were mostly read together, so the larger count of each day is kept; that also
        makes it harmless to inherit twice.
        """
        for day, reads in older.reads.items():
            self.reads[day] = max(self.reads.get(day, 0), reads)
        self.n_bytes = max(self.n_bytes, older.n_bytes)
        self.last_ms = max(self.last_ms, older.last_ms)

    def reads_since(self, at_ms: int) -> int:
        """Reads on the days from ``at_ms`` on."""
        first = at_ms // DAY_MS
        return sum(reads for day, reads in self.reads.items() if day >= first)


class AccessHistory:
    """The history of each file in the access log; a file that is not in it has no reads."""

    def __init__(self, own: dict[str, FileHistory], came_from: Mapping[str, set[str]]) -> None:
        self._own = own
        self._came_from = came_from
        self._whole: dict[str, FileHistory] = {}

    @property
    def names(self) -> set[str]:
        """The names of all files in the log."""
        return self._own.keys() | self._came_from.keys()

    def of(self, name: str) -> FileHistory:
        """The history of a file, with that of the files whose rows it holds."""
        known = self._whole.get(name)
        if known is None:
            known = FileHistory()
            own = self._own.get(name)
            if own is not None:
                known = FileHistory(dict(own.reads), own.n_bytes, own.last_ms)
            # Names are never reused, so the chain ends.
            for old in self._came_from.get(name, ()):
                known.inherit(self.of(old))
            self._whole[name] = known
        return known


class _Head(msgspec.Struct, omit_defaults=True):
    run: str
    at_ms: int
    version: int = VERSION
    folded: tuple[str, ...] = ()


class _Line(msgspec.Struct, omit_defaults=True):
    file: str
    day: int = 0
    reads: int = 0
    bytes: int = 0
    last_ms: int = 0
    came_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _LogFile:
    name: str
    head: _Head
    lines: tuple[_Line, ...]


def accesses_folder(warehouse: Url, corpus: str) -> Url:
    """Folder of the access log of a corpus."""
    return warehouse / corpus / "accesses"


def record_accesses(
    store: Store,
    folder: Url,
    run_id: str,
    reads: Mapping[str, FileReads],
    *,
    clock: Clock = now_ms,
) -> Url | None:
    """Append the reads of a run.

    Args:
        store: where the log is.
        folder: what :func:`accesses_folder` returns.
        run_id: the run.
        reads: the reads by file name, as in ``IoMeter.files``.
        clock: returns the time, in milliseconds since 1970.

    Returns:
        The file that was written; None where nothing was read.
    """
    now = clock()
    lines = [
        _Line(name, now // DAY_MS, each.reads, each.n_bytes, now)
        for name, each in sorted(reads.items())
    ]
    return _write(store, folder, _Head(run_id, now), lines)


def log_reads(corpus: Corpus, run_id: str, reads: Mapping[str, FileReads]) -> None:
    """Append the reads of a corpus, and fold its log where it has many files.

    Raises:
        StrataError: the warehouse cannot be written.
    """
    folder = accesses_folder(corpus.warehouse, corpus.name)
    record_accesses(corpus.store, folder, run_id, reads)
    fold_accesses(corpus.store, folder, lambda: referenced_names(corpus))


def log_file_lineage(corpus: Corpus, run_id: str, lineages: Iterable[FileLineage]) -> None:
    """Append that files of a corpus are about to replace others.

    Raises:
        StrataError: the warehouse cannot be written.
    """
    folder = accesses_folder(corpus.warehouse, corpus.name)
    record_file_lineage(corpus.store, folder, run_id, lineages)


def record_file_lineage(
    store: Store,
    folder: Url,
    run_id: str,
    lineages: Iterable[FileLineage],
    *,
    clock: Clock = now_ms,
) -> Url | None:
    """Append that files are about to replace others, so that they inherit the reads of those."""
    now = clock()
    lines = [_Line(name, last_ms=now, came_from=each.old) for each in lineages for name in each.new]
    return _write(store, folder, _Head(run_id, now), lines)


def read_accesses(store: Store, folder: Url) -> AccessHistory:
    """The history in the whole log.

    Raises:
        InputError: a file of the log is damaged.
    """
    return _history(_counted(_read_all(store, folder)))


def fold_accesses(
    store: Store,
    folder: Url,
    needed: Callable[[], Iterable[str]],
    *,
    at_least: int = 64,
    clock: Clock = now_ms,
) -> int:
    """Merge many log files into one; a crash in between neither loses nor doubles anything.

    The new file names those that it replaces, and readers skip them from then on.

    Args:
        store: where the log is.
        folder: what :func:`accesses_folder` returns.
        needed: returns the names of the files that tables refer to; for others only the last
            30 days are kept. It is called only when there is something to fold.
        at_least: number of files from which on the log is folded.
        clock: returns the time, in milliseconds since 1970.

    Returns:
        The number of deleted files.
    """
    files = _read_all(store, folder, least=at_least)
    if not files:
        return 0
    now = clock()
    keep = frozenset(needed())
    lines = _folded_lines(_counted(files), keep, now)
    # These include files of an earlier fold that died before it deleted them.
    names = tuple(file.name for file in files)
    _write(store, folder, _Head("fold", now, folded=names), lines)
    for name in names:
        store.delete(folder / name)
    return len(names)


def _folded_lines(files: Sequence[_LogFile], keep: frozenset[str], now: int) -> list[_Line]:
    history, first_day = _history(files), now // DAY_MS - _KEPT_DAYS
    links = [
        line
        for file in files
        for line in file.lines
        if line.came_from and line.last_ms >= now - _SETTLED_MS
    ]
    recent = {line.file for line in links} | {old for line in links for old in line.came_from}
    lines = list({(line.file, line.came_from): line for line in links}.values())
    for name in sorted(history.names):
        known = history.of(name)
        if name not in keep | recent and known.last_ms < now - _SETTLED_MS:
            continue
        lines += _lines_of(name, known, first_day)
    return lines


def _lines_of(name: str, known: FileHistory, first_day: int) -> list[_Line]:
    days = [(day, reads) for day, reads in sorted(known.reads.items()) if day >= first_day]
    lines = [_Line(name, day, reads) for day, reads in days]
    total = _Line(name, bytes=known.n_bytes, last_ms=known.last_ms)
    return [*lines, total] if known.last_ms else lines


def _history(files: Iterable[_LogFile]) -> AccessHistory:
    own: defaultdict[str, FileHistory] = defaultdict(FileHistory)
    came_from: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        for line in file.lines:
            if line.came_from:
                came_from[line.file] |= set(line.came_from)
            else:
                own[line.file].count(line)
    return AccessHistory(dict(own), came_from)


def _counted(files: Sequence[_LogFile]) -> list[_LogFile]:
    """The files without those that a fold among them replaces."""
    covered: set[str] = set()
    # Of two concurrent folds of the same files, the newer one counts.
    for file in sorted(files, key=lambda each: each.name, reverse=True):
        stands_for = set(file.head.folded)
        if file.name not in covered:
            covered |= {file.name} if covered & stands_for else stands_for
    return [file for file in files if file.name not in covered]


def _read_all(store: Store, folder: Url, *, least: int = 0) -> list[_LogFile]:
    listed = [info.url for info in store.find(folder) if info.url.name.endswith(_SUFFIX)]
    if len(listed) < least:
        return []
    read = [_read(store, url) for url in listed]
    return [file for file in read if file is not None]


def _read(store: Store, url: Url) -> _LogFile | None:
    try:
        packed = store.read_bytes(url)
    except InputMissingError:
        # Another process has folded it since it was listed.
        return None
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream:
            head, *lines = stream.read().splitlines()
        parsed = tuple(msgspec.json.decode(line, type=_Line) for line in lines)
        return _LogFile(url.name, msgspec.json.decode(head, type=_Head), parsed)
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:
        raise InputError(
            f"{url} is not readable as a file of the access log: {error}",
            hint="delete it: the reads that it counted are forgotten, and nothing else",
        ) from error


def _write(store: Store, folder: Url, head: _Head, lines: Sequence[_Line]) -> Url | None:
    if not lines and not head.folded:
        return None
    url = folder / f"{head.at_ms:013d}-{uuid4().hex}{_SUFFIX}"
    text = b"\n".join(msgspec.json.encode(each) for each in (head, *lines))
    store.write_bytes(url, zstandard.compress(text))
    return url
