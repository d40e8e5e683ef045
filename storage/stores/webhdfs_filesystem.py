"""fsspec's WebHDFS, but with errors of the server told apart and never taken for data.

fsspec's own client raises RuntimeError for most errors of a name node, returns the error of a data
node as the requested bytes, and returns an empty listing when the server is gone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fsspec.implementations.webhdfs import WebHDFS

if TYPE_CHECKING:
    from requests import Response

__all__ = ["StrataWebHdfs", "remote_error"]

_REFUSED = 400

_ERRNO: Mapping[str, int] = {
    "AccessControlException": errno.EACCES,
    "AuthorizationException": errno.EACCES,
    "DSQuotaExceededException": errno.EDQUOT,
    "FileAlreadyExistsException": errno.EEXIST,
    "FileNotFoundException": errno.ENOENT,
    "IllegalArgumentException": errno.EINVAL,
    "InvalidPathException": errno.EINVAL,
    "NSQuotaExceededException": errno.EDQUOT,
    "ParentNotDirectoryException": errno.ENOTDIR,
    "PathIsNotEmptyDirectoryException": errno.ENOTEMPTY,
    "QuotaExceededException": errno.EDQUOT,
    "RetriableException": errno.EBUSY,
    "SafeModeException": errno.EBUSY,
    "SecurityException": errno.EACCES,
    "StandbyException": errno.EBUSY,
    "UnsupportedOperationException": errno.ENOTSUP,
}
# Some errors arrive as a plain IOException, and only their messages tell them apart.
_WORDS: Mapping[str, int] = {
    "could only be replicated to 0 nodes": errno.EBUSY,
    "Could not obtain block": errno.EBUSY,
    "quota": errno.EDQUOT,
    "Quota": errno.EDQUOT,
    "is not a directory": errno.ENOTDIR,
    "Permission denied": errno.EACCES,
    "safe mode": errno.EBUSY,
    "No lease on": errno.EBUSY,
}


def remote_error(kind: str, message: str) -> OSError:
    """The operating system's error for a RemoteException of Hadoop."""
    number = _ERRNO.get(kind)
    if number is None:
        found = (number for words, number in _WORDS.items() if words in message)
        number = next(found, errno.EIO)
    # The rest of the message is a stack trace of the server.
    return OSError(number, f"{kind}: {message.strip().partition(chr(10))[0]}")


def _refuse(response: Response, **_: object) -> None:
    if response.status_code < _REFUSED:
        return
    try:
        told = response.json()["RemoteException"]
        error = remote_error(told["exception"], told["message"])
    except (ValueError, KeyError, TypeError):
        response.raise_for_status()
        raise
    raise error


class StrataWebHdfs(WebHDFS):  # type: ignore[misc]  # fsspec has no types
    """WebHDFS that raises errors of the operating system, and whose renames replace."""

    def _connect(self) -> None:
        super()._connect()
        self.session.hooks["response"].append(_refuse)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        _, mark, rest = str(path).partition("://")
        if not mark:
            return path
        return "/" + rest.partition("/")[2]

    def exists(self, path: str) -> bool:
        """Whether the path exists; a server that does not answer is an error."""
        with suppress(FileNotFoundError):
            self.info(path)
            return True
        return False

    def isfile(self, path: str) -> bool:
        """Whether the path is a file; a server that does not answer is an error."""
        return self.exists(path) and self.info(path)["type"] == "file"

    def isdir(self, path: str) -> bool:
        """Whether the path is a folder; a server that does not answer is an error."""
        return self.exists(path) and self.info(path)["type"] == "directory"

    def ls(self, path: str, detail: bool = False) -> list[Any]:
        """The entries of a folder; for a file, the file itself."""
        found = super().ls(path, detail=True)
        for info in found:
            info["name"] = info["name"].rstrip("/")
        return found if detail else [info["name"] for info in found]

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[OSError], None] = "omit",
        detail: bool = False,
    ) -> Iterator[Any]:
        """All folders below one; by default only missing ones are left out, other errors raise."""
        if on_error == "omit":
            on_error = _omit_missing
        yield from super().walk(path, maxdepth, topdown, on_error, detail=detail)

    def replace(self, source: str, target: str) -> None:
        """Rename a file in one step, replacing an existing target.

        Raises:
            FileExistsError: the gateway cannot do that, and left both files as they were.
        """
        answer = self._call(
            "RENAME", "put", path=source, destination=target, renameoptions="OVERWRITE"
        )
        if answer.content and answer.json().get("boolean") is False:
            raise FileExistsError(errno.EEXIST, "the server does not rename onto a file", target)


def _omit_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
