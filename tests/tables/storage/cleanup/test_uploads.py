from datetime import timedelta
from uuid import uuid4

import pytest

from strata.storage.cleanup.uploads import abandoned_uploads, abort_uploads
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from tests.support.suites.uploads import begin_upload, check_gc_gives_up_uploads


@pytest.fixture
def place(s3_options):
    options = StorageOptions({"s3://bucket": s3_options})
    return options, Url.parse(f"s3://bucket/{uuid4().hex}/web")


def test_uploads_older_than_the_grace_are_found_and_given_up(place):
    options, folder = place
    mine = begin_upload(options, folder / "documents/data/a.parquet")
    other = begin_upload(options, folder.parent / "website/b.parquet")
    assert abandoned_uploads(options, folder, timedelta(days=36_000)) == []
    (found,) = abandoned_uploads(options, folder, timedelta(0))
    assert (found.upload_id, found.url) == (mine, folder / "documents/data/a.parquet")
    abort_uploads(options, [found])
    # Another collector was faster.
    abort_uploads(options, [found])
    assert abandoned_uploads(options, folder, timedelta(0)) == []
    (left,) = abandoned_uploads(options, folder.parent / "website", timedelta(0))
    assert left.upload_id == other
    assert open_store(options).find(folder) == []


@pytest.mark.parametrize("url", ["file:///nowhere", "memory://nowhere"])
def test_uploads_of_other_stores_are_none(url):
    assert abandoned_uploads(StorageOptions(), Url.parse(url), timedelta(0)) == []


def test_gc_command_gives_up_unfinished_uploads(place, s3_options, tmp_path, capsys):
    check_gc_gives_up_uploads(place[1].parent / "cold", s3_options, tmp_path, capsys)
