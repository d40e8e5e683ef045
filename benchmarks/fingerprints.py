"""Tables of fingerprints as large as wanted, made from the fingerprints of a corpus of real text.

In copy k each place of all signatures has its byte changed by one XOR of its own, so two documents
of a copy agree in exactly the places in which the real ones agree, and those of different copies as
often as strangers. As in benchmarks/scale.py, of 100 documents of a copy one stays equal to the
original and one nearly so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.corpus import Corpus
from strata.pipelines.kernels.content_hash import content_hash
from strata.pipelines.kernels.minhash import sketch
from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter, WrittenFile

__all__ = ["Prints", "banners", "copies", "real_prints", "write_warehouse"]

NGRAM = 5
LAYOUT = ParquetLayout("zstd", 3, 32_000_000, 128_000_000)
# Places of a nearly equal copy that change: some five shingles of a few hundred.
NEAR_PLACES = 0.01
BANNER = (
    "We and our partners use cookies and similar technologies to store and access information on "
    "your device, to measure the use of this site, to show content and advertising that fit your "
    "interests, and to develop and improve our services. You can accept all cookies, refuse those "
    "that are not necessary, or choose for each purpose what you agree to. You can change or "
    "withdraw your consent at any time on the page about privacy, to which every page links below."
)
BANNER_PART = 50_000


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints: uint8[n, 256], uint8[n, 16], int64[n]."""

    signature: np.ndarray
    content_hash: np.ndarray
    n_shingles: np.ndarray


def real_prints(corpus: Corpus) -> Prints:
    """The fingerprints of a corpus."""
    return _prints(corpus.texts(2**62))


def _prints(texts: pa.LargeStringArray) -> Prints:
    sketches, hashes = sketch(texts, NGRAM), content_hash(texts)
    data = np.frombuffer(hashes.buffers()[1], np.uint8).reshape(-1, 16)[: len(texts)]
    return Prints(sketches.signature, data, sketches.n_shingles)


def copies(base: Prints, number: int) -> Iterator[Prints]:
    """So many copies, the first of which is the original."""
    yield base
    for copy in range(1, number):
        rng = np.random.default_rng(copy)
        share = (np.arange(len(base.n_shingles)) + 37 * copy) % 100
        own = (share > 1)[:, None]
        signature = base.signature ^ np.where(own, rng.integers(0, 256, 256, np.uint8), 0)
        near = (share == 1)[:, None] & (rng.random(signature.shape, np.float32) < NEAR_PLACES)
        signature[near] ^= np.uint8(85)
        # A document without a word has no signature.
        signature[base.n_shingles == 0] = 0
        changed = (share > 0)[:, None]
        hashes = base.content_hash ^ np.where(changed, rng.integers(0, 256, 16, np.uint8), 0)
        yield Prints(signature, hashes, base.n_shingles)


def banners(number: int) -> Iterator[Prints]:
    """A banner so many times; every other time one of its words is another one."""
    words = BANNER.split(" ")
    rng = np.random.default_rng(1)
    for start in range(0, number, BANNER_PART):
        texts = []
        for place in range(start, min(number, start + BANNER_PART)):
            text = list(words)
            if place % 2:
                text[int(rng.integers(0, len(words)))] = f"word{place}"
            texts.append(" ".join(text))
        yield _prints(pa.array(texts, pa.large_string()))


def write_warehouse(settings: Settings, parts: Iterator[Prints]) -> int:
    """A new warehouse whose documents have these fingerprints and no text; how many they are.

    Each part is an input file, and a file of each table.
    """
    root = Path(Url.parse(settings.warehouse).path)
    shutil.rmtree(root, ignore_errors=True)
    corpus, documents = open_to_write(settings), 0
    files: dict[str, list[WrittenFile]] = {"documents": [], "fingerprints": []}
    for number, part in enumerate(parts):
        for table, columns in _columns(number, part).items():
            files[table] += _write(Url.parse(root / table), table, columns)
        documents += len(part.n_shingles)
    for table, written in files.items():
        publish(
            corpus.table(table),
            written,
            mode=PublishMode.OVERWRITE,
            content_key=f"made {documents}",
            run_id="made",
        )
    return documents


def _columns(number: int, part: Prints) -> dict[str, dict[str, pa.Array]]:
    count = len(part.n_shingles)
    doc_ids = pa.array((np.int64(number) << 37) + np.arange(count))
    hashes = pa.array([row.tobytes() for row in part.content_hash], pa.binary(16))
    shared = {"doc_id": doc_ids, "content_hash": hashes, "source": pa.array(["made"] * count)}
    size = pa.array(np.full(count, 5000))
    ids = np.random.default_rng([7, number]).integers(-(2**63), 2**63 - 1, count)
    signature = [row.tobytes() for row in part.signature]
    nothing = pa.nulls(count, pa.string())
    return {
        "documents": {
            **shared,
            "id": pa.array([f"{number}-{place}" for place in range(count)]),
            "text": pa.array([""] * count, pa.large_string()),
            "lang": nothing,
            "url": nothing,
            "metadata": nothing.cast(pa.large_string()),
            "n_bytes": size,
            "created": nothing.cast(SCHEMAS["documents"].field("created").type),
        },
        "fingerprints": {
            **shared,
            "n_bytes": size,
            "n_shingles": pa.array(part.n_shingles),
            "id_hash": pa.array(ids),
            "signature": pa.array(signature, pa.binary(256)),
        },
    }


def _write(folder: Url, table: str, columns: dict[str, pa.Array]) -> list[WrittenFile]:
    schema = SCHEMAS[table]
    with TableWriter(FsspecStore(), folder, table, LAYOUT, "made") as writer:
        rows = [columns[name] for name in schema.names]
        writer.write(pa.RecordBatch.from_arrays(rows, schema=schema))
        return writer.close()
