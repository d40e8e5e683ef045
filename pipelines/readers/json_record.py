"""The precise parser of one JSON line: its values, or what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from strata.pipelines.readers.json_values import DEEPEST
from strata.pipelines.readers.rejects import RejectReason
from strata.settings import FieldMapping, NulRule

__all__ = ["METADATA", "BadRecord", "JsonRecord", "metadata_of", "parse_record"]

METADATA = "metadata"
Values = Mapping[str, msgspec.Raw]
ABSENT = msgspec.Raw()
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
ESCAPE_OR_NUL = re.compile(rb"\\.|\x00", re.DOTALL)
STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class BadRecord(Exception):  # noqa: N818 - it names the record, not the fault
    """A line that cannot become a document."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """The values of a document, null where it has none."""

    text: str
    id: str | None
    lang: str | None
    url: str | None
    date: str | None
    metadata: bytes | None


def parse_record(line: bytes, fields: FieldMapping, nul: NulRule = NulRule.REMOVE) -> JsonRecord:
    """The document of a line; its text keeps the NUL characters that are to be removed.

    Raises:
        BadRecord: the line is malformed, not an object, too deeply nested, or has no text that is
            valid in a document.
    """
    record = _parse(line, nul)
    values = {name: _found(record, name) for name in fields.model_dump().values()}
    if values[fields.text] == ABSENT:
        raise BadRecord(RejectReason.MISSING_TEXT)
    text = _text(values[fields.text], nul)
    mapped = {fields.text, fields.id, fields.lang, fields.url}
    rest = {key: raw for key, raw in record.items() if key not in mapped}
    # A name with dots that is a key of the record itself is no path.
    for name in sorted(mapped - record.keys()):
        rest = _without(rest, name.split("."))
    if any(_is_too_deep(bytes(raw)) for raw in rest.values()):
        raise BadRecord(RejectReason.TOO_DEEPLY_NESTED)
    return JsonRecord(
        text=text,
        id=_name(values[fields.id]),
        lang=_name(values[fields.lang]),
        url=_name(values[fields.url]),
        date=_name(values[fields.date]),
        metadata=metadata_of(rest),
    )


def _found(record: Values, name: str) -> msgspec.Raw:
    """The value of a field: a key of the record, or else keys with dots that lead into it."""
    if name in record or "." not in name:
        return record.get(name, ABSENT)
    values = record
    for part in name.split("."):
        raw = values.get(part, ABSENT)
        values = _members(raw)
    return raw


def _without(values: Values, path: list[str]) -> dict[str, msgspec.Raw]:
    """The members without the one that a path leads to, and the objects that had only it."""
    first, *rest = path
    if first not in values:
        return dict(values)
    if not rest:
        return {key: raw for key, raw in values.items() if key != first}
    before = _members(values[first])
    after = _without(before, rest)
    if len(after) == len(before) and all(after[key] is before[key] for key in before):
        return dict(values)
    if not after:
        return {key: raw for key, raw in values.items() if key != first}
    return dict(values) | {first: msgspec.Raw(msgspec.json.encode(after))}


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    if bytes(memoryview(raw)[:1]) != b"{":
        return {}
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])


def metadata_of(values: Values) -> bytes | None:
    """Values as one JSON object without insignificant white space; null where it would be empty.

    The members of the object ``metadata`` come first, unchanged; then the others by key. A key that
    is in both keeps the value of the others.
    """
    others = dict(sorted((key, raw) for key, raw in values.items() if key != METADATA))
    base = bytes(values.get(METADATA, ABSENT))
    if base[:1] == b"{":
        own = msgspec.json.decode(base, type=dict[str, msgspec.Raw])
        if own.keys() & others.keys():
            joined = msgspec.json.encode(own | others)
        else:
            members = (base[1:-1].strip(), msgspec.json.encode(others)[1:-1])
            joined = b"{%s}" % b",".join(part for part in members if part)
    else:
        whole = {} if base in (b"", b"null") else {METADATA: values[METADATA]}
        joined = msgspec.json.encode(whole | others)
    dense = msgspec.json.format(joined, indent=-1)
    return None if dense == b"{}" else dense


def _text(raw: msgspec.Raw, nul: NulRule) -> str:
    first = bytes(memoryview(raw)[:1])
    if first == b"n":
        raise BadRecord(RejectReason.NULL_TEXT)
    if first != b'"':
        raise BadRecord(RejectReason.TEXT_NOT_STRING)
    text = msgspec.json.decode(raw, type=str)
    if not text:
        raise BadRecord(RejectReason.EMPTY_TEXT)
    if nul is NulRule.REJECT and "\0" in text:
        raise BadRecord(RejectReason.NUL_CHARACTER)
    return text


def _name(raw: msgspec.Raw) -> str | None:
    text = bytes(raw)
    if text in (b"", b"null"):
        return None
    return msgspec.json.decode(text, type=str) if text[:1] == b'"' else text.decode()


def _is_too_deep(raw: bytes) -> bool:
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return False
    steps = (STEPS.get(byte, 0) for byte in STRING.sub(b"", raw))
    return max(accumulate(steps)) > DEEPEST


def _parse(line: bytes, nul: NulRule) -> Values:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise BadRecord(RejectReason.INVALID_UTF8) from error
    if b"\0" in line:
        line = _with_escaped_nul(line) if nul is NulRule.REMOVE else line
        if b"\0" in line:
            raise BadRecord(RejectReason.NUL_CHARACTER)
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except RecursionError as error:
        raise BadRecord(RejectReason.TOO_DEEPLY_NESTED) from error
    except msgspec.ValidationError as error:
        raise BadRecord(_reason_not_object(line)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord(_reason_invalid(line)) from error


def _with_escaped_nul(line: bytes) -> bytes:
    """The line with the NUL bytes in its strings escaped; one behind a backslash stays."""
    return STRING.sub(lambda string: ESCAPE_OR_NUL.sub(_escaped, string[0]), line)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u0000" if found[0] == b"\0" else found[0]


def _reason_not_object(line: bytes) -> RejectReason:
    # The decoder looks at the type of a value before its end.
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _reason_invalid(line)
    except RecursionError:
        return RejectReason.TOO_DEEPLY_NESTED
    return RejectReason.NOT_AN_OBJECT


def _reason_invalid(line: bytes) -> RejectReason:
    # The standard library accepts a lone surrogate; everything else is malformed.
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return RejectReason.LONE_SURROGATE
    except RecursionError:
        return RejectReason.TOO_DEEPLY_NESTED
    except ValueError:
        return RejectReason.INVALID_JSON
    return RejectReason.INVALID_JSON
