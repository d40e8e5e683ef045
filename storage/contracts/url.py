"""A location as a value: one canonical spelling for local paths and fsspec URLs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from os import PathLike
from typing import cast
from urllib.parse import unquote_to_bytes

from strata.errors import MachineError, SettingsError
from strata.places import checked_place

__all__ = ["LOCAL", "Url", "percent_encoded"]

LOCAL = "file"
"""The scheme of local files."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_LOCAL_NAMES = frozenset({LOCAL, "local"})
_AFTER_HOST = frozenset({"hdfs", "webhdfs"})
# Behind the scheme of a URL whose percent signs encode bytes; in all others they are themselves.
_ENCODED = "+percent"
# Where the system's names are decoded, each byte that is not UTF-8 becomes half a surrogate pair.
_NO_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Url:
    """An absolute location on a filesystem that fsspec knows.

    As text it is always Unicode: with a name that is not UTF-8 it is ``SCHEME+percent://…``, where
    the bytes of no character, and percent signs, are percent-encoded.

    Attributes:
        scheme: protocol in lower case, such as ``file``, ``s3``, ``hdfs`` or ``memory``.
        rest: what follows ``://``, without a slash at the end; bytes of no character are surrogates
            as in ``os.fsdecode``.
    """

    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str | PathLike[str] | Url) -> Url:
        """Read a URL or a path; a path is made absolute and becomes ``file:///…``.

        Raises:
            SettingsError: empty text, a chained URL (``a::b://``), or a password in the URL.
        """
        if isinstance(text, Url):
            return text
        spelled = _checked(os.fspath(text))
        found = _URL.fullmatch(spelled)
        if found is None:
            return cls._local(spelled)
        scheme, rest = found["scheme"].lower(), found["rest"]
        if scheme.endswith(_ENCODED):
            plain = unquote_to_bytes(rest).decode("utf-8", "surrogateescape")
            return cls.parse(f"{scheme.removesuffix(_ENCODED)}://{plain}")
        if scheme in _LOCAL_NAMES:
            return cls._local(rest or "/")
        _refuse_password(scheme, rest)
        return cls(scheme, rest.strip("/") if scheme == "memory" else rest.rstrip("/"))

    @classmethod
    def _local(cls, path: str) -> Url:
        head, mark, _ = path.partition("://")
        if mark and "::" in head:
            raise SettingsError(f"the chained URL {path!r} is not supported", hint="give one URL")
        return cls("file", _absolute(path).replace("//", "/"))

    def __str__(self) -> str:
        if self.rest.isascii() or not _NO_CHARACTER.search(self.rest):
            return self.spelled
        return f"{self.scheme}{_ENCODED}://{percent_encoded(self.rest)}"

    @property
    def spelled(self) -> str:
        """The URL for a filesystem or a prefix; unlike ``str``, it may hold surrogates."""
        return f"{self.scheme}://{self.rest}"

    def __truediv__(self, relative: str) -> Url:
        """The location ``relative`` below this one.

        Raises:
            ValueError: ``relative`` is empty, absolute, or leaves this folder.
        """
        parts = relative.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{relative!r} is not a path below {self}")
        base = self.rest.rstrip("/")
        lead = "" if not base and self.scheme == "memory" else f"{base}/"
        return Url(self.scheme, f"{lead}{relative}")

    @property
    def path(self) -> str:
        """The spelling that methods of the fsspec filesystem take."""
        if self.scheme == "file":
            return self.rest
        if self.scheme in _AFTER_HOST:
            # fsspec would cut a name off at its question mark.
            return "/" + self.rest.partition("/")[2]
        import fsspec

        strip = fsspec.get_filesystem_class(self.scheme)._strip_protocol
        return cast("str", strip(self.spelled))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.rest.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The last extension of the name with its dot, or nothing."""
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> Url:
        """The folder that holds this location; the root is its own parent."""
        head = self.rest.rpartition("/")[0]
        if not head and self.scheme == "file":
            return Url("file", "/")
        return Url(self.scheme, head or ("" if self.scheme == "memory" else self.rest))

    def is_below(self, other: Url) -> bool:
        """Whether this location lies inside the folder ``other`` (a folder is not below itself)."""
        if self.scheme != other.scheme or self == other:
            return False
        base = other.rest.rstrip("/")
        return not base or self.rest.startswith(f"{base}/")


def percent_encoded(name: str) -> str:
    """A name as text that can be stored: unchanged where it is Unicode.

    Otherwise its percent signs, and the bytes that are not UTF-8, are percent-encoded.
    """
    if not _NO_CHARACTER.search(name):
        return name
    return _NO_CHARACTER.sub(_encoded, name.replace("%", "%25"))


def _encoded(found: re.Match[str]) -> str:
    try:
        data = found[0].encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = found[0].encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in data)


def _checked(text: str) -> str:
    try:
        return checked_place(text)
    except ValueError as error:
        reason, _, hint = str(error).rpartition(": ")
        told = f"{text!r} is not a location" + (f": {reason}" if reason else "")
        raise SettingsError(told, hint=hint) from None


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise MachineError(
            f"{path!r} is below the current directory, which was deleted",
            hint="cd to a folder that exists, or give an absolute path",
        ) from error


def _refuse_password(scheme: str, rest: str) -> None:
    user, mark, host = rest.partition("/")[0].rpartition("@")
    if mark and ":" in user:
        raise SettingsError(
            f"the URL {scheme}://…@{host} carries a password",
            hint='put it into [storage_options] as "env:NAME"',
        )
