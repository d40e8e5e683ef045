import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from strata.errors import InputError, SettingsError
from strata.jobs.cli import main
from strata.storage.layout.records import PRESENT
from strata.storage.layout.schemas import CLUSTERS, SCHEMAS
from strata.storage.lifecycle.accesses import DAY_MS, accesses_folder, record_accesses
from strata.storage.lifecycle.journal import MovedFile, MoveJournal, moves_folder, throughputs
from strata.storage.lifecycle.plan import plan_of_corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.transfer.metering import FileReads
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.writing.tiers import tiers_of

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
CLUSTER = {"kept_id": 0, "kept": True, "method": "exact", "similarity": 1.0}
DAYS_AGO = 40
TOML = """
corpus = "web"
warehouse = "{0}/warehouse"
[[inputs]]
path = "nothing"
[tiers.hot]
url = "{0}/hot"
cost_gb_month = 100_000
capacity_gb = 1
spill_to = "cold"
[tiers.cold]
url = "{0}/cold"
cost_gb_month = 1_000
[[lifecycle]]
tables = ["clusters"]
older_than_days = 30
to = "cold"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "web.toml"
    path.write_text(TOML.format(tmp_path))
    return path


@pytest.fixture
def settings(file):
    from strata.layers import load_settings

    return load_settings(file, []).settings


@pytest.fixture
def corpus(settings):
    with open_to_write(settings) as corpus:
        yield corpus


@pytest.fixture
def put(corpus, settings):
    def put(*ids, days=0, tier="hot", mode=PublishMode.APPEND):
        folder = tiers_of(settings)[tier].folder("web", "clusters")
        born = time.time_ns() // 1_000_000 - days * DAY_MS
        with TableWriter(corpus.store, folder, "clusters", LAYOUT, "t", born) as writer:
            rows = [{"doc_id": i, "cluster_size": 10 * i} | CLUSTER for i in ids]
            writer.write(pa.RecordBatch.from_pylist(rows, schema=CLUSTERS))
        table = corpus.table("clusters")
        publish(table, writer.close(), mode=mode, content_key=str(ids), run_id="r")
        return table.files()[-1]

    return put


def tag(corpus, name):
    iceberg = corpus.table("clusters").iceberg()
    iceberg.manage_snapshots().create_tag(iceberg.current_snapshot().snapshot_id, name).commit()


def test_held_files_tell_who_refers_to_them_and_their_bounds(corpus, put):
    put(1, 2)
    tag(corpus, "v1")
    put(3)
    tag(corpus, "v2")
    put(4, mode=PublishMode.OVERWRITE)
    found = {held.file.min_doc_id: held for held in held_files(corpus.table("clusters"))}
    assert {i: held.refs for i, held in found.items()} == {
        1: {"v1", "v2"},
        3: {"v2"},
        4: {PRESENT},
    }
    assert found[1].bounds["cluster_size"] == (10, 20)
    assert found[4].bounds["similarity"] == (1, 1)
    assert "method" not in found[1].bounds


def test_bounds_of_a_column_count_only_where_every_row_has_a_value(corpus, settings):
    folder = tiers_of(settings)["hot"].folder("web", "documents")
    row = {"doc_id": 1, "id": "a", "text": "t", "source": "s", "n_bytes": 1}
    row |= {"content_hash": bytes(16), "metadata": "{}"}
    day = datetime(2020, 1, 2, tzinfo=UTC)
    for dates in ((day, day + timedelta(days=1)), (day, None)):
        with TableWriter(corpus.store, folder, "documents", LAYOUT, "t") as writer:
            rows = [row | {"doc_id": i, "created": date} for i, date in enumerate(dates)]
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["documents"]))
        table = corpus.table("documents")
        publish(
            table, writer.close(), mode=PublishMode.OVERWRITE, content_key=str(dates), run_id="r"
        )
        (held,) = held_files(table)
        low = day.timestamp() * 1e6
        assert held.bounds.get("created") == (None if None in dates else (low, low + 86.4e9))
        assert held.bounds["doc_id"] == (0, 1)


def test_held_files_of_a_table_that_never_was_are_none(corpus):
    assert held_files(corpus.table("clusters")) == []


def test_plan_tells_files_bytes_and_costs(settings, corpus, put):
    old = put(1, days=DAYS_AGO)
    new = put(2)
    plan = plan_of_corpus(settings, corpus)
    (route,) = plan.routes
    assert (route.table, route.source, route.target, route.reason) == (
        *("clusters", "hot", "cold"),
        "rule 1",
    )
    assert (route.files, route.n_bytes, route.seconds) == (1, old.n_bytes, None)
    assert [move.held.file.url for move in plan.moves] == [old.url]
    assert plan.cost_before == pytest.approx((old.n_bytes + new.n_bytes) * 1e-4)
    assert plan.cost_after == pytest.approx(new.n_bytes * 1e-4 + old.n_bytes * 1e-6)
    assert plan.unpriced == ()
    assert plan.seconds is None


def test_plan_estimates_by_what_earlier_moves_cost(settings, corpus, put):
    old = put(1, days=DAYS_AGO)
    journal = MoveJournal(corpus.store, moves_folder(corpus.warehouse, "web"))
    for seconds in (1.0, 3.0):
        intent = journal.begin("r", "clusters", "cold", old.location.parent, [])
        journal.rate(intent, "hot", files=1, bytes_read=1_000, bytes_written=500, seconds=seconds)
    plan = plan_of_corpus(settings, corpus)
    assert plan.seconds == pytest.approx(old.n_bytes / 500)
    assert plan.cost_after == pytest.approx(old.n_bytes * 0.5 * 1e-6)


def test_plan_files_that_only_a_tag_keeps_are_part_of_it(settings, corpus, put):
    put(1, days=DAYS_AGO)
    tag(corpus, "v1")
    put(2, days=DAYS_AGO, mode=PublishMode.OVERWRITE)
    plan = plan_of_corpus(settings, corpus)
    assert [sorted(move.held.refs) for move in plan.moves] in (
        [["v1"], [PRESENT]],
        [[PRESENT], ["v1"]],
    )
    assert plan.cost_before == pytest.approx(sum(m.n_bytes for m in plan.moves) * 1e-4)


@pytest.mark.parametrize(
    "rule",
    [
        {"to": "cold", "where": ["n_tokenz < 3"]},
        {"to": "cold", "tables": ["clusters"], "where": ["n_tokens < 3"]},
        {"to": "cold", "partition": {"source": "web"}},
    ],
)
def test_plan_a_rule_about_a_column_that_is_nowhere_is_refused(settings, corpus, put, rule):
    put(1)
    bad = settings.model_validate(settings.model_dump() | {"lifecycle": [rule]})
    with pytest.raises(
        SettingsError, match=r"lifecycle rule 1 asks for '(n_tokens|n_tokenz|source)'"
    ):
        plan_of_corpus(bad, corpus)


def test_plan_and_tiers_commands_tell_both_texts_and_json(corpus, file, put, capsys):
    old, new = put(1, days=DAYS_AGO), put(2)
    folder = accesses_folder(corpus.warehouse, "web")
    record_accesses(corpus.store, folder, "r", {new.location.name: FileReads(7, 1)})

    assert main(["storage", "plan", str(file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["files"], plan["bytes"], plan["seconds"]) == (1, old.n_bytes, None)
    assert plan["moves"][0] | {"because": "rule 1", "to": "cold"} == plan["moves"][0]
    assert main(["storage", "plan", str(file)]) == 0
    text = capsys.readouterr().out
    assert "files to move: 1" in text
    assert text.count("not measured yet") == 2
    assert "cost a month: " in text
    unpriced = ("--set", 'lifecycle=[{to="warehouse"}]')
    assert main(["storage", "plan", str(file), *unpriced]) == 0
    assert "cost a month (without warehouse): " in capsys.readouterr().out

    assert main(["storage", "tiers", str(file), "--json"]) == 0
    tiers = json.loads(capsys.readouterr().out)
    hot, cold = (next(t for t in tiers["tiers"] if t["tier"] == name) for name in ("hot", "cold"))
    assert (hot["files"], hot["reads_30_days"]) == (2, 7)
    assert hot["cost_month"] == pytest.approx(tiers["cost_month"])
    assert 0 < hot["free_bytes"] <= 10**9 - hot["bytes"]
    assert hot["ratio"] > 0
    assert hot["ratio_footers"] == 2
    assert (cold["files"], cold["ratio"], cold["cost_month"]) == (0, None, 0)
    assert main(["storage", "tiers", str(file)]) == 0
    assert "cost a month: " in capsys.readouterr().out


def test_tiers_of_files_that_cannot_be_read_still_tell_sizes(corpus, file, put, capsys):
    lost = put(1)
    corpus.store.delete(lost.location)
    assert main(["storage", "tiers", str(file), "--json"]) == 0
    hot = json.loads(capsys.readouterr().out)["tiers"][1]
    assert (hot["bytes"], hot["ratio"], hot["ratio_footers"]) == (lost.n_bytes, None, 0)


def test_plan_of_an_empty_corpus_moves_nothing(file, capsys):
    assert main(["storage", "plan", str(file)]) == 0
    assert "files to move: 0" in capsys.readouterr().out


# journal


@pytest.fixture
def journal(any_store, any_folder):
    return MoveJournal(any_store, any_folder / "moves")


def test_journal_keeps_what_was_begun_until_it_is_settled(journal, folder):
    intent = journal.begin("r", "clusters", "cold", folder, ["a", "b"])
    journal.copied(intent, [MovedFile("a", "c")])
    assert journal.intents() == [intent]
    (copied,) = journal.all_copied()
    assert (copied.batch, copied.files) == (intent.batch, (MovedFile("a", "c"),))
    assert intent.stem.startswith("move-")
    journal.forget(intent.batch)
    assert (journal.intents(), journal.all_copied()) == ([], [])
    journal.forget(intent.batch)


def test_journal_rates_are_those_of_the_newest_moves(any_store, any_folder, folder):
    journal = MoveJournal(any_store, any_folder / "moves", clock=itertools.count(1).__next__)
    for number in range(30):
        intent = journal.begin("r", "clusters", "cold", folder, [])
        journal.rate(
            intent, "hot", 1, bytes_read=100 if number < 10 else 700, bytes_written=70, seconds=1.0
        )
    found = throughputs(journal.rates())
    assert found[("hot", "cold")].bytes_per_second == pytest.approx(700)
    assert found[("hot", "cold")].shrinkage == pytest.approx(0.1)
    assert throughputs([]) == {}


def test_journal_damaged_entry_is_named_with_the_remedy(journal, folder):
    intent = journal.begin("r", "clusters", "cold", folder, [])
    url = journal._url("intent", intent.batch)
    journal._store.write_bytes(url, b"{")
    with pytest.raises(InputError, match=rf"{url.name}.*delete it"):
        journal.intents()
