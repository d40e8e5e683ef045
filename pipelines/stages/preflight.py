"""What a run will need and what it will find missing, before any work.

Else a tokenizer that is named wrongly would only fail once the stages before it have run.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from strata.errors import MachineError, StrataError
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.tables.other_corpora import benchmark_corpora, reference_corpora
from strata.pipelines.tokenization.identity import named_spec
from strata.settings import Settings
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.tables.catalog import check_catalog_file
from strata.storage.writing.tiers import Tier, landing_tier, tier_of_table, tiers_of
from strata.tables import table_names

__all__ = ["Problem", "Room", "check_room", "find_problems", "raise_problems", "room_for"]

# Stages that resolve reference and benchmark corpora when they begin.
_WITH_OTHER_CORPORA = frozenset({"decontaminate", "dedup", "tokenize"})
# Bytes on disk for each byte of text. Natural text takes 0.3 to 0.5 as `documents` and as `clean`,
# and 0.25 to 0.4 as `tokens`; even logs and boilerplate hardly get below the least share.
_USUAL_SHARE = 1.1
_LEAST_SHARE = 0.02
GB = 1e9


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that would stop a run.

    Attributes:
        name: what was checked.
        error: what the run would end with.
    """

    name: str
    error: StrataError


@dataclass(frozen=True, slots=True)
class Room:
    """Free room of local tiers on one disk, and what a run may write there.

    Attributes:
        tiers: the tiers on this disk.
        free_bytes: free now.
        usual_bytes: what texts of this size usually take.
        least_bytes: what they take at the very least.
    """

    tiers: tuple[str, ...]
    free_bytes: int
    usual_bytes: int
    least_bytes: int

    def check(self) -> None:
        """Raise where even the least does not fit.

        Raises:
            MachineError: there is too little room.
        """
        if self.free_bytes < self.least_bytes:
            raise MachineError(
                f"the disk of tier {', '.join(self.tiers)} has {self.free_bytes / GB:,.1f} GB "
                f"free, and the new documents usually take {self.usual_bytes / GB:,.1f} GB",
                hint="free some room, or name a tier on a larger disk",
            )


def find_problems(context: StageContext, stages: Collection[str]) -> list[Problem]:
    """What would stop these stages, as far as it can be seen without doing their work.

    The tokenizer is loaded, the other corpora are looked up, and a catalog in a file and local
    tiers must be writable. Whether remote tiers can be written shows when a new corpus leaves its
    identity there.

    Args:
        context: the corpus.
        stages: names of the stages that are to run.
    """
    return list(_problems(context, stages))


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise the first problem; its sentence names all.

    Raises:
        StrataError: there is a problem.
    """
    if len(problems) == 1:
        raise problems[0].error
    if problems:
        first = problems[0].error
        reasons = "; ".join(f"{each.name}: {each.error.reason}" for each in problems)
        hints = "; ".join(each.error.hint for each in problems if each.error.hint)
        raise type(first)(f"{len(problems)} things are in the way: {reasons}", hint=hints)


def _problems(context: StageContext, stages: Collection[str]) -> Iterator[Problem]:
    settings, corpus = context.settings, context.corpus
    if "tokenize" in stages:
        yield from _tried("tokenizer", lambda: named_spec(settings.tokenize, context.store))
    if _WITH_OTHER_CORPORA.intersection(stages):
        dedup = settings.dedup
        yield from _tried("dedup.against", lambda: reference_corpora(corpus, dedup))
        yield from _tried("dedup.decontaminate", lambda: benchmark_corpora(corpus, dedup))
    if stages:
        yield from _tried("catalog", lambda: check_catalog_file(settings))
        for tier in _written(settings):
            yield from _tried(f"tier {tier.name}", partial(_check_writable, tier.url))


def _tried(name: str, check: Callable[[], object]) -> Iterator[Problem]:
    try:
        check()
    except StrataError as error:
        yield Problem(name, error)


def _written(settings: Settings) -> list[Tier]:
    """The tiers that a run writes to, each once."""
    used = {settings.shard.landing, *(settings.tier_of(table) for table in table_names())}
    return [tier for name, tier in tiers_of(settings).items() if name in used]


def _check_writable(url: Url) -> None:
    if url.scheme != LOCAL:
        return
    folder = _existing(Path(url.path))
    if not folder.is_dir():
        raise MachineError(
            f"{url} cannot be a folder: {folder} is a file", hint="name another place, or move it"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError(
            f"{url} cannot be written: no permission for {folder}",
            hint="give write access to it, or name another place",
        )


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def room_for(settings: Settings, text_bytes: int) -> list[Room]:
    """The room on the disks of local tiers for documents with this many bytes of text.

    Args:
        settings: the corpus.
        text_bytes: bytes of text that are about to be read.
    """
    disks: defaultdict[int, dict[str, Path]] = defaultdict(dict)
    for tier in (landing_tier(settings, "documents"), tier_of_table(settings, "tokens")):
        if tier.url.scheme == LOCAL:
            path = _existing(Path(tier.url.path))
            disks[path.stat().st_dev][tier.name] = path
    found = []
    for tiers in disks.values():
        with suppress(OSError):
            free = shutil.disk_usage(next(iter(tiers.values()))).free
            usual, least = round(text_bytes * _USUAL_SHARE), round(text_bytes * _LEAST_SHARE)
            found.append(Room(tuple(tiers), free, usual, least))
    return found


def check_room(settings: Settings, text_bytes: int) -> None:
    """Raise where new documents cannot fit on the disk of a local tier.

    Raises:
        MachineError: there is too little room.
    """
    for room in room_for(settings, text_bytes):
        room.check()
