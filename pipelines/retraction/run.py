"""`strata retract`: take documents out of every table, re-elect survivors, write a receipt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from strata.errors import ConcurrentChangeError, ConflictError, InputMissingError, SettingsError
from strata.keys import stage_key
from strata.pipelines.execution.details import RetractDetails
from strata.pipelines.execution.stage import (
    Counters,
    StageContext,
    StageReport,
    StageStatus,
    Stopwatch,
)
from strata.pipelines.execution.staging import staging_folder
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.lineage.guard import RetractionState, unfinished
from strata.pipelines.retraction.edit_files import TableEdit, publish_edit
from strata.pipelines.retraction.forget import blank_samples, purge
from strata.pipelines.retraction.match import SelectorMatches, intent_rows, match_selectors
from strata.pipelines.retraction.plan import (
    RetractionPlan,
    pending_tables,
    plan_retraction,
)
from strata.pipelines.retraction.receipt import receipt_of, retained_snapshots
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest
from strata.pipelines.retraction.survivors import encode_survivors
from strata.pipelines.tables.retractions import (
    Retraction,
    Selector,
    read_retraction,
    retraction_rows,
    selectors_of,
)
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import RETRACTION, RETRACTION_STATE
from strata.storage.tables.edit import FileEdit, edit_files
from strata.storage.writing.parquet import WrittenFile
from strata.tables import published_with

__all__ = ["Preview", "preview_retraction", "run_retract"]

VERSION = 1
SHOWN = 20


def run_retract(context: StageContext, request: RetractRequest) -> StageReport[RetractDetails]:
    """Take out what the selectors name, or finish an open retraction.

    A run that dies at any moment leaves the retraction open: other stages refuse to start, and the
    same request, or one without selectors, resumes with the tables that still lack it.

    Raises:
        InputMissingError: a selector names nothing.
        ConflictError: another retraction, or a run of the shard stage, is not finished; or another
            process publishes meanwhile.
        BalanceError: rows were lost or duplicated.
        SettingsError: there are no selectors, and no retraction is open.
    """
    watch = Stopwatch()
    report = StageReport("retract", "", details=RetractDetails())
    retraction = _begin(context, request)
    watch.lap("find documents")
    if retraction is not None:
        report.key = retraction.key
        _remove_documents(context, retraction, report, watch)
        blanked = blank_samples(context, retraction.retracted)
        _finish(context, retraction)
        receipt = receipt_of(context, retraction)
        receipt.reports_blanked = blanked
        if request.expiry is ExpiryPolicy.NOW:
            forgotten = purge(context)
            receipt.held = retained_snapshots(context.corpus, retraction.key)
            receipt.files_deleted, receipt.bytes_deleted = forgotten.files, forgotten.n_bytes
            watch.lap("delete older files")
        report.removed = {"retracted": receipt.documents}
        report.details.receipt = receipt
    elif request.expiry is ExpiryPolicy.NOW:
        report.details.deleted = purge(context)
    else:
        report.status = StageStatus.SKIPPED
    report.rows_out = sum(file.rows for file in context.corpus.table("documents").files())
    report.rows_in = report.rows_out + sum(report.removed.values())
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def preview_retraction(context: StageContext, request: RetractRequest) -> Preview:
    """What :func:`run_retract` would do; nothing is written.

    Raises:
        InputMissingError: a selector names nothing.
        ConflictError: another retraction, or a run of the shard stage, is not finished.
        SettingsError: there are no selectors, and no retraction is open.
    """
    key = unfinished(context.corpus)
    if key is not None:
        retraction = _resume(context, request, key)
    else:
        matches = _matches(context, request)
        retraction = _retraction(context, request, matches)
    plan = plan_retraction(context, retraction)
    return Preview(
        selectors=retraction.selectors,
        documents=next((e.rows_dropped for e in plan.edits if e.table == "documents"), 0),
        edits=plan.edits,
        new_survivors=len(plan.reelection.promoted),
    )


@dataclass(frozen=True, slots=True)
class Preview:
    """What a retraction would do.

    Attributes:
        selectors: the selectors, without those that were retracted before.
        documents: how many documents would be taken out.
        edits: the change of each table.
        new_survivors: documents that would become survivors by it.
    """

    selectors: tuple[Selector, ...]
    documents: int
    edits: tuple[TableEdit, ...]
    new_survivors: int


def _begin(context: StageContext, request: RetractRequest) -> Retraction | None:
    """The retraction to work on, published as open; None where all was retracted before."""
    key = unfinished(context.corpus)
    if key is not None:
        return _resume(context, request, key)
    table = context.corpus.table("retractions")
    onto = table.content_key
    matches = _matches(context, request)
    retraction = _retraction(context, request, matches)
    if not retraction.selectors:
        return None
    rows = intent_rows(retraction, matches)
    written = TableTarget.of(context, "retractions").write([rows], "retract-driver")
    edit_files(
        table,
        [FileEdit((), tuple(written.files), 0, rows.num_rows)],
        onto=onto,
        content_key=retraction.key,
        run_id=context.run_id,
        extra={RETRACTION_STATE: RetractionState.OPEN, RETRACTION: retraction.key},
    )
    return retraction


def _resume(context: StageContext, request: RetractRequest, key: str) -> Retraction:
    retraction = read_retraction(context.corpus, context.store, key)
    others = set(request.selectors) - set(retraction.selectors)
    before = selectors_of(retraction_rows(context.corpus, context.store))
    if request.selectors and (
        others - before or not set(retraction.selectors) <= set(request.selectors)
    ):
        raise ConflictError(
            f"another retraction of corpus {context.corpus.name} is not finished: {key}, of "
            f"{_value_list(retraction.selectors)}",
            hint="run `strata retract FILE --resume` first, then this command again",
        )
    return retraction


def _matches(context: StageContext, request: RetractRequest) -> SelectorMatches:
    if not request.selectors:
        raise SettingsError(
            f"no retraction of corpus {context.corpus.name} is unfinished, and none is asked for",
            hint="name documents with --id, --doc-id, --url, --source, --cluster or --from-file",
        )
    keys = {context.corpus.table(name).content_key for name in published_with("documents")}
    if len(keys) > 1 or None in keys:
        raise ConflictError(
            f"the corpus {context.corpus.name} has no finished result of the shard stage",
            hint="run `strata run` or `strata shard` first",
        )
    matches = match_selectors(context, request.selectors)
    if matches.missing and request.missing is MissingPolicy.REFUSE:
        raise InputMissingError(
            f"the corpus {context.corpus.name} has nothing of {_value_list(matches.missing)}",
            hint="check the values; --allow-missing passes over them, and keeps the addresses and "
            "sources among them out of later inputs",
        )
    return matches


def _value_list(selectors: Sequence[Selector]) -> str:
    shown = ", ".join(str(selector) for selector in selectors[:SHOWN])
    return shown + (f" and {len(selectors) - SHOWN:,} more" if len(selectors) > SHOWN else "")


def _retraction(
    context: StageContext, request: RetractRequest, matches: SelectorMatches
) -> Retraction:
    selectors = tuple(selector for selector in request.selectors if selector not in matches.known)
    retracted = matches.retracted
    input_keys = [
        context.corpus.table(name).content_key or "" for name in ("retractions", "documents")
    ]
    digest = hashlib.blake2b(
        retracted.ids.tobytes() + b"/" + retracted.ordinals.tobytes(), digest_size=16
    )
    decisive: dict[str, object] = {
        "asks": [[str(selector.kind), selector.value] for selector in selectors],
        "gone": digest.hexdigest(),
    }
    key = stage_key("retraction", VERSION, input_keys, decisive)
    return Retraction(key, selectors, request.reason, time.time_ns() // 1_000_000, retracted)


def _remove_documents(
    context: StageContext,
    retraction: Retraction,
    report: StageReport[RetractDetails],
    watch: Stopwatch,
) -> None:
    plan = plan_retraction(context, retraction)
    watch.lap("plan")
    staged = _stage(context, plan, report.counters)
    watch.lap("encode new survivors")
    for edit in plan.edits:
        cost = publish_edit(
            context,
            edit,
            staged.get(edit.table, []),
            onto=plan.onto[edit.table],
            content_key=plan.keys[edit.table],
            extra={RETRACTION: retraction.key, **plan.extra.get(edit.table, {})},
        )
        report.counters.add(cost)
    for files in staged.values():
        for file in files:
            context.store.delete(Url.parse(file.url))
    watch.lap("rewrite and publish")


def _stage(
    context: StageContext, plan: RetractionPlan, counters: Counters
) -> dict[str, list[WrittenFile]]:
    """Write the rows to insert, table by table, to files that no table refers to yet."""
    staged: dict[str, list[WrittenFile]] = {}
    added_ids = {edit.table for edit in plan.edits if len(edit.added_ids)}
    folder = staging_folder(context)
    rows = {"edges": plan.added_pairs.to_batches(), "clusters": [plan.reelection.rows]}
    for table in sorted(added_ids & rows.keys()):
        target = replace(TableTarget.of(context, table), folder=folder / table)
        staged[table] = target.write(rows[table], "retract-driver").files
    if added_ids & {"clean", "tokens"} and plan.spec is not None:
        encoded = encode_survivors(context, plan.spec, plan.encoded)
        counters.add(encoded.counters)
        staged |= encoded.files
    return staged


def _finish(context: StageContext, retraction: Retraction) -> None:
    late = pending_tables(context.corpus, retraction.key)
    if late:
        raise ConcurrentChangeError(
            f"another process published to {', '.join(late)} while documents were retracted",
            hint="run the same command again: it takes them out of these tables too",
        )
    edit_files(
        context.corpus.table("retractions"),
        [],
        onto=retraction.key,
        content_key=retraction.done_key,
        run_id=context.run_id,
        extra={RETRACTION_STATE: RetractionState.DONE, RETRACTION: retraction.key},
    )
