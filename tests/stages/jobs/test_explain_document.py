import gzip
import json

import pytest

from strata.errors import InputMissingError
from strata.jobs import cli
from strata.jobs.explain_document import explain_document
from strata.jobs.runner.options import OutputForm
from strata.pipelines.explain.document import LedgerState, trace_document
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.settings import Settings
from tests.support.corpora.texts import json_lines, library_texts
from tests.support.sequential import sequential_context

TEXTS = library_texts(8, most_bytes=6000)
NEAR = TEXTS[1] + "\nand one word"


def settings_of(folder, **sections):
    sections = {
        "shard": {"max_reject_ratio": 0.9},
        "tokenize": {"train": {"vocab_size": 300}},
    } | sections
    return Settings(
        corpus="web",
        warehouse=str(folder / "wh"),
        inputs=[{"path": str(folder / "in")}],
        **sections,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs with a copy, a near copy, a repeated id, an id of markup, bad lines and a cut file."""
    home = tmp_path_factory.mktemp("explain")
    inputs = home / "in"
    inputs.mkdir()
    lines = json_lines(TEXTS).splitlines(keepends=True)
    (inputs / "a.jsonl").write_bytes(b"".join([lines[0], b"{broken\n", *lines[1:]]))
    later = [
        {"id": "copy", "text": TEXTS[0]},
        {"id": "near", "text": NEAR, "lang": "en"},
        {"id": "doc-2", "text": "another text of the same id"},
        {"id": "[bold]x[/bold]", "text": "no markup"},
        {"id": 7, "text": "a number is an id, too"},
        {"text": "no id at all"},
    ]
    (inputs / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in later))
    whole = gzip.compress(json_lines(TEXTS, 100))
    (inputs / "c.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    return home


@pytest.fixture(scope="module")
def context(folder):
    context = sequential_context(settings_of(folder))
    for stage in (run_shard, run_dedup, run_tokenize, run_compress):
        stage(context)
    return context


def only(context, asked):
    (document,) = trace_document(context, asked).documents
    return document


def test_explain_unique_document_tells_place_and_tokens(context):
    document = only(context, "doc-3")
    lines = json_lines(TEXTS).splitlines(keepends=True)
    assert document.uri.endswith("/in/a.jsonl")
    assert document.position == sum(map(len, lines[:3])) + len(b"{broken\n")
    assert (document.ordinal, document.format, document.source) == (0, "jsonl", "in")
    assert document.n_bytes == len(TEXTS[3].encode())
    assert document.cluster is None
    assert document.in_clean is True
    assert document.n_tokens > 1


@pytest.mark.parametrize(
    ("asked", "survivor", "method"), [("copy", "doc-0", "exact"), ("near", "doc-1", "fuzzy")]
)
def test_explain_removed_document_names_its_survivor(context, asked, survivor, method):
    document, kept = only(context, asked), only(context, survivor)
    assert not document.cluster.kept
    assert kept.cluster.kept
    assert document.cluster.kept_id == kept.cluster.kept_id == survivor
    assert document.cluster.kept_doc_id == kept.doc_id
    assert document.cluster.size == kept.cluster.size == 2
    assert document.cluster.method == method
    assert document.cluster.similarity == pytest.approx(0.9, abs=0.11)
    assert (document.in_clean, document.n_tokens) == (False, None)
    assert (kept.in_clean, kept.n_tokens is None) == (True, False)


def test_explain_repeated_id_tells_every_document(context):
    trace = trace_document(context, "doc-2")
    assert trace.matching == 2
    assert [document.uri[-7:] for document in trace.documents] == ["a.jsonl", "b.jsonl"]
    assert len({document.doc_id for document in trace.documents}) == 2


def test_explain_doc_id_number_and_place_name_the_same_document(context):
    document = only(context, "near")
    asked = [
        str(document.doc_id),
        f"{document.uri}:{document.position}",
        f"b.jsonl:{document.position}",
        f"in/b.jsonl:{document.position}",
        document.uri.removeprefix("file://") + f":{document.position}",
    ]
    assert [only(context, each) for each in asked] == [document] * len(asked)
    assert document.lang == "en"


def test_explain_id_that_is_a_number_is_an_id_as_well(context):
    assert only(context, "7").n_bytes == len("a number is an id, too")


def test_explain_made_id_is_found(context):
    before = only(context, "7")
    line = json.dumps({"id": 7, "text": "a number is an id, too"}) + "\n"
    document = only(context, f"1-{before.position + len(line)}")
    assert document.n_bytes == len("no id at all")


def test_explain_rejected_record_is_told_by_its_place(context):
    place = len(json_lines(TEXTS[:1]))
    trace = trace_document(context, f"a.jsonl:{place}")
    (record,) = trace.rejects
    assert (record.reason, record.excerpt, record.position) == ("invalid_json", "{broken", place)
    assert trace.documents == ()


def test_explain_record_of_a_broken_file_tells_that_the_file_is_broken(context):
    trace = trace_document(context, "c.jsonl.gz:0")
    assert [record.reason for record in trace.rejects] == ["truncated_file"]
    assert trace.documents == ()


@pytest.mark.parametrize(
    "asked", ["", "doc-99", "99999999", "a.jsonl:1", ".jsonl:0", "x:y", str(2**70), "²", "doc-100"]
)
def test_explain_unknown_document_says_how_to_ask(context, asked):
    with pytest.raises(InputMissingError, match=r"no document .* in 3 input file\(s\) \(give the"):
        trace_document(context, asked)


def test_explain_empty_corpus_says_what_to_run(tmp_path):
    with pytest.raises(InputMissingError, match=r"holds no documents yet .*strata shard"):
        trace_document(sequential_context(settings_of(tmp_path)), "x")


def test_explain_before_dedup_tells_what_is_known(folder, tmp_path):
    settings = settings_of(folder).model_copy(update={"warehouse": str(tmp_path / "wh")})
    context = sequential_context(settings)
    run_shard(context)
    trace = trace_document(context, "copy")
    assert trace.ledger is LedgerState.MISSING
    assert trace.documents[0].in_clean is None


def test_explain_ledger_of_other_settings_is_stale(folder, context):
    assert trace_document(context, "copy").ledger is LedgerState.CURRENT
    other = sequential_context(settings_of(folder, dedup={"threshold": 0.9}))
    assert trace_document(other, "copy").ledger is LedgerState.STALE


def test_explain_json_and_text_come_from_the_same_facts(folder, context, capsys):
    document = only(context, "near")
    explain_document(settings_of(folder), "near", 10, output=OutputForm.JSON)
    facts = json.loads(capsys.readouterr().out)
    assert facts["documents"][0]["cluster"]["kept_id"] == "doc-1"
    assert facts["documents"][0]["doc_id"] == document.doc_id
    assert (facts["asked"], facts["matching"], facts["ledger"]) == ("near", 1, "current")
    explain_document(settings_of(folder), "near", 10, output=OutputForm.TEXT)
    text = capsys.readouterr().out
    assert f"removed for doc-1 (doc_id {document.cluster.kept_doc_id}), in a cluster of 2" in text
    assert f"{document.uri}, byte {document.position:,} (file 1)" in text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("[bold]x[/bold]", "document [bold]x[/bold]"),
        ("c.jsonl.gz:0", "rejected: truncated_file"),
        ("doc-5", "no duplicate found"),
        ("doc-0", "kept, in a cluster of 2 (exact, most similar neighbour 1.000)"),
    ],
)
def test_explain_text_tells_every_kind_of_end(folder, context, capsys, asked, told):
    explain_document(settings_of(folder), asked, 10, output=OutputForm.TEXT)
    assert told in capsys.readouterr().out


def test_explain_text_shows_cluster_chain_and_diff(folder, context, capsys):
    explain_document(settings_of(folder), "near", 10, output=OutputForm.TEXT)
    lines = capsys.readouterr().out.splitlines()
    similarity = only(context, "near").cluster.similarity
    assert f"  cluster    kept     {similarity:.3f}  in  doc-1" in lines
    assert f"             removed  {similarity:.3f}  in  near  <- this document" in lines
    assert f"  chain      {similarity:.3f} to  in  doc-1" in lines
    share = f"{len(TEXTS[1]) / len(NEAR):.2%}"
    title = (
        f"  diff       - doc-1  + this document: 1 difference, {share} of the characters in common"
    )
    assert title in lines
    assert f"  @@ character {len(TEXTS[1]):,} @@" in lines
    assert lines[-2:] == ["  + ⏎", "  + and one word"]


def test_explain_equal_text_has_no_difference(folder, context, capsys):
    explain_document(settings_of(folder), "copy", 10, output=OutputForm.TEXT)
    printed = capsys.readouterr().out
    assert "chain      equal to  in  doc-0" in printed
    assert "diff       none: the text is that of doc-0" in printed
    assert "@@" not in printed


def test_explain_json_has_cluster_chain_and_diff(folder, context, capsys):
    explain_document(settings_of(folder), "near", 1, output=OutputForm.JSON)
    (document,) = json.loads(capsys.readouterr().out)["documents"]
    cluster = document["duplicates"]
    assert [member["name"]["id"] for member in cluster["members"]] == ["doc-1", "near"]
    assert (cluster["more"], cluster["state"], cluster["chain_more"]) == (0, "found", 0)
    assert [step["name"]["id"] for step in cluster["chain"]] == ["doc-1"]
    assert cluster["comparison"]["doc_id"] == document["cluster"]["kept_doc_id"]
    assert {"kind": "added", "text": "\nand one word", "omitted": 0} in (
        cluster["comparison"]["diff"]["hunks"][0]["runs"]
    )


def test_explain_document_that_another_corpus_has_names_it_and_compares_with_it(tmp_path, capsys):
    for name, texts in (("old", TEXTS[:3]), ("web", [NEAR, NEAR + " and more"])):
        home = tmp_path / name
        home.mkdir()
        (home / "a.jsonl").write_bytes(json_lines(texts, 0 if name == "old" else 50))
        settings = Settings(
            corpus=name,
            warehouse=str(tmp_path / "wh"),
            inputs=[{"path": str(home)}],
            dedup={"against": ["old"] if name == "web" else []},
        )
        context = sequential_context(settings)
        run_shard(context)
    run_dedup(context)
    document = only(context, "doc-50")
    assert (document.cluster.kept_id, document.cluster.kept_corpus) == ("doc-1", "old")
    first, second, third = document.duplicates.members
    assert (first.name.corpus, first.name.id, first.kept) == ("old", "doc-1", True)
    assert [second.name.id, third.name.id] == ["doc-50", "doc-51"]
    assert [step.name.corpus for step in document.duplicates.chain] == ["old"]
    assert document.duplicates.more == 0
    explain_document(settings, "doc-50", 10, output=OutputForm.TEXT)
    printed = capsys.readouterr().out
    assert "of the corpus old, in a cluster of 3" in printed
    assert "kept            corpus old  doc-1" in printed
    assert "- doc-1  + this document: 1 difference" in printed
    assert "  + and one word" in printed


def test_explain_control_characters_of_a_document_never_reach_the_terminal(
    folder, tmp_path, capsys
):
    home = tmp_path / "in"
    home.mkdir()
    evil, words = "\x1b]0;title\x07\u202e", " ".join(TEXTS[2].split()[:80])
    records = [
        {"id": f"kept{evil}", "text": f"{words} {evil} end", "lang": evil},
        {"id": f"gone{evil}", "text": f"{words} {evil}{evil} end"},
    ]
    (home / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = settings_of(tmp_path)
    context = sequential_context(settings)
    run_shard(context)
    run_dedup(context)
    explain_document(settings, f"gone{evil}", 10, output=OutputForm.TEXT)
    printed = capsys.readouterr().out
    assert "\\x1b]0;title\\x07\\u202e" in printed
    assert "<- this document" in printed
    assert "@@ character" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)


def test_explain_many_documents_of_one_id_are_not_all_told_in_full(tmp_path):
    home = tmp_path / "in"
    home.mkdir()
    lines = [{"id": "same", "text": TEXTS[n % 2] + " 0" * (n // 2 % 2)} for n in range(8)]
    (home / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    context = sequential_context(settings_of(tmp_path))
    run_shard(context)
    run_dedup(context)
    documents = trace_document(context, "same").documents
    assert all(document.cluster for document in documents)
    assert [document.duplicates is not None for document in documents] == [True] * 5 + [False] * 3


def test_explain_stale_ledger_is_said_on_the_terminal(folder, context, capsys):
    explain_document(
        settings_of(folder, dedup={"threshold": 0.9}), "near", 10, output=OutputForm.TEXT
    )
    assert "changed since the last dedup" in capsys.readouterr().out


@pytest.mark.parametrize("members", ["-1", "ten", "1.5", "²"])
def test_explain_members_that_are_no_number_are_refused_at_once(capsys, members):
    with pytest.raises(SystemExit) as caught:
        cli.main(["explain", "doc-1", "corpus.toml", "--members", members])
    assert caught.value.code == 2
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert f"{members!r} is not a whole number from 0 on" in last["reason"]
