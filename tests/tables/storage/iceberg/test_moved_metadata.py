"""Copies of manifests and metadata with other locations: nothing else changes."""

import gzip
import json

import pytest
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry, write_manifest
from pyiceberg.manifest import ManifestEntryStatus as Status
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from strata.errors import ConflictError, InputError
from strata.storage.contracts.url import Url
from strata.storage.iceberg.file_io import StoreFile
from strata.storage.iceberg.moved_metadata import (
    MovedManifest,
    move_locations,
    read_manifest,
    read_manifest_list,
    read_metadata,
    write_moved_list,
    write_moved_manifest,
)
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from tests.support.processes.drivers import TABLE, write

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=True),
    NestedField(2, "source", StringType(), required=False),
    NestedField(3, "created", TimestamptzType(), required=False),
)
SPEC = PartitionSpec(
    PartitionField(2, 1000, IdentityTransform(), "source"),
    PartitionField(1, 1001, BucketTransform(16), "id_bucket"),
    PartitionField(3, 1002, DayTransform(), "created_day"),
    spec_id=3,
)
OLD, NEW = "s3://old/web/documents/data", "s3://new/lake/web/documents/data"


def moved(location):
    return location.replace("s3://old/", "s3://new/lake/")


def entry(name, status, partition, content=DataFileContent.DATA):
    file = DataFile.from_args(
        content=content,
        file_path=f"{OLD}/{name}.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        record_count=7,
        file_size_in_bytes=70,
        column_sizes={1: 30, 2: 40},
        value_counts={1: 7, 2: 7},
        null_value_counts={1: 0, 2: 3},
        nan_value_counts={},
        lower_bounds={1: b"\x01" + bytes(7)},
        upper_bounds={1: b"\xff" * 8},
        key_metadata=None,
        split_offsets=[4, 40],
        equality_ids=None,
        sort_order_id=0,
    )
    added = status is Status.ADDED
    number = None if added else 4
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=9 if added else 8,
        sequence_number=number,
        file_sequence_number=number,
        data_file=file,
    )


ENTRIES = [
    entry("a", Status.ADDED, ("web", 3, 19_000)),
    entry("b", Status.EXISTING, (None, 0, None)),
    entry("c", Status.DELETED, ("ü/=", 15, 0)),
]


def written(store, url, entries):
    with write_manifest(2, SPEC, SCHEMA, StoreFile(store, str(url)), 9, "deflate") as writer:
        for each in entries:
            writer.add_entry(each)
    return writer.to_manifest_file()


def test_moved_manifest_has_other_locations_and_the_same_values(any_store, any_folder):
    source, target = any_folder / "a.avro", any_folder / "b.avro"
    manifest = written(any_store, source, ENTRIES)
    size = write_moved_manifest(any_store, source, target, moved)
    assert any_store.info(target).size == size
    assert [file.location for file in read_manifest(any_store, target)] == [
        f"{NEW}/{name}.parquet" for name in "abc"
    ]
    assert [file.is_live for file in read_manifest(any_store, target)] == [True, True, False]
    assert (manifest.partition_spec_id, len(read_manifest(any_store, source))) == (3, 3)
    write_moved_manifest(any_store, target, source, lambda path: path.replace(NEW, OLD))
    written(any_store, any_folder / "again.avro", ENTRIES)
    assert plain(any_store, source) == plain(any_store, any_folder / "again.avro")


def plain(store, url):
    """Header and decoded rows of an Avro file, read by another library than the one under test."""
    from pyiceberg.avro.file import AvroFile

    with AvroFile(StoreFile(store, str(url))) as file:
        return dict(file.header.meta), [repr(flat(row)) for row in file]


def flat(value):
    if isinstance(value, Record):
        return [flat(value[place]) for place in range(len(value))]
    return dict(value) if hasattr(value, "items") else value


def test_manifest_of_position_deletes_is_refused(store, folder):
    deletes = entry("d", Status.ADDED, ("web", 3, 0), DataFileContent.POSITION_DELETES)
    written(store, folder / "a.avro", [deletes])
    with pytest.raises(ConflictError, match=r"d\.parquet deletes rows by the locations"):
        read_manifest(store, folder / "a.avro")


@pytest.mark.parametrize("kind", ["empty", "text", "cut"])
def test_damaged_manifest_is_told_by_name(store, folder, kind):
    written(store, folder / "a.avro", ENTRIES)
    whole = store.read_bytes(folder / "a.avro")
    store.write_bytes(
        folder / "b.avro", {"empty": b"", "text": b"no avro", "cut": whole[:-300]}[kind]
    )
    with pytest.raises(InputError, match=r"b\.avro is not readable as a manifest"):
        read_manifest(store, folder / "b.avro")


def test_moved_list_has_other_manifests_and_lengths(settings, folder):
    with open_corpus(settings) as corpus:
        for number in (1, 2):
            files = write(corpus, settings, "warehouse", [number])
            key = str(number)
            publish(
                corpus.table(TABLE), files, mode=PublishMode.APPEND, content_key=key, run_id="r"
            )
        table = corpus.table(TABLE).iceberg()
        source = Url.parse(table.current_snapshot().manifest_list)
        listed = read_manifest_list(corpus.store, source)
        assert len(listed) == 2
        moved_to = {
            listed[0].location: MovedManifest("s3://new/a.avro", 17),
            listed[1].location: MovedManifest("s3://new/b.avro", None),
        }
        write_moved_list(corpus.store, source, folder / "list.avro", moved_to)
        found = read_manifest_list(corpus.store, folder / "list.avro")
        assert [(each.location, each.n_bytes) for each in found] == [
            ("s3://new/a.avro", 17),
            ("s3://new/b.avro", listed[1].n_bytes),
        ]


METADATA = {
    "format-version": 2,
    "table-uuid": "u",
    "location": "s3://old/web/documents",
    "unknown-to-us": {"kept": "s3://old/as it is"},
    "snapshots": [{"snapshot-id": 1, "manifest-list": "s3://old/web/documents/metadata/l.avro"}],
    "snapshot-log": [{"snapshot-id": 1, "timestamp-ms": 2}],
    "metadata-log": [
        {"timestamp-ms": 3, "metadata-file": "s3://old/web/documents/metadata/0.json"}
    ],
    "statistics": [{"snapshot-id": 1, "statistics-path": "s3://old/s.puffin"}],
    "partition-statistics": [{"snapshot-id": 1, "statistics-path": "s3://old/p.parquet"}],
    "properties": {"write.data.path": "s3://old/web/documents/data", "note": "s3 old"},
}


def test_moved_metadata_has_other_locations_and_all_else():
    found = move_locations(METADATA, moved, None)
    text = json.dumps({**METADATA, "unknown-to-us": None})
    assert found == json.loads(moved(text)) | {"unknown-to-us": METADATA["unknown-to-us"]}
    assert move_locations(METADATA, moved, "other")["table-uuid"] == "other"
    assert METADATA["table-uuid"] == "u"


def test_metadata_is_read_compressed_or_not_and_a_damaged_one_is_told(store, folder):
    text = json.dumps(METADATA).encode()
    store.write_bytes(folder / "1-a.metadata.json", text)
    store.write_bytes(folder / "1-a.gz.metadata.json", gzip.compress(text))
    for name in ("1-a.metadata.json", "1-a.gz.metadata.json"):
        assert read_metadata(store, folder / name) == METADATA
    store.write_bytes(folder / "2-b.metadata.json", text[:-5])
    with pytest.raises(InputError, match=r"2-b\.metadata\.json is not readable"):
        read_metadata(store, folder / "2-b.metadata.json")
