"""`strata storage relocate`: new paths in the metadata of a corpus that was moved or copied."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from strata.errors import IdentityError, SettingsError
from strata.jobs.display.facts import CommandResult, print_result
from strata.places import place_of
from strata.storage.contracts.url import Url
from strata.storage.relocation.destinations import Destinations, Kind
from strata.storage.relocation.ownership import Handover, hand_over, plan_handover
from strata.storage.relocation.relocate import Relocation, plan_relocation
from strata.storage.tables.catalog import Corpus, Look
from strata.storage.writing.tiers import tiers_of

__all__ = ["run"]


def run(look: Look, arguments: argparse.Namespace) -> None:
    """Relocate the corpus to where the settings say that it is, and print what that changed.

    Raises:
        ConflictError: files are missing, the original is still there, or another run published.
        SettingsError: the catalog cannot do it, or `--map` is not of two locations.
    """
    settings = look.settings
    if look.catalog is None or not look.tables():
        raise IdentityError(
            f"the catalog knows no table of corpus {settings.corpus}: there is nothing to relocate",
            hint="check `warehouse` and [catalog]; `strata storage rebuild-catalog FILE` makes a "
            "lost catalog anew",
        )
    corpus = look.corpus()
    destinations = Destinations(
        settings.corpus,
        corpus.warehouse,
        tuple(tier.url for tier in tiers_of(settings).values()),
        dict(_given(arguments.map)),
        Kind.COPY if arguments.as_copy else Kind.MOVE,
    )
    relocation = plan_relocation(corpus, destinations)
    handover = plan_handover(corpus, relocation, look.findings, arguments.vouched)
    is_due = bool(relocation.tables) or handover.changes
    if is_due and not arguments.dry_run:
        hand_over(corpus, relocation, handover)
    print_result(_result(corpus, relocation, handover, arguments, is_due), output=arguments.output)


def _given(pairs: list[str]) -> Iterator[tuple[Url, Url]]:
    for pair in pairs:
        old, mark, new = pair.partition("=")
        try:
            if not mark or not old or not new:
                raise ValueError("it does not name two locations")
            yield Url.parse(place_of(old)), Url.parse(place_of(new))
        except ValueError as error:
            raise SettingsError(
                f"--map {pair!r} cannot be used: {error}",
                hint="write --map OLD=NEW, such as --map s3://old/corpora=s3://new/corpora",
            ) from error


def _result(
    corpus: Corpus,
    relocation: Relocation,
    handover: Handover,
    arguments: argparse.Namespace,
    is_due: bool,
) -> CommandResult:
    verb = "to rewrite" if arguments.dry_run else "rewritten"
    rows = [
        {"from": str(each.old), "to": str(each.new), "files": each.files, "bytes": each.n_bytes}
        for each in relocation.moved
    ]
    totals = {
        "corpus": corpus.name,
        "id": handover.corpus_id,
        "kind": str(handover.kind),
        "dry_run": arguments.dry_run,
        "changed": is_due and not arguments.dry_run,
        "tables": [
            {"table": each.table.name, "files": len(each.rewritten), "metadata": each.wanted}
            for each in relocation.tables
        ],
        "n_tables": len(relocation.tables),
        "metadata_files": relocation.rewritten,
    }
    sentence = f"tables: {{n_tables:,}}, metadata files {verb}: {{metadata_files:,}}"
    if not is_due:
        sentence = "nothing to relocate: all files are where the settings say"
    elif handover.kind is Kind.COPY:
        sentence += "; the copy {} the id {{id}}".format(
            "would get" if arguments.dry_run else "has"
        )
    return CommandResult("moved", ("from", "to", "files", "bytes"), rows, totals, sentence)
