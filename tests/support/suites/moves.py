"""What a move does, wherever its tiers lie; lanes give it the stores that they have."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.lifecycle.move_cleanup import clean_up_moves
from strata.storage.lifecycle.plan import plan_of_corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.held_files import held_files
from tests.support.corpora.tier_files import files_in
from tests.support.corpora.tiered import NO_GRACE, ids_by_ref, move, put, tag, tiered


class MoveTests:
    """Files of a local tier go to ``any_folder`` and come back."""

    @pytest.fixture(params=[3, 9])
    def settings(
        self,
        tmp_path: Path,
        any_folder: Url,
        any_options: dict[str, dict[str, Any]],
        request: pytest.FixtureRequest,
    ) -> Settings:
        """The cold tier is in ``any_folder``, in the codec of the other or not."""
        settings = tiered(str(tmp_path), url=str(any_folder / "cold"), level=request.param)
        return settings.model_validate(settings.model_dump() | {"storage_options": any_options})

    def test_move_there_and_back_and_old_copies_are_gone(self, settings: Settings) -> None:
        rows = {"main": [1, 2, 3, 4], "v1": [1, 2]}
        with open_to_write(settings) as corpus:
            put(corpus, settings, [1, 2])
            tag(corpus, "v1")
            put(corpus, settings, [3])
            put(corpus, settings, [4], days=1)
            move(settings)
            assert ids_by_ref(corpus) == rows
            cold = [h.file for h in held_files(corpus.table("clusters")) if "/cold/" in h.file.url]
            assert sorted(file.min_doc_id for file in cold) == [1, 3]
            assert [corpus.store.info(file.location).size for file in cold] == [
                file.n_bytes for file in cold
            ]

            rule = [{"to": "hot"}]
            back = settings.model_validate(settings.model_dump() | {"lifecycle": rule})
            assert plan_of_corpus(back, corpus).routes[0].source == "cold"
            move(back)
            assert ids_by_ref(corpus) == rows
            clean_up_moves(corpus, NO_GRACE)
            assert files_in(corpus.store, Url.parse(settings.tiers["cold"].url)) == []
            assert ids_by_ref(corpus) == rows

    def test_move_old_copies_wait_there_too(self, settings: Settings) -> None:
        with open_to_write(settings) as corpus:
            put(corpus, settings, [1], tier="cold", days=1)
            back = settings.model_validate(settings.model_dump() | {"lifecycle": [{"to": "hot"}]})
            move(back)
            assert clean_up_moves(corpus, timedelta(hours=1)).waiting == 1
            assert len(files_in(corpus.store, Url.parse(settings.tiers["cold"].url))) == 1
