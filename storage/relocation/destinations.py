"""Where the files of a corpus are now: each root that the tables name, and the one in its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from strata.errors import ConflictError, InputMissingError
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.moved_metadata import ManifestedFile
from strata.storage.relocation.roots import Roots, root_of
from strata.storage.relocation.tables import RecordedTable

__all__ = ["Destinations", "Kind", "Listings", "PlacedRoot", "find_roots"]


@dataclass(frozen=True, slots=True)
class PlacedRoot:
    """A root that the tables name, the one in its place, and the files that are there."""

    old: Url
    new: Url
    files: int
    n_bytes: int


class Kind(StrEnum):
    """What was done to the folders of a corpus."""

    MOVE = "move"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Destinations:
    """What decides where files may be.

    Attributes:
        corpus: name of the corpus.
        warehouse: the warehouse of the settings.
        tiers: the places of all tiers of the settings, the warehouse among them.
        given: what the user says takes the place of which root.
        kind: what was done to the folders; files of a copy are all elsewhere than the original's.
    """

    corpus: str
    warehouse: Url
    tiers: tuple[Url, ...]
    given: Mapping[Url, Url] = field(default_factory=dict)
    kind: Kind = Kind.MOVE

    def candidates(self, old: Url, known: Roots) -> Iterator[Url]:
        """Where the files of a root may be, the likeliest first."""
        if old in self.given:
            yield self.given[old]
            return
        moved = Url.parse(known.move(str(old)))
        found = [moved] if moved != old else []
        if old in self.tiers:
            found.append(old)
        found += self.tiers
        yield from (
            each for each in dict.fromkeys(found) if not (self.kind is Kind.COPY and each == old)
        )


class Listings:
    """The files of a corpus below roots, each root listed once."""

    def __init__(self, store: Store, corpus: str) -> None:
        self._store = store
        self._corpus = corpus
        self._listed: dict[Url, dict[str, int]] = {}

    def sizes(self, root: Url) -> dict[str, int]:
        """Size of each file below a root, by URL."""
        if root not in self._listed:
            with suppress(InputMissingError):
                files = self._store.find(root / self._corpus)
                self._listed[root] = {str(each.url): each.size for each in files}
        return self._listed.setdefault(root, {})


def find_roots(
    destinations: Destinations,
    tables: Iterable[RecordedTable],
    warehouses: Roots,
    listings: Listings,
) -> list[PlacedRoot]:
    """The place of every root that data files are named in.

    Args:
        destinations: what decides it.
        tables: the tables.
        warehouses: the roots whose place is known: those of metadata.
        listings: what is where.

    Raises:
        ConflictError: files are in no place that may hold them, or have other sizes there.
    """
    placed, lost = [], []
    for root, files in sorted(_by_root(destinations.corpus, tables).items()):
        found = _place(destinations, root, files, warehouses, listings)
        if found is None:
            lost.append(_missing(destinations, root, files, warehouses, listings))
        else:
            n_bytes = sum(each.n_bytes for each in files.values())
            placed.append(PlacedRoot(root, found, len(files), n_bytes))
    if lost:
        raise ConflictError(
            "; ".join(lost),
            hint="bring the files to where the settings say, name in [tiers] where they are, or "
            "say it by `--map OLD=NEW`",
        )
    return placed


def _by_root(corpus: str, tables: Iterable[RecordedTable]) -> dict[Url, dict[str, ManifestedFile]]:
    found: defaultdict[Url, dict[str, ManifestedFile]] = defaultdict(dict)
    for table in tables:
        for location, file in table.live_files().items():
            root = root_of(location, corpus, table.name) or Url.parse(location).parent
            found[root][location] = file
    return found


def _place(
    destinations: Destinations,
    root: Url,
    files: Mapping[str, ManifestedFile],
    known: Roots,
    listings: Listings,
) -> Url | None:
    whole = (
        new
        for new in destinations.candidates(root, known)
        if not any(_absent(files.values(), Roots({root: new}), listings.sizes(new)))
    )
    return next(whole, None)


def _absent(
    files: Iterable[ManifestedFile], roots: Roots, sizes: Mapping[str, int]
) -> Iterator[ManifestedFile]:
    for file in files:
        if sizes.get(str(Url.parse(roots.move(file.location)))) != file.n_bytes:
            yield file


def _missing(
    destinations: Destinations,
    root: Url,
    files: Mapping[str, ManifestedFile],
    known: Roots,
    listings: Listings,
) -> str:
    """What is missing in the place that has most of the files."""
    absent = {
        new: list(_absent(files.values(), Roots({root: new}), listings.sizes(new)))
        for new in destinations.candidates(root, known)
    }
    if not absent:
        return f"{len(files)} files are in {root}, for which the settings name no other place"
    best = min(absent, key=lambda new: len(absent[new]))
    first = Roots({root: best}).move(absent[best][0].location)
    return (
        f"{len(absent[best])} of the {len(files)} files that tables name in {root} are not in "
        f"{best}, or have another size there; the first is {first}"
    )
