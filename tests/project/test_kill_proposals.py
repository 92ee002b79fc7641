"""What a killed window had rejected stays rejected, and all other proposals wait."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from napari_infosam._napari.offers import Offer
from napari_infosam._napari.undecided_json import undecision_from_json
from napari_infosam.project import Project

from .conftest import SHAPE
from .killing import kill_amid

N_PROPOSED = 1000
WINDOW = """
import numpy as np
from napari_infosam._napari.noted_image import NotedImage
from napari_infosam._napari.offers import Offer
from napari_infosam._napari.undecided_json import Undecision
from napari_infosam.core.small_masks import small_mask
from napari_infosam.project import Project

def proposal(number):
    mask = np.random.default_rng(number).random(shape) < 0.5
    return Undecision((2,), Offer(small_mask(mask, number), None, "v003"))

project = Project.open(folder)
undecided, noted = [proposal(number) for number in range(n_proposed)], NotedImage()
for n_rejected in range(n_proposed):
    changes = noted.change(undecided[n_rejected:])
    project.listing.begin({}, {1: changes.to_json()})
    noted.was_written(changes)
    mouth.send(n_rejected)
"""


@pytest.mark.parametrize(
    ("times", "rng_seed"), [(4, 0), pytest.param(40, 1, marks=pytest.mark.slow)]
)
def test_proposals_survive_kill_9(tmp_path: Path, times: int, rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    for number in range(times):
        folder = tmp_path / f"{number}.infosam"
        with Project.create(folder) as project:
            project.listing.add([("a.tif", "/data/a.tif")])
        words, seconds = rng.randrange(0, 40), rng.uniform(0, 0.02)
        said = kill_amid(
            WINDOW, words, seconds, folder=folder, n_proposed=N_PROPOSED, shape=SHAPE
        )
        with Project.open(folder) as project:
            notes = list(project.listing.undecided(1).values())
            (row,) = project.listing.rows()
        assert row.is_begun == bool(notes)
        n_rejected = N_PROPOSED - len(notes)
        if not said:
            # all of the first thousand, or none
            assert n_rejected in (0, 1, N_PROPOSED)
        else:
            assert max(said) <= n_rejected <= max(said) + 1
        for seed, note in enumerate(notes, n_rejected):
            assert note is not None
            place, what = undecision_from_json(note, SHAPE)
            assert place == (2,)
            assert isinstance(what, Offer)
            assert (what.small.score, what.version) == (seed, "v003")
            mask = np.random.default_rng(seed).random(SHAPE) < 0.5
            np.testing.assert_array_equal(what.small.mask(), mask)
