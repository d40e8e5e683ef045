"""Choosing where the rows of broken files may come from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from strata.errors import ConflictError, InputError
from strata.pipelines.execution.data_files import DataFile, RemovedBy, RowGroups, data_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.lineage.staleness import cut_files, ledger_files
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.pipelines.repair.affected import MissingRows, find_missing_rows
from strata.pipelines.repair.sources import (
    RowsFromClean,
    RowsFromCopies,
    RowsFromEncoding,
    RowsFromInputs,
    RowsFromSketching,
    RowsFromSurvivors,
    RowSource,
    checksum_in_footer,
    equal_copies,
    files_of_same_result,
    rebuilt_files,
)
from strata.pipelines.repair.task import RepairTask
from strata.pipelines.tables.doc_set import DocumentSet
from strata.pipelines.tables.inputs import read_inputs
from strata.pipelines.tables.other_corpora import fingerprint_format
from strata.pipelines.tables.retractions import retraction_rows
from strata.pipelines.tables.state import CorpusState
from strata.pipelines.tokenization.identity import named_spec
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.pipelines.tokenization.training import stored_spec
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.properties import FINGERPRINT_FORMAT, TOKENIZER
from strata.storage.layout.records import TableFile
from strata.storage.writing.tiers import tiers_of
from strata.tables import DECLARED, RepairRule

__all__ = ["plan_repairs"]


def plan_repairs(
    context: StageContext,
    state: CorpusState,
    table: str,
    broken: Sequence[TableFile],
    damaged_urls: Collection[str],
) -> list[RepairTask]:
    """The tasks that rebuild broken files of one table.

    Args:
        context: the corpus.
        state: the state of its tables that has the files.
        table: name of the table.
        broken: the files to replace; others may have to be replaced together with them.
        damaged_urls: URLs of all files that cannot be trusted, of every table.
    """
    checksums = {file.url: checksum_in_footer(context.store, file.location) for file in broken}
    known = [checksum for checksum in checksums.values() if checksum is not None]
    tiers = tiers_of(context.settings).values()
    copies = equal_copies(state, tiers, table, known, damaged_urls) if known else {}
    retracted = _retracted_documents(context)
    tasks = [
        _task(context, state, table, group, damaged_urls, checksums, copies, retracted)
        for group in _groups(table, broken)
    ]
    rebuilt = rebuilt_files(state, table, damaged_urls)
    if DECLARED[table].has_row_a_document or not rebuilt or all(task.sources for task in tasks):
        return tasks
    return [_whole_table(context, state, table, rebuilt)]


def _whole_table(
    context: StageContext, state: CorpusState, table: str, rebuilt: Sequence[TableFile]
) -> RepairTask:
    """Rebuild all files of a table at once from copies whose file boundaries may differ."""
    source = RowsFromCopies(table, tuple(file.url for file in rebuilt), "the present table")
    files = tuple(state.files(table))
    found = [checksum_in_footer(context.store, file.location) for file in files]
    known = [checksum for checksum in found if checksum is not None]
    checksum = sum(known, RowsChecksum()) if len(known) == len(found) else None
    return RepairTask(TableTarget.of(context, table), files, (source,), None, checksum)


def _groups(table: str, broken: Sequence[TableFile]) -> Iterator[tuple[TableFile, ...]]:
    """Groups of files whose id ranges overlap: which of them held a document is unknown."""
    if not DECLARED[table].has_row_a_document:
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
    state: CorpusState,
    table: str,
    group: tuple[TableFile, ...],
    damaged_urls: Collection[str],
    checksums: dict[str, RowsChecksum | None],
    copies: dict[str, str],
    retracted: DocumentSet,
) -> RepairTask:
    found = [checksums[file.url] for file in group]
    known = [checksum for checksum in found if checksum is not None]
    is_known = len(known) == len(found)
    sources: list[RowSource] = []
    equal = [copies.get(checksum.to_text()) for checksum in known]
    if is_known and None not in equal:
        sources.append(RowsFromCopies(table, tuple(url for url in equal if url is not None)))
    wanted = None
    if DECLARED[table].has_row_a_document:
        # Files of the table that have not been verified may be damaged as well.
        with suppress(InputError):
            wanted = find_missing_rows(state, context.store, table, group, damaged_urls, retracted)
            sources += _sources(context, state, table, wanted, damaged_urls, is_known)
    target = TableTarget.of(context, table)
    checksum = sum(known, RowsChecksum()) if is_known else None
    return RepairTask(target, group, tuple(sources), wanted, checksum)


def _retracted_documents(context: StageContext) -> DocumentSet:
    try:
        rows = retraction_rows(context.corpus, context.store)
    except InputError:
        # Then only documents that other tables know are rebuilt.
        return DocumentSet.of((), range(1 << 16))
    return DocumentSet.of(
        rows["doc_id"].drop_null().to_pylist(), rows["ordinal"].drop_null().to_pylist()
    )


def _sources(
    context: StageContext,
    state: CorpusState,
    table: str,
    wanted: MissingRows,
    damaged_urls: Collection[str],
    is_known: bool,
) -> Iterator[RowSource]:
    others = _meeting(files_of_same_result(state, table, damaged_urls), wanted)
    if others:
        yield RowsFromCopies(table, tuple(file.url for file in others))

    def sound(name: str) -> list[TableFile]:
        return [
            file for file in _meeting(state.files(name), wanted) if file.url not in damaged_urls
        ]

    # A table made with other settings, or an input that is gone, is merely one source less.
    with suppress(InputError, ConflictError):
        rule = DECLARED[table].repair
        if rule is RepairRule.INPUTS:
            prints = tuple(file.url for file in sound("fingerprints"))
            yield RowsFromClean(tuple(file.url for file in sound("clean")), prints)
            yield from _inputs(context, state, wanted)
        elif rule is RepairRule.SKETCHES:
            ngram = context.settings.dedup.ngram
            written = state.property(table, FINGERPRINT_FORMAT)
            if written == fingerprint_format(ngram):
                yield RowsFromSketching(tuple(file.url for file in sound("documents")), ngram)
        elif rule in (RepairRule.SURVIVORS, RepairRule.TOKENS):
            spec = _tokenizer(context, state) if rule is RepairRule.TOKENS else None
            if rule is RepairRule.TOKENS and spec is None:
                return
            clean = sound("clean")
            if spec is not None and clean:
                yield RowsFromEncoding(
                    RowsFromCopies("clean", tuple(file.url for file in clean)), spec
                )
            # Only a checksum can prove that the ledger of a tag belongs to its documents.
            if state.is_present or is_known:
                yield from _of_survivors(context, state, spec, sound("documents"), damaged_urls)


def _meeting(files: Sequence[TableFile], wanted: MissingRows) -> list[TableFile]:
    return [f for f in files if f.min_doc_id <= wanted.high and f.max_doc_id >= wanted.low]


def _inputs(
    context: StageContext, state: CorpusState, wanted: MissingRows
) -> Iterator[RowsFromInputs]:
    """The input files of a range of ids that have not changed since they were read, but grown."""
    known = read_inputs(state.files("inputs"), context.store)
    # A file that grew has several entries; what the last of them stands on was compared then.
    latest = {entry.uri: entry.cause for entry in known}
    present = {
        file.uri: file
        for file in list_inputs(context.store, context.settings.inputs).files
        if file.cause == latest.get(file.uri)
    }
    first, last = wanted.low >> POSITION_BITS, wanted.high >> POSITION_BITS
    files = [
        present[each.uri].numbered(each.ordinal)
        for each in known
        if first <= each.ordinal <= last and each.uri in present
    ]
    settings = context.settings.shard
    splits = plan_splits(files, context.store, int(settings.split_mb * 1e6))
    if splits:
        yield RowsFromInputs(tuple(splits), ReadLimits.of(settings))


def _tokenizer(context: StageContext, state: CorpusState) -> TokenizerSpec | None:
    """The tokenizer that wrote `tokens`, if the settings or the warehouse still have it."""
    written = state.property("tokens", TOKENIZER)
    if written is None:
        return None
    named = named_spec(context.settings.tokenize, context.store)
    is_same = named is not None and named.fingerprint == written
    return named if is_same else stored_spec(context, written)


def _of_survivors(
    context: StageContext,
    state: CorpusState,
    spec: TokenizerSpec | None,
    documents: Sequence[TableFile],
    damaged_urls: Collection[str],
) -> Iterator[RowSource]:
    if state.is_present:
        upstream = Upstream.of_survivors(context)
        ledger, cuts = ledger_files(upstream), cut_files(upstream)
    else:
        contained = data_files(state.files("contained"), reason=RemovedBy.CONTAINED)
        ledger = (*data_files(state.files("clusters"), reason=RemovedBy.CLUSTERS), *contained)
        cuts = data_files(state.files("cuts"))
    if any(file.url in damaged_urls for file in (*ledger, *cuts)):
        return
    parts = tuple(RowGroups(DataFile.of(file), tuple(range(file.row_groups))) for file in documents)
    survivors = RowsFromSurvivors(parts, ledger, cuts)
    yield survivors if spec is None else RowsFromEncoding(survivors, spec)
