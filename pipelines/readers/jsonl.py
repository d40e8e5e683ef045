"""JSON lines, decoded straight into the fields that are needed.

A Struct is made for the keys that the file has; a line that does not fit it goes the precise way
alone, which either understands it (and adds its keys to the Struct) or says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from strata.pipelines.readers.lines import LineBlock
from strata.pipelines.readers.records import Columns, ReadBatch, build_batch, reject
from strata.pipelines.readers.rejects import Reject, RejectReason
from strata.pipelines.readers.split import InputFile
from strata.settings import FieldMapping

__all__ = ["JsonLines"]

NEWLINE = 10
SPACE = 32
# Files with ever new keys gain nothing from a Struct of them all.
MOST_KEYS = 128
METADATA = "metadata"
EMPTY = msgspec.Raw()
Id = str | int | float | bool | None


class JsonLines:
    """Decodes the blocks of one file.

    Args:
        file: the file, for ids and rejects.
        max_document_bytes: largest text.
    """

    def __init__(self, file: InputFile, max_document_bytes: int) -> None:
        self._file = file
        self._limit = max_document_bytes
        self._fields = file.options.fields
        self._extra: tuple[str, ...] = ()
        self._decoder = _decoder(self._fields, self._extra)

    def read(self, block: LineBlock) -> ReadBatch:
        """The records of one block of lines."""
        if block.too_long:
            one = reject(self._file, block.offset, RejectReason.TOO_LONG, block.data)
            return build_batch(self._file, Columns(), [one], 1, self._limit)
        starts = _record_starts(block.data)
        batch = self._at_once(block, starts)
        if batch is None and len(starts) and self._learn(block, starts):
            batch = self._at_once(block, starts)
        return self._line_by_line(block, starts) if batch is None else batch

    def _at_once(self, block: LineBlock, starts: np.ndarray) -> ReadBatch | None:
        try:
            records = self._decoder.decode_lines(block.data)
            if len(records) == len(starts):
                columns = self._columns(records, (starts + block.offset).tolist())
                return build_batch(self._file, columns, [], len(starts), self._limit)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # Some line is bad or has other keys: the caller looks at each.
            return None
        return None

    def _learn(self, block: LineBlock, starts: np.ndarray) -> bool:
        """Whether the first line has keys that no line before had; they are known from now on."""
        known = len(self._extra)
        with suppress(_BadLineError):
            end = starts[1] if len(starts) > 1 else len(block.data)
            self._precisely(block.data[starts[0] : end])
        return len(self._extra) > known

    def _line_by_line(self, block: LineBlock, starts: np.ndarray) -> ReadBatch:
        good: list[Any] = []
        positions: list[int] = []
        rejects: list[Reject] = []
        ends = [*starts[1:].tolist(), len(block.data)]
        for start, end in zip(starts.tolist(), ends, strict=True):
            line = block.data[start:end]
            try:
                good.append(self._decode(line))
                positions.append(start + block.offset)
            except _BadLineError as bad:
                rejects.append(reject(self._file, start + block.offset, bad.reason, line))
        columns = self._columns(good, positions)
        return build_batch(self._file, columns, rejects, len(starts), self._limit)

    def _decode(self, line: bytes) -> Any:  # noqa: ANN401
        try:
            record = self._decoder.decode(line)
            # Raw values are not looked into by the decoder.
            line.decode()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._precisely(line)
        return record

    def _precisely(self, line: bytes) -> Any:  # noqa: ANN401
        values = _parse(line)
        known = {self._fields.text, self._fields.id, self._fields.lang, self._fields.url}
        extra = tuple(key for key in values if key not in known)
        fresh = [key for key in extra if key not in self._extra]
        if fresh and len(self._extra) + len(fresh) <= MOST_KEYS:
            self._extra += tuple(fresh)
            self._decoder = _decoder(self._fields, self._extra)
        text = _text_of(values, self._fields.text)
        return _Slow(
            text,
            _scalar(values.get(self._fields.id)),
            _scalar(values.get(self._fields.lang)),
            _scalar(values.get(self._fields.url)),
            _metadata({key: bytes(values[key]) for key in extra}),
        )

    def _columns(self, records: list[Any], positions: list[int]) -> Columns:
        return Columns(
            position=positions,
            text=[record.text for record in records],
            id=[_name(record.id) for record in records],
            lang=[record.lang for record in records],
            url=[record.url for record in records],
            metadata=self._metadata(records),
        )

    def _metadata(self, records: list[Any]) -> list[bytes | None]:
        if not self._extra:
            return [getattr(record, "slow_metadata", None) for record in records]
        return [self._metadata_of(record) for record in records]

    def _metadata_of(self, record: Any) -> bytes | None:  # noqa: ANN401
        if isinstance(record, _Slow):
            return record.slow_metadata
        if len(self._extra) == 1 and self._extra[0] == METADATA:
            raw = bytes(record.x0)
            if raw[:1] == b"{":
                return raw
        present = {
            key: bytes(raw)
            for number, key in enumerate(self._extra)
            if (raw := getattr(record, f"x{number}", EMPTY)) != EMPTY
        }
        return _metadata(present)


@dataclass(frozen=True, slots=True)
class _Slow:
    """A record that came the precise way."""

    text: str
    id: str | None
    lang: str | None
    url: str | None
    slow_metadata: bytes | None


class _BadLineError(Exception):
    """A line that is no document."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason)
        self.reason = reason


def _decoder(fields: FieldMapping, extra: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    names: dict[str, tuple[str, Any, Any]] = {
        "text": (fields.text, str, msgspec.NODEFAULT),
        "id": (fields.id, Id, None),
        "lang": (fields.lang, str | None, None),
        "url": (fields.url, str | None, None),
    }
    names |= {f"x{number}": (key, msgspec.Raw, EMPTY) for number, key in enumerate(extra)}
    members = [(name, kind, default) for name, (_, kind, default) in names.items()]
    required = [(name, kind) for name, kind, default in members if default is msgspec.NODEFAULT]
    optional = [entry for entry in members if entry[2] is not msgspec.NODEFAULT]
    record = msgspec.defstruct(
        "Record",
        [*required, *optional],
        rename={name: key for name, (key, _, _) in names.items()},
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(record)


def _record_starts(data: bytes) -> np.ndarray:
    """Offsets of the lines that are not blank: int64[n]."""
    body = np.frombuffer(data, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(body == NEWLINE) + 1])
    starts = starts[starts < len(body)]
    for place in np.flatnonzero(body[starts] <= SPACE).tolist():
        end = data.find(b"\n", starts[place])
        if not data[starts[place] : end if end >= 0 else len(data)].strip():
            starts[place] = -1
    return starts[starts >= 0]


def _parse(line: bytes) -> Mapping[str, msgspec.Raw]:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise _BadLineError(RejectReason.INVALID_UTF8) from error
    if b"\0" in line:
        raise _BadLineError(RejectReason.NUL_CHARACTER)
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except RecursionError as error:
        raise _BadLineError(RejectReason.TOO_DEEPLY_NESTED) from error
    except msgspec.ValidationError as error:
        raise _BadLineError(RejectReason.NOT_AN_OBJECT) from error
    except msgspec.DecodeError as error:
        raise _BadLineError(_why_invalid(line)) from error


def _why_invalid(line: bytes) -> RejectReason:
    # The standard library takes a lone surrogate for what it is; everything else is malformed.
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return RejectReason.LONE_SURROGATE
    except RecursionError:
        return RejectReason.TOO_DEEPLY_NESTED
    except ValueError:
        return RejectReason.INVALID_JSON
    return RejectReason.INVALID_JSON


def _text_of(values: Mapping[str, msgspec.Raw], key: str) -> str:
    if key not in values:
        raise _BadLineError(RejectReason.MISSING_TEXT)
    try:
        text = msgspec.json.decode(values[key])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _BadLineError(_why_invalid(bytes(values[key]))) from error
    if text is None:
        raise _BadLineError(RejectReason.NULL_TEXT)
    if not isinstance(text, str):
        raise _BadLineError(RejectReason.TEXT_NOT_STRING)
    return text


def _scalar(raw: msgspec.Raw | None) -> str | None:
    """A string as it is, null as None, and any other value as its JSON text."""
    if raw is None or bytes(raw) == b"null":
        return None
    if bytes(raw)[:1] != b'"':
        return bytes(raw).decode()
    return str(msgspec.json.decode(raw))


def _name(value: Id) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _metadata(extra: Mapping[str, bytes]) -> bytes | None:
    """Other fields as one JSON object; the record's own ``metadata`` object is its base."""
    own = extra.get(METADATA, b"")
    if own[:1] == b"{":
        rest = _members({key: raw for key, raw in extra.items() if key != METADATA})
        if not rest:
            return own
        inner = own.strip()[1:-1].strip()
        return b"{" + (inner + b"," if inner else b"") + rest + b"}"
    kept = {key: raw for key, raw in extra.items() if not (key == METADATA and raw == b"null")}
    return b"{" + _members(kept) + b"}" if kept else None


def _members(values: Mapping[str, bytes]) -> bytes:
    return b",".join(msgspec.json.encode(key) + b":" + raw for key, raw in values.items())

