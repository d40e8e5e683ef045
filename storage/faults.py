"""What a filesystem raises, told as an error of Strata: missing, forbidden, full or transient."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from strata.errors import InputMissingError, MachineError, StrataError, TransientError
from strata.storage.url import Url

__all__ = ["as_strata_error", "translated"]

# By name, so that no optional client library is imported to look at an error.
_TRANSIENT_CLASSES = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
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
_SERVER_BUSY = 500


def as_strata_error(error: Exception, url: Url, action: str) -> StrataError | None:
    """The error of Strata that stands for ``error``, or None where it is no fault of a store."""
    names = {kind.__name__ for kind in type(error).__mro__}
    reason = f"cannot {action} {url}: {str(error) or type(error).__name__}"
    if isinstance(error, FileNotFoundError):
        return InputMissingError(f"cannot {action} {url}: it is not there", hint="check the path")
    if isinstance(error, PermissionError) or names & _FORBIDDEN_CLASSES:
        return MachineError(reason, hint="check the permissions and [storage_options]")
    if names & _TRANSIENT_CLASSES or _busy(error):
        return TransientError(reason, hint="run the same command again")
    if isinstance(error, OSError):
        full = error.errno in _FULL_ERRNO
        return MachineError(reason, hint="free some space" if full else "check the location")
    return None


def _busy(error: BaseException | None) -> bool:
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO:
        return True
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return (isinstance(status, int) and status >= _SERVER_BUSY) or _busy(error.__cause__)


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
