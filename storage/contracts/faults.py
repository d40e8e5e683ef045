"""Errors of filesystems as errors of Strata: missing, forbidden, full or transient."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from strata.errors import InputMissingError, MachineError, StrataError, TransientError
from strata.storage.contracts.url import LOCAL, Url

__all__ = ["BrokenReadError", "as_strata_error", "translated"]

# By name, so that no optional client library is imported to classify an error.
_TRANSIENT_CLASSES = frozenset(
    {
        "ChunkedEncodingError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "IncompleteRead",
        "ProtocolError",
        "ServerDisconnectedError",
        "ServiceRequestError",
        "ServiceResponseError",
        "Timeout",
        "TimeoutError",
    }
)
_FORBIDDEN_CLASSES = frozenset(
    {"ClientAuthenticationError", "NoCredentialsError", "PartialCredentialsError"}
)
_TRANSIENT_ERRNO = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.EREMOTEIO,
        errno.ETIMEDOUT,
    }
)
_FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT})
# What S3 servers (Ceph, MinIO) answer where an operating system would report ENOSPC or EDQUOT.
_FULL_CODES = frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"})
# Here a folder that is missing is one that cannot be made, as below /proc.
_MAKING = frozenset({"write", "make"})
_SERVER_BUSY = 500
# Too slow, too early, too many: the client errors that are transient.
_CLIENT_BUSY = frozenset({408, 425, 429})
_SERVER_FULL = 507


class BrokenReadError(TransientError):
    """A read that broke off after some bytes had come.

    Attributes:
        data: the bytes that came.
    """

    data: bytes = b""


def as_strata_error(error: Exception, url: Url, action: str) -> StrataError | None:
    """The error of Strata for ``error``, or None where it is not a store's."""
    names = {kind.__name__ for kind in type(error).__mro__}
    reason = f"cannot {action} {url}: {str(error) or type(error).__name__}"
    if isinstance(error, FileNotFoundError) and action not in _MAKING:
        return InputMissingError(f"cannot {action} {url}: it is not there", hint="check the path")
    if isinstance(error, PermissionError) or names & _FORBIDDEN_CLASSES:
        return MachineError(reason, hint=_permission(url, action))
    if any(_full(each) for each in _causes(error)):
        return MachineError(reason, hint="free some space, or have the quota raised")
    if names & _TRANSIENT_CLASSES or any(_busy(each) for each in _causes(error)):
        return TransientError(reason, hint="run the same command again")
    if isinstance(error, OSError):
        read_only = error.errno == errno.EROFS
        hint = "mount it writable, or name another place" if read_only else "name another place"
        return MachineError(reason, hint=hint)
    return None


def _permission(url: Url, action: str) -> str:
    if url.scheme != LOCAL:
        return "check the permissions and [storage_options]"
    access = "write" if action in _MAKING else "read"
    return f"give this user {access} access to it, or name another place"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL_ERRNO:
        return True
    code, status = _answer(error)
    return code in _FULL_CODES or status == _SERVER_FULL


def _busy(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO:
        return True
    status = _answer(error)[1]
    return status >= _SERVER_BUSY or status in _CLIENT_BUSY


def _answer(error: BaseException) -> tuple[str, int]:
    """The error code and HTTP status of a server's answer; 0 where there was no answer."""
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    code = ""
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(response.get("Error", {}).get("Code", ""))
    return code, status if isinstance(status, int) else 0


@contextmanager
def translated(url: Url, action: str) -> Iterator[None]:
    """Run a block whose filesystem errors become errors of Strata that name ``url``."""
    try:
        yield
    except StrataError:
        raise
    except Exception as error:
        told = as_strata_error(error, url, action)
        if told is None:
            raise
        raise told from error
