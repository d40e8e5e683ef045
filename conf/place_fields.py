"""The types of settings that are places: read as a user wrote them, and printed so again."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, SerializationInfo, ValidationInfo

from strata.places import at_home, checked_place, expanded, place_of, sqlite_uri

__all__ = ["AS_WRITTEN", "CatalogValue", "LocalPlaces", "Place", "Places", "read_local"]

AS_WRITTEN = {"as_written": True}
"""The context of pydantic for text that a user wrote, in which variables are expanded."""


def _read(value: str, info: ValidationInfo) -> str:
    return place_of(value) if info.context else checked_place(value)


def _read_all(value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _read(value, info)
    if not value:
        raise ValueError("give at least one path or URL")
    return tuple(_read(each, info) for each in value)


def read_local(value: str, info: ValidationInfo) -> str:
    """Folders on local disks, with commas between them; the last step of a pydantic field.

    Raises:
        ValueError: one of them is remote, or cannot be read.
    """
    parts = [_read(part, info) for part in value.split(",")]
    for part in parts:
        if "://" in part and not part.startswith("file://"):
            raise ValueError(f"{part} is not local: name a folder on a disk of each host")
    return ",".join(parts)


def _read_catalog(value: str, info: ValidationInfo) -> str:
    if value.startswith("env:"):
        return value
    value = expanded(value) if info.context else value
    if not value.startswith("sqlite:"):
        return value
    path = value.removeprefix("sqlite:///")
    if path == value and value != "sqlite://":
        raise ValueError(f"write {sqlite_uri(value.removeprefix('sqlite:'))}")
    return f"sqlite:///{at_home(path)}" if path.startswith("~") else value


def _written(value: str, info: SerializationInfo) -> str:
    return value.replace("$", "$$") if info.context else value


def _written_all(value: str | tuple[str, ...], info: SerializationInfo) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _written(value, info)
    return tuple(_written(each, info) for each in value)


_AS_WRITTEN = PlainSerializer(_written)
Place = Annotated[str, AfterValidator(_read), _AS_WRITTEN]
"""A URL or a path."""
Places = Annotated[str | tuple[str, ...], AfterValidator(_read_all), PlainSerializer(_written_all)]
"""A URL or a path, or a list of them."""
LocalPlaces = Annotated[str, AfterValidator(read_local), _AS_WRITTEN]
"""A folder on local disks, or several with commas between them."""
CatalogValue = Annotated[str, AfterValidator(_read_catalog), _AS_WRITTEN]
"""A property of a catalog, such as the path of an SQLite file."""
