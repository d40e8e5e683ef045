"""Records that could not be read, and files that are broken."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from strata.errors import InputError

__all__ = ["EXCERPT_CHARACTERS", "BrokenFile", "Reject", "RejectReason", "excerpt_of"]

EXCERPT_CHARACTERS = 200


class RejectReason(StrEnum):
    """Why a record or a file could not be read."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEPLY_NESTED = "too_deeply_nested"
    INVALID_UTF8 = "invalid_utf8"
    LONE_SURROGATE = "lone_surrogate"
    NUL_CHARACTER = "nul_character"
    MISSING_TEXT = "missing_text"
    NULL_TEXT = "null_text"
    TEXT_NOT_STRING = "text_not_string"
    EMPTY_TEXT = "empty_text"
    TOO_LONG = "too_long"
    INVALID_CSV = "invalid_csv"
    RAGGED_ROW = "ragged_row"
    TRUNCATED_FILE = "truncated_file"
    CORRUPT_FILE = "corrupt_file"
    WRONG_CONTENT = "wrong_content"
    NOT_JSON_LINES = "not_json_lines"
    NO_TEXT_COLUMN = "no_text_column"
    RETRACTED = "retracted"

    @property
    def harmless(self) -> bool:
        """Whether nothing was lost: such a record does not count against the limit."""
        return self in (RejectReason.EMPTY_TEXT, RejectReason.RETRACTED)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of the table `rejects`.

    Attributes:
        uri: the input file.
        ordinal: its ordinal in the corpus.
        position: byte offset of the line, number of the record or row, or where the file breaks.
        reason: why.
        excerpt: the beginning of the record, or what the library said of the file.
        source: name of the source.
    """

    uri: str
    ordinal: int
    position: int
    reason: RejectReason
    excerpt: str
    source: str


class BrokenFile(InputError):  # noqa: N818 (the thing that is thrown is the news of the file)  # noqa: N818 - it names the file, not the fault
    """A file whose container is damaged: none of its documents can be trusted to be complete."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(
            f"{reject.uri}: {reject.reason} at {reject.position}: {reject.excerpt}",
            hint="replace the file; it is recorded in the table `rejects`",
        )
        self.reject = reject

    def __reduce__(self) -> tuple[object, ...]:
        return (BrokenFile, (self.reject,))


def excerpt_of(record: bytes | str) -> str:
    """The beginning of a record as text that can be stored: no lone surrogate, no NUL."""
    if isinstance(record, str):
        record = record[:EXCERPT_CHARACTERS].encode("utf-8", "replace")
    text = record[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")
    return text[:EXCERPT_CHARACTERS].replace("\0", "\ufffd")
