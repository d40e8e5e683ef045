"""The keys that the records of a file have, and a decoder made for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import msgspec

from strata.pipelines.readers.json_text import JsonObjects, JsonValues, objects
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
        """The values of one known key, ABSENT where a record has none."""
        name = self._attributes[key]
        try:
            return list(map(attrgetter(name), records))
        except AttributeError:
            # Some record came before the key was known, or the slow way.
            return [
                record.values.get(key, ABSENT)
                if isinstance(record, SlowRecord)
                else getattr(record, name, ABSENT)
                for record in records
            ]

    def metadata(self, records: Sequence[Any]) -> JsonObjects:
        """All values of each record that are not mapped, as one JSON object.

        The members of the record's own ``metadata`` object come first, then the others by name.
        """
        base = [ABSENT] * len(records)
        if METADATA in self._keys:
            base = self.values(records, METADATA)
        joined = JsonValues.of(base)
        keys = sorted({*self._keys} - {METADATA})
        names = [_name(key) for key in (METADATA, *keys)]
        clash = any(name[:-1] in joined for name in names[1:])
        if clash or any(isinstance(record, SlowRecord) for record in records):
            merged = JsonValues.of([self._merged(record) for record in records])
            return objects(merged, names[:1], JsonValues.of([]))
        columns = [self.values(records, key) for key in keys]
        members = [value for row in zip(*columns, strict=True) for value in row]
        return objects(joined, names, JsonValues.of(members))

    def _merged(self, record: Any) -> bytes:  # noqa: ANN401 - a generated type
        """The same for one record with any keys; where its own object has a key too, that loses."""
        values = self._unmapped(record)
        base = bytes(values.pop(METADATA, ABSENT))
        others = dict(sorted(values.items()))
        if base[:1] != b"{":
            own = {} if base in (b"", b"null") else {METADATA: msgspec.Raw(base)}
            return msgspec.json.encode(own | others)
        if any(_name(key)[:-1] in base for key in others):
            own = msgspec.json.decode(base, type=dict[str, msgspec.Raw])
            return msgspec.json.encode(own | others)
        # Its members stay as they are, so that a record does not depend on those around it.
        members = (base[1:-1].strip(), msgspec.json.encode(others)[1:-1])
        return b"{%s}" % b",".join(part for part in members if part)

    def _unmapped(self, record: Any) -> dict[str, msgspec.Raw]:  # noqa: ANN401 - as above
        if isinstance(record, SlowRecord):
            return {key: raw for key, raw in record.values.items() if key not in self._mapped}
        found = {key: getattr(record, self._attributes[key], ABSENT) for key in self._keys}
        return {key: raw for key, raw in found.items() if raw is not ABSENT}


def _can_be_member(key: str) -> bool:
    # The characters that msgspec refuses in the name of a field.
    return key.isprintable() and '"' not in key and "\\" not in key


def _name(key: str) -> bytes:
    return msgspec.json.encode(key) + b":"
