"""Bytes to and from an object store, against plain s3fs; and a table read again from the cache."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import s3fs

from benchmarks.corpus import Corpus
from benchmarks.slow_link import slow_link
from strata.storage.contracts.cache_options import CacheOptions
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import DOCUMENTS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import IoMeter, MeteredStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from tests.support.servers.ceph import SECRET, Ceph, running_ceph

__all__ = ["CacheRound", "TransferRound", "measure_cache", "measure_transfer"]

MB = 1_000_000
TEXT_BYTES = 400 * MB
PIECE = 1 << 20
LAYOUT = ParquetLayout("zstd", 3, 32 * MB, 128 * MB)
BATCH_BYTES = 16 * MB
# A store in the same region over a link of 1 Gbit/s, and one that is farther away.
LINKS = {"loopback": None, "5 ms, 120 MB/s": (2.5, 120.0), "40 ms, 30 MB/s": (20.0, 30.0)}


@dataclass(frozen=True, slots=True)
class TransferRound:
    """The same bytes moved by both, MB/s, medians of the rounds.

    Attributes:
        what: which way, and how.
        megabytes: bytes moved.
        plain: MB/s of s3fs.
        strata: MB/s of Strata's store.
        requests_per_mb: of Strata's store.
    """

    what: str
    megabytes: float
    plain: float
    strata: float
    requests_per_mb: float

    @property
    def ratio(self) -> float:
        """Speed of Strata's store, where that of s3fs is 1."""
        return self.strata / self.plain


@dataclass(frozen=True, slots=True)
class CacheRound:
    """A table read twice over a link; seconds, decoding included.

    Attributes:
        link: latency of a round trip, and rate.
        bytes_first: seconds of the first reading, bytes alone.
        bytes_second: of the second one, bytes alone.
        first: of the first reading, with decoding.
        second: of the second one, with decoding.
        decode: of the same table on the local disk, with decoding.
    """

    link: str
    bytes_first: float
    bytes_second: float
    first: float
    second: float
    decode: float


def measure_transfer(corpus: Corpus, scratch: Path, rounds: int) -> list[TransferRound]:
    """Put, get and scan of files of a table of the corpus, by turns with s3fs."""
    files = _table(corpus, scratch)
    with running_ceph() as ceph:
        return _Bench(ceph, files, scratch, rounds).run()


def measure_cache(corpus: Corpus, scratch: Path) -> list[CacheRound]:
    """The first and the second reading of a table, over links of several kinds."""
    files = _table(corpus, scratch)
    with running_ceph() as ceph:
        bucket, port = ceph.bucket(), int(ceph.endpoint.rpartition(":")[2])
        store = open_store(StorageOptions({"s3://": ceph.options}))
        urls = [bucket / file.name for file in files]
        for file, url in zip(files, urls, strict=True):
            store.write_bytes(url, file.read_bytes())
        decode = _seconds(lambda: _scan(FsspecStore(), [Url.parse(file) for file in files]))
        found = []
        for number, (name, link) in enumerate(LINKS.items()):
            cache = CacheOptions(str(scratch / f"cache-{number}"), 10**10)
            if link is None:
                found.append(_twice(name, ceph.options, urls, cache, decode))
                continue
            with slow_link(port, *link) as slow:
                options = ceph.options | {"endpoint_url": f"http://127.0.0.1:{slow}"}
                found.append(_twice(name, options, urls, cache, decode))
        return found


def _twice(
    name: str, options: dict[str, Any], urls: list[Url], cache: CacheOptions, decode: float
) -> CacheRound:
    seconds = []
    # Each way of reading has a cache of its own, or its first reading would be the other's second.
    for read, folder in ((_bytes, "bytes"), (_scan, "scan")):
        own = replace(cache, folder=f"{cache.folder}-{folder}")
        store = open_store(StorageOptions({"s3://": options}, cache=own))
        store.info(urls[0])
        seconds += [_seconds(partial(read, store, urls)) for _ in range(2)]
    bytes_first, bytes_second, first, second = seconds
    return CacheRound(name, bytes_first, bytes_second, first, second, decode)


class _Bench:
    def __init__(self, ceph: Ceph, files: list[Path], scratch: Path, rounds: int) -> None:
        self._store = open_store(StorageOptions({"s3://": ceph.options}))
        self._plain = s3fs.S3FileSystem(**(ceph.options | {"secret": SECRET}))
        self._files = files
        self._bucket = ceph.bucket()
        self._scratch = scratch
        self._rounds = rounds
        self._megabytes = sum(file.stat().st_size for file in files) / MB

    def run(self) -> list[TransferRound]:
        """Each way of moving in turn; the files of the first are read by the others."""
        return [
            self._compare("put", self._put_plain, self._put),
            self._compare("get", self._get_plain, self._get),
            self._compare("read all columns", self._scan_plain, self._scan),
        ]

    def _compare(
        self, what: str, plain: Callable[[], object], mine: Callable[[MeteredStore], object]
    ) -> TransferRound:
        meter = IoMeter()
        seconds: tuple[list[float], list[float]] = ([], [])
        # The first round opens connections, and does not count.
        for number in range(self._rounds + 1):
            store = MeteredStore(self._store, IoMeter())
            pair = _seconds(plain), _seconds(partial(mine, store))
            if number:
                for each, taken in zip(seconds, pair, strict=True):
                    each.append(taken)
                meter += store.meter
        requests = meter.read_requests + meter.write_requests
        of_plain, of_mine = (self._megabytes / statistics.median(each) for each in seconds)
        return TransferRound(
            what,
            self._megabytes,
            of_plain,
            of_mine,
            requests / ((meter.bytes_read + meter.bytes_written) / MB),
        )

    def _urls(self, kind: str) -> Iterator[tuple[Path, Url]]:
        for file in self._files:
            yield file, self._bucket / f"{kind}/{file.name}"

    def _put_plain(self) -> None:
        for file, url in self._urls("plain"):
            self._plain.put_file(str(file), url.path)

    def _put(self, store: MeteredStore) -> None:
        for file, url in self._urls("mine"):
            with file.open("rb") as source, store.create(url) as output:
                while piece := source.read(PIECE):
                    output.write(piece)

    def _get_plain(self) -> None:
        for file, url in self._urls("plain"):
            self._plain.get_file(url.path, str(self._scratch / f"plain-{file.name}"))

    def _get(self, store: MeteredStore) -> None:
        for file, url in self._urls("mine"):
            target = self._scratch / f"mine-{file.name}"
            with store.open_input(url) as source, target.open("wb") as output:
                while piece := source.read(PIECE):
                    output.write(piece)

    def _scan_plain(self) -> None:
        self._get_plain()
        local = [Url.parse(self._scratch / f"plain-{file.name}") for file in self._files]
        _scan(FsspecStore(), local)

    def _scan(self, store: MeteredStore) -> None:
        _scan(store, [url for _, url in self._urls("mine")])


def _scan(store: Store, urls: list[Url]) -> None:
    for url in urls:
        for _ in read_batches(store, url, DOCUMENTS.names, None, BATCH_BYTES):
            pass


def _bytes(store: Store, urls: list[Url]) -> None:
    for url in urls:
        with store.open_input(url) as source:
            while source.read(PIECE):
                pass


def _seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def _table(corpus: Corpus, scratch: Path) -> list[Path]:
    """Files of `documents`, of the text of the corpus, repeated up to the size wanted."""
    texts = corpus.texts(TEXT_BYTES)
    folder = Url.parse(scratch / "documents")
    with TableWriter(FsspecStore(), folder, "documents", LAYOUT, "bench") as writer:
        size = first = 0
        while size < TEXT_BYTES:
            for piece in _pieces(texts):
                writer.write(_documents(first, piece))
                first += len(piece)
                size += piece.nbytes
                if size >= TEXT_BYTES:
                    break
        return [Path(Url.parse(file.url).path) for file in writer.close()]


def _pieces(texts: pa.LargeStringArray) -> Iterator[pa.LargeStringArray]:
    for at in range(0, len(texts), 2_000):
        yield texts[at : at + 2_000]


def _documents(first: int, texts: pa.LargeStringArray) -> pa.RecordBatch:
    rows = [
        {
            "doc_id": first + i,
            "id": str(first + i),
            "text": text,
            "source": "bench",
            "n_bytes": len(text.encode()),
            "content_hash": (first + i).to_bytes(16, "big"),
        }
        for i, text in enumerate(texts.to_pylist())
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)
