"""A disk without room when the driver writes metadata: the catalog stays, and a rerun finishes."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, signal, sys
import pyarrow as pa
from strata.errors import StrataError
from strata.settings import Settings
from strata.storage.tables.catalog import open_corpus
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.contracts.url import Url

folder, mode = sys.argv[1], PublishMode(sys.argv[2])
layout = ParquetLayout("zstd", 1, 1_000_000, 1_000_000)
row = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}


def write(corpus, *ids):
    rows = [row | {"doc_id": i, "kept_id": i} for i in ids]
    with TableWriter(corpus.store, Url.parse(folder + "/data"), "clusters", layout, "t") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["clusters"]))
    return writer.close()


settings = Settings(corpus="web", warehouse=folder, inputs=[{"path": "x"}])
with open_corpus(settings) as corpus:
    table = corpus.table("clusters")
    publish(table, write(corpus, 1, 2), mode=mode, content_key="a", run_id="r")
    before = table.files()
    more = write(corpus, 3)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        publish(table, more, mode=mode, content_key="b", run_id="s")
        told = None
    except StrataError as error:
        told = [type(error).__name__, error.reason]
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = table.files() == before and table.content_key == "a"
    publish(table, more, mode=mode, content_key="b", run_id="s")
    print(json.dumps([told, kept, sorted(file.rows for file in table.files())]))
"""


@pytest.mark.parametrize(("mode", "rows"), [("append", [1, 2]), ("overwrite", [1])])
def test_publish_without_room_keeps_the_catalog_and_a_rerun_finishes(tmp_path, mode, rows):
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), mode],
        capture_output=True,
        text=True,
        check=True,
    )
    told, kept, after = json.loads(answer.stdout)
    assert told is not None
    assert told[0] == "MachineError"
    assert str(tmp_path) in told[1]
    assert kept
    assert after == rows
