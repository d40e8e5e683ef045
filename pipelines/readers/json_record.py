"""One line of JSON on the precise way: what is wrong with it, or its values."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from strata.pipelines.readers.rejects import RejectReason

__all__ = ["BadRecord", "check_text", "parse_record"]


class BadRecord(Exception):  # noqa: N818 - it names the record, not the fault
    """A line that is no document."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_record(line: bytes, text_field: str) -> Mapping[str, msgspec.Raw]:
    """The values of a record by key.

    Raises:
        BadRecord: the line is malformed, no object, or has no text.
    """
    values = _parse(line)
    if text_field not in values:
        raise BadRecord(RejectReason.MISSING_TEXT)
    check_text(values[text_field])
    return values


def check_text(raw: msgspec.Raw) -> None:
    """Check the type of a text.

    Raises:
        BadRecord: it is null, or no string.
    """
    first = bytes(memoryview(raw)[:1])
    if first == b"n":
        raise BadRecord(RejectReason.NULL_TEXT)
    if first != b'"':
        raise BadRecord(RejectReason.TEXT_NOT_STRING)


def _parse(line: bytes) -> Mapping[str, msgspec.Raw]:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise BadRecord(RejectReason.INVALID_UTF8) from error
    if b"\0" in line:
        raise BadRecord(RejectReason.NUL_CHARACTER)
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except RecursionError as error:
        raise BadRecord(RejectReason.TOO_DEEPLY_NESTED) from error
    except msgspec.ValidationError as error:
        raise BadRecord(_why_no_object(line)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord(_why_invalid(line)) from error


def _why_no_object(line: bytes) -> RejectReason:
    # The decoder looks at the type of a value before its end.
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _why_invalid(line)
    except RecursionError:
        return RejectReason.TOO_DEEPLY_NESTED
    return RejectReason.NOT_AN_OBJECT


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
