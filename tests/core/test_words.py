from __future__ import annotations

import pytest

from napari_infosam.core.words import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 slices"), (1, "1 slice"), (12, "12 slices")]
)
def test_one_is_no_plural(number: int, words: str) -> None:
    assert counted(number, "slice") == words
