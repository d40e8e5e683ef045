"""Finding the input files that the settings name."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic

from strata.errors import InputMissingError, SettingsError
from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.formats import SUFFIX_FORMATS
from strata.pipelines.readers.split import InputFile, ReadOptions
from strata.settings import InputFormat, InputSettings
from strata.storage.contracts.store import FileInfo, FileKind, Store
from strata.storage.contracts.url import Url, percent_encoded

__all__ = ["FoundInput", "Listing", "list_inputs"]

HIDDEN = (".", "_")
SHOWN = 3


@dataclass(frozen=True, slots=True)
class FoundInput:
    """An input file that has no ordinal yet; see InputFile for the fields."""

    uri: str
    size: int
    identity: str
    source: str
    format: InputFormat
    compression: Compression
    options: ReadOptions

    @property
    def cause(self) -> str:
        """A hash of everything that decides the documents of the file."""
        facts = [self.uri, self.size, self.identity, self.source, self.format, self.compression]
        facts += [self.options.fields.model_dump(), self.options.delimiter, self.options.encoding]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

    @property
    def url(self) -> Url:
        """The place of the file."""
        return Url.parse(self.uri)

    def numbered(self, ordinal: int, start: int = 0) -> InputFile:
        """The file with its ordinal in the corpus, from an offset on."""
        return InputFile(
            self.uri,
            ordinal,
            self.size,
            self.identity,
            self.source,
            self.format,
            self.compression,
            self.options,
            self.cause,
            start,
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that the inputs have.

    Attributes:
        files: the files, by section, then by URL.
        skipped: number of files skipped, by reason.
    """

    files: tuple[FoundInput, ...]
    skipped: Mapping[str, int]


def list_inputs(store: Store, inputs: Sequence[InputSettings]) -> Listing:
    """List the files of all sections.

    Raises:
        InputMissingError: a path or glob matches nothing, or a link that leads nowhere.
        SettingsError: two sections claim the same file.
    """
    found: dict[str, FoundInput] = {}
    skipped: dict[Url, str] = {}
    for section in inputs:
        mine: dict[str, FoundInput] = {}
        for path in section.paths:
            matches = _matches(store, path)
            if section.missing == "refuse":
                _refuse_dangling(path, matches)
            pattern = _Pattern.of(Url.parse(path))
            for info in matches:
                suffixes = _suffixes(info.url)
                reason = _skip_reason(info, pattern, section.format, suffixes)
                if reason:
                    skipped[info.url] = reason
                else:
                    found_input = _found(info, pattern.root, section, suffixes)
                    mine[found_input.uri] = found_input
        _refuse_shared(found, mine)
        found |= dict(sorted(mine.items()))
    return Listing(tuple(found.values()), Counter(skipped.values()))


def _matches(store: Store, path: str) -> list[FileInfo]:
    files = store.find(Url.parse(path))
    if not files:
        raise InputMissingError(
            f"the input {path} matches no file",
            hint="check the path; relative ones start at the current directory",
        )
    return files


def _refuse_dangling(path: str, matches: Sequence[FileInfo]) -> None:
    lost = [info.url for info in matches if info.kind is FileKind.DANGLING_LINK]
    if lost:
        shown = ", ".join(map(str, lost[:SHOWN])) + (" …" if len(lost) > SHOWN else "")
        raise InputMissingError(
            f"the input {path} holds {len(lost)} link(s) that lead nowhere: {shown}",
            hint="mend or remove them, or pass such links over with "
            'missing = "skip" in this [[inputs]] section',
        )


def _refuse_shared(found: Mapping[str, FoundInput], mine: Mapping[str, FoundInput]) -> None:
    if shared := sorted(found.keys() & mine.keys()):
        raise SettingsError(
            f"two [[inputs]] sections claim {len(shared)} file(s), such as {shared[0]}",
            hint="each file may belong to one section only; narrow the paths",
        )


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A path of the settings, and what is hidden below it.

    What the user named, and the folders above it, are the user's choice; what ``*`` found is not.

    Attributes:
        root: the path.
        fixed: number of its parts that have no wildcard.
        named: parts with a wildcard that ask for hidden names themselves.
    """

    root: Url
    fixed: int
    named: tuple[str, ...]

    @classmethod
    def of(cls, root: Url) -> _Pattern:
        parts = root.spelled.split("/")
        fixed = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts))
        named = tuple(part for part in parts[fixed:] if part.startswith(HIDDEN))
        return cls(root, fixed, named)

    def hides(self, url: Url) -> bool:
        """Whether a file that was found is hidden, or lies in a hidden folder."""
        return any(
            part.startswith(HIDDEN)
            and part != "__init__.py"
            and not any(fnmatchcase(part, each) for each in self.named)
            for part in url.spelled.split("/")[self.fixed :]
        )


def _skip_reason(info: FileInfo, pattern: _Pattern, form: InputFormat, suffixes: _Suffixes) -> str:
    url = info.url
    # A pipe that the settings name themselves is the user's choice.
    if info.kind is not FileKind.FILE and url != pattern.root:
        return str(info.kind)
    if pattern.hides(url):
        return "hidden"
    if url.name.endswith((".crc", ".tmp", ".partial", ".inprogress")):
        return "temporary"
    if form is InputFormat.AUTO and suffixes.format is None:
        return "unknown_format"
    return ""


@dataclass(frozen=True, slots=True)
class _Suffixes:
    format: InputFormat | None
    compression: Compression
    is_tab: bool


def _suffixes(url: Url) -> _Suffixes:
    name = url.name.lower()
    suffix = _last_suffix(name)
    compression = Compression.of_suffix(suffix)
    if compression is not Compression.NONE:
        suffix = _last_suffix(name.removesuffix(suffix))
    return _Suffixes(SUFFIX_FORMATS.get(suffix), compression, suffix == ".tsv")


def _last_suffix(name: str) -> str:
    return "." + name.rpartition(".")[2] if "." in name else ""


def _found(info: FileInfo, root: Url, section: InputSettings, suffixes: _Suffixes) -> FoundInput:
    form = section.format
    if form is InputFormat.AUTO:
        form = suffixes.format or InputFormat.TEXT
    # Parquet compresses its own pages.
    compression = Compression.NONE if form is InputFormat.PARQUET else suffixes.compression
    delimiter = section.delimiter or ("\t" if suffixes.is_tab else ",")
    return FoundInput(
        uri=str(info.url),
        size=info.size,
        identity=info.identity,
        source=section.source or percent_encoded(_folder_name(info.url, root)),
        format=form,
        compression=compression,
        options=ReadOptions(section.fields, delimiter, section.encoding),
    )


def _folder_name(url: Url, root: Url) -> str:
    for name in _folders(url, root):
        if name and not any(mark in name for mark in "*?["):
            return name
    return "default"


def _folders(url: Url, root: Url) -> Iterator[str]:
    if url != root and url.is_below(root):
        yield root.name
    yield url.parent.name
