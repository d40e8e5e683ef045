"""A catalog that counts who asks for which table."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from types import FrameType
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog

from strata.pipelines.execution.stage import StageContext
from strata.storage.tables.catalog import CATALOG_NAME, Corpus

# A change of a table asks for the newest state of it, and the lock for that of `retractions`.
PUBLISHING = {
    "strata.storage.tables.publish": "publish",
    "strata.storage.tables.replace": "replace_files",
    "strata.storage.tables.table": "set_properties",
    "strata.storage.lifecycle.accesses": "log_file_lineage",
    "strata.pipelines.lineage.guard": "check",
}


class CountingCatalog:
    """Counts the tables that are loaded of a catalog, apart from those for a change of them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.asked: Counter[str] = Counter()
        self.apart: Counter[str] = Counter()

    def load_table(self, identifier: Any) -> Any:
        """Count and load."""
        purpose = _purpose(sys._getframe(1))
        if purpose:
            self.apart[purpose] += 1
        else:
            self.asked[".".join(identifier)] += 1
        return self._catalog.load_table(identifier)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)


def _purpose(frame: FrameType | None) -> str | None:
    """The change of a table that is being made, if any."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if PUBLISHING.get(module) == frame.f_code.co_name:
            return frame.f_code.co_name
        frame = frame.f_back
    return None


def counted(context: StageContext) -> tuple[StageContext, CountingCatalog]:
    """The same surroundings of a stage with a catalog that counts."""
    warehouse = context.corpus.warehouse
    properties = {"type": "sql", "uri": f"sqlite:///{warehouse.path}/catalog.db"}
    catalog = CountingCatalog(load_catalog(CATALOG_NAME, **properties, warehouse=str(warehouse)))
    corpus = Corpus(context.corpus.name, warehouse, catalog, context.corpus.store)
    return replace(context, corpus=corpus), catalog
