from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from strata.pipelines.dedup.election import Attributes, election_keys, election_order

DOCUMENTS = [
    *[(-3, None, None), (-7, None, None)],
    *[(4, 10, "web"), (9, 10, "wiki"), (2, 30, "web"), (6, 30, "books"), (5, 10, "wiki")],
]


@pytest.mark.parametrize(
    "rules",
    [
        *[("first",), ("longest",), ("longest", "first"), ("first", "longest")],
        *[("source: wiki , web ", "longest"), ("longest", "source:books,wiki"), ("source:a,a",)],
    ],
)
def test_election_keys_order_as_the_driver_does(
    spark: SparkSession, rules: tuple[str, ...]
) -> None:
    own = sorted(row for row in DOCUMENTS if row[0] >= 0)
    doc_ids, n_bytes, sources = zip(*own, strict=True)
    attributes = Attributes(np.array(doc_ids), np.array(n_bytes), np.array(sources, object))
    nodes = np.array(sorted(row[0] for row in DOCUMENTS), np.int64)
    order = election_order(nodes, np.zeros(len(nodes), np.int64), rules, attributes)

    frame = spark.createDataFrame(DOCUMENTS, "doc_id long, n_bytes long, source string")
    ordered = frame.orderBy(*election_keys(rules)).collect()

    assert [row.doc_id for row in ordered] == nodes[order].tolist()
