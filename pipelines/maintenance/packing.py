"""Which files are rewritten together: bins of about the target size of a file."""

from __future__ import annotations

from collections.abc import Sequence

from strata.storage.layout.records import TableFile

__all__ = ["pack_files", "target_file_count"]

# A bin up to this share of the target becomes one file.
_FULL = 1.25
# Bins that are open at once. First-fit decreasing makes up to 5 % fewer files than three open bins,
# but mixes the whole table: an id is then in the range of up to 230 files, here of two.
_OPEN = 3


def pack_files(files: Sequence[TableFile], target: int) -> list[tuple[TableFile, ...]]:
    """Put files of one partition into bins of at most 1.25 times the target; larger files go alone.

    Best fit with bounded space (J. Csirik, D. S. Johnson, 2001), in the order of document ids, so
    that neighbours stay together and each new file covers a narrow range of ids.
    """
    bins: list[list[TableFile]] = []
    room: dict[int, float] = {}
    for file in sorted(files, key=lambda file: file.min_doc_id):
        fitting = [place for place, left in room.items() if left >= file.n_bytes]
        if fitting:
            place = min(fitting, key=room.__getitem__)
        else:
            if len(room) == _OPEN:
                del room[min(room, key=room.__getitem__)]
            place = len(bins)
            bins.append([])
            room[place] = _FULL * target
        bins[place].append(file)
        room[place] -= file.n_bytes
    return [tuple(some) for some in bins]


def target_file_count(files: Sequence[TableFile], target: int) -> int:
    """Number of files that a bin is rewritten into."""
    return max(1, round(sum(file.n_bytes for file in files) / target))
