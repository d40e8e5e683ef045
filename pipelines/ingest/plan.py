"""What the shard stage has to read: new inputs, their ordinals, and the tasks that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strata.errors import InputError
from strata.keys import stage_key
from strata.pipelines.ingest.growth import NO_GROWTH, Growth
from strata.pipelines.kernels.banding import SKETCH_VERSION
from strata.pipelines.readers.listing import FoundInput, Listing
from strata.pipelines.readers.split import InputFile, Split
from strata.pipelines.tables.inputs import KnownInput
from strata.settings import NulRule, Settings
from strata.storage.tables.publish import PublishMode

__all__ = ["Retractions", "ShardPlan", "pack_splits", "plan_shard"]

# Increment when the code changes what a document or its fingerprint is.
VERSION = 1
# Below this size another task costs more to start than it saves.
SMALLEST_TASK_BYTES = 4_000_000
# Text shrinks to about a third on disk, so this many bytes of input make a byte of a file.
TEXT_PER_DISK_BYTE = 3
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Retractions:
    """What was retracted from a corpus, as far as planning needs it.

    Attributes:
        key: content key of the table `retractions`; None where nothing was ever retracted.
        ordinals: input files whose documents are all retracted, so that the files may be missing.
    """

    key: str | None = None
    ordinals: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The files to read now, the mode of publishing, and the key of the result."""

    key: str
    settings_key: str
    mode: PublishMode
    files: tuple[InputFile, ...]

    @property
    def done(self) -> bool:
        """Whether there is nothing to read."""
        return not self.files


def plan_shard(
    listing: Listing,
    known: Sequence[KnownInput],
    settings: Settings,
    *,
    keys: tuple[str | None, ...],
    settings_key: str | None,
    retractions: Retractions = Retractions(),
    growth: Growth = NO_GROWTH,
) -> ShardPlan:
    """Decide what to read.

    Args:
        listing: the files that the settings' paths have now.
        known: the input manifest, in ordinal order.
        settings: the settings.
        keys: content keys of the tables that the stage publishes, the input manifest's last.
        settings_key: key of the settings that the input manifest was published with.
        retractions: what was retracted.
        growth: which changed files have only grown, where these are read on.

    Raises:
        InputError: an input that was read before has changed or is gone, and
            ``shard.changed_inputs`` is "refuse", or it is "append" and it did not just grow.
    """
    wanted_key = stage_key("shard-settings", VERSION, [], _settings_of(settings))
    lost = _lost(listing, known, retractions, growth)
    if lost and settings.shard.changed_inputs != "rebuild":
        shown = [f"{uri}{growth.reasons.get(uri, '')}" for uri in lost[:SHOWN]]
        raise InputError(
            f"{len(lost)} input(s) that were read before have changed or are gone: "
            f"{', '.join(shown)}{' …' if len(lost) > SHOWN else ''}",
            hint="put them back, or build the corpus anew with --set shard.changed_inputs=rebuild; "
            "lines appended to plain JSON lines can be read with shard.changed_inputs=append",
        )
    grown = _plan(
        listing,
        [] if lost or settings_key != wanted_key else known,
        wanted_key,
        retractions,
        growth.starts,
    )
    # A run that died while publishing leaves tables with different keys: this run may finish its
    # work, but must not add other files to it.
    if all(key in (keys[-1], grown.key) for key in keys):
        return grown
    return _plan(listing, [], wanted_key, retractions, {})


def _plan(
    listing: Listing,
    known: Sequence[KnownInput],
    settings_key: str,
    retractions: Retractions,
    starts: Mapping[str, int],
) -> ShardPlan:
    new = _numbered(listing.files, known, starts)
    input_digests = [entry.cause for entry in known] + [file.cause for file in new]
    decisive = {"settings": settings_key}
    if retractions.key is not None:
        decisive["retractions"] = retractions.key
    key = stage_key("shard", VERSION, input_digests, decisive)
    mode = PublishMode.APPEND if known else PublishMode.OVERWRITE
    return ShardPlan(key, settings_key, mode, tuple(new))


def _settings_of(settings: Settings) -> dict[str, object]:
    # A setting that came later is named only when it is not at its default, so that the keys of
    # corpora from before it stay.
    later = {} if settings.shard.nul is NulRule.REMOVE else {"nul": str(settings.shard.nul)}
    return later | {
        "ngram": settings.dedup.ngram,
        "sketch": SKETCH_VERSION,
        "max_document_mb": settings.shard.max_document_mb,
    }


def _lost(
    listing: Listing, known: Sequence[KnownInput], retractions: Retractions, growth: Growth
) -> list[str]:
    found = {file.uri: file.cause for file in listing.files}
    # A file that grew has several entries, of which the last is the present one.
    latest = {entry.uri: entry.cause for entry in known}
    needed = {entry.uri for entry in known if entry.ordinal not in retractions.ordinals}
    return [
        uri
        for uri, cause in latest.items()
        if uri in needed and uri not in growth.starts and found.get(uri) != cause
    ]


def _numbered(
    found: Sequence[FoundInput], kept: Sequence[KnownInput], starts: Mapping[str, int]
) -> list[InputFile]:
    seen = {entry.uri for entry in kept}
    first = max((entry.ordinal for entry in kept), default=-1) + 1
    new = [file for file in found if file.uri not in seen or file.uri in starts]
    from_start = starts if kept else {}
    return [
        file.numbered(first + place, from_start.get(file.uri, 0)) for place, file in enumerate(new)
    ]


def pack_splits(
    splits: Sequence[Split], parallelism: int, target_file_bytes: int
) -> list[list[Split]]:
    """Pack splits into tasks of about equal weight, in ordinal order.

    Neighbours stay together, so that the document ids of a written file form a narrow range.

    Args:
        splits: splits in ordinal order; their weight is in bytes of text.
        parallelism: tasks that can run at once.
        target_file_bytes: size of a written file on disk.
    """
    total = sum(split.weight for split in splits)
    by_size = -(-total // (target_file_bytes * TEXT_PER_DISK_BYTE))
    by_cores = min(2 * parallelism, -(-total // SMALLEST_TASK_BYTES))
    number = max(1, min(len(splits), max(by_size, by_cores)))
    bins: list[list[Split]] = [[] for _ in range(number)]
    reached = 0
    for split in splits:
        middle = reached + split.weight / 2
        bins[min(number - 1, int(middle * number / max(total, 1)))].append(split)
        reached += split.weight
    return [packed for packed in bins if packed]
