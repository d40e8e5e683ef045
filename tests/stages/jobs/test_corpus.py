"""A corpus from Python, its tables on a disk and an object store; without a JVM."""

import asyncio
import signal
import threading
from types import SimpleNamespace
from uuid import uuid4

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import strata
from strata.jobs import corpus as corpus_module
from strata.jobs.runner import launch, read_log
from strata.toml_text import toml_value
from tests.support.corpora.texts import library_texts, with_copies, write_shards
from tests.support.sequential import FakeSession

SETTINGS = """
corpus = "web"
warehouse = {warehouse}
tables = {{ clean = "cloud", clusters = "cloud" }}

[[inputs]]
path = {inputs}
source = "web"

[shard]
target_file_mb = 0.05

[tokenize]
train = {{ vocab_size = 300 }}

[tiers.cloud]
url = {cloud}
row_group_mb = 0.05

[storage_options]
"s3://bucket" = {options}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory, s3_options):
    folder = tmp_path_factory.mktemp("api")
    write_shards(folder / "in", with_copies(library_texts(30)), 2)
    values = {
        "warehouse": str(folder / "wh"),
        "inputs": str(folder / "in"),
        "cloud": f"s3://bucket/{uuid4().hex}",
        "options": s3_options,
    }
    target = folder / "corpus.toml"
    target.write_text(SETTINGS.format(**{name: toml_value(v) for name, v in values.items()}))
    return target


@pytest.fixture(autouse=True, scope="module")
def _no_jvm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "LazySession", FakeSession)
        yield


@pytest.fixture(scope="module")
def made(file):
    """A corpus after one run, and its report."""
    with strata.open(file) as corpus:
        report = corpus.run(run_id="first")
        yield SimpleNamespace(corpus=corpus, report=report)


@pytest.fixture
def clean(made):
    return made.corpus.table("clean")


@pytest.fixture
def rows(made):
    """The rows of `clean` as a plain reader of Parquet has them."""
    store = made.corpus._opened().store
    parts = []
    for each in made.corpus.table("clean").files():
        with store.open_input(each.location) as data:
            parts.append(pq.ParquetFile(data).read())
    return pa.concat_tables(parts)


def test_run_reports_every_stage(made):
    assert (made.report.run_id, made.report.command, made.report.status) == ("first", "run", "done")
    assert [stage.stage for stage in made.report.stages] == [
        "shard", "dedup", "tokenize", "compress",
    ]  # fmt: skip


def test_run_of_single_stages_skips_what_is_up_to_date(file, made, capfd):
    with strata.open(file) as corpus:
        report = corpus.run(["shard", "dedup"])

    assert [(each.stage, str(each.status)) for each in report.stages] == [
        ("shard", "skipped"),
        ("dedup", "skipped"),
    ]
    assert report.command == "shard, dedup"
    assert capfd.readouterr() == ("", "")


def test_report_is_the_one_that_the_run_returned(made):
    assert made.corpus.report("first").to_json() == made.report.to_json()


def test_report_by_default_is_of_the_newest_run(file, made):
    with strata.open(file) as corpus:
        newest = corpus.run(["shard"])
        assert corpus.report().run_id == newest.run_id


def test_plan_of_a_finished_run_has_nothing_to_do(made):
    assert made.corpus.plan()["stages"]["dedup"] == "up to date"


def test_explain_traces_a_document(made):
    (document,) = made.corpus.explain("doc-30").documents

    assert document.cluster.kept_id == "doc-0"
    assert made.corpus.explain(document.doc_id).documents == (document,)


def test_explain_of_nothing_is_the_error_of_the_tree(made):
    with pytest.raises(strata.InputMissingError, match="no document"):
        made.corpus.explain("nobody")


def test_tables_are_those_that_were_published(made):
    assert {"documents", "clean", "tokens", "clusters"} <= set(made.corpus.tables())


def test_table_that_there_cannot_be_is_refused(made):
    with pytest.raises(strata.SettingsError, match="there is no table 'claen'"):
        made.corpus.table("claen")


def test_files_lie_where_the_tier_is(clean):
    assert {each.location.scheme for each in clean.files()} == {"s3"}


def test_scan_has_all_rows(clean, rows):
    assert clean.scan().read_all().equals(rows)
    assert clean.schema == rows.schema
    assert clean.count() == rows.num_rows > 20


def test_to_arrow_batches_columns_and_rows_as_asked(clean, rows):
    middle = rows["doc_id"][rows.num_rows // 2].as_py()

    batches = list(clean.to_arrow_batches(["id", "doc_id"], where=f"doc_id >= {middle}"))

    table = pa.Table.from_batches(batches)
    assert table.schema.names == ["id", "doc_id"]
    assert table.num_rows == clean.count(where=f"doc_id >= {middle}") < rows.num_rows
    assert min(table["doc_id"].to_pylist()) == middle


def test_to_arrow_batches_of_an_older_snapshot(made):
    documents = made.corpus.table("documents")
    first = documents.snapshots()[0]

    assert documents.count(snapshot=first.snapshot_id) == documents.count()
    assert documents.scan(["doc_id"], snapshot=str(first.snapshot_id)).read_all().num_rows > 0
    with pytest.raises(strata.SettingsError, match="has no snapshot 17"):
        documents.files(snapshot=17)


def test_to_arrow_batches_of_an_empty_table_is_empty(made):
    assert list(made.corpus.table("contained").to_arrow_batches()) == []
    assert made.corpus.table("contained").scan().read_all().num_rows == 0


@pytest.mark.parametrize("columns", [["id", "txet"], "text"])
def test_to_arrow_batches_of_unknown_columns_says_so_at_once(clean, columns):
    with pytest.raises(strata.SettingsError, match="table clean has no columns"):
        clean.to_arrow_batches(columns)


def test_to_arrow_batches_of_a_condition_that_cannot_be_read_says_so_at_once(clean):
    with pytest.raises(strata.SettingsError, match="nothing"):
        clean.to_arrow_batches(where="nothing = 5")


def test_to_arrow_batches_notes_what_was_read(made, clean, monkeypatch):
    noted = []
    monkeypatch.setattr(read_log, "log_reads", lambda _, run, reads: noted.append((run, reads)))

    for _ in clean.to_arrow_batches(["doc_id"]):
        break

    ((run, reads),) = noted
    assert run == "python"
    assert set(reads) <= {each.location.name for each in clean.files()} != set()


def test_to_duckdb_makes_a_table_that_is_asked_again(clean, rows):
    relation = clean.to_duckdb()

    assert relation.count("*").fetchall() == relation.count("*").fetchall() == [(rows.num_rows,)]


def test_to_duckdb_joins_tables_of_one_connection(made, clean):
    with duckdb.connect() as connection:
        clean.to_duckdb(connection, ["doc_id", "id"])
        clean.to_duckdb(connection, ["doc_id", "id"])
        made.corpus.table("tokens").to_duckdb(connection, ["doc_id", "n_tokens"])
        joined = connection.sql("select count(*) from clean join tokens using (doc_id)")
        assert joined.fetchall() == [(clean.count(),)]


def test_to_polars_and_pandas_have_the_same_rows(clean, rows):
    assert clean.to_polars(["doc_id"])["doc_id"].to_list() == rows["doc_id"].to_pylist()
    assert clean.to_pandas(["doc_id"])["doc_id"].tolist() == rows["doc_id"].to_pylist()
    assert isinstance(clean.to_polars(["id"]), polars.DataFrame)


def test_closed_corpus_opens_again_when_it_is_asked(file, made):
    corpus = strata.open(file)
    before = corpus.tables()
    corpus.close()
    corpus.close()

    assert corpus.tables() == before
    corpus.close()


def test_run_inside_of_an_event_loop(file, made, rows):
    async def cell():
        with strata.open(file) as corpus:
            report = corpus.run(["dedup", "tokenize"])
            return report.status, corpus.table("clean").scan().read_all()

    status, table = asyncio.run(cell())

    assert status == "done"
    assert table.equals(rows)


def test_run_in_a_thread_beside_an_event_loop_touches_no_signal_handler(file, made):
    handlers = {each: signal.getsignal(each) for each in signal.valid_signals()}

    def work():
        assert threading.current_thread() is not threading.main_thread()
        with strata.open(file) as corpus:
            return corpus.run(["shard", "compress"], verbosity=0).status

    async def cell():
        return await asyncio.to_thread(work)

    assert asyncio.run(cell()) == "done"
    assert {each: signal.getsignal(each) for each in signal.valid_signals()} == handlers


def test_run_that_fails_raises_the_error_and_stores_its_report(file, made, capfd):
    overrides = {"corpus": "other", "inputs": [{"path": f"{file.parent}/nope"}]}
    with strata.open(file, overrides) as corpus:
        with pytest.raises(strata.InputMissingError):
            corpus.run(run_id="failed")
        assert corpus.report("failed").status == "failed"

    assert capfd.readouterr() == ("", "")


def test_run_that_fails_in_spark_raises_what_the_error_stands_for(file, made, monkeypatch):
    def stages(_):
        def stage(context):
            raise RuntimeError("java.lang.OutOfMemoryError: Java heap space")

        return [stage]

    monkeypatch.setattr(corpus_module, "stages_of", stages)
    with strata.open(file) as corpus, pytest.raises(strata.MachineError) as caught:
        corpus.run()

    assert isinstance(caught.value.__cause__, RuntimeError)
