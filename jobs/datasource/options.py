"""The options of the Spark data source ``strata``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from strata.errors import SettingsError
from strata.layers import load_settings
from strata.place_fields import AS_WRITTEN
from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.tables import table_names
from strata.toml_text import Path, is_secret

if TYPE_CHECKING:
    from strata.storage.tables.catalog import Corpus

__all__ = ["SourceOptions"]

NAMES = (
    *("conf", "warehouse", "corpus", "catalog", "storage_options"),
    *("table", "snapshot", "columns", "where", "part_mb"),
)
PART_MB = 64
# Names of fsspec's options that hold credentials: s3fs, gcsfs, adlfs, webhdfs.
SECRETS = ("secret", "token", "password", "key", "credential", "connection_string")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The options given to ``spark.read.format("strata")``.

    Attributes:
        conf: a settings file; or else
        corpus: the name of a corpus, with
        warehouse: its warehouse,
        catalog: properties of its catalog, as JSON,
        storage_options: fsspec options by URL prefix, as JSON; secrets as "env:NAME" only.
        table: the table.
        snapshot: id or tag; where empty, the present snapshot at the time of ``load()``.
        columns: the columns, in this order.
        where: which rows, as :func:`strata.storage.reading.conditions.parse_condition` reads it.
        part_bytes: most bytes on disk that a task reads, as far as row groups allow.
    """

    conf: str
    corpus: str
    warehouse: str
    catalog: str
    storage_options: str
    table: str
    snapshot: str
    columns: tuple[str, ...]
    where: str
    part_bytes: int

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> SourceOptions:
        """Check all options.

        Raises:
            SettingsError: an option is unknown, missing or wrong.
        """
        unknown = sorted(set(given) - set(NAMES))
        if unknown:
            raise SettingsError(
                f"format strata has no option {', '.join(unknown)}",
                hint=f"its options are {', '.join(NAMES)}",
            )
        table = _one_of(given.get("table", ""), table_names(), "table")
        options = cls(
            conf=given.get("conf", ""),
            corpus=given.get("corpus", ""),
            warehouse=given.get("warehouse", ""),
            catalog=given.get("catalog", "{}"),
            storage_options=given.get("storage_options", "{}"),
            table=table,
            snapshot=given.get("snapshot", "").strip(),
            columns=_columns(given.get("columns", ""), SCHEMAS[table].names),
            where=given.get("where", ""),
            part_bytes=_bytes(given.get("part_mb", str(PART_MB))),
        )
        if bool(options.conf) == bool(options.corpus and options.warehouse):
            raise SettingsError(
                "format strata does not know which corpus to read",
                hint="give either the option conf, a settings file, or both warehouse and corpus",
            )
        return options

    def settings(self) -> Settings:
        """The settings of the corpus.

        Raises:
            SettingsError: they cannot work, or an option carries a secret.
        """
        if self.conf:
            return load_settings(FilePath(self.conf)).settings
        catalog = _json("catalog", self.catalog)
        storage = _json("storage_options", self.storage_options)
        _refuse_secrets(catalog, storage)
        try:
            given = {
                "corpus": self.corpus,
                "warehouse": self.warehouse,
                # Required for building a corpus; not used here.
                "inputs": [{"path": self.warehouse}],
                "catalog": catalog,
                "storage_options": storage,
            }
            return Settings.model_validate(given, context=AS_WRITTEN)
        except ValidationError as error:
            told = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
            raise SettingsError(
                f"the options of format strata cannot work: {told}",
                hint="see the user guide, reading the tables",
            ) from None

    def open(self) -> Corpus:
        """Open the corpus."""
        from strata.storage.tables.catalog import open_corpus

        return open_corpus(self.settings())


def _one_of(value: str, known: Iterable[str], option: str) -> str:
    if value not in known:
        raise SettingsError(
            f"option {option} of format strata is {value!r}", hint=f"use one of {', '.join(known)}"
        )
    return value


def _columns(text: str, known: list[str]) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        _one_of(name, known, "columns")
    return tuple(dict.fromkeys(names)) or tuple(known)


def _bytes(text: str) -> int:
    try:
        size = float(text)
    except ValueError:
        size = 0
    if not 0 < size < 1e6:
        raise SettingsError(
            f"option part_mb of format strata is {text!r}", hint="give a number of MB, such as 64"
        )
    return round(size * 1e6)


def _json(option: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        # Without the text, which may contain secrets.
        raise SettingsError(
            f"option {option} of format strata is no JSON object",
            hint='write it as in {"s3://bucket": {"key": "env:S3_KEY"}}',
        )
    return found


def _refuse_secrets(catalog: Mapping[str, Any], storage: Mapping[str, Any]) -> None:
    places: list[tuple[Path, Any]] = [(("catalog", name), value) for name, value in catalog.items()]
    for prefix, options in storage.items():
        inner = options.items() if isinstance(options, dict) else ()
        places += [(("storage_options", prefix, name), value) for name, value in inner]
    for path, value in places:
        if (
            isinstance(value, str)
            and is_secret(path, value)
            and _names_secret(str(path[-1]), value)
        ):
            raise SettingsError(
                f"option {path[0]} of format strata carries the value of {path[-1]}, which Spark "
                "shows in plans and logs",
                hint=f'write "env:NAME" for {path[-1]}, and export NAME to driver and workers',
            )


def _names_secret(name: str, value: str) -> bool:
    told = name.lower().replace("-", "_")
    credentials_in_url = "://" in value and "@" in value.partition("://")[2].partition("/")[0]
    return credentials_in_url or any(secret in told for secret in SECRETS)
