"""What a catalog itself knows of a corpus: its identity and its places, beside the tables."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING
from uuid import uuid4

from strata.storage.contracts.url import Url
from strata.storage.layout.properties import CORPUS_HOME, CORPUS_ID, CORPUS_PLACE
from strata.storage.tables.places import is_same_place

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["CatalogEntry", "entry_properties", "make_entry", "new_id", "read_entry", "write_entry"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What the namespace of a corpus says.

    Attributes:
        id: identity of the corpus; empty where an older version of Strata made the namespace.
        home: the corpus' folder in its warehouse; empty until something is written there.
        folders: the places that carry the identity.
    """

    id: str = ""
    home: str = ""
    folders: frozenset[str] = frozenset()

    def knows(self, folder: Url) -> bool:
        """Whether this place carries the identity, as far as the catalog knows."""
        return any(is_same_place(known, folder) for known in self.folders)


def new_id() -> str:
    """A random identity."""
    return uuid4().hex


def read_entry(catalog: Catalog, corpus: str) -> CatalogEntry | None:
    """What the catalog says; None where it does not know the corpus."""
    from pyiceberg.exceptions import NoSuchNamespaceError

    try:
        given = catalog.load_namespace_properties(corpus)
    except NoSuchNamespaceError:
        return None
    folders = {url for name, url in given.items() if name.startswith(CORPUS_PLACE)}
    return CatalogEntry(given.get(CORPUS_ID, ""), given.get(CORPUS_HOME, ""), frozenset(folders))


def make_entry(catalog: Catalog, corpus: str, corpus_id: str) -> CatalogEntry:
    """Make the namespace of a corpus; of two processes at once, one gives the identity."""
    from pyiceberg.exceptions import NamespaceAlreadyExistsError
    from sqlalchemy.exc import IntegrityError

    with suppress(NamespaceAlreadyExistsError, IntegrityError):
        catalog.create_namespace(corpus, {CORPUS_ID: corpus_id})
    made = read_entry(catalog, corpus)
    if made is not None and not made.id:
        catalog.update_namespace_properties(corpus, updates={CORPUS_ID: corpus_id})
    return read_entry(catalog, corpus) or CatalogEntry()


def write_entry(
    catalog: Catalog, corpus: str, corpus_id: str, home: Url, folders: Iterable[Url]
) -> CatalogEntry:
    """Write the identity of a corpus, and that its places carry it; other places stay."""
    given = entry_properties(corpus_id, home, folders)
    catalog.update_namespace_properties(corpus, updates=given)
    return read_entry(catalog, corpus) or CatalogEntry()


def entry_properties(corpus_id: str, home: Url, folders: Iterable[Url]) -> dict[str, str]:
    """What the namespace of a corpus says of it and of places that carry its identity."""
    places = {f"{CORPUS_PLACE}{_digest(folder)}": str(folder) for folder in folders}
    return {CORPUS_ID: corpus_id, CORPUS_HOME: str(home)} | places


def _digest(folder: Url) -> str:
    return blake2b(str(folder).encode(), digest_size=8).hexdigest()
