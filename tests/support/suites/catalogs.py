"""The behaviour of a corpus's tables, as one suite that each lane runs over its catalogs."""

import pyarrow as pa
import pytest

from strata.errors import ConflictError, SettingsError
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.tables import table as table_module
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.tables import table_names

LAYOUT = ParquetLayout("zstd", 3, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


def one_row(name):
    values = {
        pa.int64(): 5,
        pa.timestamp("us", tz="UTC"): 6,
        pa.int32(): 1,
        pa.float32(): 0.5,
        pa.bool_(): True,
        pa.string(): "s",
        pa.large_string(): "text",
        pa.binary(16): bytes(16),
        pa.binary(256): bytes(256),
    }
    row = {field.name: values.get(field.type, [7]) for field in SCHEMAS[name]}
    return pa.RecordBatch.from_pylist([row], schema=SCHEMAS[name])


def write_one(folder, name, layout=LAYOUT):
    with TableWriter(FsspecStore(), folder, name, layout, "t") as writer:
        writer.write(one_row(name))
    return writer.close()


class CatalogTests:
    """What every catalog keeps; the lane gives ``settings`` that name one."""

    @pytest.mark.parametrize("name", table_names())
    def test_catalog_every_table_can_be_published_and_read_by_pyiceberg(
        self, settings, folder, name
    ):
        with open_to_write(settings) as corpus:
            table = corpus.table(name)
            files = write_one(folder / "data", name)
            publish(table, files, mode=PublishMode.APPEND, content_key="k", run_id="r")
            iceberg = table.iceberg()
            ids = {f.name: f.field_id for f in iceberg.schema().fields}
            arrow = {f.name: int(f.metadata[b"PARQUET:field_id"]) for f in SCHEMAS[name]}
            assert ids == arrow
            assert iceberg.scan().to_arrow().num_rows == 1
            (file,) = table.files()
            assert (file.url, file.rows, file.n_bytes) == (files[0].url, 1, files[0].n_bytes)
            assert (file.codec, file.level, file.row_groups) == ("zstd", 3, 1)
            assert file.location == Url.parse(files[0].url)
            has_ids = SCHEMAS[name].names[0] in ("doc_id", "a")
            assert (file.min_doc_id, file.max_doc_id) == ((5, 5) if has_ids else (0, 2**63 - 1))

    def test_catalog_unpublished_table_is_empty_and_not_made(self, settings):
        with open_to_write(settings) as corpus:
            table = corpus.table("documents")
            assert table.files() == []
            assert table.snapshots() == []
            assert table.content_key is None
            assert table.latest_property("x") is None
            assert table.properties == {}
            assert corpus.existing_tables() == []

    def test_catalog_second_opening_sees_what_the_first_published(self, settings, folder):
        with open_to_write(settings) as first, open_to_write(settings) as second:
            files = write_one(folder / "data", "tokens")
            before = second.table("tokens")
            publish(
                first.table("tokens"),
                files,
                mode=PublishMode.APPEND,
                content_key="k",
                run_id="r",
                extra={"strata.tokenizer": "abc"},
            )
            assert before.content_key == "k"
            assert before.latest_property("strata.tokenizer") == "abc"
            assert second.existing_tables() == ["tokens"]
            (snapshot,) = before.snapshots()
            assert (snapshot.operation, snapshot.run_id, snapshot.content_key) == (
                "append",
                "r",
                "k",
            )
            assert snapshot.properties["added-records"] == "1"

    def test_catalog_file_in_codec_without_level_says_so(self, settings, folder):
        with open_to_write(settings) as corpus:
            layout = ParquetLayout("snappy", None, 1_000_000, 1_000_000)
            files = write_one(folder / "data", "inputs", layout)
            publish(
                corpus.table("inputs"), files, mode=PublishMode.APPEND, content_key="k", run_id="r"
            )
            (file,) = corpus.table("inputs").files()
            assert (file.codec, file.level) == ("snappy", None)

    def test_catalog_properties_are_kept_and_setting_them_twice_makes_no_version(self, settings):
        with open_to_write(settings) as corpus:
            table = corpus.table("tokens")
            table.set_properties({"strata.tokenizer": "abc"})
            location = table.iceberg().metadata_location
            table.set_properties({"strata.tokenizer": "abc"})
            assert table.iceberg().metadata_location == location
            assert table.properties["strata.tokenizer"] == "abc"
            assert table.properties["write.delete.isolation-level"] == "snapshot"

    def test_catalog_unknown_table_is_refused(self, settings):
        with open_to_write(settings) as corpus, pytest.raises(SettingsError, match="nope"):
            corpus.table("nope")

    def test_catalog_table_of_another_version_is_refused(self, settings, monkeypatch):
        with open_to_write(settings) as corpus:
            corpus.table("rejects").iceberg()
            older = SCHEMAS["rejects"].remove(1)
            monkeypatch.setattr(table_module, "SCHEMAS", {"rejects": older})
            with pytest.raises(ConflictError, match="other columns"):
                corpus.table("rejects").files()
