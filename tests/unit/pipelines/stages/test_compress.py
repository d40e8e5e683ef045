import numpy as np
import pytest

from strata.pipelines.stages.compress import plan_table
from strata.settings import CompressSettings
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.writing.parquet import ParquetLayout
from strata.storage.writing.tiers import Tier

TARGET = 1000
TIER = Tier("warm", Url.parse("file:///warm"), ParquetLayout("zstd", 9, 100, TARGET))
SETTINGS = CompressSettings()

FOLDER = Url.parse("file:///warm")


def files_of(sizes, folder="/warm", codec="zstd", level=9):
    return [
        TableFile(
            f"file://{folder}/{n}.parquet", 10, int(size), 100 * n, 100 * n + 99, 1, codec, level
        )
        for n, size in enumerate(sizes)
    ]


def test_plan_fitting_files_of_the_right_size_stay():
    assert plan_table(files_of([1000, 900, 1100, 501]), TIER, SETTINGS, FOLDER) == []
    assert plan_table([], TIER, SETTINGS, FOLDER) == []


def test_plan_few_small_files_stay_and_five_are_merged():
    assert plan_table(files_of([10] * 4 + [900]), TIER, SETTINGS, FOLDER) == []
    (group,) = plan_table(files_of([10] * 5 + [900]), TIER, SETTINGS, FOLDER)
    assert [file.n_bytes for file in group.files] == [10] * 5
    assert group.file_count == 1


def test_plan_fewer_small_files_are_enough_where_the_settings_say_so():
    (group,) = plan_table(files_of([10, 10]), TIER, CompressSettings(min_files=2), FOLDER)
    assert len(group.files) == 2


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"folder": "/hot"},
        {"folder": "/warmer"},
        {"codec": "gzip", "level": 6},
        {"level": 3},
        {"level": None},
        {"codec": "", "level": None},
    ],
)
def test_plan_file_of_another_tier_or_codec_is_rewritten_alone(elsewhere):
    (moved,) = files_of([1000], **elsewhere)
    (group,) = plan_table([moved, *files_of([1000, 900])], TIER, SETTINGS, FOLDER)
    assert group.files == (moved,)


def test_plan_moved_files_take_the_small_ones_along():
    (group,) = plan_table(
        [*files_of([10]), *files_of([700], folder="/hot")], TIER, SETTINGS, FOLDER
    )
    assert sorted(file.n_bytes for file in group.files) == [10, 700]


@pytest.mark.parametrize("seed", range(20))
def test_plan_every_file_once_by_document_in_pieces_near_the_target(seed):
    rng = np.random.default_rng(seed)
    files = files_of(rng.integers(1, 3000, int(rng.integers(1, 60))), folder="/hot")
    shuffled = [files[n] for n in rng.permutation(len(files))]
    groups = plan_table(shuffled, TIER, SETTINGS, FOLDER)
    chosen = [file for group in groups for file in group.files]
    assert sorted(chosen, key=lambda file: file.min_doc_id) == files
    for group in groups:
        assert list(group.files) == [file for file in files if file in group.files]
    for group in groups:
        size = sum(file.n_bytes for file in group.files)
        assert len(group.files) == 1 or size <= 1.25 * TARGET
        assert size / group.file_count <= 1.5 * TARGET
        assert group.file_count == 1 or size / group.file_count >= TARGET * 2 / 3


def test_plan_one_huge_file_is_cut_into_files_of_the_target_size():
    (group,) = plan_table(files_of([10_400], codec="gzip"), TIER, SETTINGS, FOLDER)
    assert group.file_count == 10


def test_plan_file_of_a_tier_inside_the_tier_is_rewritten():
    folder = Url.parse("file:///warm") / "web"
    (group,) = plan_table(files_of([1000], folder="/warm/hot/web"), TIER, SETTINGS, folder)
    assert len(group.files) == 1
