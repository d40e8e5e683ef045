"""Unfinished uploads on an S3 server, and `strata storage gc` over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from strata.jobs.cli import main
from strata.storage.cleanup.uploads import _filesystem
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url


def begin_upload(options: StorageOptions, url: Url) -> str:
    """Begin an upload and send its first part; its id."""
    bucket, _, key = url.path.partition("/")
    server = _filesystem(options, url)
    begun = server.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    sent = {"UploadId": begun["UploadId"], "PartNumber": 1, "Body": b"half a file"}
    server.call_s3("upload_part", Bucket=bucket, Key=key, **sent)
    return str(begun["UploadId"])


def check_gc_gives_up_uploads(
    tier: Url, given: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command gives up those of its corpus, once they are old enough, and no others."""
    prefix = f"s3://{tier.path.partition('/')[0]}"
    text = f'corpus = "web"\nwarehouse = "{folder}/wh"\n[[inputs]]\npath = "nothing"\n'
    text += f'[tiers.cold]\nurl = "{tier}"\n[storage_options."{prefix}"]\n'
    flat = {name: value for name, value in given.items() if not isinstance(value, dict)}
    text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in flat.items())
    for name in given.keys() - flat.keys():
        text += f'[storage_options."{prefix}".{name}]\n'
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in given[name].items())
    file = folder / "web.toml"
    file.write_text(text)
    options = StorageOptions({prefix: given})
    mine, other = (tier / name / "documents/data/a.parquet" for name in ("web", "website"))
    begin_upload(options, mine)
    left = begin_upload(options, other)

    def gc(*flags: str) -> list[str]:
        assert main(["storage", "gc", str(file), "--json", *flags]) == 0
        return [upload["url"] for upload in json.loads(capsys.readouterr().out)["uploads"]]

    # The moto server began all of them in 2010.
    assert gc("--older-than", str(24 * 36_000)) == []
    assert gc("--older-than", "0", "--dry-run") == [str(mine)]
    assert gc("--older-than", "0") == [str(mine)]
    assert gc("--older-than", "0") == []
    bucket, _, key = tier.path.partition("/")
    found = _filesystem(options, tier).call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
    assert [upload["UploadId"] for upload in found["Uploads"]] == [left]
