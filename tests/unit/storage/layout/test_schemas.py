import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import pyarrow_to_schema

from strata.storage.layout.schemas import CLEAN, DOCUMENTS, FIELD_ID, SCHEMAS, TOKENS
from strata.tables import table_names


def field_ids(fields):
    for field in fields:
        yield int(field.metadata[FIELD_ID])
        if pa.types.is_list(field.type):
            yield int(field.type.value_field.metadata[FIELD_ID])


def test_schemas_cover_the_tables():
    assert sorted(SCHEMAS) == sorted(table_names())
    assert CLEAN is DOCUMENTS


@pytest.mark.parametrize("name", table_names())
def test_schemas_field_ids_are_unique_and_kept_by_iceberg(name):
    ids = list(field_ids(SCHEMAS[name]))
    assert sorted(ids) == list(range(1, len(ids) + 1))
    iceberg = pyarrow_to_schema(SCHEMAS[name])
    assert [field.field_id for field in iceberg.fields] == [
        int(field.metadata[FIELD_ID]) for field in SCHEMAS[name]
    ]
    assert [field.required for field in iceberg.fields] == [not f.nullable for f in SCHEMAS[name]]


def test_schemas_types_that_other_rooms_rely_on():
    assert DOCUMENTS.field("text").type == pa.large_string()
    assert DOCUMENTS.field("doc_id").type == pa.int64()
    assert TOKENS.field("tokens").type.value_type == pa.int32()
    assert [field.name for field in DOCUMENTS if field.nullable] == [
        *("lang", "url", "metadata", "created")
    ]
