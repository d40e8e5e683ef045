"""Tags: names for one state of all tables of a corpus, which expiry and garbage collection keep."""

from __future__ import annotations

import re

from strata.errors import ConcurrentChangeError, ConflictError, SettingsError
from strata.storage.iceberg.catalog_errors import catalog_errors, retry_lost_races
from strata.storage.layout.records import PRESENT
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import CorpusTable

__all__ = ["checked_name", "delete_tag", "tag_corpus", "tags_of"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")


def checked_name(name: str) -> str:
    """The name, checked to be one that a tag may have.

    Raises:
        SettingsError: no tag may have this name.
    """
    if name == PRESENT or not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be the name of a tag",
            hint="use a letter and up to 62 letters, digits, dots, dashes and underscores; "
            f"{PRESENT} is the table itself",
        )
    return name


def tag_corpus(corpus: Corpus, name: str) -> dict[str, int]:
    """Tag the present state of all tables; repeating it finishes a call that died half-way.

    Returns:
        The snapshot of each table.

    Raises:
        SettingsError: no tag may have this name, or nothing was ever published.
        ConflictError: another state has the name, or runs keep publishing.
        TransientError: the catalog did not answer.
    """
    checked_name(name)
    state = _settled(corpus)
    if not state:
        raise SettingsError(
            f"corpus {corpus.name} has no state to name", hint="run `strata run` first"
        )
    given = tags_of(corpus).get(name, {})
    other = [table for table, snapshot in given.items() if state.get(table) != snapshot]
    if other:
        raise ConflictError(
            f"the tag {name} of corpus {corpus.name} names another state of {', '.join(other)}",
            hint=f"take another name, or delete it: strata storage tag FILE {name} --delete",
        )
    for table, snapshot in state.items():
        if table not in given:
            _set_tag(corpus.table(table), name, snapshot)
    if _settled(corpus) != state:
        delete_tag(corpus, name)
        raise ConcurrentChangeError(
            f"another run published to corpus {corpus.name} while it was tagged; it has no tag",
            hint="let the other run finish, then run the same command again",
        )
    return state


def delete_tag(corpus: Corpus, name: str) -> dict[str, int]:
    """Remove a tag from all tables.

    Returns:
        The snapshot that it named in each table.

    Raises:
        SettingsError: there is no such tag.
        ConflictError: another writer kept changing a table.
        TransientError: the catalog did not answer.
    """
    given = tags_of(corpus).get(name, {})
    if not given:
        known = ", ".join(sorted(tags_of(corpus))) or "none"
        raise SettingsError(
            f"corpus {corpus.name} has no tag {name!r}", hint=f"its tags are: {known}"
        )
    for table in given:
        _drop_tag(corpus.table(table), name)
    return given


def tags_of(corpus: Corpus) -> dict[str, dict[str, int]]:
    """The tags of a corpus, each with its snapshot in every table that has it."""
    found: dict[str, dict[str, int]] = {}
    for table in corpus.existing_tables():
        for name, snapshot in corpus.table(table).tags().items():
            found.setdefault(name, {})[table] = snapshot
    return found


def _settled(corpus: Corpus) -> dict[str, int]:
    """The present snapshot of each table, read again if it changes: runs publish one by one."""
    before, state = None, _state(corpus)
    for _ in range(3):
        if before == state:
            break
        before, state = state, _state(corpus)
    return state


def _state(corpus: Corpus) -> dict[str, int]:
    found = {name: corpus.table(name).snapshot_id() for name in corpus.existing_tables()}
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def _set_tag(table: CorpusTable, name: str, snapshot: int) -> None:
    with catalog_errors(table.name):
        retry_lost_races(
            lambda: table.iceberg().manage_snapshots().create_tag(snapshot, name).commit()
        )


def _drop_tag(table: CorpusTable, name: str) -> None:
    def drop() -> None:
        if name in table.tags():
            table.iceberg().manage_snapshots().remove_tag(name).commit()

    with catalog_errors(table.name):
        retry_lost_races(drop)
