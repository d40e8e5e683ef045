"""The stored reports of a corpus: one JSON file per run."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from strata.errors import InputError, InputMissingError
from strata.jobs.runner.run import REPORT_VERSION, RunReport
from strata.pipelines.execution.stage import reports_folder
from strata.settings import Settings
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.tables.catalog import refuse_places

__all__ = ["ReportFiles"]

# Run ids that Strata gives sort by time; ids that users give need not.
DATED = re.compile(r"\d{8}-\d{6}-\d+\.json")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The reports below a folder.

    Attributes:
        store: the way to the files.
        folder: where they are.
        urls: the files, sorted by name; there is at least one.
    """

    store: Store
    folder: Url
    urls: tuple[Url, ...]

    @classmethod
    def of(cls, settings: Settings, store: Store) -> ReportFiles:
        """List the reports of a corpus.

        Raises:
            IdentityError: warehouse and tiers are not of one corpus.
            InputMissingError: there is none.
        """
        refuse_places(settings)
        folder = reports_folder(settings)
        urls = tuple(info.url for info in store.find(folder) if info.url.suffix == ".json")
        if not urls:
            raise InputMissingError(
                f"corpus {settings.corpus} has no report in {folder}",
                hint="run `strata run FILE` first, or check `warehouse` and `corpus` in FILE",
            )
        return cls(store, folder, urls)

    def run(self, run_id: str | None) -> RunReport:
        """The report of one run; of the newest where it is None.

        Raises:
            InputMissingError: there is none of that name.
            InputError: it is damaged, or of a newer version.
        """
        if run_id is None:
            return self.newest(1)[0]
        url = next((url for url in self.urls if url.name == f"{run_id}.json"), None)
        if url is None:
            known = ", ".join(run.run_id for run in self.newest(3))
            raise InputMissingError(
                f"there is no report of run {run_id!r} in {self.folder}",
                hint=f"the newest runs are {known}",
            )
        return self._read(url)

    def newest(self, limit: int) -> tuple[RunReport, ...]:
        """The latest reports, newest first.

        Raises:
            InputError: one of them is damaged, or of a newer version.
        """
        dated = [url for url in self.urls if DATED.fullmatch(url.name)]
        named = [url for url in self.urls if not DATED.fullmatch(url.name)]
        runs = [self._read(url) for url in dated[-limit:] + named]
        return tuple(sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True)[:limit])

    def _read(self, url: Url) -> RunReport:
        try:
            report = RunReport.from_json(self.store.read_bytes(url))
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{url} is no report of a run: {error}", hint="delete the file, or restore it"
            ) from error
        if report.report_version > REPORT_VERSION:
            raise InputError(
                f"{url} has version {report.report_version}; this Strata reads {REPORT_VERSION}",
                hint=f"use the Strata that wrote it ({report.version}), or a newer one",
            )
        return report
