"""Metadata of whole columns against the same made row by row."""

import io
import json
import random
from contextlib import suppress

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ALPHABET = 'ab "\\/\n\r\t\b\fü中文😀\x7f\u2028\x00\x01\x1fé'


def string(rng):
    return "".join(rng.choices(ALPHABET, k=rng.choice([0, 1, 5, 31, 32, 33, 70])))


def maybe(rng, make, rows):
    return [None if rng.random() < 0.3 else make() for _ in range(rows)]


def own_metadata(rng):
    plain = {
        key: rng.choice([None, 1, string(rng), [1, {"a": " "}]]) for key in rng.sample("abcn", 2)
    }
    text = json.dumps(plain, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1]))
    return rng.choice(
        [text, text, text, text[:-1], string(rng), "{}", ' {"x":1,"x":2} ', '{"\\u0061":1}']
    )


def columns_of(rng, rows, own):
    child = pa.struct([("s", pa.string()), ("n", pa.int32()), ("d", pa.float64())])
    structs = maybe(rng, lambda: {"s": string(rng), "n": rng.choice([None, 7]), "d": 0.5}, rows)
    columns = {
        "text": ["t"] * rows,
        "n": pa.array(maybe(rng, lambda: rng.randrange(-(2**63), 2**63), rows), pa.int64()),
        "s": pa.array(
            maybe(rng, lambda: string(rng), rows), rng.choice([pa.string(), pa.large_string()])
        ),
        "flag": pa.array(maybe(rng, lambda: rng.random() < 0.5, rows), pa.bool_()),
        "real": pa.array(maybe(rng, rng.random, rows), pa.float64()),
        "nested": pa.array(structs, child),
        "list": pa.array(maybe(rng, lambda: [string(rng), None], rows), pa.list_(pa.string())),
        'q"\n': pa.array(maybe(rng, lambda: 1, rows), pa.int8()),
    }
    if own == "text":
        columns["metadata"] = pa.array(maybe(rng, lambda: own_metadata(rng), rows), pa.string())
    if own in ("struct", "clash"):
        names = ("x", "y") if own == "struct" else ("n", "y")
        kind = pa.struct([(name, pa.string()) for name in names])
        values = maybe(rng, lambda: {names[0]: string(rng), names[1]: None}, rows)
        columns["metadata"] = pa.array(values, kind)
    return columns


def naive(row):
    own = row.get("metadata")
    if isinstance(own, str):
        with suppress(msgspec.DecodeError):
            own = msgspec.json.decode(own, type=dict[str, msgspec.Raw])
    base = own if isinstance(own, dict) else {}
    names = [name for name in row if name != "text" and not (name == "metadata" and base is own)]
    both = base | {name: row[name] for name in names if row[name] is not None}
    if not both:
        return None
    return msgspec.json.format(msgspec.json.encode(both), indent=-1).decode()


@pytest.mark.parametrize("own", ["none", "text", "struct", "clash"])
@pytest.mark.parametrize("seed", range(3))
def test_parquet_metadata_of_columns_equals_that_of_rows(reader, own, seed):
    rng = random.Random(seed)
    table = pa.table(columns_of(rng, 200, own))
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=77)
    reading = reader.read("a.parquet", file.getvalue())
    assert reading.rejects == []
    expected = [naive(row) for row in table.to_pylist()]
    assert [document["metadata"] for document in reading.documents] == expected


def test_parquet_metadata_without_any_value_is_null(reader):
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["t"], "n": pa.nulls(1), "s": pa.nulls(1, pa.string())}), file)
    assert reader.read("a.parquet", file.getvalue()).metadata == [None]
