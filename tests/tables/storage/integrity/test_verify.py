from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import InputError, TransientError
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.contracts.url import Url
from strata.storage.integrity import whole_file
from strata.storage.integrity.verify import Finding, VerifyLevel, verify, verify_file
from strata.storage.integrity.whole_file import check_bytes
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import open_parquet
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.held_files import HeldFile
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.table import CorpusTable
from strata.storage.tables.tags import delete_tag, tag_corpus
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter

LAYOUT = ParquetLayout("none", None, row_group_bytes=100_000, target_file_bytes=10_000_000)
CLUSTER = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}


def write(corpus, folder, table, rows):
    with TableWriter(corpus.store, folder / table, table, LAYOUT, "t") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[table]))
    return writer.close()


def clusters(*ids):
    return [{"doc_id": i, "kept_id": i} | CLUSTER for i in ids]


@pytest.fixture
def corpus(settings, folder):
    tokens = [{"doc_id": i, "source": "s", "n_tokens": 3, "tokens": [i, 2, 3]} for i in range(5)]
    with open_corpus(settings) as corpus:
        for name, rows in (("clusters", clusters(*range(1000))), ("tokens", tokens)):
            files = write(corpus, folder, name, rows)
            publish(corpus.table(name), files, mode=PublishMode.APPEND, content_key="k", run_id="r")
        yield corpus


@pytest.fixture
def file(corpus):
    (file,) = corpus.table("clusters").files()
    return file


def found(corpus, level=VerifyLevel.FULL):
    return [(c.table, c.finding) for c in verify(corpus, corpus.store, level).findings]


def change(corpus, file, edit):
    data = bytearray(corpus.store.read_bytes(file.location))
    edit(data)
    corpus.store.write_bytes(file.location, bytes(data))


def test_verify_sound_corpus_has_no_findings(corpus):
    for level in VerifyLevel:
        seen = []
        result = verify(corpus, corpus.store, level, seen.append)
        assert (result.files, result.rows, result.findings) == (2, 1005, [])
        assert result.n_bytes == sum(check.file.n_bytes for check in seen)
        assert [check.table for check in seen] == ["clusters", "tokens"]


def test_verify_reads_what_only_a_tag_names(corpus, folder):
    tag_corpus(corpus, "v1")
    old = corpus.table("clusters").files()[0]
    files = write(corpus, folder / "next", "clusters", clusters(1, 2))
    publish(
        corpus.table("clusters"),
        files,
        mode=PublishMode.OVERWRITE,
        content_key="l",
        run_id="s",
    )
    for level in VerifyLevel:
        result = verify(corpus, corpus.store, level)
        assert (result.files, result.kept, result.findings) == (3, 1, [])
    corpus.store.delete(old.location)
    (check,) = verify(corpus, corpus.store).findings
    assert (check.file.url, check.finding, check.state_ref) == (old.url, Finding.MISSING, "v1")
    delete_tag(corpus, "v1")
    assert found(corpus) == []


def test_verify_empty_corpus_has_no_findings(settings):
    with open_corpus(settings.model_copy(update={"corpus": "empty"})) as corpus:
        assert verify(corpus, corpus.store).files == 0


def test_verify_missing_file_is_found_at_every_level(corpus, file):
    corpus.store.delete(file.location)
    for level in VerifyLevel:
        (check,) = verify(corpus, corpus.store, level).findings
        assert (check.table, check.finding, check.file) == ("clusters", Finding.MISSING, file)


def test_verify_truncated_file_is_found_at_every_level(corpus, file):
    change(corpus, file, lambda data: data.__delitem__(slice(-100, None)))
    for level in VerifyLevel:
        assert found(corpus, level) == [("clusters", Finding.WRONG_SIZE)]


def test_verify_flipped_bit_in_a_page_needs_the_full_level(corpus, file):
    def flip(data):
        data[100] ^= 1

    change(corpus, file, flip)
    assert found(corpus, VerifyLevel.FOOTERS) == []
    assert found(corpus) == [("clusters", Finding.DAMAGED)]


def test_verify_overwritten_footer_is_damage(corpus, file):
    def scribble(data):
        data[-200:-8] = bytes(192)

    change(corpus, file, scribble)
    assert found(corpus, VerifyLevel.SIZES) == []
    assert found(corpus, VerifyLevel.FOOTERS) == [("clusters", Finding.DAMAGED)]


def test_verify_every_byte_of_the_file_counts(corpus):
    (file,) = corpus.table("tokens").files()
    sound = corpus.store.read_bytes(file.location)
    for position in range(len(sound)):

        def flip(data, position=position):
            data[position] ^= 0x10

        change(corpus, file, flip)
        check = verify_file(corpus.store, HeldFile("tokens", file), VerifyLevel.FULL)
        assert check.finding in (Finding.DAMAGED, Finding.ROW_MISMATCH, Finding.OTHER_FILE), (
            position
        )
        corpus.store.write_bytes(file.location, sound)


def test_verify_reads_every_byte_once(corpus, file):
    store = MeteredStore(corpus.store)
    assert verify_file(store, HeldFile("clusters", file), VerifyLevel.FULL).finding is None
    # The end is read first, for the footer.
    assert file.n_bytes <= store.meter.bytes_read <= 2 * file.n_bytes


@pytest.mark.parametrize("prefetch", [0, 1 << 30])
def test_verify_large_row_groups_are_streamed(corpus, file, monkeypatch, prefetch):
    monkeypatch.setattr(whole_file, "PREFETCH", prefetch)
    assert found(corpus) == []
    with open_parquet(corpus.store, file.location) as scan:
        check_bytes(scan, piece_bytes=1000)
    change(corpus, file, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    assert found(corpus) == [("clusters", Finding.DAMAGED)]
    with (
        open_parquet(corpus.store, file.location) as scan,
        pytest.raises(InputError, match="is damaged"),
    ):
        check_bytes(scan, piece_bytes=1000)


def test_verify_sound_file_in_the_place_of_another_is_found(corpus, folder):
    """Same size and rows, other documents."""
    table = corpus.table("clusters")
    (other,) = write(corpus, folder, "clusters", clusters(*range(1, 1001)))
    publish(table, [other], mode=PublishMode.APPEND, content_key="l", run_id="r")
    first, second = table.files()
    assert first.n_bytes == second.n_bytes
    corpus.store.write_bytes(first.location, corpus.store.read_bytes(second.location))
    for level in (VerifyLevel.FOOTERS, VerifyLevel.FULL):
        assert found(corpus, level) == [("clusters", Finding.OTHER_FILE)]


def test_verify_rows_that_are_not_those_of_the_checksum_are_damage(corpus, folder, monkeypatch):
    """A defect of the machine while writing: every page is sound, but a value is another."""
    wrong = RowsChecksum.of(pa.RecordBatch.from_pylist(clusters(1, 7), schema=SCHEMAS["clusters"]))
    monkeypatch.setattr(RowsChecksum, "of", lambda _: wrong)
    written = write(corpus, folder, "clusters", clusters(1, 8))
    monkeypatch.undo()
    publish(
        corpus.table("clusters"), written, mode=PublishMode.OVERWRITE, content_key="n", run_id="r"
    )
    (check,) = verify(corpus, corpus.store).findings
    assert check.finding == Finding.DAMAGED
    assert "doc_id, kept_id" in check.detail


def test_verify_files_of_other_writers_are_decoded_and_counted(corpus, file):
    rows = pq.read_table(file.location.path).replace_schema_metadata(None)
    pq.write_table(rows, file.location.path)
    size = corpus.store.info(file.location).size
    plain = replace(file, n_bytes=size)
    check = verify_file(corpus.store, HeldFile("clusters", plain), VerifyLevel.FULL)
    assert (check.finding, check.is_checksummed) == (None, False)


def test_verify_of_some_tables_reads_no_other(corpus, file):
    corpus.store.delete(file.location)
    assert verify(corpus, corpus.store, tables=["tokens"]).findings == []
    assert verify(corpus, corpus.store, tables=["tokens"]).files == 1


def test_verify_other_row_count_of_the_same_size_is_found(corpus, file, folder, monkeypatch):
    listed = [file]
    monkeypatch.setattr(
        CorpusTable, "files", lambda self: listed if self.name == "clusters" else []
    )
    (other,) = write(corpus, folder, "clusters", clusters(1, 2))
    data = corpus.store.read_bytes(Url.parse(other.url))
    pad = bytes(file.n_bytes - len(data))
    # A valid file whose first page follows some padding has the size of the old one.
    assert data[:4] == b"PAR1"
    corpus.store.write_bytes(file.location, pad + data)
    assert found(corpus, VerifyLevel.FOOTERS) == [("clusters", Finding.ROW_MISMATCH)]
    assert found(corpus) == [("clusters", Finding.DAMAGED)]


def test_verify_file_with_other_columns_is_damage(corpus):
    (tokens,) = corpus.table("tokens").files()
    check = verify_file(corpus.store, HeldFile("clusters", tokens), VerifyLevel.FULL)
    assert check.finding is Finding.DAMAGED


def test_verify_store_that_does_not_answer_is_no_finding(corpus, monkeypatch):
    def busy(*_):
        raise TransientError("busy")

    monkeypatch.setattr(type(corpus.store), "info", busy)
    with pytest.raises(TransientError):
        verify(corpus, corpus.store)
