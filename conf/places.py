"""Places that a user writes, in settings and in flags: URLs and paths.

``$NAME``, ``${NAME}`` and a leading ``~`` are expanded, and ``$$`` is a dollar sign. What is almost
a URL is refused: ``s3:/bucket/x`` would be a folder named ``s3:`` below the current directory.
"""

from __future__ import annotations

import os
import re

__all__ = [
    "REMOTE_SCHEMES",
    "at_home",
    "checked_place",
    "checked_uri",
    "expanded",
    "place_of",
    "sqlite_uri",
]

_SCHEMES = """
abfs abfss adl alluxio az cos cosn dbfs dropbox ftp gcs gdrive github gs hdfs hf http https jfs
lakefs memory o3fs obs oci ocilake ofs onelake oss s3 s3a s3n sftp smb ssh swebhdfs tos viewfs
wasb wasbs webdav webhdfs
"""
REMOTE_SCHEMES = frozenset(_SCHEMES.split())
"""Schemes that nobody gives to a local folder; any other one may be a folder's name."""
_BUCKETS = frozenset({"s3", "s3a", "s3n", "gs", "gcs"})
_STORES = _BUCKETS | {"abfs", "abfss", "hdfs", "webhdfs", "dbfs"}
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\}|(?P<wrong>[{(]))",
    re.ASCII,
)
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?P<mark>:/*|//+)(?P<rest>.*)", re.DOTALL)
_LOCAL_HOSTS = ("localhost/", "127.0.0.1/")


def place_of(text: str) -> str:
    """The place that a user wrote: expanded, and checked.

    Raises:
        ValueError: a variable is not set, or the text is almost a URL; the message has the remedy.
    """
    return checked_place(expanded(text))


def expanded(text: str) -> str:
    """The text with the values of environment variables in place of ``$NAME`` and ``${NAME}``.

    Raises:
        ValueError: a variable is not set or empty, or is written in a way that nothing expands.
    """
    return _VARIABLE.sub(_value, text) if "$" in text else text


def _value(found: re.Match[str]) -> str:
    if found["dollar"]:
        return "$"
    name = found["name"] or found["braced"]
    if not name:
        raise ValueError(
            f"nothing expands what begins with {found[0]!r}: write $NAME or ${{NAME}} for an "
            "environment variable, and $$ for a dollar sign"
        )
    # An empty one would turn $DIR/x into /x.
    if not os.environ.get(name):
        state = "empty" if name in os.environ else "not set"
        raise ValueError(
            f"the environment variable {name} is {state}: export {name}=…, or write the place "
            "itself (and $$ for a dollar sign)"
        )
    return os.environ[name]


def checked_place(text: str) -> str:
    """A place without variables, in its usual spelling; what is usual already stays as it is.

    ``file:/x`` becomes ``file:///x``, and ``~`` the home folder.

    Raises:
        ValueError: it is empty, almost a URL, or the home folder of nobody.
    """
    if not text or "\0" in text:
        raise ValueError("give a path or a URL")
    found = _SCHEME.fullmatch(text)
    scheme = found["scheme"].lower() if found else ""
    if found and scheme == "file" and found["mark"].startswith(":"):
        return _local(found)
    # A folder may well be named http, and be followed by two slashes.
    if found and scheme in (REMOTE_SCHEMES if found["mark"][0] == ":" else _STORES):
        _refuse_almost(text, scheme, found["mark"], found["rest"])
    return at_home(text)


def _local(found: re.Match[str]) -> str:
    mark, rest = found["mark"], found["rest"]
    if mark == ":":
        return checked_place(rest)
    if mark != "://":
        return f"file:///{rest}"
    if rest.startswith("~"):
        return f"file://{at_home(rest)}"
    for host in _LOCAL_HOSTS:
        if rest.lower().startswith(host):
            return f"file:///{rest[len(host) :]}"
    if rest and not rest.startswith("."):
        raise ValueError(
            f"what follows file:// is the name of a host: write file:///{rest} for the path "
            f"/{rest}, or ./{rest} for one below the current directory"
        )
    return f"file://{rest}"


def _refuse_almost(text: str, scheme: str, mark: str, rest: str) -> None:
    if mark == "://" or (mark == ":///" and scheme not in _BUCKETS):
        return
    if mark.startswith("://") and scheme not in _BUCKETS:
        raise ValueError(f"it has too many slashes: write {_right(scheme, rest)}")
    raise ValueError(
        f"it is no URL and would be a local folder: write {_right(scheme, rest)}, or ./{text} for "
        "a folder of that name"
    )


def _right(scheme: str, rest: str) -> str:
    if scheme == "dbfs":
        return f"dbfs:///{rest}, or /dbfs/{rest} where Databricks mounts it"
    if scheme in ("hdfs", "webhdfs", "swebhdfs", "viewfs"):
        port = "" if scheme in ("hdfs", "viewfs") else ":PORT"
        return f"{scheme}://NAMENODE{port}/{rest}"
    return f"{scheme}://{rest}"


def at_home(text: str) -> str:
    """The path with the home folder in place of ``~``.

    Raises:
        ValueError: it is the home folder of nobody.
    """
    if not text.startswith("~"):
        return text
    home = os.path.expanduser(text)
    if home.startswith("~"):
        name = text.partition("/")[0]
        raise ValueError(
            f"{name} is the home folder of nobody: write ./{text} for a file of that name"
        )
    return home


def sqlite_uri(path: str) -> str:
    """The URL of an SQLite file: three slashes, and then the path."""
    path = f"/{path.lstrip('/')}" if path.startswith("/") and path[1:2] != "/" else path.lstrip("/")
    return f"sqlite:///{path}"


def checked_uri(uri: str) -> str:
    """The uri of a catalog.

    Raises:
        ValueError: it is a path.
    """
    if "://" not in uri and not uri.startswith("env:"):
        # What is no path may hold a password, which no message repeats.
        path = uri.removeprefix("file:") if uri.startswith(("/", ".", "~", "file:")) else "PATH"
        raise ValueError(f"its uri is no URL: for an SQLite file write {sqlite_uri(path)}")
    return uri
