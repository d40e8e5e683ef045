"""Tables that a retraction cannot mend lose the rows, and the next run makes them anew."""

from strata.pipelines.execution.stage import StageStatus
from strata.pipelines.retraction.run import run_retract
from tests.support.corpora.complete import run_all, survivors
from tests.support.corpora.retracted import assert_same, by_ids, first_survivor
from tests.support.rows import rows_of


def test_retract_stale_ledger_rows_go_and_the_next_run_mends_it(project):
    context = project.built()
    other = {"dedup": {"survivor": ["longest", "first"]}}
    receipt = run_retract(project.context(**other), by_ids("f4-0", "f9-0")).details.receipt
    assert receipt.stale == ["clusters", "tokens", "clean"]
    assert receipt.new_survivors is None
    for table in ("documents", "clusters", "clean", "tokens", "fingerprints"):
        assert len(rows_of(context, table)) > 0
    run_all(project.context(**other))
    assert_same(context, project.scratch(["f4-0", "f9-0"], **other))


def test_retract_clusters_beyond_the_bound_are_left_to_the_next_run(project):
    few = {"dedup": {"driver_edges": 2, "memory_documents": 0}}
    context = project.built()
    receipt = run_retract(project.context(**few), by_ids("f4-0")).details.receipt
    assert receipt.stale == ["edges", "clusters", "tokens", "clean"]
    run_all(project.context())
    assert_same(context, project.scratch(["f4-0"]))


def test_retract_trained_tokenizer_is_kept(project):
    train = {"tokenize": {"train": {"vocab_size": 400, "sample_mb": 0.1}}}
    context = project.built(**train)
    fingerprint = context.corpus.table("tokens").properties["strata.tokenizer.fingerprint"]
    receipt = run_retract(context, by_ids(first_survivor(context))).details.receipt
    assert receipt.tokenizer == fingerprint
    assert receipt.new_survivors == 1
    assert {report.status for report in run_all(project.context(**train))} == {StageStatus.SKIPPED}


def test_retract_trained_tokenizer_that_is_gone_tokens_are_made_anew(project):
    train = {"tokenize": {"train": {"vocab_size": 400, "sample_mb": 0.1}}}
    context = project.built(**train)
    for file in (project.folder / "wh" / "web" / "tokenizers").iterdir():
        file.unlink()
    receipt = run_retract(context, by_ids(first_survivor(context))).details.receipt
    assert receipt.stale == ["tokens", "clean"]
    run_all(project.context(**train))
    assert len(rows_of(context, "tokens")) == len(survivors(context))
