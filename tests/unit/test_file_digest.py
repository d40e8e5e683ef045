import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from strata.storage.file_digest import DIGEST_KEY, NO_DIGEST, FileDigest
from strata.storage.parquet import ParquetLayout, TableWriter
from strata.storage.schemas import SCHEMAS
from strata.storage.store import open_store
from strata.storage.url import Url

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


def digest_of(data, footer_bytes):
    body = xxhash.xxh3_128()
    cut = len(data) - footer_bytes
    body.update(data[:cut])
    return FileDigest.of(body, data[cut:])


def test_digest_in_the_footer_is_that_of_the_file_with_zeros_in_its_place(written):
    file, data = written
    found = digest_of(data, len(data) - 4)
    assert found.stored == found.actual
    blank = data.replace(found.stored.encode(), b"0" * 32)
    assert xxhash.xxh3_128_hexdigest(blank) == found.actual
    assert len(data) == file.n_bytes
    stored = pq.read_metadata(Url.parse(file.url).path).metadata[DIGEST_KEY.encode()]
    assert stored == f"xxh3-128:{found.actual}".encode()


def test_digest_tells_every_flipped_byte(written):
    _, data = written
    footer = int.from_bytes(data[-8:-4], "little") + 8
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        found = digest_of(bytes(damaged), footer)
        assert found.stored != found.actual, f"byte {at} of {len(data)}"


def test_digest_of_a_file_of_another_writer_is_not_stored(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "f.parquet")
    found = digest_of((tmp_path / "f.parquet").read_bytes(), 100)
    assert found.stored is None
    assert len(found.actual) == 32
