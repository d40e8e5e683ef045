import datetime
import pickle
import random
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from strata.storage.checksums.rows import CHECKSUM_KEY, RowsChecksum, checksum_of
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import ParquetLayout, TableWriter

MASK = (1 << 64) - 1
NAMES = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
}


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def epoch_of(value):
    return datetime.datetime(1970, 1, 1, tzinfo=value.tzinfo)


def value_hash(value, kind, seed):
    if value is None:
        return mix(mix(seed))
    if isinstance(value, str):
        return xxhash.xxh64_intdigest(value.encode(), seed)
    if isinstance(value, bytes):
        return xxhash.xxh64_intdigest(value, seed)
    if isinstance(value, list):
        return xxhash.xxh64_intdigest(struct.pack(f"<{len(value)}i", *value), seed)
    if isinstance(value, float):
        value = struct.unpack("<i", struct.pack("<f", value))[0]
    elif isinstance(value, datetime.datetime):
        value = (value - epoch_of(value)) // datetime.timedelta(microseconds=1)
    return mix((int(value) & MASK) ^ seed)


def naive(rows):
    """The checksum by its definition, value by value."""
    columns, row_sums = {}, [0] * rows.num_rows
    for field in rows.schema:
        inner = pa.types.is_list(field.type)
        kind = "list<int32>" if inner else NAMES.get(field.type, str(field.type))
        seed = xxhash.xxh64_intdigest(f"{field.name}:{kind}".encode())
        hashes = [value_hash(v, field.type, seed) for v in rows.column(field.name).to_pylist()]
        columns[field.name] = sum(hashes) & MASK
        row_sums = [(a + b) & MASK for a, b in zip(row_sums, hashes, strict=True)]
    return RowsChecksum(rows.num_rows, sum(map(mix, row_sums)) & MASK, columns)


def some_value(kind, rng):
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_integer(kind):
        limit = 2 ** (kind.bit_width - 1)
        return rng.choice([0, -1, 5, -limit, rng.randrange(limit)])
    if pa.types.is_floating(kind):
        return struct.unpack("<f", struct.pack("<f", rng.random() - 0.5))[0]
    if pa.types.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return rng.randbytes(rng.randrange(40))
    if pa.types.is_list(kind):
        return [rng.randrange(-9, 9) for _ in range(rng.randrange(6))]
    if pa.types.is_timestamp(kind):
        return datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=rng.randrange(10**6))  # noqa: DTZ001
    return "".join(rng.choices("abc é中\U0001f600", k=rng.randrange(60)))


def some_rows(schema, count, seed=1):
    rng = random.Random(seed)
    columns = [
        [
            None if field.nullable and rng.random() < 0.2 else some_value(field.type, rng)
            for _ in range(count)
        ]
        for field in schema
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


OTHERS = pa.schema(
    [
        pa.field("when", pa.timestamp("us")),
        pa.field("small", pa.int8()),
        pa.field("maybe", pa.bool_()),
        pa.field("tokens", pa.list_(pa.int32())),
        pa.field("body", pa.binary()),
        pa.field("long_body", pa.large_binary()),
        pa.field("fixed", pa.binary(3)),
        pa.field("score", pa.float32()),
    ]
)
ALL = {**SCHEMAS, "others": OTHERS}


# Few rows are summed by NumPy, many by compiled kernels.
FEW_AND_MANY = pytest.mark.parametrize("count", [90, 1_100])


@FEW_AND_MANY
@pytest.mark.parametrize("name", ALL)
def test_checksum_of_every_table_equals_naive(name, count):
    rows = some_rows(ALL[name], count)
    assert RowsChecksum.of(rows) == naive(rows)


@FEW_AND_MANY
@pytest.mark.parametrize("name", ALL)
def test_checksum_of_sliced_rows_equals_naive(name, count):
    rows = some_rows(ALL[name], count).slice(13, count - 20)
    assert RowsChecksum.of(rows) == naive(rows)


@pytest.mark.parametrize("name", ALL)
def test_checksum_ignores_order_and_adds_up(name):
    rows = some_rows(ALL[name], 3000)
    order = np.random.default_rng(2).permutation(3000)
    mixed = rows.take(pa.array(order))
    whole = RowsChecksum.of(rows)
    parts = [mixed.slice(start, size) for start, size in ((0, 700), (700, 1), (701, 2299))]
    assert sum(map(RowsChecksum.of, parts), RowsChecksum()) == whole


@pytest.mark.parametrize(("count", "step"), [(40, 1), (1_100, 150)])
@pytest.mark.parametrize("name", ALL)
def test_checksum_tells_every_changed_value_and_its_column(name, count, step):
    schema, rows = ALL[name], some_rows(ALL[name], count)
    other = some_rows(schema, count, seed=9)
    before = RowsChecksum.of(rows)
    for place, field in enumerate(schema):
        values = rows.column(place).to_pylist()
        for row in range(0, count, step):
            changed = [*values[:row], other.column(place)[row].as_py(), *values[row + 1 :]]
            if changed == values:
                continue
            arrays = list(rows.columns)
            arrays[place] = pa.array(changed, field.type)
            after = RowsChecksum.of(pa.RecordBatch.from_arrays(arrays, schema=schema))
            assert after.total != before.total
            assert before.differs_in(after) == (field.name,)


@pytest.mark.parametrize("times", [1, 1_100])
def test_checksum_tells_values_that_change_rows_or_columns(times):
    def checksum(**columns):
        repeated = {name: values * times for name, values in columns.items()}
        return RowsChecksum.of(pa.RecordBatch.from_pydict(repeated))

    plain = checksum(a=[1, 2], b=[3, 4])
    swapped_rows = checksum(a=[2, 1], b=[3, 4])
    assert swapped_rows.columns == plain.columns
    assert swapped_rows.total != plain.total
    assert checksum(b=[1, 2], a=[3, 4]).total != plain.total
    assert checksum(b=[3, 4], a=[1, 2]) == plain
    assert checksum(a=["", "x"]) != checksum(a=[None, "x"])
    assert checksum(a=[b"x"]).columns != checksum(a=["x"]).columns
    assert checksum(a=[1, 1]).total != checksum(a=[1]).total


def test_checksum_of_chunked_table_equals_that_of_its_batches():
    rows = some_rows(SCHEMAS["documents"], 60)
    table = pa.Table.from_batches([rows.slice(0, 11), rows.slice(11, 0), rows.slice(11)])
    assert RowsChecksum.of(table) == RowsChecksum.of(rows)


def test_checksum_of_no_rows_is_nothing():
    assert RowsChecksum.of(some_rows(SCHEMAS["edges"], 0)) == RowsChecksum()


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.struct([("a", pa.int32())]), pa.list_(pa.bool_())]
)
def test_checksum_of_other_types_is_refused(kind):
    with pytest.raises(TypeError, match="column strange has the type"):
        RowsChecksum.of(pa.RecordBatch.from_arrays([pa.nulls(2, kind)], names=["strange"]))


def test_checksum_survives_text_and_pickle():
    checksum = RowsChecksum.of(some_rows(SCHEMAS["clusters"], 20))
    assert RowsChecksum.from_text(checksum.to_text()) == checksum
    assert pickle.loads(pickle.dumps(checksum)) == checksum


def test_checksum_of_another_version_is_refused():
    with pytest.raises(ValueError, match="no checksum of version 1"):
        RowsChecksum.from_text('{"version":2,"rows":1,"total":"0","columns":{}}')


@pytest.mark.parametrize("codec", ["zstd", "snappy", "none"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_written_files_hold_the_checksum_of_their_rows(tmp_path, name, codec):
    rows = some_rows(SCHEMAS[name], 2500)
    layout = ParquetLayout(codec, None, 20_000, 60_000)
    store = open_store()
    with TableWriter(store, Url.parse(tmp_path), name, layout, "t") as writer:
        writer.write(rows)
        files = writer.close()
    stored = []
    for file in files:
        url = Url.parse(file.url)
        stored.append(checksum_of(file.metadata))
        assert stored[-1] == checksum_of(pq.read_metadata(url.path))
        read = read_batches(store, url, rows.schema.names, None, 10_000)
        assert sum(map(RowsChecksum.of, read), RowsChecksum()) == stored[-1]
    assert sum(stored, RowsChecksum()) == RowsChecksum.of(rows)


@pytest.mark.parametrize("text", [None, "{", '{"version":9}', "[]", '{"version":1}'])
def test_footer_without_a_known_checksum_has_none(tmp_path, text):
    metadata = {} if text is None else {CHECKSUM_KEY: text}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), tmp_path / "f.parquet")
    assert checksum_of(pq.read_metadata(tmp_path / "f.parquet")) is None
