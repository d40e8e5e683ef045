"""Choosing where the rows of broken files may come from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from strata.errors import ConflictError, InputError
from strata.pipelines.foreign import FINGERPRINT_FORMAT, fingerprint_format
from strata.pipelines.passages import cut_files
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.records import POSITION_BITS
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.pipelines.registry import read_registry
from strata.pipelines.removals import removals_key
from strata.pipelines.repair.copies import checksum_in_footer, equal_copies, older_files
from strata.pipelines.repair.sources import (
    CopiedRows,
    EncodedRows,
    InputRows,
    RowSource,
    SketchedRows,
    SurvivorRows,
    TwinRows,
)
from strata.pipelines.repair.task import RepairTask
from strata.pipelines.repair.wanted import DOCUMENT_TABLES, Wanted, wanted_of
from strata.pipelines.retraction.gone import Gone
from strata.pipelines.retraction.records import retraction_rows
from strata.pipelines.retraction.survivors import tokenizer_of_table
from strata.pipelines.stage import StageContext
from strata.pipelines.table_target import TableTarget
from strata.pipelines.token_parts import ledger_files
from strata.pipelines.token_task import Part
from strata.pipelines.tokens import TOKENIZER
from strata.storage.integrity.checksums import RowsChecksum
from strata.storage.records import TableFile
from strata.storage.tiers import tiers_of

__all__ = ["plan_repairs"]


def plan_repairs(
    context: StageContext, table: str, broken: Sequence[TableFile], bad: Collection[str]
) -> list[RepairTask]:
    """The tasks that make broken files of one table anew.

    Args:
        context: the corpus.
        table: name of the table.
        broken: its files that are to be replaced.
        bad: URLs of all files that cannot be trusted, of every table.
    """
    checksums = {file.url: checksum_in_footer(context.store, file.location) for file in broken}
    known = [checksum for checksum in checksums.values() if checksum is not None]
    tiers = tiers_of(context.settings).values()
    copies = equal_copies(context.corpus, tiers, table, known) if known else {}
    gone = _gone(context)
    return [
        _task(context, table, group, bad, checksums, copies, gone)
        for group in _groups(table, broken)
    ]


def _groups(table: str, broken: Sequence[TableFile]) -> Iterator[tuple[TableFile, ...]]:
    """Files whose ranges meet: which of them held a document cannot be told."""
    if table not in DOCUMENT_TABLES:
        yield from ((file,) for file in broken)
        return
    group: list[TableFile] = []
    for file in sorted(broken, key=lambda each: each.min_doc_id):
        if group and file.min_doc_id > max(each.max_doc_id for each in group):
            yield tuple(group)
            group = []
        group.append(file)
    if group:
        yield tuple(group)


def _task(
    context: StageContext,
    table: str,
    group: tuple[TableFile, ...],
    bad: Collection[str],
    checksums: dict[str, RowsChecksum | None],
    copies: dict[str, str],
    gone: Gone,
) -> RepairTask:
    found = [checksums[file.url] for file in group]
    known = [checksum for checksum in found if checksum is not None]
    is_known = len(known) == len(found)
    sources: list[RowSource] = []
    equal = [copies.get(checksum.to_text()) for checksum in known]
    if is_known and None not in equal:
        sources.append(CopiedRows(table, tuple(url for url in equal if url is not None)))
    wanted = None
    if table in DOCUMENT_TABLES:
        wanted = wanted_of(context.corpus, context.store, table, group, bad, gone)
        sources += _sources(context, table, wanted, bad)
    target = TableTarget.of(context, table)
    checksum = sum(known, RowsChecksum()) if is_known else None
    return RepairTask(target, group, tuple(sources), wanted, checksum)


def _gone(context: StageContext) -> Gone:
    try:
        rows = retraction_rows(context.corpus, context.store)
    except InputError:
        # Then only what other tables know of comes back.
        return Gone.of((), range(1 << 16))
    return Gone.of(rows["doc_id"].drop_null().to_pylist(), rows["ordinal"].drop_null().to_pylist())


def _sources(
    context: StageContext, table: str, wanted: Wanted, bad: Collection[str]
) -> Iterator[RowSource]:
    older = _meeting(older_files(context.corpus, table, bad), wanted)
    if older:
        yield CopiedRows(table, tuple(file.url for file in older))

    def sound(name: str) -> list[TableFile]:
        files = context.corpus.table(name).files()
        return [file for file in _meeting(files, wanted) if file.url not in bad]

    # A table that belongs to other settings, or an input that is gone, only means one source less.
    with suppress(InputError, ConflictError):
        if table == "documents":
            prints = tuple(file.url for file in sound("fingerprints"))
            yield TwinRows(tuple(file.url for file in sound("clean")), prints)
            yield from _inputs(context, wanted)
        elif table == "fingerprints":
            ngram = context.settings.dedup.ngram
            written = context.corpus.table(table).latest_property(FINGERPRINT_FORMAT)
            if written == fingerprint_format(ngram):
                yield SketchedRows(tuple(file.url for file in sound("documents")), ngram)
        else:
            yield from _of_survivors(context, table, sound("documents"), sound("clean"), bad)


def _meeting(files: Sequence[TableFile], wanted: Wanted) -> list[TableFile]:
    return [f for f in files if f.min_doc_id <= wanted.high and f.max_doc_id >= wanted.low]


def _inputs(context: StageContext, wanted: Wanted) -> Iterator[InputRows]:
    """The input files of a range that are as they were when they were read."""
    present = {
        file.cause: file for file in list_inputs(context.store, context.settings.inputs).files
    }
    first, last = wanted.low >> POSITION_BITS, wanted.high >> POSITION_BITS
    files = [
        present[each.cause].numbered(each.ordinal)
        for each in read_registry(context.corpus, context.store)
        if first <= each.ordinal <= last and each.cause in present
    ]
    settings = context.settings.shard
    splits = plan_splits(files, context.store, int(settings.split_mb * 1e6))
    if splits:
        yield InputRows(tuple(splits), ReadLimits(int(settings.max_document_mb * 1e6)))


def _of_survivors(
    context: StageContext,
    table: str,
    documents: Sequence[TableFile],
    clean: Sequence[TableFile],
    bad: Collection[str],
) -> Iterator[RowSource]:
    spec = tokenizer_of_table(context) if table == "tokens" else None
    written = context.corpus.table("tokens").latest_property(TOKENIZER)
    if table == "tokens" and (spec is None or spec.fingerprint != written):
        return
    if spec is not None and clean:
        yield EncodedRows(CopiedRows("clean", tuple(file.url for file in clean)), spec)
    ledger = ledger_files(context)
    cuts = cut_files(context, removals_key(context))
    if any(file.url in bad for file in (*ledger, *cuts)):
        return
    parts = tuple(
        Part(file.url, tuple(range(file.row_groups)), file.min_doc_id, file.max_doc_id)
        for file in documents
    )
    survivors = SurvivorRows(parts, ledger, cuts)
    yield survivors if spec is None else EncodedRows(survivors, spec)
