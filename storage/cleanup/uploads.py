"""Multipart uploads that were never completed: S3 bills them, and listings do not show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fsspec import AbstractFileSystem

from strata.storage.contracts.faults import translated
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.endpoints import next_endpoint
from strata.storage.stores.filesystems import S3_SCHEMES, open_filesystem

__all__ = ["AbandonedUpload", "abandoned_uploads", "abort_uploads"]


@dataclass(frozen=True, slots=True)
class AbandonedUpload:
    """An upload that was begun.

    Attributes:
        url: the object that it would have become.
        upload_id: its id on the store.
        begun: when.
    """

    url: Url
    upload_id: str
    begun: datetime


def abandoned_uploads(
    options: StorageOptions, folder: Url, grace: timedelta
) -> list[AbandonedUpload]:
    """Uploads below a folder that were begun before the grace; none on stores without multipart.

    Args:
        options: credentials by URL prefix.
        folder: the folder.
        grace: younger ones may belong to a running job; it must exceed the longest one.

    Raises:
        MachineError: there is no permission to list them.
        TransientError: the store did not answer.
    """
    if folder.scheme not in S3_SCHEMES:
        return []
    limit = datetime.now(UTC) - grace
    with translated(folder, "list"):
        return [upload for upload in _listed(options, folder) if upload.begun < limit]


def abort_uploads(options: StorageOptions, uploads: list[AbandonedUpload]) -> None:
    """Abort uploads, so that the store drops their parts; one that is gone is not an error."""
    for upload in uploads:
        bucket, _, key = upload.url.path.partition("/")
        with translated(upload.url, "delete"):
            try:
                _filesystem(options, upload.url).call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload.upload_id
                )
            except FileNotFoundError:
                continue


def _listed(options: StorageOptions, folder: Url) -> Iterator[AbandonedUpload]:
    bucket, _, prefix = folder.path.partition("/")
    filesystem, markers = _filesystem(options, folder), dict[str, str]()
    while True:
        page: dict[str, Any] = filesystem.call_s3(
            "list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/", **markers
        )
        for entry in page.get("Uploads", []):
            url = Url.parse(f"{folder.scheme}://{bucket}/{entry['Key']}")
            yield AbandonedUpload(url, entry["UploadId"], entry["Initiated"])
        if not page.get("IsTruncated"):
            return
        markers = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }


def _filesystem(options: StorageOptions, url: Url) -> AbstractFileSystem:
    endpoint = next_endpoint(options.hints_of(url)[1].endpoints)
    return open_filesystem(url, options.resolve(url), endpoint, options.transfer)
