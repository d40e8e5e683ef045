"""S3 by s3fs: one attempt per call, counted requests, reads of one version, multipart uploads."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from fsspec.asyn import sync
from s3fs import S3FileSystem

from strata.errors import ConcurrentChangeError, InputMissingError
from strata.storage.contracts.store import ByteRange, PartUpload
from strata.storage.transfer.metering import Event, record

if TYPE_CHECKING:
    from aiobotocore.client import AioBaseClient
    from botocore.awsrequest import AWSPreparedRequest

__all__ = ["S3Upload", "StrataS3", "is_range_past_the_end"]

_CHUNK = 1 << 20
_COUNTED = "strata-requests"
_READING = frozenset({"GET", "HEAD"})


def _count(request: AWSPreparedRequest, **_: object) -> None:
    # The loop runs each call in the context of its caller, so it finds the caller's meter.
    record(Event.READ if request.method in _READING else Event.WRITE)


class StrataS3(S3FileSystem):  # type: ignore[misc]
    """s3fs without its own retries: only the transfer layer retries."""

    retries = 1

    async def get_s3(self, bucket: str | None = None) -> AioBaseClient:
        """The client of a bucket, whose requests are counted."""
        client = await super().get_s3(bucket)
        client.meta.events.register("before-send.s3", _count, unique_id=_COUNTED)
        return client

    def read_range(self, path: str, span: ByteRange, etag: str, into: list[bytes]) -> None:
        """Append the bytes of a range to ``into`` as they arrive, even if the rest never does.

        Raises:
            ConflictError: ``etag`` is given and the object has another ETag.
        """
        sync(self.loop, self._read_range, path, span, etag, into)

    def read_tail(self, path: str, count: int) -> tuple[dict[str, Any], bytes]:
        """The last bytes of an object, and what :meth:`info` would return, in one request."""
        told: tuple[dict[str, Any], bytes] = sync(self.loop, self._read_tail, path, count)
        return told

    async def _read_tail(self, path: str, count: int) -> tuple[dict[str, Any], bytes]:
        response = await self._call_s3("get_object", **self._range(path, f"-{count}"))
        async with response["Body"] as body:
            data = await body.read()
        total = response.get("ContentRange", "").rpartition("/")[2]
        size = int(total or response["ContentLength"])
        # A server without support for ranges sends the whole object.
        if len(data) not in (min(size, count), size):
            raise ConnectionResetError(f"s3://{path} gave {len(data)} of its last {count} bytes")
        facts = {name: response.get(name) for name in ("ETag", "LastModified")}
        return facts | {"size": size}, data[-count:]

    def _range(self, path: str, span: str) -> dict[str, str]:
        bucket, key, version = self.split_path(path)
        wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={span}"}
        return wanted | ({"VersionId": version} if version else {})

    async def _read_range(self, path: str, span: ByteRange, etag: str, into: list[bytes]) -> None:
        wanted = self._range(path, f"{span.start}-{span.end - 1}")
        response = await self._call_s3("get_object", **wanted)
        body = response["Body"]
        try:
            if etag and response["ETag"].strip('"') != etag:
                raise ConcurrentChangeError(
                    f"s3://{path} was replaced while it was read", hint="run the same command again"
                )
            while chunk := await body.read(_CHUNK):
                into.append(chunk)
        finally:
            body.close()


def is_range_past_the_end(error: BaseException) -> bool:
    """Whether S3 refused a range because the object ends before it."""
    response = getattr(error.__cause__, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in (
        "InvalidRange",
        "416",
    )


class S3Upload(PartUpload):
    """An upload to S3 whose requests may each be repeated, even if only their response was lost.

    Args:
        attempt: opens one attempt, with the endpoint whose turn it is.
        path: bucket and key.
        extra: arguments that say how the object is stored, such as its storage class.
    """

    def __init__(
        self,
        attempt: Callable[[], AbstractContextManager[Any]],
        path: str,
        extra: dict[str, Any],
    ) -> None:
        self._attempt = attempt
        self._path = path
        self._bucket, _, self._key = path.partition("/")
        self._extra = extra
        self._id = ""

    def put(self, data: bytes | bytearray) -> None:
        """Write the whole object with one request."""
        self._call("put_object", Body=io.BytesIO(data), **self._extra)

    def begin(self) -> None:
        """Start the upload."""
        self._id = self._call("create_multipart_upload", **self._extra)["UploadId"]

    def send(self, number: int, data: bytes | bytearray) -> str:
        """Write a part; the same number again replaces it."""
        body = io.BytesIO(data)
        answer = self._call("upload_part", UploadId=self._id, PartNumber=number, Body=body)
        return str(answer["ETag"])

    def complete(self, tags: Sequence[str]) -> None:
        """Assemble the object from its parts."""
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
        try:
            self._call(
                "complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": parts}
            )
        except InputMissingError:
            # The upload is gone if an earlier attempt completed it and only the response was lost.
            if not self._is_made_of(tags):
                raise

    def abort(self) -> None:
        """Drop the parts that were sent."""
        self._call("abort_multipart_upload", UploadId=self._id)

    def _is_made_of(self, tags: Sequence[str]) -> bool:
        digests = b"".join(bytes.fromhex(tag.strip('"')) for tag in tags)
        whole = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(tags)}"
        found = self._call("head_object")
        return str(found["ETag"]).strip('"') == whole

    def _call(self, method: str, **arguments: object) -> dict[str, Any]:
        with self._attempt() as filesystem:
            answer: dict[str, Any] = filesystem.call_s3(
                method, Bucket=self._bucket, Key=self._key, **arguments
            )
        return answer
