"""`strata storage gc`: deleting what no table refers to."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.storage.rows import iso
from strata.settings import Settings
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.cleanup.uploads import AbandonedUpload, abandoned_uploads, abort_uploads
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import FileInfo
from strata.storage.lifecycle.move_cleanup import CleanupResult, clean_up_moves, pending_copies
from strata.storage.lifecycle.usage import tier_of_url
from strata.storage.tables.catalog import Corpus
from strata.storage.writing.tiers import Tier, tiers_of
from strata.tables import DECLARED

__all__ = ["run"]


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Delete orphans and old copies of moves that are older than the given age, and print them."""
    settled = _settle(corpus, arguments)
    tiers = tiers_of(settings)
    orphans = find_orphans(corpus, tiers.values(), arguments.older_than)
    if not arguments.dry_run:
        collect_garbage(corpus.store, orphans)
    uploads = _uploads(settings, corpus, arguments)
    totals = {
        "corpus": corpus.name,
        "dry_run": arguments.dry_run,
        "files": len(orphans),
        "bytes": sum(file.size for file in orphans),
        "old_copies": _copies(settled),
        "uploads": [_upload_row(upload) for upload in uploads],
    }
    verb = "to delete" if arguments.dry_run else "deleted"
    facts = CommandResult(
        "deleted",
        ("table", "tier", "bytes", "modified", "url"),
        [_orphan_row(corpus, tiers, file) for file in orphans],
        totals,
        f"files {verb}: {{files:,}}, with {{bytes:,}} bytes"
        + _copies_sentence(settled, arguments)
        + _uploads_sentence(len(uploads), arguments),
        by=("table", "tier"),
    )
    print_result(facts, output=arguments.output, listed=arguments.listed)


def _settle(corpus: Corpus, arguments: argparse.Namespace) -> CleanupResult:
    """Delete what moves have replaced; in a dry run, report how much may be deleted."""
    if arguments.dry_run:
        return CleanupResult(waiting=len(pending_copies(corpus, arguments.older_than)))
    return clean_up_moves(corpus, arguments.older_than)


def _copies(settled: CleanupResult) -> dict[str, int]:
    return {
        "files": settled.files,
        "bytes": settled.n_bytes,
        "waiting": settled.waiting,
        "snapshots_expired": settled.snapshots,
    }


def _copies_sentence(settled: CleanupResult, arguments: argparse.Namespace) -> str:
    if arguments.dry_run:
        return f"; old copies of moves: {settled.waiting:,}" if settled.waiting else ""
    told = f"; old copies of moves deleted: {settled.files:,}, with {settled.n_bytes:,} bytes"
    return told if settled.files else ""


def _uploads(
    settings: Settings, corpus: Corpus, arguments: argparse.Namespace
) -> list[AbandonedUpload]:
    """Abandoned uploads below the corpus' folders; they are aborted, except in a dry run."""
    options = StorageOptions.of(settings)
    roots = {corpus.warehouse, *(tier.url for tier in tiers_of(settings).values())}
    found = {
        upload.upload_id: upload
        for root in sorted(roots)
        for upload in abandoned_uploads(options, root / corpus.name, arguments.older_than)
    }
    uploads = list(found.values())
    if not arguments.dry_run:
        abort_uploads(options, uploads)
    return uploads


def _uploads_sentence(uploads: int, arguments: argparse.Namespace) -> str:
    verb = "to give up" if arguments.dry_run else "given up"
    return f"; unfinished uploads {verb}: {uploads:,}" if uploads else ""


def _upload_row(upload: AbandonedUpload) -> dict[str, object]:
    return {"url": str(upload.url), "begun": iso(upload.begun.timestamp())}


def _orphan_row(corpus: Corpus, tiers: Mapping[str, Tier], file: FileInfo) -> dict[str, object]:
    modified = None if file.modified_ns is None else iso(file.modified_ns / 1e9)
    tier = tier_of_url(file.url, tiers)
    root = tiers[tier].url if tier in tiers else corpus.warehouse
    folder = str(file.url).removeprefix(f"{root / corpus.name}/").partition("/")[0]
    return {
        "table": folder if folder in DECLARED else "",
        "tier": tier,
        "url": str(file.url),
        "bytes": file.size,
        "modified": modified,
    }
