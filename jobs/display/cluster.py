"""A cluster of duplicates on the terminal: members, the chain to the survivor, a short diff."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from strata.jobs.display.text import escape_control_chars
from strata.pipelines.explain.cluster import ChainState, ChainStep, ClusterTrace, Comparison, Member
from strata.pipelines.explain.text_diff import Run, RunKind, TextDiff
from strata.pipelines.tables.names import DocumentName

__all__ = ["cluster_rows", "diff_title", "show_diff"]

MARKS = {RunKind.SAME: " ", RunKind.REMOVED: "-", RunKind.ADDED: "+"}
STYLES = {RunKind.SAME: "", RunKind.REMOVED: "red", RunKind.ADDED: "green"}
WIDEST = 100
WIDEST_SOURCE = 24
NO_CHAIN = {
    ChainState.TOO_LARGE: "the cluster is too large to search it for the pairs in between",
    ChainState.MISSING: "the table `edges` has no pairs that lead to the survivor",
}


def cluster_rows(doc_id: int, cluster: ClusterTrace) -> Iterator[tuple[str, str]]:
    """Labelled lines about a cluster: its members, and the chain to the survivor."""
    label = "cluster"
    for member in cluster.members:
        yield label, _member(member, doc_id, _source_width(cluster))
        label = ""
    if cluster.more:
        yield "", f"and {cluster.more:,} more"
    if cluster.state in NO_CHAIN:
        yield "chain", NO_CHAIN[cluster.state]
    label = "chain"
    for step in cluster.chain:
        yield label, _step(step, _source_width(cluster))
        label = ""
    if cluster.chain_more:
        yield "", f"and {cluster.chain_more:,} more to the survivor"


def show_diff(comparison: Comparison, console: Console) -> None:
    """Print the first differences of two texts."""
    for hunk in comparison.diff.hunks:
        console.print(Text(f"  @@ character {hunk.at:,} @@", "cyan"))
        for run in hunk.runs:
            _show_run(run, console)
    left = comparison.diff.differences - comparison.diff.shown
    if left:
        console.print(Text(f"  and {left:,} more", "dim"))


def diff_title(comparison: Comparison) -> str:
    """What is compared, and how much of it is the same."""
    diff = comparison.diff
    other = _name(comparison.doc_id, comparison.name)
    if not diff.differences:
        return f"none: the text is that of {other}"
    least = "" if diff.complete else "at least "
    noun = "difference" if diff.differences == 1 else "differences"
    share = f"{least}{_share(diff)} of the characters in common"
    return f"- {other}  + this document: {least}{diff.differences:,} {noun}, {share}"


def _share(diff: TextDiff) -> str:
    # Texts that differ never have everything in common.
    return f"{min(diff.common, 0.9999):.2%}"


def _name(doc_id: int, name: DocumentName) -> str:
    return name.id or str(doc_id)


def _source(name: DocumentName) -> str:
    return f"corpus {name.corpus}" if name.corpus else name.source


def _member(member: Member, doc_id: int, width: int) -> str:
    verdict = "kept" if member.kept else "removed"
    mark = "  <- this document" if member.doc_id == doc_id else ""
    likeness = "" if member.similarity is None else f"{member.similarity:.3f}"
    name = _name(member.doc_id, member.name)
    return f"{verdict:<7}  {likeness:<5}  {_source(member.name):<{width}}  {name}{mark}"


def _step(step: ChainStep, width: int) -> str:
    likeness = "equal" if step.equal else f"{step.similarity:.3f}"
    return f"{likeness} to  {_source(step.name):<{width}}  {_name(step.doc_id, step.name)}"


def _source_width(cluster: ClusterTrace) -> int:
    return min(WIDEST_SOURCE, max(len(_source(member.name)) for member in cluster.members))


def _show_run(run: Run, console: Console) -> None:
    for line in _lines(run):
        wrapped = Text(line, STYLES[run.kind]).wrap(console, min(WIDEST, console.width) - 4)
        for part in wrapped:
            console.print(Text.assemble((f"  {MARKS[run.kind]} ", STYLES[run.kind]), part))


def _lines(run: Run) -> Iterator[str]:
    for line in run.text.splitlines(keepends=True):
        if run.kind is not RunKind.SAME:
            yield _changed_line(line)
        elif line.strip():
            yield escape_control_chars(line.expandtabs(4).strip(" \n"))
    if run.omitted:
        yield f"... and {run.omitted:,} more characters"


def _changed_line(line: str) -> str:
    """A removed or added line; if it is nothing but white space, that is made visible."""
    body = line.removesuffix("\n")
    shown = body.replace(" ", "·") if body.isspace() else body
    return escape_control_chars(shown) + ("⏎" if line.endswith("\n") else "")
