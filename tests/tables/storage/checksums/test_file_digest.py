from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from strata.errors import InputError
from strata.storage.checksums.file_digest import DIGEST_KEY, NO_DIGEST, StoredDigest, footer_bytes
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import open_parquet
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout, TableWriter

DOCUMENTS = [
    ("one", "a text", "web"),
    ("two", f"the key {DIGEST_KEY}\x18\x29{NO_DIGEST} in a text", f"{DIGEST_KEY}!{NO_DIGEST}"),
]


def documents():
    rows = [
        {
            "doc_id": number,
            "id": name,
            "text": text,
            "source": source,
            "lang": None,
            "url": None,
            "metadata": None,
            "n_bytes": len(text),
            "content_hash": bytes(16),
        }
        for number, (name, text, source) in enumerate(DOCUMENTS)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["documents"])


@pytest.fixture
def written(tmp_path):
    layout = ParquetLayout("zstd", 3, 1_000_000, 1_000_000)
    writer = TableWriter(open_store(), Url.parse(tmp_path), "documents", layout, "t")
    writer.write(documents())
    (file,) = writer.close()
    with open(Url.parse(file.url).path, "rb") as stream:
        return file, stream.read()


def is_sound(data):
    footer = data[len(data) - footer_bytes(data[-8:], len(data)) :]
    stored = StoredDigest.find(footer)
    body = xxhash.xxh3_128(data[: len(data) - len(footer)])
    return stored is not None and stored.is_footer_sound and stored.is_file_sound(body)


def test_digests_are_those_of_the_bytes_with_zeros_in_their_place(written):
    file, data = written
    length = int.from_bytes(data[-8:-4], "little") + 8
    stored = StoredDigest.find(data[-length:])
    half = data.replace(stored.of_footer.encode(), b"0" * 16)
    blank = half.replace(stored.of_file.encode(), b"0" * 32)
    assert xxhash.xxh3_64_hexdigest(half[-length:]) == stored.of_footer
    assert xxhash.xxh3_128_hexdigest(blank) == stored.of_file
    assert len(data) == file.n_bytes
    kept = pq.read_metadata(Url.parse(file.url).path).metadata[DIGEST_KEY.encode()]
    assert kept == f"xxh3:{stored.of_file}:{stored.of_footer}".encode()
    assert is_sound(data)


def test_digest_tells_every_flipped_byte(written):
    _, data = written
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        assert not is_sound(bytes(damaged)), f"byte {at} of {len(data)}"


def test_digest_tells_every_truncation(written):
    _, data = written
    assert not any(is_sound(data[:length]) for length in range(len(data)))


def test_damaged_footer_is_told_before_arrow_sees_it(written):
    file, data = written
    url, store = Url.parse(file.url), open_store()
    for at in range(len(data) - footer_bytes(data[-8:], len(data)), len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        store.write_bytes(url, bytes(damaged))
        with suppress(InputError), open_parquet(store, url) as scan:
            # Only where the key itself is damaged may it pass.
            assert DIGEST_KEY.encode() not in scan.metadata.metadata


def test_digest_of_a_file_of_another_writer_is_not_stored(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "f.parquet")
    assert StoredDigest.find((tmp_path / "f.parquet").read_bytes()) is None
