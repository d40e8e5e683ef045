"""The keys that the records of a file have, and a decoder made for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import msgspec

from strata.settings import FieldMapping

__all__ = ["ABSENT", "Shape", "SlowRecord"]

ABSENT = msgspec.Raw()
METADATA = "metadata"
# Files with ever new keys gain nothing from a decoder for them all.
MOST_KEYS = 128


@dataclass(frozen=True, slots=True)
class SlowRecord:
    """A record with keys that no decoder can be made for, by its values."""

    values: Mapping[str, msgspec.Raw]


class Shape:
    """Decodes records whose keys it knows into raw values.

    Args:
        fields: which key feeds which column.
        keys: all other keys that are known, in the order of their discovery; they go to the
            metadata.
    """

    def __init__(self, fields: FieldMapping, keys: tuple[str, ...] = ()) -> None:
        self._fields = fields
        self._mapped = frozenset((fields.text, fields.id, fields.lang, fields.url))
        self._keys = keys
        # A record keeps the attributes that it was decoded with: a grown shape adds to them.
        known = (*sorted(self._mapped), *keys)
        self._attributes = {key: f"x{number}" for number, key in enumerate(known)}
        # Sorted, so that metadata does not depend on which record came first.
        self._members = [
            (self._attributes[key], _member(key)) for key in sorted({*keys} - {METADATA})
        ]

    def grown(self, keys: Iterable[str]) -> Shape:
        """This shape with more keys, or itself where they are known or cannot be."""
        fresh = tuple(k for k in keys if k not in self._attributes and _can_be_member(k))
        if not fresh or len(self._keys) + len(fresh) > MOST_KEYS:
            return self
        return Shape(self._fields, self._keys + fresh)

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Refuses records without text or with unknown keys."""
        text = self._attributes[self._fields.text]
        optional = [name for name in self._attributes.values() if name != text]
        record = msgspec.defstruct(
            "Record",
            [(text, msgspec.Raw), *((name, msgspec.Raw, ABSENT) for name in optional)],
            rename={name: key for key, name in self._attributes.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        return msgspec.json.Decoder(record)

    def values(self, records: Sequence[Any], key: str) -> list[msgspec.Raw]:
        """The values of one mapped key, ABSENT where a record has none."""
        name = self._attributes[key]
        return [
            record.values.get(key, ABSENT)
            if isinstance(record, SlowRecord)
            else getattr(record, name, ABSENT)
            for record in records
        ]

    def metadata(self, records: Sequence[Any]) -> list[bytes]:
        """All other values of each record as one JSON object, empty where there are none.

        The members of the record's own ``metadata`` object come first.
        """
        if not self._keys and not any(isinstance(record, SlowRecord) for record in records):
            return [b""] * len(records)
        own = self._attributes[METADATA] if METADATA in self._keys else ""
        return [
            self._slow_metadata(record)
            if isinstance(record, SlowRecord)
            else _joined(
                getattr(record, own, ABSENT),
                [
                    (member, value)
                    for name, member in self._members
                    if (value := getattr(record, name, ABSENT)) is not ABSENT
                ],
            )
            for record in records
        ]

    def _slow_metadata(self, record: SlowRecord) -> bytes:
        others = sorted(record.values.keys() - self._mapped - {METADATA})
        own = ABSENT if METADATA in self._mapped else record.values.get(METADATA, ABSENT)
        return _joined(own, [(_member(key), record.values[key]) for key in others])


def _can_be_member(key: str) -> bool:
    # The characters that msgspec refuses in the name of a field.
    return key.isprintable() and '"' not in key and "\\" not in key


def _member(key: str) -> bytes:
    return msgspec.json.encode(key) + b":"


def _joined(own: msgspec.Raw, others: Sequence[tuple[bytes, msgspec.Raw]]) -> bytes:
    base = bytes(own).strip()
    if base[:1] == b"{":
        if not others:
            return base
        if any(member[:-1] in base for member, _ in others):
            return _merged(base, others)
        inside = base[1:-1].strip()
        pieces: list[Any] = [b"{", inside] if inside else []
    else:
        pieces = [b'{"metadata":', base] if base not in (b"", b"null") else []
    for member, value in others:
        pieces += (b"," if pieces else b"{", member, value)
    if not pieces:
        return b""
    pieces.append(b"}")
    return b"".join(pieces)


def _merged(base: bytes, others: Sequence[tuple[bytes, msgspec.Raw]]) -> bytes:
    """Both, where a key may be in either: the record's own field wins."""
    values = msgspec.json.decode(base, type=dict[str, msgspec.Raw])
    values |= {cast("str", msgspec.json.decode(member[:-1])): value for member, value in others}
    return msgspec.json.encode(values)
