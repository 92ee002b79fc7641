"""Which image is suggested, and what is looked at for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from napari_infosam._napari import what_next as what_next_module
from napari_infosam._napari.image_list import ImageList
from napari_infosam._napari.list_changes import ListChanges
from napari_infosam._napari.what_next import WhatNext
from napari_infosam.core.prompts import Point
from napari_infosam.training import disagreement as comparing
from napari_infosam.training.suggest import RANDOM_IMAGES

from .helpers import DISCS, AtOnce
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


def test_later_it_is_where_student_and_base_differ_most(
    what_next: WhatNext,
    images: ImageList,
    worker: AtOnce,
    session: Session,
    opened: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, now = (
        SimpleNamespace(model=SimpleNamespace(version=name))
        for name in ("base", "v001")
    )
    # this is no thread of its own
    monkeypatch.setattr(what_next_module, "give_way", lambda: None)
    monkeypatch.setattr(session.engine, "beside", lambda: (base, now))
    monkeypatch.setattr(what_next, "_n_annotated", lambda: RANDOM_IMAGES)
    values = iter((0.1, 0.7, None, 0.2))
    seen: list[Any] = []

    def differ(a: object, b: object, pixels: Any, paused: Any) -> float | None:
        assert (a, b) == (base, now)
        seen.append(pixels)
        return next(values)

    monkeypatch.setattr(comparing, "disagreement", differ)
    worker.holds = True
    session.prompts_changed.emit()
    session.add_prompt(Point(DISCS[0][1], DISCS[0][0]))  # nobody is to wait for it
    worker.release()
    assert len(seen) <= 1
    session.clear()
    worker.holds = False
    worker.release()
    session.prompts_changed.emit()
    assert len(seen) >= 4
    what_next.go()
    assert "disagree most here" in what_next.reason
    assert "70%" in what_next.reason
    assert images.rows[opened[0]].name in what_next.reason
