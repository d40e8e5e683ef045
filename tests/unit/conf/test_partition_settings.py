import pytest
from pydantic import ValidationError

from strata.partition_settings import PartitionField, Transform, partition_fields
from strata.settings import Settings


def settings(**partitions):
    return Settings(corpus="web", inputs=({"path": "x"},), partitions=partitions)


def test_partitions_are_read_as_written():
    texts = ("source", "lang", "bucket(16, id)", "truncate( 4,url )")
    found = settings(documents=texts).partition_by("documents")
    assert found == (
        PartitionField(Transform.IDENTITY, "source"),
        PartitionField(Transform.IDENTITY, "lang"),
        PartitionField(Transform.BUCKET, "id", 16),
        PartitionField(Transform.TRUNCATE, "url", 4),
    )
    assert [field.name for field in found] == ["source", "lang", "id_bucket_16", "url_trunc_4"]
    assert [str(field) for field in found][2:] == ["bucket(16, id)", "truncate(4, url)"]


@pytest.mark.parametrize("part", ["year", "month", "day", "hour"])
def test_partitions_by_a_part_of_the_calendar(part):
    (field,) = partition_fields("documents", (f"{part}( created )",))
    assert (field.transform, field.column, field.width) == (Transform(part), "created", 0)
    assert (field.name, str(field)) == (f"created_{part}", f"{part}(created)")


def test_partitions_texts_are_what_they_are_read_from():
    found = partition_fields("tokens", ("source", "bucket(8, doc_id)", "truncate(100, n_tokens)"))
    assert partition_fields("tokens", tuple(str(field) for field in found)) == found


def test_partitions_of_other_tables_are_none():
    assert settings(documents=("source",)).partition_by("clean") == ()
    assert settings(documents=()).partition_by("documents") == ()


@pytest.mark.parametrize(
    ("table", "text", "said"),
    [
        ("clusters", "source", "'clusters' cannot be partitioned: only documents, clean, tokens"),
        ("documents", "text", "by the column 'text': use one of source, lang"),
        ("tokens", "lang", "by the column 'lang': use one of source, doc_id, n_tokens"),
        ("documents", "id", 'use "bucket(16, id)"'),
        ("documents", "bucket(0, id)", "from 1 to 10,000"),
        ("documents", "bucket(10001, id)", "from 1 to 10,000"),
        ("documents", "bucket(id, 16)", "cannot be read"),
        ("documents", "hash(16, id)", "no transform 'hash'"),
        ("documents", "identity(1, lang)", "no transform 'identity'"),
        ("documents", "created", 'use "day(created)"'),
        ("documents", "day(lang)", "lang is no date"),
        ("documents", "bucket(4, created)", "created is a date"),
        ("documents", "day(3, created)", "cannot be read"),
        ("documents", "bucket(id)", "cannot be read"),
        ("documents", "week(created)", "no transform 'week'"),
        ("tokens", "day(created)", "by the column 'created'"),
        ("documents", "", "cannot be read"),
        ("documents", "source; drop", "cannot be read"),
    ],
)
def test_partitions_that_cannot_work_are_refused(table, text, said):
    with pytest.raises(ValidationError) as caught:
        settings(**{table: (text,)})
    assert said in str(caught.value)


def test_partitions_named_twice_are_refused():
    with pytest.raises(ValidationError, match="there twice"):
        settings(documents=("bucket(4, id)", "bucket( 4, id )"))


def test_partitions_by_two_parts_of_one_date_are_refused():
    with pytest.raises(ValueError, match=r"day\(created\), month\(created\) say the same"):
        partition_fields("documents", ("day(created)", "lang", "month(created)"))
