"""Which metadata file is the present one of each table: the rows of a SQL catalog.

They can be read although no metadata file is where they say, and be switched all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables, SqlCatalog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from strata.errors import ConflictError, SettingsError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["PointerSwitch", "database_file", "read_pointers", "switch_pointers"]


@dataclass(frozen=True, slots=True)
class PointerSwitch:
    """A table's present metadata file, the one that shall be it, and what came before that."""

    table: str
    present: str
    wanted: str
    previous: str


def read_pointers(catalog: Catalog, corpus: str) -> dict[str, str]:
    """The present metadata file of each table of a corpus, by name, sorted.

    Raises:
        SettingsError: the catalog is not a SQL database.
    """
    known = _sql(catalog)
    wanted = select(IcebergTables.table_name, IcebergTables.metadata_location).where(
        IcebergTables.catalog_name == known.name,
        IcebergTables.table_namespace == corpus,
        IcebergTables.metadata_location.is_not(None),
    )
    with Session(known.engine) as session:
        rows = session.execute(wanted.order_by(IcebergTables.table_name))
        return {name: location for name, location in rows if location is not None}


def database_file(catalog: Catalog) -> Path | None:
    """The file of a SQLite catalog; None where a server has it, or memory.

    Raises:
        SettingsError: the catalog is not a SQL database.
    """
    url = _sql(catalog).engine.url
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(url.database or "") if is_file else None


def switch_pointers(
    catalog: Catalog,
    corpus: str,
    switches: Sequence[PointerSwitch],
    properties: Mapping[str, str | None],
) -> None:
    """Switch tables to other metadata files and change properties of the corpus, at once.

    All is one transaction; a property of None is removed.

    Raises:
        ConflictError: a table has another metadata file by now; nothing was switched.
        SettingsError: the catalog is not a SQL database.
    """
    known = _sql(catalog)
    with Session(known.engine) as session, session.begin():
        for each in switches:
            row = update(IcebergTables).where(
                IcebergTables.catalog_name == known.name,
                IcebergTables.table_namespace == corpus,
                IcebergTables.table_name == each.table,
                IcebergTables.metadata_location == each.present,
            )
            told = session.execute(
                row.values(
                    metadata_location=each.wanted, previous_metadata_location=each.previous
                ).returning(IcebergTables.table_name)
            )
            if told.first() is None:
                raise ConflictError(
                    f"another run published to table {corpus}.{each.table} meanwhile",
                    hint="let the other run finish, then run the same command again",
                )
        _set_properties(session, known.name, corpus, properties)


def _set_properties(
    session: Session, catalog: str, corpus: str, properties: Mapping[str, str | None]
) -> None:
    of_corpus = (
        IcebergNamespaceProperties.catalog_name == catalog,
        IcebergNamespaceProperties.namespace == corpus,
    )
    for name, value in properties.items():
        session.execute(
            delete(IcebergNamespaceProperties).where(
                *of_corpus, IcebergNamespaceProperties.property_key == name
            )
        )
        if value is None:
            continue
        session.execute(
            insert(IcebergNamespaceProperties).values(
                catalog_name=catalog, namespace=corpus, property_key=name, property_value=value
            )
        )


def _sql(catalog: Catalog) -> SqlCatalog:
    if not isinstance(catalog, SqlCatalog):
        raise SettingsError(
            f"a {type(catalog).__name__} cannot switch several tables at once",
            hint="drop the tables of the corpus from it, without their files, and register them "
            "anew with its own tools, or use a SQL catalog",
        )
    return catalog
