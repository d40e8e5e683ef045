import json
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pytest

from strata.jobs.cli import main
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.tags import tag_corpus
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.writing.tiers import tiers_of

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
CLUSTER = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}


def place(written):
    return Url.parse(written.url)


@pytest.fixture
def settings(settings, tmp_path):
    tiers = {"cold": {"url": str(tmp_path / "cold"), "level": 9}}
    return settings.model_validate(settings.model_dump() | {"tiers": tiers})


@pytest.fixture
def file(settings, tmp_path):
    path = tmp_path / "web.toml"
    cold = settings.tiers["cold"].url
    path.write_text(
        f'corpus = "web"\nwarehouse = "{settings.warehouse}"\n'
        f'[[inputs]]\npath = "nothing"\n[tiers.cold]\nurl = "{cold}"\nlevel = 9\n'
    )
    return str(path)


@pytest.fixture
def corpus(settings):
    with open_to_write(settings) as corpus:
        yield corpus


@pytest.fixture
def make(corpus, settings):
    def make(*ids):
        folder = tiers_of(settings)["cold"].folder("web", "clusters")
        with TableWriter(corpus.store, folder, "clusters", LAYOUT, "t") as writer:
            batch = [{"doc_id": i, "kept_id": i} | CLUSTER for i in ids]
            writer.write(pa.RecordBatch.from_pylist(batch, schema=CLUSTERS))
        return writer.close()

    return make


@pytest.fixture
def filled(corpus, make):
    table = corpus.table("clusters")
    for key, ids in (("a", (1, 2)), ("b", (3,))):
        publish(table, make(*ids), mode=PublishMode.OVERWRITE, content_key=key, run_id=f"run-{key}")
    return table


@pytest.fixture
def say(file, capsys):
    """Run `strata storage ACTION FILE …` and give exit code and JSON."""

    def say(action, *flags):
        code = main(["storage", action, file, "--json", *flags])
        return code, json.loads(capsys.readouterr().out)

    return say


def test_storage_tiers_tell_files_rows_and_bytes(filled, say):
    code, found = say("tiers")
    assert (code, found["corpus"]) == (0, "web")
    warehouse, cold = found["tiers"]
    assert (warehouse["tier"], warehouse["files"]) == ("warehouse", 0)
    assert (cold["tier"], cold["files"], cold["rows"], cold["layout"]) == ("cold", 1, 1, "zstd-9")
    assert cold["bytes_by_table"] == {"clusters": cold["bytes"]}


def test_storage_snapshots_tell_run_and_present(filled, say):
    _, found = say("snapshots")
    assert [(s["run"], s["rows"], s["present"]) for s in found["snapshots"]] == [
        ("run-a", 2, False),
        ("run-b", 1, True),
    ]
    assert found["snapshots"][1]["snapshot"] == str(filled.snapshots()[1].snapshot_id)


def test_storage_of_a_new_corpus_is_empty(say):
    assert say("snapshots")[1]["snapshots"] == []
    assert say("gc")[1]["deleted"] == []
    assert say("expire")[1]["expired"] == []


def test_storage_verify_of_nothing_is_no_success(file, capsys):
    assert main(["storage", "verify", file, "--quick"]) == 2
    assert "nothing was verified" in capsys.readouterr().err


def test_storage_verify_tells_a_lost_catalog(filled, corpus, file, capsys):
    database = Path((corpus.warehouse / "catalog.db").path)
    corpus.close()
    database.unlink()
    assert main(["storage", "verify", file, "--quick"]) == 4
    assert "restore the catalog's database" in capsys.readouterr().err


def test_storage_rebuild_catalog_brings_a_lost_one_back(filled, corpus, file, say, capsys):
    tag_corpus(corpus, "v1")
    database = Path((corpus.warehouse / "catalog.db").path)
    corpus.close()
    database.unlink()
    code, found = say("rebuild-catalog", "--dry-run")
    assert (code, found["tables"], found["rebuilt"][0]["tags"]) == (0, 1, "v1")
    assert not database.exists()
    assert main(["storage", "rebuild-catalog", file]) == 0
    assert "tables registered: 1" in capsys.readouterr().out
    assert say("verify")[0] == 0
    assert say("rebuild-catalog")[1]["tables"] == 0


def test_storage_rebuild_catalog_of_an_empty_warehouse_is_told(file, capsys):
    assert main(["storage", "rebuild-catalog", file, "--set", "corpus=none"]) == 3
    assert "has no metadata of tables of corpus none" in capsys.readouterr().err


def test_storage_adopt_lists_and_does_it_only_with_yes(filled, corpus, file, say, capsys, settings):
    cold = Path((tiers_of(settings)["cold"].url / "web").path)
    corpus.close()
    shutil.rmtree(cold)
    assert main(["storage", "gc", file]) == 4
    assert "strata storage adopt FILE" in capsys.readouterr().err
    code, found = say("adopt")
    assert (code, found["adopted"], len(found["wrong"]), len(found["places"])) == (0, False, 1, 2)
    assert main(["storage", "gc", file]) == 4
    assert main(["storage", "adopt", file]) == 0
    assert f"wrong: file://{cold}: no files" in capsys.readouterr().out
    assert say("adopt", "--yes")[1]["adopted"] is True
    assert main(["storage", "gc", file]) == 0


def test_storage_verify_tells_which_tag_keeps_a_broken_file(filled, corpus, make, say):
    tag_corpus(corpus, "v1")
    (old,) = filled.files()
    publish(filled, make(4), mode=PublishMode.OVERWRITE, content_key="c", run_id="run-c")
    assert say("verify")[1]["kept"] == 1
    corpus.store.delete(old.location)
    code, found = say("verify", "--quick")
    (row,) = found["findings"]
    assert (code, row["refs"], row["finding"]) == (3, ["v1"], "missing")
    assert row["detail"].endswith("; kept by v1 only")


def test_storage_verify_sound_corpus_is_well(filled, say):
    code, found = say("verify")
    assert (code, found["files"], found["rows"], found["findings"]) == (0, 1, 1, [])


def test_storage_verify_names_the_broken_file_and_the_remedy(filled, corpus, file, capsys):
    (broken,) = filled.files()
    corpus.store.delete(broken.location)
    for flags in ((), ("--json",), ("--quiet",)):
        assert main(["storage", "verify", file, *flags]) == 3
        printed = capsys.readouterr()
        assert broken.location.name in printed.out
        last = json.loads(printed.err.splitlines()[-1])
        assert last["code"] == 3
        assert all(text in last["reason"] for text in (broken.url, "clusters", "missing"))
        assert last["hint"]


def test_storage_expire_younger_than_asked_keeps_all(filled, say):
    code, found = say("expire")
    assert (code, found["expired"]) == (0, [])
    assert len(filled.snapshots()) == 2


def test_storage_expire_dry_run_only_lists(filled, say):
    _, found = say("expire", "--older-than", "0", "--dry-run")
    assert [row["run"] for row in found["expired"]] == ["run-a"]
    assert len(filled.snapshots()) == 2


def test_storage_expire_then_gc_frees_the_old_files(filled, corpus, make, say):
    old, present = filled.iceberg().metadata.snapshots
    (lost,) = make(9)
    _, listed = say("gc", "--older-than", "0", "--dry-run")
    assert [row["url"] for row in listed["deleted"]] == [lost.url]
    assert listed["bytes"] == lost.n_bytes
    assert corpus.store.exists(place(lost))
    assert [row["run"] for row in say("expire", "--older-than", "0")[1]["expired"]] == ["run-a"]
    _, deleted = say("gc", "--older-than", "0")
    names = {row["url"].rpartition("/")[2] for row in deleted["deleted"]}
    assert {place(lost).name, old.manifest_list.rpartition("/")[2]} < names
    assert present.manifest_list.rpartition("/")[2] not in names
    assert deleted["files"] == len(deleted["deleted"]) >= 4
    assert say("gc", "--older-than", "0")[1]["deleted"] == []
    assert say("verify")[0] == 0


def test_storage_gc_leaves_a_day_by_default(corpus, make, say):
    young, old = make(1)[0], make(2)[0]
    long_ago = time.time() - 25 * 3600
    os.utime(place(old).path, (long_ago, long_ago))
    assert [row["url"] for row in say("gc")[1]["deleted"]] == [old.url]
    assert corpus.store.exists(place(young))


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "soon"])
@pytest.mark.parametrize("flag", ["gc --older-than", "expire --older-than", "move --grace"])
def test_storage_hours_nonsense_is_a_usage_error(file, capsys, flag, hours):
    action, flag = flag.split()
    with pytest.raises(SystemExit, match="2"):
        main(["storage", action, file, f"{flag}={hours}"])
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert last["reason"] == f"argument {flag}: {hours!r} is not a number of hours from 0 on"


def test_storage_tables_show_the_same_to_people(filled, make, file, capsys):
    make(9)
    shown = {
        "tiers": ["cold", "zstd-9"],
        "snapshots": ["run-a", "overwrite", "yes"],
        "verify": ["files checked: 1, rows: 1, findings: 0"],
        "expire": ["snapshots to expire: 1"],
        "gc": ["clusters", "cold", "files to delete: 1"],
    }
    for action, texts in shown.items():
        flags = ["--older-than", "0", "--dry-run"] if action in ("expire", "gc") else []
        assert main(["storage", action, file, *flags]) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in texts), out
    for listing in (["gc", "--older-than", "0", "--dry-run"], ["files"]):
        for flags, shown in (([], False), (["--list"], True)):
            assert main(["storage", listing[0], file, *listing[1:], *flags]) == 0
            assert (".parquet" in capsys.readouterr().out) is shown


@pytest.mark.parametrize("action", ["move", "rewrite"])
def test_storage_job_has_no_flag_of_dedup(action, file, capsys):
    with pytest.raises(SystemExit):
        main(["storage", action, file, "--against", "other"])
    assert "unrecognized arguments: --against other" in capsys.readouterr().err


def test_rewrite_unknown_order_names_the_orders(file, capsys):
    with pytest.raises(SystemExit):
        main(["storage", "rewrite", file, "--order", "size"])
    told = json.loads(capsys.readouterr().err.splitlines()[-1])["reason"]
    assert "'size'" in told
    assert "'cluster'" in told
    assert "RowOrder" not in told
