import numpy as np
import pytest

from strata.errors import SettingsError
from strata.pipelines.kernels.banding import SIGNATURE_BYTES, Banding, band_keys, choose_banding


@pytest.mark.parametrize("threshold", np.arange(30, 101, 5) / 100)
def test_choose_banding_finds_nearly_all_pairs_at_the_threshold(threshold):
    banding = choose_banding(threshold)
    assert banding.bands * banding.rows <= SIGNATURE_BYTES
    assert banding.probability(threshold) >= 0.999


def test_choose_banding_at_the_default_threshold_keeps_dissimilar_apart():
    assert choose_banding(0.8) == Banding(23, 6)
    assert choose_banding(0.8).probability(0.2) < 0.002


def test_band_keys_agree_exactly_where_the_bytes_of_the_band_do():
    rng = np.random.default_rng(3)
    banding = Banding(4, 3)
    signature = rng.integers(0, 2, (200, SIGNATURE_BYTES), dtype=np.uint8)
    keys = band_keys(signature, banding)
    assert keys.shape == (200, 4)
    assert keys.dtype == np.int64
    cells = {}
    for i in range(200):
        for band in range(4):
            values = signature[i, band * 3 : band * 3 + 3].tobytes()
            cells.setdefault((band, values), set()).add(int(keys[i, band]))
    assert all(len(found) == 1 for found in cells.values())
    assert len({key for found in cells.values() for key in found}) == len(cells)


def test_band_keys_of_no_documents_are_empty():
    assert band_keys(np.empty((0, SIGNATURE_BYTES), np.uint8), Banding(4, 3)).shape == (0, 4)


@pytest.mark.parametrize(("bands", "rows"), [(0, 4), (4, 0), (64, 5)])
def test_banding_that_does_not_fit_raises_settings_error(bands, rows):
    with pytest.raises(SettingsError, match=f"dedup.bands = {bands} and dedup.rows = {rows}"):
        Banding(bands, rows)
