"""Which image is suggested, and what is looked at for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_infosam._napari import what_next as what_next_module
from napari_infosam._napari.image_list import ImageList
from napari_infosam._napari.list_changes import ListChanges
from napari_infosam._napari.what_next import WhatNext
from napari_infosam.core import tiles
from napari_infosam.core.channels import ChannelChoice
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.core.prompts import Point
from napari_infosam.training import disagreement as comparing
from napari_infosam.training.suggest import RANDOM_IMAGES

from .helpers import DISCS, AtOnce, picture
from .test_image_list import save

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

pytestmark = pytest.mark.session


@pytest.fixture
def images(session: Session, tmp_path: Path) -> Iterator[ImageList]:
    made = ImageList(session, AtOnce())
    save(tmp_path / "day", *(f"{number}.npy" for number in range(4)))
    ListChanges(session, made, AtOnce()).add([tmp_path / "day"], opens=False)
    yield made
    made.close()


@pytest.fixture
def worker() -> AtOnce:
    return AtOnce()


@pytest.fixture
def what_next(
    session: Session, images: ImageList, worker: AtOnce
) -> Iterator[WhatNext]:
    made = WhatNext(session, images, worker)
    yield made
    made.close()


@pytest.fixture
def opened(images: ImageList) -> list[int]:
    wanted: list[int] = []
    images.open_wanted.connect(wanted.append)
    return wanted


def test_the_first_images_are_drawn_and_the_draw_stays(
    what_next: WhatNext, images: ImageList, opened: list[int]
) -> None:
    what_next.go()
    what_next.go()
    assert opened[0] == opened[1]
    assert images.rows[opened[0]].name in what_next.reason
    assert "drawn at random" in what_next.reason


def test_images_that_are_begun_are_not_suggested(
    what_next: WhatNext,
    images: ImageList,
    opened: list[int],
    said: list[tuple[str, bool]],
) -> None:
    what_next.go()
    for listed_id in list(images.rows):
        if listed_id != opened[0]:
            images.begun(listed_id, True)
    what_next.go()
    images.begun(opened[0], True)
    what_next.go()
    assert len(opened) == 2
    assert opened[0] == opened[1]
    assert "Every image of the list is begun" in said[-1][0]


@pytest.fixture
def compared(
    what_next: WhatNext, session: Session, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Any, Any]]:
    """Let v001 answer, after ten images; return what the models are shown."""
    pair = tuple(
        SimpleNamespace(model=SimpleNamespace(version=name))
        for name in ("base", "v001")
    )
    # this is no thread of its own
    monkeypatch.setattr(what_next_module, "give_way", lambda: None)
    monkeypatch.setattr(session.engine, "beside", lambda: pair)
    monkeypatch.setattr(type(session.desk), "active_version", "v001")
    monkeypatch.setattr(what_next, "_n_annotated", lambda: RANDOM_IMAGES)
    seen: list[tuple[Any, Any]] = []

    def differ(base: Any, now: Any, pixels: Any, how: Any, *, paused: Any) -> float:
        assert (base, now) == pair
        seen.append((pixels, how))
        return float(to_rgb_uint8(pixels, how).max()) / 1000

    monkeypatch.setattr(comparing, "disagreement", differ)
    return seen


def test_later_it_is_where_student_and_base_differ_most(
    what_next: WhatNext,
    images: ImageList,
    worker: AtOnce,
    session: Session,
    opened: list[int],
    compared: list[tuple[Any, Any]],
) -> None:
    worker.holds = True
    session.prompts_changed.emit()
    session.add_prompt(Point(DISCS[0][1], DISCS[0][0]))  # nobody is to wait for it
    worker.release()
    assert compared == []
    session.clear()
    worker.holds = False
    worker.release()
    session.prompts_changed.emit()
    assert len(compared) == 4
    what_next.go()
    assert "disagree most here" in what_next.reason
    assert "15%" in what_next.reason  # the brightest
    assert images.rows[opened[0]].name == "3.npy"


def test_models_are_shown_what_a_click_would_show_them(
    what_next: WhatNext,
    images: ImageList,
    session: Session,
    opened: list[int],
    compared: list[tuple[Any, Any]],
    tmp_path: Path,
) -> None:
    """Channels as they were chosen, or named; of a stack the middle slice."""
    planes = np.stack([picture(level) for level in (10, 20, 30, 40, 50, 60, 250)])
    colours = np.stack([picture(level) for level in (10, 90, 20)], axis=-1)
    files = {
        "chosen.npy": planes,
        "colours.npy": colours,
        "stack.npy": planes[:5],
        "colour stack.npy": np.stack([colours, colours[::-1], colours]),
        "unknown layers.npy": planes[:4],
    }
    folder = tmp_path / "many"
    folder.mkdir()
    for name, pixels in files.items():
        np.save(folder / name, pixels)
    tifffile.imwrite(
        folder / "named.tif",
        np.stack([planes[:2], planes[2:4], planes[4:6]]),
        metadata={"axes": "ZCYX"},
        photometric="minisblack",
    )
    project = images.project
    assert project is not None
    for name, choice in {
        "chosen.npy": ChannelChoice(axis=0, seen=(6, 0)),
        "colours.npy": ChannelChoice(seen=(1,)),
        "unknown layers.npy": ChannelChoice(layers=("a", "b"), seen=(0,)),
    }.items():
        project.channels.put(str(folder / name), choice)
    ListChanges(session, images, AtOnce()).add([folder], opens=False)
    shown = [to_rgb_uint8(*one) for one in compared]
    expected = [
        to_rgb_uint8(np.stack([planes[6], planes[0]], -1)),
        to_rgb_uint8(colours[..., 1]),
        to_rgb_uint8(planes[2]),
        to_rgb_uint8(colours[::-1]),
        to_rgb_uint8(np.stack([planes[2], planes[3]], -1)),
        *(to_rgb_uint8(picture(120 + 10 * number)) for number in range(4)),
    ]
    assert len(shown) == len(expected)
    for one in expected:
        assert any(np.array_equal(one, other) for other in shown)
    what_next.go()
    assert images.rows[opened[0]].name == "chosen.npy"
    assert "mean of 9 images" in what_next.reason


def test_huge_images_are_passed_over_and_it_says_so(
    what_next: WhatNext,
    images: ImageList,
    session: Session,
    worker: AtOnce,
    compared: list[tuple[Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker.holds = True
    session.prompts_changed.emit()
    what_next.go()
    assert "v001 has not been compared with the base on a new image" in what_next.reason
    monkeypatch.setattr(tiles, "HUGE_PIXELS", 1000)
    worker.holds = False
    worker.release()
    what_next.go()
    assert compared == []
    assert "on the images that are left, which are huge" in what_next.reason
