import pyarrow as pa
import pytest

from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.lifecycle.usage import ELSEWHERE, usage_of
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.held_files import corpus_files
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.writing.tiers import tier_of_table, tiers_of

LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


@pytest.fixture
def settings(settings, tmp_path):
    update = {
        "tiers": {
            "hot": {"url": str(tmp_path / "warehouse" / "hot"), "codec": "lz4"},
            "cold": {"url": str(tmp_path / "cold"), "level": 19, "target_file_mb": 512},
        },
        "tables": {"documents": "cold", "tokens": "hot"},
    }
    return settings.model_validate(settings.model_dump() | update)


def test_tiers_of_settings_include_the_warehouse(settings, tmp_path):
    tiers = tiers_of(settings)
    assert list(tiers) == ["warehouse", "hot", "cold"]
    assert tiers["warehouse"].url == Url.parse(tmp_path / "warehouse")
    assert tiers["cold"].layout.tag == "zstd-19"
    assert tiers["hot"].layout.tag == "lz4"
    assert tiers["hot"].layout.target_file_bytes == 128_000_000
    assert tiers["cold"].layout.target_file_bytes == 512_000_000


def test_tiers_of_tables_default_to_the_warehouse(settings):
    assert tier_of_table(settings, "documents").name == "cold"
    assert tier_of_table(settings, "clusters").name == "warehouse"


def test_tiers_folder_of_a_table_holds_corpus_and_table(settings, tmp_path):
    folder = tiers_of(settings)["cold"].folder("web", "documents")
    assert folder == Url.parse(tmp_path / "cold" / "web" / "documents" / "data")


def test_tier_usage_counts_a_file_for_the_innermost_tier(settings, folder):
    tiers = tiers_of(settings)
    places = [tiers["warehouse"].folder("web", "clusters"), tiers["hot"].url, folder / "nowhere"]
    with open_corpus(settings) as corpus:
        files = []
        for rows, place in enumerate(places, start=1):
            with TableWriter(corpus.store, place, "clusters", LAYOUT, "t") as writer:
                row = {"kept_id": 0, "cluster_size": 1, "kept": True, "method": "exact"}
                batch = [{"doc_id": i, "similarity": 1.0} | row for i in range(rows)]
                writer.write(pa.RecordBatch.from_pylist(batch, schema=CLUSTERS))
            files += writer.close()
        table = corpus.table("clusters")
        publish(table, files, mode=PublishMode.APPEND, content_key="k", run_id="r")
        usage = usage_of(corpus_files(corpus), tiers)
    assert {name: each.rows for name, each in usage.items()} == {
        "warehouse": 1,
        "hot": 2,
        "cold": 0,
        ELSEWHERE: 3,
    }
    assert usage["hot"].bytes_by_table == {"clusters": files[1].n_bytes}
    assert sum(each.n_bytes for each in usage.values()) == sum(file.n_bytes for file in files)


def test_tier_usage_of_an_empty_corpus_lists_the_tiers(settings):
    with open_corpus(settings) as corpus:
        usage = usage_of(corpus_files(corpus), tiers_of(settings))
    assert [(name, each.files) for name, each in usage.items()] == [
        ("warehouse", 0),
        ("hot", 0),
        ("cold", 0),
    ]
