"""`strata explain`: the path of one document through the stages."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from strata.jobs.display.cluster import cluster_rows, diff_title, show_diff
from strata.jobs.display.text import escape_control_chars
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.jobs.runner.progress import QuietProgress
from strata.jobs.runner.read_log import log_driver_reads
from strata.jobs.session.spark import LazySession
from strata.pipelines.decontamination.matches import ItemMatches
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.explain.document import (
    LedgerState,
    Membership,
    RejectedRecord,
    Trace,
    TracedDocument,
    trace_document,
)
from strata.pipelines.readers.formats import FORMATS
from strata.settings import InputFormat, Settings
from strata.storage.tables.catalog import open_corpus

__all__ = ["explain", "explain_document"]

WIDTH = 11


def explain(settings: Settings, document: str, members: int) -> Trace:
    """What every table says of a document; the reads go into the access log.

    Args:
        settings: the corpus.
        document: the user's id, a ``doc_id``, or ``uri:position`` of a record.
        members: most documents of its cluster to list.

    Raises:
        InputMissingError: nothing of that name was read.
    """
    with open_corpus(settings) as corpus:
        session = LazySession(settings, None, "explain")
        context = StageContext(settings, corpus, "explain", session, QuietProgress())
        trace = trace_document(context, document, members)
        log_driver_reads(corpus, context.run_id, context.meter)
    return trace


def explain_document(
    settings: Settings, document: str, members: int, *, output: OutputForm
) -> None:
    """Print what every table says of a document.

    Args:
        settings: the corpus.
        document: the user's id, a ``doc_id``, or ``uri:position`` of a record.
        members: most documents of its cluster to list.
        output: how it is printed.

    Raises:
        InputMissingError: nothing of that name was read.
    """
    trace = explain(settings, document, members)
    if output is OutputForm.JSON:
        print_json(msgspec.json.format(msgspec.json.encode(trace), indent=2))
        return
    _show(trace, Console(soft_wrap=True))


def _show(trace: Trace, console: Console) -> None:
    for document in trace.documents:
        _block(console, f"document {document.id}", _document(document, trace.ledger))
        if document.duplicates and document.duplicates.comparison:
            show_diff(document.duplicates.comparison, console)
    for record in trace.rejects:
        _block(console, f"rejected: {record.reason}", _reject(record))
    if trace.matching > len(trace.documents):
        console.print(f"and {trace.matching - len(trace.documents):,} more of this id")
    if trace.documents and trace.ledger is LedgerState.STALE:
        console.print("The documents or the [dedup] settings have changed since the last dedup.")


def _block(console: Console, title: str, rows: Iterator[tuple[str, str]]) -> None:
    # Ids and excerpts are the user's: brackets in them are no markup, controls are no commands.
    console.print(Text(escape_control_chars(title), "bold"))
    for name, value in rows:
        console.print(Text.assemble((f"  {name:<{WIDTH}}", "dim"), escape_control_chars(value)))


def _document(document: TracedDocument, ledger: LedgerState) -> Iterator[tuple[str, str]]:
    lang = f", {document.lang}" if document.lang else ""
    yield "doc_id", str(document.doc_id)
    yield "source", f"{document.source}{lang}, {document.n_bytes:,} bytes of text"
    unit = FORMATS[InputFormat(document.format)].position
    yield "read from", f"{document.uri}, {unit} {document.position:,} (file {document.ordinal})"
    yield "dedup", _verdict(document.cluster, ledger)
    if document.items.number:
        yield "items", _items(document.items)
    if document.in_clean is not None:
        yield "clean", "in it" if document.in_clean else "not in it"
    yield "tokens", "none" if document.n_tokens is None else f"{document.n_tokens:,}"
    if document.duplicates:
        yield from cluster_rows(document.doc_id, document.duplicates)
        if document.duplicates.comparison:
            yield "diff", diff_title(document.duplicates.comparison)


def _items(items: ItemMatches) -> str:
    best = items.best[0]
    number = f"contains {items.number:,} benchmark item{'s' if items.number > 1 else ''}"
    return f"{number}, most of {best.id} of {best.corpus} ({best.containment:.2f}): {best.sample}"


def _verdict(cluster: Membership | None, ledger: LedgerState) -> str:
    if cluster is None:
        return "not run yet" if ledger is LedgerState.MISSING else "no duplicate found"
    likeness = f"{cluster.method}, most similar neighbour {cluster.similarity:.3f}"
    place = f"in a cluster of {cluster.size:,} ({likeness})"
    if cluster.kept:
        return f"kept, {place}"
    corpus = f" of the corpus {cluster.kept_corpus}" if cluster.kept_corpus else ""
    return f"removed for {cluster.kept_id} (doc_id {cluster.kept_doc_id}){corpus}, {place}"


def _reject(record: RejectedRecord) -> Iterator[tuple[str, str]]:
    yield "source", record.source
    yield "read from", f"{record.uri}, position {record.position:,} (file {record.ordinal})"
    yield "beginning", record.excerpt or ""
