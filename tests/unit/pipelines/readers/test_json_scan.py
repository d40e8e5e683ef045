"""The compiled scan of JSON lines against the precise way, which asks Python's parsers."""

import json
import random

import msgspec
import numpy as np
import pytest

from strata.pipelines.readers.json_record import BadRecord, JsonRecord, parse_record
from strata.pipelines.readers.jsonl import line_rules, read_lines
from strata.settings import FieldMapping

FIELDS = FieldMapping()
ALPHABET = 'ab "\\/\n\r\t\b\fü中文😀\x7f\u2028\x01é,:{}[]'
KEYS = ["id", "lang", "url", "date", "metadata", "a", "b", "ab", "ключ", "", "z" * 40, 'q"']
# Bytes that JSON and UTF-8 are made of, to break lines with.
BREAKS = [
    *b'"\\{}[],:0-.eEtfnu \t\r/dD8c9b',
    0,
    31,
    127,
    128,
    191,
    0xC0,
    0xC3,
    0xE0,
    0xED,
    0xF0,
    255,
]


def value(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind < 3:
        return "".join(rng.choices(ALPHABET, k=rng.choice([0, 1, 5, 31, 32, 33, 70])))
    if kind < 6:
        return rng.choice([None, True, False, 0, -1.5, 1e300, 10**30])
    if kind < 8:
        return {key: value(rng, depth + 1) for key in rng.sample(KEYS, rng.randrange(4))}
    return [value(rng, depth + 1) for _ in range(rng.randrange(4))]


def record_line(rng):
    record = {key: value(rng) for key in rng.sample(KEYS, rng.randrange(6))}
    if rng.random() < 0.95:
        record["text"] = "".join(rng.choices(ALPHABET, k=rng.randrange(100)))
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\t", " :  ")])
    items = list(record.items())
    rng.shuffle(items)
    text = json.dumps(dict(items), ensure_ascii=rng.random() < 0.4, separators=separators)
    return rng.choice([b"", b" ", b"\t"]) + text.encode() + rng.choice([b"", b" ", b"\r"])


def broken(rng, line):
    line = bytearray(line)
    for _ in range(rng.choice([0, 1, 1, 2])):
        place = rng.randrange(len(line))
        line[place : place + rng.randrange(2)] = rng.choices(BREAKS, k=rng.randrange(2))
    return bytes(line).replace(b"\n", b"")


def scanned(lines):
    """The records that the scan takes, by number of line."""
    data = b"\n".join(lines)
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)]).tolist()
    found, odd = {}, set()
    for part in read_lines(data, 0, line_rules(FIELDS, 1 << 30)):
        columns = part.columns
        names = (columns.text, columns.id, columns.lang, columns.url, columns.date)
        names = (*names, columns.metadata)
        for name in names:
            name.validate(full=True)
        rows = zip(*(name.to_pylist() for name in names), strict=True)
        for start, row in zip(columns.position.tolist(), rows, strict=True):
            metadata = None if row[-1] is None else row[-1].encode()
            found[starts.index(start)] = JsonRecord(*row[:-1], metadata)
        for start, end in part.odd.tolist():
            assert data[start:end] == lines[starts.index(start)]
            odd.add(starts.index(start))
    assert not found.keys() & odd
    blank = {number for number, line in enumerate(lines) if not line.strip()}
    assert found.keys() | odd | blank == set(range(len(lines)))
    return found


def precise(line):
    try:
        return parse_record(line, FIELDS)
    except BadRecord as bad:
        return bad.reason


@pytest.mark.parametrize("seed", range(4))
def test_json_scan_takes_only_what_the_precise_way_makes_the_same_of(seed):
    rng = random.Random(seed)
    lines = [broken(rng, record_line(rng)) for _ in range(500)]
    for number, record in scanned(lines).items():
        assert record == precise(lines[number]), lines[number]


def test_json_scan_takes_ordinary_lines():
    rng = random.Random(7)
    lines = [record_line(rng) for _ in range(500)]
    taken = scanned(lines)
    for number, line in enumerate(lines):
        record = msgspec.json.decode(line)
        own = record.get("metadata")
        twice = isinstance(own, dict) and own.keys() & record.keys()
        ordinary = record.get("text") and b'q\\"' not in line and b"\\u043a" not in line
        if ordinary and not twice:
            assert number in taken, line


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "10", "1.5", "1e5", "1E-5", "0.0e+0", "01", "-", "1.", ".5", "1e", "+1", "0x1"],
)
def test_json_scan_knows_the_grammar_of_numbers(number):
    line = b'{"text":"t","n":%s}' % number.encode()
    assert scanned([line, line]) == (
        {} if isinstance(precise(line), str) else {n: precise(line) for n in (0, 1)}
    )


@pytest.mark.parametrize("tail", [b"", b"\n", b"x" * 70])
def test_json_scan_utf8_at_every_boundary_is_as_python_sees_it(tail):
    first, last = range(0x80, 0x100), (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
    tails = [b"", b"\x80", b"\x80\x80"]
    bodies = [bytes([a, b]) + end for a in first for b in last for end in tails]
    lines = [b'{"text":"%s%s"}' % (body, tail.strip()) for body in bodies]
    good = {number for number, line in enumerate(lines) if is_utf8(line)}
    assert scanned(lines).keys() == good


def is_utf8(line):
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_json_scan_of_more_lines_than_a_table_holds_gives_each_once():
    lines = [b'{"text":"t"}', b"", b"{", b' {"text":"u","id":1}'] * 40_000
    data = b"\n".join(lines)
    parts = list(read_lines(data, 5, line_rules(FIELDS, 100)))
    assert len(parts) > 1
    assert sum(len(part.columns.text) for part in parts) == 80_000
    assert sum(len(part.odd) for part in parts) == 40_000
    position = np.concatenate([part.columns.position for part in parts])
    size = len(b"\n".join(lines[:4])) + 1
    assert np.array_equal(position[::2], np.arange(40_000) * size + 5)
