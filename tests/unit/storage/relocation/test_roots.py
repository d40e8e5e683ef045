"""Roots of locations, and what takes their place."""

import pytest

from strata.storage.contracts.url import Url
from strata.storage.relocation.roots import Roots, root_of


@pytest.mark.parametrize(
    ("location", "root"),
    [
        ("file:///data/wh/web/documents/data/a.parquet", "file:///data/wh"),
        ("/data/wh/web/documents/metadata/0.json", "file:///data/wh"),
        ("file:///web/documents/data/a.parquet", "file:///"),
        ("s3://bucket/web/documents/data/source=x/a.parquet", "s3://bucket"),
        ("s3://bucket/web/documents/old/web/documents/data/a", "s3://bucket/web/documents/old"),
        ("memory://web/web/documents/data/a", "memory://web"),
        ("s3://bucket/web/tokens/data/a.parquet", None),
        ("s3://bucket/web-documents/data/a.parquet", None),
    ],
)
def test_root_is_what_lies_above_the_folder_of_the_corpus(location, root):
    assert root_of(location, "web", "documents") == (Url.parse(root) if root else None)


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("file:///wh/web/a", "file:///wh2/web/a"),
        ("/wh/web/a", "file:///wh2/web/a"),
        ("file:///wh/hot/web/a", "s3://hot/web/a"),
        ("file:///wh", "file:///wh2"),
        ("file:///wh/hotter/a", "file:///wh2/hotter/a"),
        ("file:///whole/a", "file:///whole/a"),
        ("s3://bucket/a", "file:///a"),
        ("s3://bucket/x/a", "memory://base/a"),
        ("memory://m/a?b", "memory://a?b"),
        ("gs://kept//twice/", "gs://kept//twice/"),
    ],
)
def test_location_moves_with_the_innermost_root_that_holds_it(location, place):
    roots = Roots(
        {
            Url.parse("/wh"): Url.parse("/wh2"),
            Url.parse("/wh/hot"): Url.parse("s3://hot"),
            Url.parse("s3://bucket"): Url.parse("/"),
            Url.parse("s3://bucket/x"): Url.parse("memory://base"),
            Url.parse("memory://m"): Url.parse("memory://"),
        }
    )
    assert roots.move(location) == place
